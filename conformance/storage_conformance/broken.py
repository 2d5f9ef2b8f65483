"""Drivers broken on purpose: the proof that the suite fails when it should.

Each is the memory driver with one fault of a kind seen in the wild. `storage_conformance.faults`
names the cases that have to find it.
"""

from __future__ import annotations

import posixpath
import secrets
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from storage_conformance.memory import MemoryDriver
from storage_conformance.memory_state import LOCK
from storage_core.errors import (
    BucketNotFoundError,
    ObjectNotFoundError,
    StorageError,
)
from storage_core.model import (
    NO_CONDITIONS,
    Attributes,
    CopyProgress,
    DeleteResult,
    ObjectInfo,
    ObjectSummary,
    Page,
    Prefix,
    PutResult,
    UploadInfo,
    VersionSummary,
)
from storage_core.requests import (
    CompleteUploadRequest,
    CopyRequest,
    CreateUploadRequest,
    DeleteManyRequest,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    ListRequest,
    ListVersionsRequest,
    PutRequest,
    PutTagsRequest,
)
from storage_core.streams import Body, BytesStream, ObjectStream


class _Bytes(Body):
    """A body of bytes that nobody holds to anything."""

    __slots__ = ()

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data), data, (), {})

    async def _pieces(self) -> Any:
        yield self.data


# --- A to F ---------------------------------------------------------------------------


class ImplicitBuckets(MemoryDriver):
    """A put creates its bucket."""

    async def put(self, request: PutRequest) -> PutResult:
        try:
            return await super().put(request)
        except BucketNotFoundError:
            await self.create_bucket(request.bucket)
            return await super().put(request)


class ForgivingDelete(MemoryDriver):
    """A bucket is deleted with all it holds."""

    async def delete_bucket(self, name: str) -> None:
        with LOCK:
            self._state.bucket(name)
            del self._state.buckets[name]


class PublishesWhatCame(MemoryDriver):
    """What came before a body failed is published."""

    async def put(self, request: PutRequest) -> PutResult:
        pieces: list[bytes] = []
        try:
            async for piece in request.body:
                pieces.append(bytes(piece))  # noqa: PERF401 - those before a failure count
        except Exception:
            await super().put(request._replace(body=_Bytes(b"".join(pieces))))
            raise
        return await super().put(request._replace(body=_Bytes(b"".join(pieces))))


class OneByteTooMany(MemoryDriver):
    """The stop of a range is taken to be inclusive."""

    async def get(self, request: GetRequest) -> ObjectStream:
        wanted = request.range
        if wanted is not None and wanted.stop is not None:
            request = request._replace(range=wanted._replace(stop=wanted.stop + 1))
        return await super().get(request)


class FlipsABit(MemoryDriver):
    """The last byte of a large object is damaged on its way."""

    async def get(self, request: GetRequest) -> ObjectStream:
        stream = await super().get(request)
        data = stream.data or b""
        if len(data) > 100_000:
            data = data[:-1] + bytes([data[-1] ^ 1])
        return BytesStream(stream.info, data, stream.start, stream.checksum)


class GuessesTypes(MemoryDriver):
    """The content type is guessed from the key."""

    async def head(self, request: HeadRequest) -> ObjectInfo:
        info = await super().head(request)
        if info.content_type is None and request.key.endswith(".html"):
            return replace(info, content_type="text/html")
        return info


class LocalTimes(MemoryDriver):
    """Times have no zone."""

    async def head(self, request: HeadRequest) -> ObjectInfo:
        info = await super().head(request)
        return replace(info, modified=info.modified.replace(tzinfo=None))


class HeaderMetadata(MemoryDriver):
    """Metadata goes through headers as it is: Latin-1, without white space at the edges."""

    async def put(self, request: PutRequest) -> PutResult:
        given = request.attributes
        metadata = {
            name: value.encode("latin-1", "replace").decode("latin-1").strip()
            for name, value in given.metadata.items()
        }
        return await super().put(request._replace(attributes=replace(given, metadata=metadata)))


