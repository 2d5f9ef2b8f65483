"""Sessions and their parts; `storage_azure.sessions` says what they are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Coroutine, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from os import urandom
from time import time
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

from storage_azure.bodies import BLOCK, pieces_of
from storage_azure.copying import STRETCH, Copying
from storage_azure.errors import LIST, WRITE, Asked
from storage_azure.metadata import attribute_headers, base64_of
from storage_azure.objects import HASHED
from storage_azure.requests import (
    BLOCK_LIST,
    LEASE,
    block_query,
    list_query,
    resolved,
    tagging,
)
from storage_azure.responses import Session, parse_blocks, parse_sessions
from storage_azure.sessions import (
    MICROSECONDS,
    TIME_FIELD,
    Sending,
    Stored,
    is_upload_id,
    key_fields,
    part_name,
    session_name,
    stored_parts,
)
from storage_core.checksum import digest
from storage_core.errors import (
    ConflictError,
    PreconditionFailedError,
    UnavailableError,
    UploadNotFoundError,
)
from storage_core.http.dates import parse_http_date
from storage_core.http.interface import Content
from storage_core.http.reread import Reread
from storage_core.model import (
    NO_ATTRIBUTES,
    Attributes,
    Buffer,
    Page,
    Part,
    UploadInfo,
)
from storage_core.requests import (
    CopyPartRequest,
    CopyRequest,
    CreateUploadRequest,
    PutPartRequest,
    UploadRequest,
)

LEASE_SECONDS: Final = 60
"""How long a completion that died keeps others out; the most a lease lasts that ends itself."""
MAX_COLLECTED: Final = 4 * BLOCK
"""Bytes of a part that are collected at most before they are sent."""

T = TypeVar("T")

_UPLOAD: Final = Asked(WRITE, "upload")
_LIST: Final = Asked(LIST, "bucket")


class Place(NamedTuple):
    """Where a hidden blob is."""

    bucket: str
    name: str


class Parts(Copying):
    """Sessions, their parts, and the leases on them."""

    async def create_upload(self, request: CreateUploadRequest) -> UploadInfo:
        upload_id = urandom(16).hex()
        path = self._path(request.bucket, session_name(request.key, upload_id))
        headers = self._session_headers(request.attributes, key_fields(request.key))
        headers["x-ms-blob-type"] = "BlockBlob"
        headers["if-none-match"] = "*"
        answer = await self._call(Asked(WRITE, "bucket"), "PUT", path, headers, (), b"")
        created = datetime.fromtimestamp(self._now(answer), UTC)
        return UploadInfo(upload_id, request.key, created)

    def _session_headers(self, given: Attributes, own: Mapping[str, str]) -> dict[str, str]:
        headers = attribute_headers(given, own)
        if given.tags:
            headers["x-ms-tags"] = tagging(given.tags)
        return headers

    # --- parts ------------------------------------------------------------------------

    async def put_part(self, request: PutPartRequest) -> Part:
        place = Place(request.bucket, self._named(request.key, request.upload_id))
        sending = await self._begin(place, request.number)
        body = request.body
        if body.data is not None:
            crc = body.digest("crc32c") if body.computes("crc32c") else None
            etag = await self._put_piece(place, sending, 0, body.data, True, crc)
            return Part(request.number, etag, len(body.data), body.digests())
        if body.size and body.rewindable:
            # One block, whose id has the digest of what is sent: it is hashed on its way again.
            crc = (await body.beforehand(("crc32c",)))["crc32c"]
            same = Reread(body, {"crc32c": crc})
            block = sending.block(0, last=True, crc32c=crc)
            await self._put_block(place, block, {}, same)
            return Part(request.number, sending.etag, body.size, {**body.digests(), "crc32c": crc})
        etag, index = "", 0
        size = BLOCK if body.size is None else min(max(BLOCK, body.size // 4), MAX_COLLECTED)
        async with aclosing(pieces_of(body, size)) as pieces:
            async for piece, last in pieces:
                crc = digest("crc32c", piece).hex()
                etag = await self._put_piece(place, sending, index, piece, last, crc)
                index += 1
        return Part(request.number, etag, body.count, body.digests())

    async def _begin(self, place: Place, number: int) -> Sending:
        """A part that begins to be sent now, of a session that exists.

        The time is the service's, as far as its answers tell, so that of parts sent from
        several hosts the last one counts.
        """
        answer = await self._call(_UPLOAD, "HEAD", self._path(*place), {})
        here = time()
        try:
            ahead = parse_http_date(answer["date"]).timestamp() - here
        except (KeyError, ValueError):
            ahead = 0.0
        # Answers tell whole seconds: the one that is least late is the nearest to the truth.
        if not self._ahead - 2 < ahead < self._ahead:
            self._ahead = ahead
        return Sending(number, int((here + self._ahead) * MICROSECONDS), urandom(4).hex())

    async def _put_piece(
        self,
        place: Place,
        sending: Sending,
        index: int,
        data: Buffer,
        last: bool,
        crc32c: str | None,
    ) -> str:
        """Send a piece of a part; the part's etag."""
        headers: dict[str, str] = {}
        if len(data) <= HASHED:
            headers["content-md5"] = base64_of(digest("md5", data).hex())
        if not len(data):  # which no block may be
            headers |= attribute_headers(NO_ATTRIBUTES, {TIME_FIELD: str(sending.time)})
            headers["x-ms-blob-type"] = "BlockBlob"
            path = self._path(place.bucket, part_name(place.name, sending.number))
            answer = await self._call(_UPLOAD, "PUT", path, headers, (), b"")
            return answer["etag"].strip('"')
        block = sending.block(index, last=last, crc32c=crc32c)
        await self._put_block(place, block, headers, data)
        return sending.etag

    async def _put_block(
        self, place: Place, block: str, headers: dict[str, str], data: Buffer | Content
    ) -> None:
        query = block_query(block)
        await self._leased(self._call(_UPLOAD, "PUT", self._path(*place), headers, query, data))

    async def copy_part(self, request: CopyPartRequest) -> Part:
        place = Place(request.bucket, self._named(request.key, request.upload_id))
        sending = await self._begin(place, request.number)
        named = CopyRequest(
            request.source_bucket,
            request.source_key,
            request.bucket,
            request.key,
            request.source_version,
        )
        source = await self._look(named)
        start, stop = resolved(request.range, source.info.size)
        if start == stop:
            etag = await self._put_piece(place, sending, 0, b"", True, None)
            return Part(request.number, etag, 0)
        crc = source.info.checksums.get("crc32c") if stop - start == source.info.size else None
        crc = crc if stop - start <= STRETCH else None
        for index, begin in enumerate(range(start, stop, STRETCH)):
            end = min(begin + STRETCH, stop)
            block = sending.block(index, last=end == stop, crc32c=crc)
            await self._leased(self._stage(self._path(*place), block, source, (begin, end), {}))
        return Part(request.number, sending.etag, stop - start)

    async def list_parts_page(self, request: UploadRequest) -> Page[Part]:
        place = Place(request.bucket, self._named(request.key, request.upload_id))
        stored = await self._parts(place)
        after = int(request.token) if request.token and request.token.isdecimal() else 0
        found = [part.part() for number, part in stored.items() if number > after]
        more = len(found) > request.limit
        found = found[: request.limit]
        return Page(found, str(found[-1].number) if more else None)

    async def _parts(self, place: Place) -> dict[int, Stored]:
        """What the session has, by number."""
        sessions = await self._hidden(place.bucket, place.name)
        if not any(session.blob.name == place.name for session in sessions):
            raise gone()
        query = (("blocklisttype", "all"), *BLOCK_LIST)
        response = await self._send(_UPLOAD, "GET", self._path(*place), {}, query)
        blocks = parse_blocks(await self._body(response))
        blobs = [session for session in sessions if session.blob.name != place.name]
        return stored_parts(blocks, blobs)

    async def _hidden(self, bucket: str, prefix: str) -> list[Session]:
        """All hidden blobs whose names begin so."""
        found: list[Session] = []
        marker = ""
        while True:
            page, marker = await self._hidden_page(bucket, prefix, marker, 5000)
            found += page
            if not marker:
                return found

    async def _hidden_page(
        self, bucket: str, prefix: str, marker: str, limit: int
    ) -> tuple[list[Session], str]:
        query = list_query(limit=limit, prefix=prefix, marker=marker, include="metadata")
        response = await self._send(_LIST, "GET", self._path(bucket), {}, query)
        return parse_sessions(await self._body(response))

    # --- leases -----------------------------------------------------------------------

    async def _acquire(self, place: Place, write_id: str | None) -> str:
        """Take the session for oneself; of the same completion again this is a success.

        Raises:
            UploadNotFoundError: there is none.
            UnavailableError: another completion has it.
        """
        seed = write_id.encode() if write_id is not None else urandom(16)
        lease = str(UUID(bytes=hashlib.blake2b(seed, digest_size=16).digest()))
        headers = {
            "x-ms-lease-action": "acquire",
            "x-ms-lease-duration": str(LEASE_SECONDS),
            "x-ms-proposed-lease-id": lease,
        }
        await self._lease(place, headers)
        return lease

    async def _lease(self, place: Place, headers: dict[str, str]) -> None:
        await self._leased(self._call(_UPLOAD, "PUT", self._path(*place), headers, LEASE, b""))

    async def _leased(self, call: Coroutine[Any, Any, T]) -> T:
        """A request that a lease on the session can keep from its aim."""
        try:
            return await call
        except (ConflictError, PreconditionFailedError) as error:
            if error.code is None or not error.code.startswith("Lease"):
                raise
            raise UnavailableError(
                "the session is being completed by another call; try again",
                status=error.status,
                code=error.code,
                unsent=True,
            ) from error

    def _named(self, key: str, upload_id: str) -> str:
        """Name of the session's blob."""
        if not is_upload_id(upload_id):
            raise gone()
        return session_name(key, upload_id)


def gone() -> UploadNotFoundError:
    """The error for a session that is not there."""
    return UploadNotFoundError("the session does not exist, or has ended", status=404)
