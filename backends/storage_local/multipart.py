"""Parts of upload sessions, and the completion that makes one object of them.

A part is its bytes, so that the kernel can clone or copy them, and then a trailer:

    offset from its begin  size
    0                      4     magic "SLP1"
    4                      4     CRC32C of the bytes
    8                      8     their number
    16                     16    random id of the part; its etag
    32                     16    MD5, where the profile has MD5 etags, else zero

It replaces an earlier one of its number by rename, so the last one sent counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from storage_core.checksum import PIECE, crc32c, crc32c_combine, new
from storage_core.errors import (
    IntegrityError,
    InvalidPartError,
    InvalidRequestError,
    PartTooSmallError,
)
from storage_core.model import Page, Part, PutResult
from storage_core.requests import (
    CompleteUploadRequest,
    CopyPartRequest,
    GetRequest,
    PutPartRequest,
    UploadRequest,
)
from storage_local import reader, syscalls
from storage_local.bucket import Bucket
from storage_local.data import NewData
from storage_local.handles import Handle
from storage_local.layout import Root
from storage_local.names import TEMPORARY
from storage_local.record import Record, new_id
from storage_local.sessions import Session, SessionLock, gone, open_session, remove
from storage_local.writer import pack_object, publish_data, write_body

_TRAILER = struct.Struct("<4sIQ16s16s")
_TRAILER_MAGIC = b"SLP1"


class Stored(NamedTuple):
    """A part on disk: its trailer."""

    number: int
    size: int
    crc: int
    identity: bytes
    md5: bytes

    def part(self, *, md5_etags: bool) -> Part:
        """The part as callers know it."""
        etag = self.md5.hex() if md5_etags else f"{self.identity.hex()}-p"
        return Part(self.number, etag, self.size, {"crc32c": f"{self.crc:08x}"})


# --- parts ----------------------------------------------------------------------------


async def put_part(root: Root, request: PutPartRequest) -> Part:
    """Store a part; see `Driver.put_part`."""
    bucket, session = root.run(
        request.bucket,
        lambda opened: (opened, open_session(opened, request.upload_id, request.key)),
    )
    md5 = new("md5") if root.options.md5_etags else None
    with _NewPart(bucket, session, request.number) as part:
        size, crc = await write_body(part.fd, request.body, md5)
        return part.publish(size, crc, md5.digest() if md5 else bytes(16))


async def copy_part(root: Root, request: CopyPartRequest) -> Part:
    """Store a part from an object's bytes; see `Driver.copy_part`."""
    bucket, session = root.run(
        request.bucket,
        lambda opened: (opened, open_session(opened, request.upload_id, request.key)),
    )
    wanted = GetRequest(
        request.source_bucket, request.source_key, request.range, request.source_version
    )
    source = root.run(request.source_bucket, lambda opened: reader.get(opened, wanted))
    md5 = new("md5") if root.options.md5_etags else None
    crc = 0
    try:
        with _NewPart(bucket, session, request.number) as part:
            while piece := await source.read(PIECE):
                syscalls.write_all(part.fd, piece)
                crc = crc32c(piece, crc)
                if md5 is not None:
                    md5.update(piece)
            return part.publish(source.length, crc, md5.digest() if md5 else bytes(16))
    finally:
        await source.close()


class _NewPart:
    """A part in the making; removed at the end of the block unless it was published."""

    def __init__(self, bucket: Bucket, session: Session, number: int) -> None:
        self._bucket = bucket
        self._session = session
        self._number = number
        self._name = TEMPORARY + secrets.token_hex(8)
        self._published = False
        self.fd = -1

    def __enter__(self) -> _NewPart:
        try:
            self.fd = syscalls.create_locked(self._name, self._session.dir.fd)
        except FileNotFoundError:
            raise gone() from None
        return self

    def publish(self, size: int, crc: int, md5: bytes) -> Part:
        """Write the trailer and put the part under its number."""
        stored = Stored(self._number, size, crc, os.urandom(16), md5)
        trailer = _TRAILER.pack(_TRAILER_MAGIC, crc, size, stored.identity, md5)
        syscalls.write_all(self.fd, trailer)
        durable = self._bucket.options.durable
        directory = self._session.dir.fd
        if durable:
            syscalls.fsync(self.fd)
        with SessionLock(self._session, fcntl.LOCK_SH):
            try:
                syscalls.rename(
                    self._name,
                    part_name(self._number),
                    src_dir_fd=directory,
                    dst_dir_fd=directory,
                )
            except FileNotFoundError:
                raise gone() from None
            self._published = True
            if durable:
                syscalls.fsync(directory)
        return stored.part(md5_etags=self._bucket.options.md5_etags)

    def __exit__(self, *_: object) -> None:
        try:
            if not self._published:
                with contextlib.suppress(FileNotFoundError):
                    syscalls.unlink(self._name, dir_fd=self._session.dir.fd)
        finally:
            os.close(self.fd)