class FoldedOrder(MemoryDriver):
    """Listings are sorted like UTF-16 text with case folded."""

    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        page = await super().list_page(request)
        items = sorted(page.items, key=lambda item: item.key.lower().encode("utf-16-be"))
        return Page(items, page.next_token)


class CountedPages(MemoryDriver):
    """A page token counts the items so far, so that what comes and goes moves the rest."""

    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        skipped = int(request.token or 0)
        whole = await super().list_page(request._replace(token=None, limit=1_000_000))
        items = whole.items[skipped : skipped + request.limit]
        done = skipped + len(items)
        return Page(items, str(done) if done < len(whole.items) else None)


# --- G to J ---------------------------------------------------------------------------


class CleansKeys(MemoryDriver):
    """Keys are cleaned as if they were paths."""

    async def put(self, request: PutRequest) -> PutResult:
        return await super().put(request._replace(key=posixpath.normpath(request.key)))


class NormalisesKeys(MemoryDriver):
    """Keys are brought to one Unicode form."""

    async def put(self, request: PutRequest) -> PutResult:
        return await super().put(request._replace(key=unicodedata.normalize("NFC", request.key)))


class BareCopies(MemoryDriver):
    """A copy has the bytes alone."""

    async def copy(self, request: CopyRequest) -> CopyProgress:
        return await super().copy(request._replace(attributes=request.attributes or Attributes()))


class MissingIsAnError(MemoryDriver):
    """Deleting what is not there fails."""

    async def delete(self, request: DeleteRequest) -> DeleteResult:
        await self.head(HeadRequest(request.bucket, request.key))
        return await super().delete(request)


class HalfBatches(MemoryDriver):
    """A batch is cut to a thousand keys, and all are reported as deleted."""

    async def delete_many(self, request: DeleteManyRequest) -> list[DeleteResult]:
        await super().delete_many(request._replace(items=request.items[:999]))
        return [DeleteResult(key, version) for key, version in request.items]


class ChecksThenWrites(MemoryDriver):
    """The conditions of a put are looked at before its body is read, not when it is published."""

    async def put(self, request: PutRequest) -> PutResult:
        early = request._replace(body=_Bytes(b""))
        if request.conditions is not NO_CONDITIONS:
            with LOCK:
                bucket = self._state.bucket(early.bucket)
                current = bucket.current(early.key)
            if (current is not None and request.conditions.if_absent) or (
                request.conditions.if_match
                and (current is None or current.info.etag != request.conditions.if_match)
            ):
                return await super().put(early)
            for _ in range(3):
                _yield_to_others()
        return await super().put(request._replace(conditions=NO_CONDITIONS))


def _yield_to_others() -> None:
    """What a slow disk or a network does: let others go first."""
    time.sleep(0.002)


class IgnoresIfMatch(MemoryDriver):
    """A read with a condition is answered whatever it says."""

    async def get(self, request: GetRequest) -> ObjectStream:
        return await super().get(request._replace(conditions=NO_CONDITIONS))


# --- K to O ---------------------------------------------------------------------------


class TrustsParts(MemoryDriver):
    """A completion takes whatever parts are there, whatever was asked for."""

    async def complete_upload(self, request: CompleteUploadRequest) -> PutResult:
        with LOCK:
            session = self._state.bucket(request.bucket).session(request.key, request.upload_id)
            parts = [session.parts[number][0] for number in sorted(session.parts)]
        return await super().complete_upload(request._replace(parts=parts))


class ForgetsAttributes(MemoryDriver):
    """A session does not remember what it was created with."""

    async def create_upload(self, request: CreateUploadRequest) -> UploadInfo:
        return await super().create_upload(request._replace(attributes=Attributes()))


