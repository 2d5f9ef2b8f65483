"""The memory driver: the reference of the contract, and a test double for applications.

    storage_core.open(config={"driver": "memory"})

holds its objects until the storage is closed and forgotten. It offers everything a driver
can offer, except links of its own: those are signed for the gateway. It is written to be
read: where the contract leaves a doubt, see what happens here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from storage_conformance.memory_state import (
    LOCK,
    Bucket,
    Session,
    State,
    check_read,
    check_source,
    check_write,
    page,
    position,
    shared_state,
    utc_now,
)
from storage_core.checksum import ALGORITHMS, digest
from storage_core.driver import IO, Driver
from storage_core.errors import InvalidPartError, PartTooSmallError, StorageError
from storage_core.model import (
    Attributes,
    BucketInfo,
    Capabilities,
    Condition,
    CopyProgress,
    DeleteResult,
    ObjectInfo,
    ObjectSummary,
    Operation,
    Page,
    Part,
    Prefix,
    PutResult,
    UploadInfo,
    VersionSummary,
)
from storage_core.requests import (
    CompleteUploadRequest,
    CopyPartRequest,
    CopyRequest,
    CreateUploadRequest,
    DeleteManyRequest,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    ListBucketsRequest,
    ListRequest,
    ListUploadsRequest,
    ListVersionsRequest,
    MoveRequest,
    PutPartRequest,
    PutRequest,
    PutTagsRequest,
    TagsRequest,
    UpdateMetadataRequest,
    UploadRequest,
)
from storage_core.streams import Body, BytesStream, ObjectStream

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")

_READ: frozenset[Condition] = frozenset(
    ("if_match", "if_none_match", "if_modified_since", "if_unmodified_since")
)
_WRITE: frozenset[Condition] = frozenset(("if_absent", "if_match"))
_CONDITIONS: Mapping[Operation, frozenset[Condition]] = MappingProxyType(
    {
        "get": _READ,
        "head": _READ,
        "copy_source": _READ,
        "put": _WRITE,
        "copy": _WRITE,
        "complete": _WRITE,
        "delete": frozenset(("if_match",)),
    }
)


class MemoryDriver(Driver):
    """Objects in this process's memory.

    Two drivers share their objects when their settings have the same `name`; without a name
    each has its own. A pickled driver takes its settings along, not its objects.
    """

    name = "memory"
    supported_io: frozenset[IO] = frozenset(("blocking", "asyncio"))

    def __init__(self, settings: BaseModel) -> None:
        super().__init__(settings)
        shared: str | None = getattr(settings, "name", None)
        self._state = State() if shared is None else shared_state(shared)
        self.capabilities = Capabilities(
            conditions=_CONDITIONS,
            server_side_copy=True,
            atomic_move=True,
            update_metadata=True,
            object_expiry=True,
            delete_many_limit=1000,
            unsized_put=True,
            write_ids=True,
            atomic_bucket_delete=True,
            checksums=frozenset(ALGORITHMS),
            default_checksum="crc32c",
            ordered_listing=True,
            multipart=True,
            min_part_size=getattr(settings, "min_part_size", 0),
            versions=getattr(settings, "versions", False),
            delete_markers=getattr(settings, "versions", False),
            tags=True,
        )

    @classmethod
    def settings_model(cls) -> type[BaseModel]:
        from storage_conformance.memory_settings import MemorySettings

        return MemorySettings

    @classmethod
    def settings_from_url(cls, url: str) -> Mapping[str, str] | None:
        """``memory://name``; ``memory://`` shares one state among all that say so."""
        return {"name": url.partition("://")[2].partition("?")[0].strip("/")}

    def describe(self) -> str:
        shared = getattr(self.settings, "name", None)
        return "memory" if shared is None else f"memory {shared!r}"

    def link_keys(self) -> Mapping[str, bytes]:
        return self._state.link_keys

    # --- buckets ----------------------------------------------------------------------

    async def create_bucket(self, name: str) -> BucketInfo:
        with LOCK:
            return self._state.create(name, self.capabilities.versions).info

    async def delete_bucket(self, name: str) -> None:
        with LOCK:
            self._state.delete(name)

    async def head_bucket(self, name: str) -> BucketInfo:
        with LOCK:
            return self._state.bucket(name).info

    async def list_buckets_page(self, request: ListBucketsRequest) -> Page[BucketInfo]:
        (after,) = position(request.token) or ("",)
        with LOCK:
            found = (
                self._state.buckets[name].info
                for name in sorted(self._state.buckets)
                if name.startswith(request.prefix) and name > str(after)
            )
            return page(found, request.limit, lambda info: [info.name])

    # --- objects ----------------------------------------------------------------------

    async def put(self, request: PutRequest) -> PutResult:
        with LOCK:  # before the body is read in vain
            self._state.bucket(request.bucket)
        data = await _collect(request.body)
        with LOCK:
            bucket = self._state.bucket(request.bucket)
            check_write(request.conditions, bucket.current(request.key))
            return _result(
                bucket.write(
                    request.key, data, request.attributes, request.keep, request.write_id
                ).info
            )

    async def get(self, request: GetRequest) -> ObjectStream:
        with LOCK:
            stored = self._state.bucket(request.bucket).find(request.key, request.version)
        info = stored.info
        check_read(request.conditions, info)
        if request.range is None:
            crc = bytes.fromhex(info.checksums["crc32c"])
            return BytesStream(info, stored.data, checksum=("crc32c", crc))
        start, stop = request.range.resolve(info.size)
        return BytesStream(info, stored.data[start:stop], start)

    async def head(self, request: HeadRequest) -> ObjectInfo:
        with LOCK:
            info = self._state.bucket(request.bucket).find(request.key, request.version).info
        check_read(request.conditions, info)
        return info

    async def delete(self, request: DeleteRequest) -> DeleteResult:
        with LOCK:
            bucket = self._state.bucket(request.bucket)
            if request.conditions.if_match is not None:
                try:
                    current = bucket.find(request.key, request.version)
                except StorageError:
                    current = None
                check_write(request.conditions, current)
            return _remove(bucket, request.key, request.version)

    async def delete_many(self, request: DeleteManyRequest) -> list[DeleteResult]:
        with LOCK:
            bucket = self._state.bucket(request.bucket)
            return [_remove(bucket, key, version) for key, version in request.items]

    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        after, past_group = position(request.token) or (request.start_after, False)
        with LOCK:
            found = self._state.bucket(request.bucket).listed(
                request.prefix, request.delimiter, str(after), bool(past_group)
            )
            return page(found, request.limit, lambda item: [item.key, item.is_prefix])

    async def copy(self, request: CopyRequest) -> CopyProgress:
        with LOCK:
            source = self._state.bucket(request.source_bucket).find(
                request.source_key, request.source_version
            )
            bucket = self._state.bucket(request.bucket)
            check_source(request.source_conditions, source.info)
            check_write(request.conditions, bucket.current(request.key))
            attributes = request.attributes or source.info.attributes(source.tags)
            keep = tuple(source.info.checksums)
            stored = bucket.write(request.key, source.data, attributes, keep, request.write_id)
            return CopyProgress(_result(stored.info))

    async def move(self, request: MoveRequest) -> PutResult:
        with LOCK:
            source_bucket = self._state.bucket(request.source_bucket)
            source = source_bucket.find(request.source_key)
            bucket = self._state.bucket(request.bucket)
            check_write(request.conditions, bucket.current(request.key))
            if (bucket, request.key) == (source_bucket, request.source_key):
                return _result(source.info)
            moved = replace(source, info=replace(source.info, key=request.key, version=None))
            stored = bucket.publish(moved)
            source_bucket.remove(request.source_key)
            return _result(stored.info)

    async def update_metadata(self, request: UpdateMetadataRequest) -> PutResult:
        given = request.attributes
        with LOCK:
            bucket = self._state.bucket(request.bucket)
            old = bucket.find(request.key)
            check_write(request.conditions, old)
            info = replace(
                old.info,
                **{name: getattr(given, name) for name in Attributes.HEADERS},
                metadata=given.metadata,
                expires_at=given.expires_at,
                modified=utc_now(),
            )
            bucket.rewrite(old, replace(old, info=info))
            return _result(info)

    # --- multipart sessions -----------------------------------------------------------

    async def create_upload(self, request: CreateUploadRequest) -> UploadInfo:
        info = UploadInfo(secrets.token_urlsafe(18), request.key, utc_now())
        with LOCK:
            bucket = self._state.bucket(request.bucket)
            bucket.sessions[info.id] = Session(info, request.attributes, request.keep)
        return info

    async def put_part(self, request: PutPartRequest) -> Part:
        self._with_session(request, lambda _: None)  # before the body is read in vain
        data = await _collect(request.body)
        return self._with_session(request, lambda found: _add_part(found, request.number, data))

    async def copy_part(self, request: CopyPartRequest) -> Part:
        with LOCK:
            source = self._state.bucket(request.source_bucket).find(
                request.source_key, request.source_version
            )
        data = source.data
        if request.range is not None:
            start, stop = request.range.resolve(len(data))
            data = data[start:stop]
        return self._with_session(request, lambda found: _add_part(found, request.number, data))

    async def list_parts_page(self, request: UploadRequest) -> Page[Part]:
        (after,) = position(request.token) or (0,)

        def parts(session: Session) -> Page[Part]:
            found = (session.parts[n][0] for n in sorted(session.parts) if n > int(str(after)))
            return page(found, request.limit, lambda part: [part.number])

        return self._with_session(request, parts)

    async def complete_upload(self, request: CompleteUploadRequest) -> PutResult:
        with LOCK:
            bucket = self._state.bucket(request.bucket)
            session = bucket.session(request.key, request.upload_id)
            data = _assemble(session, request.parts, self.capabilities.min_part_size)
            check_write(request.conditions, bucket.current(request.key))
            attributes = request.attributes or session.attributes
            keep = (*session.keep, *request.checksums)
            stored = bucket.write(request.key, data, attributes, keep, request.write_id)
            del bucket.sessions[request.upload_id]
            return _result(stored.info)

    async def abort_upload(self, request: UploadRequest) -> None:
        with LOCK:
            bucket = self._state.bucket(request.bucket)
            bucket.session(request.key, request.upload_id)
            del bucket.sessions[request.upload_id]

    async def list_uploads_page(self, request: ListUploadsRequest) -> Page[UploadInfo]:
        after = [str(mark) for mark in position(request.token)]
        with LOCK:
            sessions = self._state.bucket(request.bucket).sessions.values()
            found = (
                info
                for info in sorted((s.info for s in sessions), key=lambda i: (i.key, i.id))
                if info.key.startswith(request.prefix) and [info.key, info.id] > after
            )
            return page(found, request.limit, lambda info: [info.key, info.id])

    def _with_session(
        self,
        request: PutPartRequest | CopyPartRequest | UploadRequest,
        work: Callable[[Session], T],
    ) -> T:
        with LOCK:
            bucket = self._state.bucket(request.bucket)
            return work(bucket.session(request.key, request.upload_id))

    # --- versions and tags ------------------------------------------------------------

    async def list_versions_page(self, request: ListVersionsRequest) -> Page[VersionSummary]:
        mark = position(request.token)
        after = (str(mark[0]), str(mark[1])) if mark else None
        with LOCK:
            found = self._state.bucket(request.bucket).listed_versions(request.prefix, after)
            return page(found, request.limit, lambda item: [item.key, item.version])

    async def get_tags(self, request: TagsRequest) -> dict[str, str]:
        with LOCK:
            return dict(self._state.bucket(request.bucket).find(request.key, request.version).tags)

    async def put_tags(self, request: PutTagsRequest) -> None:
        with LOCK:
            bucket = self._state.bucket(request.bucket)
            old = bucket.find(request.key, request.version)
            bucket.rewrite(old, replace(old, tags=dict(request.tags)))


