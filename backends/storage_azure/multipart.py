"""Multipart sessions; `storage_azure.sessions` says what they are made of.

A completion holds a lease on the session, so that there is one at a time. It commits the blocks
on the hidden blob, with the attributes the object is to have, and copies that onto the target
under the caller's conditions, which is atomic. If the copy is refused the session stays; parts
that the refused completion did not name are gone then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Coroutine, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from os import urandom
from time import time
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

from storage_azure.bodies import BLOCK, pieces_of
from storage_azure.copying import STRETCH, Copying, Goal, Source, stretch_id
from storage_azure.errors import DELETE, LIST, WRITE, Asked
from storage_azure.metadata import attribute_headers, base64_of, own_fields
from storage_azure.objects import HASHED
from storage_azure.requests import (
    BLOCK_LIST,
    LEASE,
    PUT_FROM_SIZE,
    XML,
    block_list_body,
    block_query,
    list_query,
    resolved,
    tagging,
)
from storage_azure.responses import Session, object_info, parse_blocks, parse_sessions
from storage_azure.sessions import (
    MICROSECONDS,
    TIME_FIELD,
    Sending,
    Stored,
    combined,
    is_upload_id,
    key_fields,
    part_name,
    session_name,
    session_of,
    sessions_prefix,
    split_session,
    stored_parts,
)
from storage_core.checksum import digest
from storage_core.errors import (
    ConflictError,
    InvalidPartError,
    InvalidRequestError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    TransientError,
    UnavailableError,
    UploadNotFoundError,
)
from storage_core.http.dates import parse_http_date
from storage_core.model import (
    NO_ATTRIBUTES,
    NO_CONDITIONS,
    Attributes,
    Buffer,
    ObjectInfo,
    Page,
    Part,
    PutResult,
    UploadInfo,
)
from storage_core.requests import (
    CompleteUploadRequest,
    CopyPartRequest,
    CopyRequest,
    CreateUploadRequest,
    HeadRequest,
    ListUploadsRequest,
    PutPartRequest,
    UploadRequest,
)

LEASE_SECONDS: Final = 60
"""How long a completion that died keeps others out; the most a lease lasts that ends itself."""
MAX_COLLECTED: Final = 4 * BLOCK
"""Bytes of a part that are collected at most before they are sent."""

T = TypeVar("T")

_UPLOAD: Final = Asked(WRITE, "upload")
_ABORT: Final = Asked(DELETE, "upload")
_LIST: Final = Asked(LIST, "bucket")


class Multipart(Copying):
    """Operations on sessions."""

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
        place = _Place(request.bucket, self._named(request.key, request.upload_id))
        sending = await self._begin(place, request.number)
        body = request.body
        if body.data is not None:
            crc = body.digest("crc32c") if body.computes("crc32c") else None
            etag = await self._put_piece(place, sending, 0, body.data, True, crc)
            return Part(request.number, etag, len(body.data), body.digests())
        etag, index = "", 0
        size = BLOCK if body.size is None else min(max(BLOCK, body.size // 4), MAX_COLLECTED)
        async with aclosing(pieces_of(body, size)) as pieces:
            async for piece, last in pieces:
                crc = digest("crc32c", piece).hex()
                etag = await self._put_piece(place, sending, index, piece, last, crc)
                index += 1
        return Part(request.number, etag, body.count, body.digests())

    async def _begin(self, place: _Place, number: int) -> Sending:
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
        place: _Place,
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
        query = block_query(sending.block(index, last=last, crc32c=crc32c))
        await self._leased(self._call(_UPLOAD, "PUT", self._path(*place), headers, query, data))
        return sending.etag

    async def copy_part(self, request: CopyPartRequest) -> Part:
        place = _Place(request.bucket, self._named(request.key, request.upload_id))
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
        place = _Place(request.bucket, self._named(request.key, request.upload_id))
        stored = await self._parts(place)
        after = int(request.token) if request.token and request.token.isdecimal() else 0
        found = [part.part() for number, part in stored.items() if number > after]
        more = len(found) > request.limit
        found = found[: request.limit]
        return Page(found, str(found[-1].number) if more else None)

    async def _parts(self, place: _Place) -> dict[int, Stored]:
        """What the session has, by number."""
        sessions = await self._hidden(place.bucket, place.name)
        if not any(session.blob.name == place.name for session in sessions):
            raise _gone()
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

    # --- the end of a session ---------------------------------------------------------

    async def complete_upload(self, request: CompleteUploadRequest) -> PutResult:
        place = _Place(request.bucket, self._named(request.key, request.upload_id))
        lease = {"x-ms-lease-id": await self._acquire(place, request.write_id)}
        try:
            result = await self._complete(request, place, lease)
        except BaseException:
            with suppress(StorageError):
                await self._lease(place, {**lease, "x-ms-lease-action": "release"})
            raise
        # The object is there, whatever becomes of the session. Core would not repeat this.
        for _ in range(2):
            try:
                await self._remove(place, lease)
            except UploadNotFoundError:
                break
            except StorageError:
                continue
            else:
                break
        return result

    async def _complete(
        self, request: CompleteUploadRequest, place: _Place, lease: Mapping[str, str]
    ) -> PutResult:
        path = self._path(*place)
        stored = await self._parts(place)
        parts = _chosen(request, stored)
        attributes = request.attributes
        if attributes is None:
            attributes = await self._session_attributes(place)
        if request.conditions is not NO_CONDITIONS:
            # Almost always this tells already, while the session is still as it was.
            await self._precheck(request)
        ids: list[str] = []
        for part in parts:
            ids += await self._blocks_of(place, part, lease)
        digests = dict(request.checksums)
        if "crc32c" not in digests and (crc := combined(parts)) is not None:
            digests["crc32c"] = crc
        own = own_fields(digests, request.write_id)
        headers = {**self._session_headers(attributes, own), **lease}
        headers["content-type"] = XML
        if "md5" in digests:
            headers["x-ms-blob-content-md5"] = base64_of(digests["md5"])
        answer = await self._call(_UPLOAD, "PUT", path, headers, BLOCK_LIST, block_list_body(ids))
        size = sum(part.size for part in parts)
        etag = answer["etag"].strip('"')
        info = ObjectInfo(request.key, size, etag, datetime.now(UTC), checksums=digests)
        source = Source(place.bucket, place.name, info)
        target = self._object(request.bucket, request.key)
        goal = Goal(target, attributes, own, request.conditions, keeps=True)
        try:
            answer = await self._publish(source, goal)
        except TransientError as error:
            return await self._published(request, error)
        return self._written(request.key, size, answer, digests)

    async def _published(self, request: CompleteUploadRequest, lost: TransientError) -> PutResult:
        """The result, if the object is there though the answer that says so was lost. Core
        would find it too, but then nobody would remove the session."""
        if request.write_id is None or lost.unsent:
            raise lost
        try:
            found = await self.head(HeadRequest(request.bucket, request.key))
        except StorageError:
            raise lost from None
        if found.write_id != request.write_id:
            raise lost
        return PutResult(found.key, found.etag, found.size, found.version, found.checksums)

    async def _session_attributes(self, place: _Place) -> Attributes:
        """What was given when the session began."""
        answer = await self._call(_UPLOAD, "HEAD", self._path(*place), {})
        tags: Mapping[str, str] = {}
        if answer.get("x-ms-tag-count", "0") != "0":
            tags = await self._tags_at(_UPLOAD, self._path(*place))
        return object_info("", answer).attributes(tags)

    async def _precheck(self, request: CompleteUploadRequest) -> None:
        try:
            found = await self.head(HeadRequest(request.bucket, request.key))
        except ObjectNotFoundError:
            if request.conditions.if_match is None:
                return
            raise PreconditionFailedError("if_match: the object does not exist") from None
        if request.conditions.if_absent:
            raise PreconditionFailedError("if_absent: the object exists")
        if request.conditions.if_match not in {None, found.etag}:
            raise PreconditionFailedError("if_match: the object is another one")

    async def _blocks_of(self, place: _Place, part: Stored, lease: Mapping[str, str]) -> list[str]:
        """Ids of a part's blocks; one that is a blob becomes blocks now."""
        if not part.name:
            return [identity for identity, _, _ in part.blocks]
        info = ObjectInfo("", part.size, part.etag, datetime.now(UTC))
        source = Source(place.bucket, part.name, info)
        sending = Sending(part.number, part.time, urandom(4).hex())
        ids = []
        for index, start in enumerate(range(0, part.size, STRETCH)):
            stop = min(start + STRETCH, part.size)
            ids.append(sending.block(index, last=stop == part.size, crc32c=None))
            await self._stage(self._path(*place), ids[-1], source, (start, stop), lease)
        return ids

    async def _publish(self, source: Source, goal: Goal) -> Mapping[str, str]:
        """Copy the committed session onto the target."""
        size = source.info.size
        if size <= PUT_FROM_SIZE or not self._from_url:
            return await self._copied(source, goal)
        mark = urandom(6).hex()
        ids = []
        for number, start in enumerate(range(0, size, STRETCH)):
            ids.append(stretch_id(mark, number))
            stretch = (start, min(start + STRETCH, size))
            await self._stage(goal.path, ids[-1], source, stretch, {})
        headers = self._session_headers(goal.attributes, goal.own)
        return await self._commit(goal.path, headers, goal.conditions, ids)

    async def abort_upload(self, request: UploadRequest) -> None:
        place = _Place(request.bucket, self._named(request.key, request.upload_id))
        try:
            await self._remove(place)
        except UnavailableError as error:
            if error.code is None or not error.code.startswith("Lease"):
                raise
            # A completion is under way, or died: from now on it can not remove the session.
            headers = {"x-ms-lease-action": "break", "x-ms-lease-break-period": "0"}
            with suppress(StorageError):
                await self._lease(place, headers)
            await self._remove(place)

    async def _remove(self, place: _Place, lease: Mapping[str, str] | None = None) -> None:
        """Remove a session and its parts.

        Raises:
            UploadNotFoundError: there is nothing of it.
        """
        removed = await self._delete_hidden(place, lease or {})
        for part in await self._hidden(place.bucket, f"{place.name}/"):
            removed |= await self._delete_hidden(_Place(place.bucket, part.blob.name), {})
        if not removed:
            raise _gone()

    async def _delete_hidden(self, place: _Place, lease: Mapping[str, str]) -> bool:
        """Whether there was such a blob."""
        headers = {"x-ms-delete-snapshots": "include", **lease}
        try:
            await self._leased(self._call(_ABORT, "DELETE", self._path(*place), headers))
        except UploadNotFoundError:
            return False
        return True

    async def list_uploads_page(self, request: ListUploadsRequest) -> Page[UploadInfo]:
        marker, last = _position(request.token)
        prefix = sessions_prefix(request.prefix)
        page, marker = await self._hidden_page(request.bucket, prefix, marker, request.limit)
        items: list[UploadInfo] = []
        for session in page:
            # Parts that a link has brought when the session had ended make one again, so
            # that they can be found and aborted.
            whole = session_of(session.blob.name)
            if whole == last:
                continue
            last = whole
            named = split_session(whole, session.fields)
            if named is not None and named[0].startswith(request.prefix):
                key, upload_id = named
                items.append(UploadInfo(upload_id, key, session.blob.modified))
        items.sort(key=lambda item: (item.key.encode(), item.id))
        return Page(items, json.dumps([marker, last]) if marker else None)

    # --- leases -----------------------------------------------------------------------

    async def _acquire(self, place: _Place, write_id: str | None) -> str:
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

    async def _lease(self, place: _Place, headers: dict[str, str]) -> None:
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
            raise _gone()
        return session_name(key, upload_id)


class _Place(NamedTuple):
    """Where a hidden blob is."""

    bucket: str
    name: str


def _chosen(request: CompleteUploadRequest, stored: Mapping[int, Stored]) -> list[Stored]:
    """The parts a completion names.

    Raises:
        InvalidPartError: one is not there, or is not the one that is meant.
    """
    chosen = []
    for part in request.parts:
        found = stored.get(part.number)
        if found is None or found.etag != part.etag:
            what = "was sent again since" if found is not None else "is not there"
            raise InvalidPartError(f"part {part.number} {what}; list the parts")
        chosen.append(found)
    return chosen


def _position(token: str | None) -> tuple[str, str]:
    """Marker of the service, and the last session told.

    Raises:
        InvalidRequestError: the token is none of ours.
    """
    if not token:
        return "", ""
    try:
        marker, last = json.loads(token)
        return str(marker), str(last)
    except (ValueError, TypeError):
        raise InvalidRequestError("the page token is not one of this listing") from None


def _gone() -> UploadNotFoundError:
    return UploadNotFoundError("the session does not exist, or has ended", status=404)
