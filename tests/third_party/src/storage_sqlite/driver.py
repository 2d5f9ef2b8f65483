"""Objects as rows: a transaction makes every condition hold, an index keeps the order."""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from secrets import token_bytes, token_hex
from typing import Any

from storage_core.driver import IO, Driver
from storage_core.errors import (
    BucketExistsError,
    BucketNotEmptyError,
    BucketNotFoundError,
    InvalidRequestError,
    ObjectNotFoundError,
    PreconditionFailedError,
    QuotaExceededError,
    StorageError,
    UnavailableError,
)
from storage_core.model import (
    Attributes,
    BucketInfo,
    Capabilities,
    Conditions,
    DeleteResult,
    ObjectInfo,
    ObjectSummary,
    Page,
    Prefix,
    PutResult,
)
from storage_core.requests import (
    DeleteRequest,
    GetRequest,
    HeadRequest,
    ListBucketsRequest,
    ListRequest,
    PutRequest,
)
from storage_core.streams import BytesStream, ObjectStream

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, created TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS objects (
  bucket TEXT NOT NULL REFERENCES buckets (name),
  key BLOB NOT NULL,
  etag TEXT NOT NULL,
  modified TEXT NOT NULL,
  record TEXT NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (bucket, key)
) STRICT;
CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, secret BLOB NOT NULL) STRICT;
"""
_TURN = threading.Lock()
"""Held by whoever is in SQLite: threads would wait there in growing naps, and a fork in the middle
of a call would leave the child with its locks held."""
os.register_at_fork(
    before=_TURN.acquire, after_in_parent=_TURN.release, after_in_child=_TURN.release
)

_WRITES = frozenset({"if_absent", "if_match"})


class SqliteDriver(Driver):
    """One file. A connection for each thread; other processes may use the file as well."""

    name = "sqlite"
    supported_io: frozenset[IO] = frozenset({"blocking"})
    capabilities = Capabilities(
        conditions={"put": _WRITES, "delete": frozenset({"if_match"})},
        unsized_put=True,
        write_ids=True,
        atomic_bucket_delete=True,
        max_put_size=32 * 1024**2,  # a row is written and read as a whole
        max_object_size=32 * 1024**2,
        checksums=frozenset({"crc32c", "md5", "sha1", "sha256"}),
        default_checksum="crc32c",
        ordered_listing=True,
    )

    @classmethod
    def settings_model(cls) -> Any:
        from storage_sqlite.settings import SqliteSettings

        return SqliteSettings

    async def open(self, io: IO) -> None:
        await super().open(io)
        self._threads = threading.local()
        self._connections: list[tuple[int, sqlite3.Connection]] = []
        with self._transaction() as database:
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute("INSERT OR IGNORE INTO keys VALUES ('first', ?)", (token_bytes(32),))

    async def close(self) -> None:
        while self._connections:
            process, connection = self._connections.pop()
            if process == os.getpid():
                connection.close()

    def describe(self) -> str:
        return f"sqlite {self.settings.file}"  # type: ignore[attr-defined]

    def link_keys(self) -> dict[str, bytes]:
        with self._transaction() as database:
            return dict(database.execute("SELECT id, secret FROM keys"))

    def classify(self, error: Exception) -> StorageError | None:
        if not isinstance(error, sqlite3.Error):
            return None
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            return QuotaExceededError("the disk is full")
        return UnavailableError(f"SQLite: {error}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _TURN:
            database = self._connected()
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def _connected(self) -> sqlite3.Connection:
        """This thread's connection; none crosses a fork."""
        own = vars(self._threads)
        if own.get("pid") != os.getpid():
            file = self.settings.file  # type: ignore[attr-defined]
            database = sqlite3.connect(
                file, timeout=60, isolation_level=None, check_same_thread=False
            )
            database.execute("PRAGMA foreign_keys = ON")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            self._connections.append((os.getpid(), database))
            own.update(pid=os.getpid(), database=database)
        connection: sqlite3.Connection = own["database"]
        return connection

    # --- buckets ----------------------------------------------------------------------

    async def create_bucket(self, name: str) -> BucketInfo:
        created = datetime.now(UTC)
        with self._transaction() as database:
            try:
                database.execute("INSERT INTO buckets VALUES (?, ?)", (name, created.isoformat()))
            except sqlite3.IntegrityError as error:
                raise BucketExistsError("there is such a bucket already") from error
        return BucketInfo(name, created)

    async def delete_bucket(self, name: str) -> None:
        with self._transaction() as database:
            _need(database, name)
            try:
                database.execute("DELETE FROM buckets WHERE name = ?", (name,))
            except sqlite3.IntegrityError as error:
                raise BucketNotEmptyError("the bucket holds objects") from error

    async def head_bucket(self, name: str) -> BucketInfo:
        with self._transaction() as database:
            return _need(database, name)

    async def list_buckets_page(self, request: ListBucketsRequest) -> Page[BucketInfo]:
        with self._transaction() as database:
            rows = database.execute(
                "SELECT name, created FROM buckets WHERE name > ? AND substr(name, 1, ?) = ?"
                " ORDER BY name LIMIT ?",
                (request.token or "", len(request.prefix), request.prefix, request.limit + 1),
            ).fetchall()
        found = [BucketInfo(name, datetime.fromisoformat(created)) for name, created in rows]
        page = found[: request.limit]
        return Page(page, page[-1].name if len(found) > len(page) else None)

    # --- objects ----------------------------------------------------------------------

    async def put(self, request: PutRequest) -> PutResult:
        with self._transaction() as database:
            _need(database, request.bucket)  # before the body is read in vain
        body = request.body
        data = body.data if body.data is not None else b"".join([bytes(p) async for p in body])
        etag, digests = token_hex(8), body.digests()
        given = request.attributes
        record = {
            "attributes": {name: getattr(given, name) for name in given.HEADERS},
            "metadata": dict(given.metadata),
            "checksums": digests,
            "write_id": request.write_id,
        }
        row = (request.bucket, request.key.encode(), etag, datetime.now(UTC).isoformat())
        with self._transaction() as database:
            _need(database, request.bucket)
            _check(request.conditions, _etag(database, request.bucket, request.key))
            database.execute(
                "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)",
                (*row, json.dumps(record), bytes(data)),
            )
        return PutResult(request.key, etag, len(data), checksums=digests)

    async def get(self, request: GetRequest) -> ObjectStream:
        info, data = self._find(request.bucket, request.key)
        if request.range is None:
            crc = bytes.fromhex(info.checksums["crc32c"])
            return BytesStream(info, data, checksum=("crc32c", crc))
        start, stop = request.range.resolve(info.size)
        return BytesStream(info, data[start:stop], start)

    async def head(self, request: HeadRequest) -> ObjectInfo:
        return self._find(request.bucket, request.key)[0]

    async def delete(self, request: DeleteRequest) -> DeleteResult:
        with self._transaction() as database:
            _need(database, request.bucket)
            _check(request.conditions, _etag(database, request.bucket, request.key))
            database.execute(
                "DELETE FROM objects WHERE bucket = ? AND key = ?",
                (request.bucket, request.key.encode()),
            )
        return DeleteResult(request.key)

    def _find(self, bucket: str, key: str) -> tuple[ObjectInfo, bytes]:
        with self._transaction() as database:
            row = database.execute(
                "SELECT etag, modified, record, data FROM objects WHERE bucket = ? AND key = ?",
                (bucket, key.encode()),
            ).fetchone()
            if row is None:
                _need(database, bucket)
                raise ObjectNotFoundError("there is no such object")
        etag, modified, text, data = row
        record = json.loads(text)
        kept = Attributes(**record["attributes"])
        info = ObjectInfo(
            key,
            len(data),
            etag,
            datetime.fromisoformat(modified),
            kept.content_type,
            kept.content_encoding,
            kept.content_disposition,
            kept.content_language,
            kept.cache_control,
            record["metadata"],
            record["checksums"],
            write_id=record["write_id"],
        )
        return info, data

    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        prefix = request.prefix.encode()
        after = _after(request)
        items: list[ObjectSummary | Prefix] = []
        with self._transaction() as database:
            _need(database, request.bucket)
            rows = database.execute(
                "SELECT key, length(data), etag, modified, record FROM objects"
                " WHERE bucket = ? AND key > ? AND substr(key, 1, ?) = ? ORDER BY key",
                (request.bucket, after, len(prefix), prefix),
            )
            for raw, size, etag, modified, text in rows:
                key = raw.decode()
                if items and items[-1].is_prefix and key.startswith(items[-1].key):
                    continue
                if len(items) == request.limit:
                    return Page(items, after.hex())
                cut = key.find(request.delimiter, len(request.prefix)) if request.delimiter else -1
                if cut >= 0:
                    items.append(Prefix(key[: cut + len(request.delimiter)]))
                    after = items[-1].key.encode() + b"\xff"  # behind all keys of the group
                    continue
                after = raw
                when = datetime.fromisoformat(modified)
                digests = json.loads(text)["checksums"]
                items.append(ObjectSummary(key, size, etag, when, digests))
        return Page(items)


def _after(request: ListRequest) -> bytes:
    if request.token is None:
        return request.start_after.encode()
    try:
        return bytes.fromhex(request.token)
    except ValueError as error:
        raise InvalidRequestError("the page token is not one of a listing") from error


def _need(database: sqlite3.Connection, bucket: str) -> BucketInfo:
    row = database.execute("SELECT created FROM buckets WHERE name = ?", (bucket,)).fetchone()
    if row is None:
        raise BucketNotFoundError("there is no such bucket")
    return BucketInfo(bucket, datetime.fromisoformat(row[0]))


def _etag(database: sqlite3.Connection, bucket: str, key: str) -> str | None:
    row = database.execute(
        "SELECT etag FROM objects WHERE bucket = ? AND key = ?", (bucket, key.encode())
    ).fetchone()
    return None if row is None else row[0]


def _check(conditions: Conditions, etag: str | None) -> None:
    if conditions.if_absent and etag is not None:
        raise PreconditionFailedError("the object exists")
    if conditions.if_match is not None and conditions.if_match != etag:
        raise PreconditionFailedError("the etag is another one")
