"""Multipart sessions; `storage_azure.sessions` says what they are made of.

A completion holds a lease on the session, so that there is one at a time. It commits the blocks
on the hidden blob, with the attributes the object is to have, and copies that onto the target
under the caller's conditions, which is atomic. If the copy is refused the session stays; parts
that the refused completion did not name are gone then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from os import urandom
from typing import Final

from storage_azure.copying import STRETCH, Goal, Source, stretch_id
from storage_azure.errors import DELETE, WRITE, Asked
from storage_azure.metadata import base64_of, own_fields
from storage_azure.parts import Parts, Place, gone
from storage_azure.requests import (
    BLOCK_LIST,
    PUT_FROM_SIZE,
    XML,
    block_list_body,
)
from storage_azure.responses import object_info
from storage_azure.sessions import (
    Sending,
    Stored,
    combined,
    session_of,
    sessions_prefix,
    split_session,
)
from storage_core.errors import (
    InvalidPartError,
    InvalidRequestError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    TransientError,
    UnavailableError,
    UploadNotFoundError,
)
from storage_core.model import (
    NO_CONDITIONS,
    Attributes,
    ObjectInfo,
    Page,
    PutResult,
    UploadInfo,
)
from storage_core.requests import (
    CompleteUploadRequest,
    HeadRequest,
    ListUploadsRequest,
    UploadRequest,
)

_UPLOAD: Final = Asked(WRITE, "upload")
_ABORT: Final = Asked(DELETE, "upload")


class Multipart(Parts):
    """The end of sessions, and their listing."""

    async def complete_upload(self, request: CompleteUploadRequest) -> PutResult:
        place = Place(request.bucket, self._named(request.key, request.upload_id))
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
        self, request: CompleteUploadRequest, place: Place, lease: Mapping[str, str]
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

    async def _session_attributes(self, place: Place) -> Attributes:
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

    async def _blocks_of(self, place: Place, part: Stored, lease: Mapping[str, str]) -> list[str]:
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
        place = Place(request.bucket, self._named(request.key, request.upload_id))
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

    async def _remove(self, place: Place, lease: Mapping[str, str] | None = None) -> None:
        """Remove a session and its parts.

        Raises:
            UploadNotFoundError: there is nothing of it.
        """
        removed = await self._delete_hidden(place, lease or {})
        for part in await self._hidden(place.bucket, f"{place.name}/"):
            removed |= await self._delete_hidden(Place(place.bucket, part.blob.name), {})
        if not removed:
            raise gone()

    async def _delete_hidden(self, place: Place, lease: Mapping[str, str]) -> bool:
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
