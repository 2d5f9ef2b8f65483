"""Copies inside the service.

The service has several ways, of which the first that fits is taken:

- *Copy Blob From URL*: at once and as a whole, up to 256 MiB; headers stay, metadata can change.
- *Put Blob From URL*: the same up to 5000 MiB, with new headers.
- *Put Block From URL*: longer objects, one stretch per request, committed as a whole at the end.

Services without the latter two, such as the emulator, get *Copy Blob*, and a hidden object in
between where headers are to change. The source is looked at first, and must still be that very
object when it is copied.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from os import urandom
from time import time
from typing import Final, NamedTuple

from storage_azure.bodies import Relay, block_id
from storage_azure.errors import READ, TAG, WRITE, Asked
from storage_azure.keys import HIDDEN, encode_key
from storage_azure.metadata import (
    attribute_headers,
    base64_of,
    metadata_headers,
    own_fields,
)
from storage_azure.requests import (
    COPY_SIZE,
    METADATA,
    MIB,
    PROPERTIES,
    PUT_FROM_SIZE,
    block_query,
    condition_headers,
    entity_tag,
    range_header,
    tagging,
    version_query,
)
from storage_azure.responses import object_info
from storage_azure.signing import Grant, blob_sas, encode_query, sas_time
from storage_azure.updating import Updates, property_headers
from storage_core.errors import (
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
    UnsupportedError,
)
from storage_core.model import (
    NO_CONDITIONS,
    Attributes,
    Conditions,
    CopyProgress,
    ObjectInfo,
    PutResult,
)
from storage_core.requests import CopyRequest, TagsRequest

STRETCH: Final = 512 * MIB
"""Bytes that one request copies of a long object."""

_SOURCE: Final = Asked(READ, "object")
_SOURCE_VERSION: Final = Asked(READ, "version")
_TARGET: Final = Asked(WRITE, "object")
_TAGS: Final = Asked(TAG, "object")


class Source(NamedTuple):
    """An object to copy from.

    Attributes:
        bucket: Its bucket.
        name: Its blob's name.
        info: As it was looked at.
        version: None for the present one.
        tagged: Whether it has tags.
    """

    bucket: str
    name: str
    info: ObjectInfo
    version: str | None = None
    tagged: bool = False


class Goal(NamedTuple):
    """What a copy is to become.

    Attributes:
        path: Of the target.
        attributes: Without tags if those of the source are kept.
        own: The library's fields.
        conditions: On the target.
        keeps: Whether headers and metadata are those of the source, and its tags.
    """

    path: str
    attributes: Attributes
    own: Mapping[str, str]
    conditions: Conditions = NO_CONDITIONS
    keeps: bool = True


class Copying(Updates):
    """Copies."""

    # Whether the service has Put Blob From URL and Put Block From URL: found out by asking.
    _from_url = True

    async def copy(self, request: CopyRequest) -> CopyProgress:
        source = await self._look(request)
        given = request.attributes
        own = own_fields(source.info.checksums, request.write_id)
        goal = Goal(
            self._object(request.bucket, request.key),
            source.info.attributes() if given is None else given,
            own,
            request.conditions,
            given is None,
        )
        if source.info.size > PUT_FROM_SIZE and self._from_url:
            return await self._copy_stretch(source, goal, request)
        answer = await self._copied(source, goal, exact=request.write_id is None)
        return CopyProgress(self._copy_result(request.key, source, answer))

    def _copy_result(self, key: str, source: Source, answer: Mapping[str, str]) -> PutResult:
        return self._written(key, source.info.size, answer, source.info.checksums)

    async def _look(self, request: CopyRequest) -> Source:
        """The source, its conditions held against it."""
        bucket, version = request.source_bucket, request.source_version
        name = encode_key(request.source_key)
        headers = condition_headers(request.source_conditions)
        asked = _SOURCE if version is None else _SOURCE_VERSION
        try:
            answer = await self._call(
                asked, "HEAD", self._path(bucket, name), headers, version_query(version)
            )
        except NotModifiedError as error:
            raise PreconditionFailedError(
                "a condition on the source of the copy does not hold", status=error.status
            ) from error
        except (NotFoundError, PreconditionFailedError) as error:
            try:
                if isinstance(error, PreconditionFailedError):
                    path = self._path(bucket, name)
                    await self._present(asked, path, version_query(version))
            except NotFoundError as missing:
                missing.bucket = bucket
                raise
            error.bucket = bucket
            raise
        info = object_info(request.source_key, answer, self._versions)
        return Source(bucket, name, info, version, answer.get("x-ms-tag-count", "0") != "0")

    async def _copied(self, source: Source, goal: Goal, *, exact: bool = True) -> Mapping[str, str]:
        """Copy an object of up to `PUT_FROM_SIZE`; headers of the last answer.

        Args:
            source: From where.
            goal: What it is to become.
            exact: Whether a copy that keeps the attributes may keep the library's fields too.
        """
        if goal.keeps and source.info.size <= COPY_SIZE:
            headers = {} if exact else metadata_headers(goal.attributes, goal.own)
            headers["x-ms-requires-sync"] = "true"
            return await self._copy_request(source, goal, headers)
        if self._from_url:
            with suppress(UnsupportedError):
                return await self._put_from_url(source, goal)
            self._from_url = False
        return await self._copy_otherwise(source, goal)

    async def _copy_request(
        self, source: Source, goal: Goal, headers: dict[str, str]
    ) -> Mapping[str, str]:
        """One request that copies all of the source to the target."""
        headers |= await self._source_headers(source)
        if goal.keeps and source.tagged:
            headers["x-ms-copy-source-tag-option"] = "COPY"
        elif goal.attributes.tags:
            headers["x-ms-tags"] = tagging(goal.attributes.tags)
        try:
            return await self._write(goal.path, headers, goal.conditions, (), b"")
        except PreconditionFailedError as error:
            if goal.conditions is NO_CONDITIONS or error.code == "SourceConditionNotMet":
                raise _changed(error) from error
            raise

    async def _put_from_url(self, source: Source, goal: Goal) -> Mapping[str, str]:
        headers = attribute_headers(goal.attributes, goal.own)
        headers["x-ms-blob-type"] = "BlockBlob"
        headers["x-ms-copy-source-blob-properties"] = "false"
        if (md5 := source.info.checksums.get("md5")) is not None:
            headers["x-ms-blob-content-md5"] = base64_of(md5)
        return await self._copy_request(source, goal, headers)

    async def _copy_otherwise(self, source: Source, goal: Goal) -> Mapping[str, str]:
        """A copy without the newer requests. New headers are given to a hidden object, which
        then is copied onto the target as it is."""
        if goal.keeps:
            headers = metadata_headers(goal.attributes, goal.own)
            return await self._copy_blob(source, goal, headers)
        name = f"{HIDDEN}copy.{urandom(16).hex()}"
        path = self._path(source.bucket, name)
        try:
            hidden = goal._replace(path=path, conditions=NO_CONDITIONS)
            await self._copy_blob(source, hidden, {})
            await self._set(path, PROPERTIES, property_headers(goal.attributes, source.info))
            headers = metadata_headers(goal.attributes, goal.own)
            answer = await self._set(path, METADATA, headers)
            info = ObjectInfo("", source.info.size, answer["etag"].strip('"'), source.info.modified)
            staged = Source(source.bucket, name, info)
            return await self._copy_blob(staged, goal, {})
        finally:
            with suppress(StorageError):
                await self._call(_TARGET, "DELETE", path, {})

    async def _copy_blob(
        self, source: Source, goal: Goal, headers: dict[str, str]
    ) -> Mapping[str, str]:
        """Copy Blob: at once if it is short, else whenever the service is done."""
        if source.info.size <= COPY_SIZE:
            headers["x-ms-requires-sync"] = "true"
        answer = await self._copy_request(source, goal, headers)
        while answer.get("x-ms-copy-status", "success") == "pending":
            await self._pause()
            answer = await self._call(_TARGET, "HEAD", goal.path, {})
        status = answer.get("x-ms-copy-status", "success")
        if status != "success":
            why = answer.get("x-ms-copy-status-description", "")
            raise UnavailableError(f"the service gave the copy up ({status}) {why}".rstrip())
        return answer

    async def _source_headers(
        self, source: Source, stretch: tuple[int, int] | None = None
    ) -> dict[str, str]:
        """Headers that name the source, let the service read it, and hold on to its etag."""
        account = self._account
        path = self._path(source.bucket, source.name)
        fields = list(version_query(source.version))
        headers: dict[str, str] = {}
        if account.key is not None:
            permissions = "rt" if source.tagged else "r"
            expiry = sas_time(datetime.fromtimestamp(time(), UTC) + timedelta(hours=12))
            grant = Grant(permissions, expiry, source.version or "")
            fields = blob_sas(
                account.key, account.access.account, source.bucket, source.name, grant
            )
        elif account.tokens is not None:
            token = account.tokens.current or await account.tokens.get()
            headers["x-ms-copy-source-authorization"] = f"Bearer {token}"
        query = encode_query(fields)
        if account.sas:
            query = f"{query}&{account.sas}" if query else account.sas
        url = account.origin.url + path
        headers["x-ms-copy-source"] = f"{url}?{query}" if query else url
        headers["x-ms-source-if-match"] = entity_tag(source.info.etag)
        if stretch is not None:
            headers["x-ms-source-range"] = range_header(*stretch)
        return headers

    # --- long objects -----------------------------------------------------------------

    async def _copy_stretch(self, source: Source, goal: Goal, request: CopyRequest) -> CopyProgress:
        """The next stretch of a long object; with the last one the copy is committed."""
        mark, start, etag = _position(request.token) or (urandom(6).hex(), 0, source.info.etag)
        size = source.info.size
        if etag != source.info.etag:
            raise _changed(None)
        number = start // STRETCH
        stop = min(start + STRETCH, size)
        await self._stage(goal.path, stretch_id(mark, number), source, (start, stop), {})
        if stop < size:
            return CopyProgress(token=json.dumps([mark, stop, etag]))
        if request.attributes is None and source.tagged:
            named = TagsRequest(request.source_bucket, request.source_key, request.source_version)
            tags = await self.get_tags(named)
        else:
            tags = goal.attributes.tags
        headers = attribute_headers(goal.attributes, goal.own)
        if tags:
            headers["x-ms-tags"] = tagging(tags)
        if (md5 := source.info.checksums.get("md5")) is not None:
            headers["x-ms-blob-content-md5"] = base64_of(md5)
        ids = [stretch_id(mark, each) for each in range(number + 1)]
        answer = await self._commit(goal.path, headers, goal.conditions, ids)
        return CopyProgress(self._copy_result(request.key, source, answer))

    async def _stage(
        self,
        path: str,
        identity: str,
        source: Source,
        stretch: tuple[int, int],
        lease: Mapping[str, str],
    ) -> None:
        """Put bytes of an object as a block of another: inside the service if it can, else
        through this process.

        Args:
            path: Of the blob the block is for.
            identity: The block's id.
            source: Object to take from.
            stretch: Start and stop in it.
            lease: Header of a lease held on the blob.
        """
        query = block_query(identity)
        if self._from_url:
            headers = {**await self._source_headers(source, stretch), **lease}
            try:
                await self._call(_TARGET, "PUT", path, headers, query, b"")
            except UnsupportedError:
                self._from_url = False
            except PreconditionFailedError as error:
                raise _changed(error) from error
            else:
                return
        headers = {
            "x-ms-range": range_header(*stretch),
            "if-match": entity_tag(source.info.etag),
        }
        place = self._path(source.bucket, source.name)
        try:
            response = await self._send(
                _SOURCE, "GET", place, headers, version_query(source.version)
            )
        except PreconditionFailedError as error:
            raise _changed(error) from error
        try:
            content = Relay(response, stretch[1] - stretch[0])
            await self._call(_TARGET, "PUT", path, dict(lease), query, content)
        finally:
            await response.close()


def stretch_id(mark: str, number: int) -> str:
    """Id of the block of a stretch."""
    return block_id(f"{mark}{number:05}")


def _position(token: str | None) -> tuple[str, int, str] | None:
    """Mark of the blocks, where to go on, and etag of the source.

    Raises:
        InvalidRequestError: the token is none of ours.
    """
    if token is None:
        return None
    try:
        mark, start, etag = json.loads(token)
        return str(mark), int(start), str(etag)
    except (ValueError, TypeError):
        raise InvalidRequestError("the token of the copy is none of this driver") from None


def _changed(error: StorageError | None) -> StorageError:
    """The source is not what it was when it was looked at."""
    return UnavailableError(
        "the source was replaced while it was being copied; copy again",
        status=None if error is None else error.status,
        code=None if error is None else error.code,
        unsent=True,
    )