async def _collect(body: Body) -> bytes:
    """The whole body; raises at its end where it is not what was declared."""
    if body.data is not None:
        return bytes(body.data)
    return b"".join([bytes(piece) async for piece in body])


def _result(info: ObjectInfo) -> PutResult:
    return PutResult(info.key, info.etag, info.size, info.version, info.checksums)


def _remove(bucket: Bucket, key: str, version: str | None) -> DeleteResult:
    marker = bucket.remove(key, version)
    if marker is None:
        return DeleteResult(key, version)
    return DeleteResult(key, marker.info.version, delete_marker=True)


def _add_part(session: Session, number: int, data: bytes) -> Part:
    etag = f"{secrets.token_hex(8)}-p"
    part = Part(number, etag, len(data), {"crc32c": digest("crc32c", data).hex()})
    session.parts[number] = part, data
    return part


def _assemble(session: Session, parts: Iterable[Part], least: int) -> bytes:
    """The bytes of the parts a completion names.

    Raises:
        InvalidPartError: none at all, one that is not there, or not in ascending order.
        PartTooSmallError: one that is not the last is below the minimum.
    """
    pieces: list[bytes] = []
    before = 0
    for given in parts:
        part, data = session.parts.get(given.number, (None, b""))
        if part is None or part.etag != given.etag:
            raise InvalidPartError(f"part {given.number} is missing or was sent again since")
        if given.number <= before:
            raise InvalidPartError(f"part {given.number} is not in ascending order")
        if pieces and len(pieces[-1]) < least:
            raise PartTooSmallError(
                f"part {before} has {len(pieces[-1])} bytes; all but the last need {least}"
            )
        pieces.append(data)
        before = given.number
    if not pieces:
        raise InvalidPartError("a session without parts can not be completed; abort it")
    return b"".join(pieces)
