"""Objects: read, write and delete them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from os import urandom
from typing import Final

from storage_azure.bodies import Blocks, collected
from storage_azure.errors import DELETE, READ, TAG, WRITE, Asked
from storage_azure.listing import Listings
from storage_azure.metadata import attribute_headers, base64_of, own_fields
from storage_azure.requests import (
    BLOCK_LIST,
    MIB,
    TAGS,
    XML,
    block_list_body,
    block_query,
    condition_headers,
    range_header,
    resolved,
    tagging,
    tags_body,
    version_query,
)
from storage_azure.responses import object_info, parse_tags
from storage_azure.signing import Query
from storage_azure.streams import AnswerStream
from storage_core.checksum import digest
from storage_core.errors import (
    InvalidPartError,
    InvalidRangeError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
)
from storage_core.model import (
    EMPTY,
    NO_CONDITIONS,
    Attributes,
    Buffer,
    ByteRange,
    Conditions,
    DeleteResult,
    ObjectInfo,
    PutResult,
)
from storage_core.requests import (
    DeleteRequest,
    GetRequest,
    HeadRequest,
    PutRequest,
    PutTagsRequest,
    TagsRequest,
)
from storage_core.streams import BytesStream, ObjectStream

IN_MEMORY: Final = MIB
"""Bytes of a streamed body that are collected first, to be sent in one request."""
HASHED: Final = MIB
"""Bytes up to which the service is given an MD5 to check what arrives. More costs the caller
too much time; the kept CRC32C tells of damage in the end."""

_GET: Final = Asked(READ, "object")
_GET_VERSION: Final = Asked(READ, "version")
_PUT: Final = Asked(WRITE, "object")
_DELETE: Final = Asked(DELETE, "object")
_DELETE_VERSION: Final = Asked(DELETE, "version")
_TAGS: Final = Asked(TAG, "object")
_TAGS_VERSION: Final = Asked(TAG, "version")


class Objects(Listings):
    """Operations on single objects."""

    # --- reading ----------------------------------------------------------------------

    async def get(self, request: GetRequest) -> ObjectStream:
        path = self._object(request.bucket, request.key)
        wanted, conditions = request.range, request.conditions
        if wanted is not None and wanted.start < 0:
            return await self._suffix(request)
        headers = condition_headers(conditions) if conditions is not NO_CONDITIONS else {}
        if wanted is not None:
            headers["x-ms-range"] = range_header(wanted.start, wanted.stop)
        version = request.version
        asked, query = (_GET, ()) if version is None else (_GET_VERSION, version_query(version))
        try:
            response = await self._send(asked, "GET", path, headers, query)
        except PreconditionFailedError:
            await self._present(asked, path, query)
            raise
        try:
            length, start, whole = response.length, 0, True
            if wanted is not None:
                start = wanted.start
                if response.status != 206 or length == 0:
                    # The emulator answers so at the very end; a range from there is none.
                    info = object_info(request.key, response.headers)
                    wanted.resolve(info.size)
                    raise UnavailableError("the service answered another range than asked for")
                whole = start == 0 and response.headers["content-range"].endswith(f"/{length}")
            if length is None:
                raise UnavailableError("the service does not tell the length of its answer")
            return AnswerStream(response, request.key, self._versions, start, length, whole)
        except BaseException:
            await response.close()
            raise

    async def _suffix(self, request: GetRequest) -> ObjectStream:
        """The last bytes of an object. The service has no such ranges: its length has to be
        asked for first, and the object be the same still."""
        info = await self.head(
            HeadRequest(request.bucket, request.key, request.version, request.conditions)
        )
        start, stop = resolved(request.range, info.size)
        if start == stop:
            return BytesStream(info, b"", start)
        ranged = request._replace(
            range=ByteRange(start, stop), conditions=Conditions(if_match=info.etag)
        )
        try:
            return await self.get(ranged)
        except (PreconditionFailedError, InvalidRangeError) as error:
            raise UnavailableError(
                "the object was replaced while it was being opened; read it again", unsent=True
            ) from error

    async def head(self, request: HeadRequest) -> ObjectInfo:
        version, conditions = request.version, request.conditions
        headers = condition_headers(conditions) if conditions is not NO_CONDITIONS else {}
        asked, query = (_GET, ()) if version is None else (_GET_VERSION, version_query(version))
        path = self._object(request.bucket, request.key)
        try:
            answer = await self._call(asked, "HEAD", path, headers, query)
        except PreconditionFailedError:
            await self._present(asked, path, query)
            raise
        return object_info(request.key, answer, self._versions)

    async def _present(self, asked: Asked, path: str, query: Query) -> None:
        """See that an object is there whose condition does not hold: the service tells the
        same of one that is missing.

        Raises:
            ObjectNotFoundError: it is missing.
        """
        await self._call(asked, "HEAD", path, {}, query)

    # --- writing ----------------------------------------------------------------------

    async def put(self, request: PutRequest) -> PutResult:
        body = request.body
        data = body.data
        if data is None:
            if body.size is None or body.size > IN_MEMORY:
                return await self._put_blocks(request)
            data = await collected(body)
        digests = {name: body.digest(name) for name in request.keep}
        if body.computes("crc32c"):
            digests["crc32c"] = body.digest("crc32c")
        headers = self._attributes(request.attributes, digests, request.write_id)
        headers["x-ms-blob-type"] = "BlockBlob"
        md5 = digests.get("md5")
        if md5 is None and len(data) <= HASHED:
            md5 = digest("md5", data).hex()
        if md5 is not None:
            headers["content-md5"] = base64_of(md5)
        path = self._object(request.bucket, request.key)
        answer = await self._write(path, headers, request.conditions, (), data)
        return self._written(request.key, len(data), answer, digests)

    async def _put_blocks(self, request: PutRequest) -> PutResult:
        """A body whose digests, or even length, are known only at its end: as blocks, which
        nobody sees before they are committed together with them."""
        body = request.body
        path = self._object(request.bucket, request.key)
        blocks = Blocks(body, urandom(6).hex())
        async with aclosing(blocks.contents()) as contents:
            async for block_id, content in contents:
                await self._call(_PUT, "PUT", path, {}, block_query(block_id), content)
        digests = {name: body.digest(name) for name in request.keep}
        if body.computes("crc32c"):
            digests["crc32c"] = body.digest("crc32c")
        headers = self._attributes(request.attributes, digests, request.write_id)
        if "md5" in digests:
            headers["x-ms-blob-content-md5"] = base64_of(digests["md5"])
        answer = await self._commit(path, headers, request.conditions, blocks.ids)
        return self._written(request.key, body.count, answer, digests)

    async def _commit(
        self, path: str, headers: dict[str, str], conditions: Conditions, ids: list[str]
    ) -> Mapping[str, str]:
        """Make blocks that were sent a moment ago the object.

        Raises:
            PreconditionFailedError: a condition does not hold.
            UnavailableError: another write to the key has dropped the blocks.
        """
        headers["content-type"] = XML
        body = block_list_body(ids)
        try:
            return await self._write(path, headers, conditions, BLOCK_LIST, body)
        except InvalidPartError as error:
            # Whoever commits to a name drops the blocks others have sent for it.
            if conditions.if_absent:
                raise PreconditionFailedError(
                    "if_absent: another writer was first", status=error.status, code=error.code
                ) from error
            raise UnavailableError(
                "another write to the same key came in between, and nothing was written; write"
                " again",
                status=error.status,
                code=error.code,
                unsent=True,
            ) from error

    async def _write(
        self,
        path: str,
        headers: dict[str, str],
        conditions: Conditions,
        query: tuple[tuple[str, str], ...],
        body: Buffer,
    ) -> Mapping[str, str]:
        """A request that makes or replaces an object, under conditions."""
        if conditions is NO_CONDITIONS:
            return await self._call(_PUT, "PUT", path, headers, query, body)
        headers.update(condition_headers(conditions))
        try:
            return await self._call(_PUT, "PUT", path, headers, query, body)
        except ObjectNotFoundError as error:
            raise unmet(error) from error

    def _attributes(
        self, attributes: Attributes, digests: Mapping[str, str], write_id: str | None
    ) -> dict[str, str]:
        """Headers that give an object its attributes, digests and tags."""
        headers = attribute_headers(attributes, own_fields(digests, write_id))
        if attributes.tags:
            headers["x-ms-tags"] = tagging(attributes.tags)
        return headers

    def _written(
        self, key: str, size: int, answer: Mapping[str, str], digests: Mapping[str, str]
    ) -> PutResult:
        """What a write returns."""
        version = answer.get("x-ms-version-id") if self._versions else None
        return PutResult(key, answer["etag"].strip('"'), size, version, digests or EMPTY)

    # --- deleting ---------------------------------------------------------------------

    async def delete(self, request: DeleteRequest) -> DeleteResult:
        version, conditions = request.version, request.conditions
        headers = condition_headers(conditions)
        asked = _DELETE
        if version is None:
            headers["x-ms-delete-snapshots"] = "include"
        else:
            asked = _DELETE_VERSION
        path = self._object(request.bucket, request.key)
        try:
            await self._call(asked, "DELETE", path, headers, version_query(version))
        except ObjectNotFoundError as error:
            if conditions.if_match is not None:
                raise unmet(error) from error
        return DeleteResult(request.key, version)

    # --- tags -------------------------------------------------------------------------

    async def get_tags(self, request: TagsRequest) -> Mapping[str, str]:
        version = request.version
        asked = _TAGS if version is None else _TAGS_VERSION
        path = self._object(request.bucket, request.key)
        return await self._tags_at(asked, path, version)

    async def _tags_at(self, asked: Asked, path: str, version: str | None = None) -> dict[str, str]:
        response = await self._send(asked, "GET", path, {}, version_query(version, *TAGS))
        return parse_tags(await self._body(response))

    async def put_tags(self, request: PutTagsRequest) -> None:
        version = request.version
        asked = _TAGS if version is None else _TAGS_VERSION
        path = self._object(request.bucket, request.key)
        body = tags_body(request.tags)
        headers = {"content-type": XML, "content-md5": base64_of(digest("md5", body).hex())}
        await self._call(asked, "PUT", path, headers, version_query(version, *TAGS), body)


def unmet(error: StorageError) -> PreconditionFailedError:
    """A condition on what is missing does not hold."""
    return PreconditionFailedError(
        "if_match: the object does not exist", status=error.status, code=error.code, unsent=True
    )