class ForgetsLinkKeys(MemoryDriver):
    """Every signature has a key of its own."""

    def link_keys(self) -> Mapping[str, bytes]:
        return {"k": secrets.token_bytes(32)}


class NeverVerifies(MemoryDriver):
    """Declared digests are stored without a look at the bytes."""

    async def put(self, request: PutRequest) -> PutResult:
        pieces: list[bytes] = []
        try:
            async for piece in request.body:
                pieces.append(bytes(piece))  # noqa: PERF401 - those before a failure count
        except StorageError:
            pass
        return await super().put(request._replace(body=_Bytes(b"".join(pieces))))


class WrongDigests(MemoryDriver):
    """Kept digests are those of nothing."""

    async def head(self, request: HeadRequest) -> ObjectInfo:
        info = await super().head(request)
        return replace(info, checksums=dict.fromkeys(info.checksums, "00" * 4))


class OldestFirst(MemoryDriver):
    """Versions are listed oldest first."""

    async def list_versions_page(self, request: ListVersionsRequest) -> Page[VersionSummary]:
        page = await super().list_versions_page(request._replace(token=None, limit=1_000_000))
        return Page(list(reversed(page.items)))


class AddsTags(MemoryDriver):
    """New tags join the old ones."""

    async def put_tags(self, request: PutTagsRequest) -> None:
        with LOCK:
            old = self._state.bucket(request.bucket).find(request.key, request.version).tags
        await super().put_tags(request._replace(tags={**old, **request.tags}))


class VagueErrors(MemoryDriver):
    """A missing bucket is a missing object."""

    async def head(self, request: HeadRequest) -> ObjectInfo:
        try:
            return await super().head(request)
        except BucketNotFoundError as error:
            raise ObjectNotFoundError("not found", status=404) from error


class RawErrors(MemoryDriver):
    """Its own exceptions pass unclassified."""

    async def get(self, request: GetRequest) -> ObjectStream:
        try:
            return await super().get(request)
        except ObjectNotFoundError as error:
            raise LookupError(request.key) from error


# --- Q to S ---------------------------------------------------------------------------


class StaysHere(MemoryDriver):
    """The driver can not be pickled."""

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("cannot pickle a lock")


class OneRequestAtATime(MemoryDriver):
    """What a request is about is kept on the driver, where another thread replaces it."""

    async def get(self, request: GetRequest) -> ObjectStream:
        self._wanted = request
        _yield_to_others()
        return await super().get(self._wanted)


class SessionsAreObjects(MemoryDriver):
    """Sessions are kept as objects that anybody can see."""

    async def create_upload(self, request: CreateUploadRequest) -> UploadInfo:
        info = await super().create_upload(request)
        with LOCK:
            bucket = self._state.bucket(request.bucket)
            bucket.write(f".uploads/{request.key}", b"", Attributes())
        return info


class FollowsDots(MemoryDriver):
    """A key is looked up as a path, so that dots lead elsewhere."""

    async def get(self, request: GetRequest) -> ObjectStream:
        return await super().get(request._replace(key=posixpath.normpath(request.key)))

    async def head(self, request: HeadRequest) -> ObjectInfo:
        return await super().head(request._replace(key=posixpath.normpath(request.key)))


class PromisesExpiry(MemoryDriver):
    """Expiry is declared and never happens."""

    async def put(self, request: PutRequest) -> PutResult:
        never = replace(request.attributes, expires_at=None)
        return await super().put(request._replace(attributes=never))


class PromisesConditions(MemoryDriver):
    """Conditions of a delete are declared and not looked at."""

    async def delete(self, request: DeleteRequest) -> DeleteResult:
        return await super().delete(request._replace(conditions=NO_CONDITIONS))


class ShorterKeys(MemoryDriver):
    """Longer keys are declared than work."""

    async def put(self, request: PutRequest) -> PutResult:
        if len(request.key.encode()) > 800:
            raise StorageError("the service does not take the key", status=400)
        return await super().put(request)