def part_name(number: int) -> str:
    """File name of a part."""
    return f"{number:05d}"


def read_part(session: Session, number: int) -> Stored | None:
    """A stored part; None if there is none.

    Raises:
        IntegrityError: it is damaged.
    """
    try:
        file = Handle(os.open(part_name(number), syscalls.READ, dir_fd=session.dir.fd))
    except FileNotFoundError:
        return None
    fd = file.fd
    total = os.fstat(fd).st_size
    trailer = os.pread(fd, _TRAILER.size, max(0, total - _TRAILER.size))
    if len(trailer) == _TRAILER.size:
        magic, crc, size, identity, md5 = _TRAILER.unpack(trailer)
        if magic == _TRAILER_MAGIC and size + _TRAILER.size == total:
            return Stored(number, size, crc, identity, md5)
    raise IntegrityError(f"part {number} is damaged on disk; send it again")


def list_parts(bucket: Bucket, request: UploadRequest) -> Page[Part]:
    """Parts stored so far; see `Driver.list_parts_page`."""
    session = open_session(bucket, request.upload_id, request.key)
    try:
        after = 0 if request.token is None else int(request.token)
    except ValueError:
        raise InvalidRequestError("the page token was not made by this backend") from None
    numbers = sorted(
        number
        for name in os.listdir(session.dir.fd)
        if name.isdigit() and (number := int(name)) > after
    )
    items = [
        found.part(md5_etags=bucket.options.md5_etags)
        for number in numbers[: request.limit]
        if (found := read_part(session, number)) is not None
    ]
    more = len(numbers) > request.limit
    return Page(items, str(numbers[request.limit - 1]) if more else None)


# --- completion -----------------------------------------------------------------------


def complete(bucket: Bucket, request: CompleteUploadRequest) -> PutResult:
    """Publish the parts as one object and end the session; see `Driver.complete_upload`."""
    session = open_session(bucket, request.upload_id, request.key)
    with SessionLock(session, fcntl.LOCK_EX):
        parts = [_named_part(bucket, session, part) for part in request.parts]
        _check_order(bucket, parts)
        record = _assemble(bucket, session, request, parts)
        with contextlib.suppress(OSError):  # the object is there; the session will expire
            remove(bucket, session.id)
    return record.result(request.key, versions=bucket.options.versions)


def _named_part(bucket: Bucket, session: Session, part: Part) -> Stored:
    found = read_part(session, part.number)
    if found is None or found.part(md5_etags=bucket.options.md5_etags).etag != part.etag:
        raise InvalidPartError(f"part {part.number} is missing or was sent again since")
    return found


def _check_order(bucket: Bucket, parts: Sequence[Stored]) -> None:
    if not parts:
        raise InvalidPartError("a session without parts can not be completed; abort it")
    least = bucket.options.min_part_size
    for one, following in pairwise(parts):
        if following.number <= one.number:
            raise InvalidPartError(f"part {following.number} is not in ascending order")
        if one.size < least:
            raise PartTooSmallError(
                f"part {one.number} has {one.size} bytes; all but the last need {least}"
            )


def _assemble(
    bucket: Bucket,
    session: Session,
    request: CompleteUploadRequest,
    parts: Sequence[Stored],
) -> Record:
    identity = new_id()
    size = crc = 0
    for stored in parts:
        crc = crc32c_combine(crc, stored.crc, stored.size) if size else stored.crc
        size += stored.size
    with NewData(bucket, identity.hex(), size) as data:
        for stored in parts:
            name = part_name(stored.number)
            part = Handle(os.open(name, syscalls.READ, dir_fd=session.dir.fd))
            syscalls.copy_range(part.fd, data.fd, 0, stored.size)
        data.sync()
        raw = pack_object(
            identity,
            size,
            crc,
            request.key,
            session.attributes if request.attributes is None else request.attributes,
            {name: text for name, text in request.checksums.items() if name != "crc32c"},
            request.write_id,
            _md5_etag(parts) if bucket.options.md5_etags else None,
        )
        return publish_data(bucket, request.key, data, raw, request.conditions)


def _md5_etag(parts: Sequence[Stored]) -> str:
    """As S3 has it: MD5 of the parts' MD5s, and their number."""
    hasher = new("md5")
    for stored in parts:
        hasher.update(stored.md5)
    return f"{hasher.digest().hex()}-{len(parts)}"
