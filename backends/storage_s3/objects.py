"""Objects: put, get, head, delete, and their tags."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import md5, sha256
from itertools import repeat

from storage_core import checksum
from storage_core.driver import IO
from storage_core.errors import (
    InvalidRangeError,
    NotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
)
from storage_core.http.fields import Pick
from storage_core.http.interface import Response
from storage_core.http.metadata import RESERVED
from storage_core.model import (
    EMPTY,
    NO_ATTRIBUTES,
    NO_CONDITIONS,
    Buffer,
    ByteRange,
    DeleteResult,
    ObjectInfo,
    PutResult,
)
from storage_core.requests import (
    DeleteManyRequest,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    PutRequest,
    PutTagsRequest,
    TagsRequest,
)
from storage_core.streams import Body, BytesStream, ObjectStream
from storage_s3.bodies import Collected, Plan, prepare
from storage_s3.calls import Calls
from storage_s3.chunked import Trailer, chunked_headers
from storage_s3.columns import Columns, put_result
from storage_s3.errors import Asked, error_of_code
from storage_s3.requests import (
    CHECKSUM,
    META,
    attribute_headers,
    checksum_value,
    condition_headers,
    delete_body,
    delete_keys_body,
    fits_xml,
    range_header,
    reserved_fields,
    tagging,
    tagging_body,
    version_query,
)
from storage_s3.responses import Deleted, by_item, content_range, object_info, parse_tags
from storage_s3.signing import STREAMING, STREAMING_TRAILER, STREAMING_UNSIGNED_TRAILER, UNSIGNED
from storage_s3.streams import AnswerStream

_CRC = "crc32c"
_CRC_HEADER = CHECKSUM + _CRC
_CRC_KEPT = META + RESERVED + _CRC
_CRC_LENGTH = 8  # characters of four bytes in base64

_PUT = Asked("s3:PutObject", "object")
_GET = Asked("s3:GetObject", "object")
_GET_VERSION = Asked("s3:GetObjectVersion", "version")
_DELETE = Asked("s3:DeleteObject", "object")
_DELETE_VERSION = Asked("s3:DeleteObjectVersion", "version")
_GET_TAGS = Asked("s3:GetObjectTagging", "object")
_GET_VERSION_TAGS = Asked("s3:GetObjectVersionTagging", "version")
_PUT_TAGS = Asked("s3:PutObjectTagging", "object")
_PUT_VERSION_TAGS = Asked("s3:PutObjectVersionTagging", "version")

_DELETE_TAGS = Asked("s3:DeleteObjectTagging", "object")
_DELETE_VERSION_TAGS = Asked("s3:DeleteObjectVersionTagging", "version")

_RACED = "UnknownError"
"""Ceph 16 answers so to those that lose a race of conditional writes (ECANCELED)."""
_GONE = frozenset(("NoSuchKey", "NoSuchVersion"))
_delete_results = Columns(DeleteResult).rows


_written = Pick("etag", "x-amz-version-id")

_SMALL = 64 * 1024
"""Bytes of an object that are taken whole from a service that ignores ranges."""


class Objects(Calls):
    """Operations on objects."""

    async def open(self, io: IO) -> None:
        await super().open(io)
        self._put_headers = {**self._options.write, **self._announced}

    # --- put --------------------------------------------------------------------------

    def _in_memory(self, body: Body, data: Buffer, digests: Mapping[str, str] = EMPTY) -> Plan:
        """How to send a body whose bytes are in memory.

        Args:
            body: As core hands it over.
            data: Its bytes.
            digests: What is known of them, but for what the body tells.
        """
        options = self._options
        headers = self._announced
        if options.checksums:
            crc = digests.get(_CRC) or body.digest(_CRC)
            digests = {**digests, _CRC: crc}
            headers = {**headers, _CRC_HEADER: checksum_value(crc)}
        payload = sha256(data).hexdigest() if options.signed_payload else UNSIGNED
        return Plan(data, len(data), headers, payload, None, digests)

    async def _streamed(self, body: Body, needed: tuple[str, ...] = ()) -> Plan:
        """How to send a body that is read piece by piece.

        Args:
            body: As core hands it over.
            needed: Algorithms whose digests must be known beforehand.
        """
        options, preset, anonymous = self._options, self._preset, self._account.anonymous
        signed = options.signed_payload and not anonymous
        # On a plain connection the kernel can move a file whose digest the service checks.
        moved = self._plain and (signed or options.checksums) and body.file is not None
        hashed = signed and (moved or not preset.streaming)
        trailed = (
            options.checksums
            and not moved
            and preset.trailers
            and not anonymous
            and (preset.streaming or not signed)
            and body.computes(_CRC)
        )
        wanted = set(needed)
        if options.checksums and not trailed:
            wanted.add(_CRC)
        if hashed:
            wanted.add("sha256")
        outgoing = await prepare(body, tuple(sorted(wanted)), self.io, moved=moved)
        size, digests = outgoing.size, outgoing.digests
        if isinstance(outgoing.content, bytes):  # it was collected, and is small
            known = {name: found for name, found in digests.items() if name in (*needed, _CRC)}
            return self._in_memory(body, outgoing.content, known)
        trailer = Trailer(_CRC_HEADER, _CRC_LENGTH, lambda: checksum_value(body.digest(_CRC)))
        headers = dict(self._announced)
        if options.checksums and not trailed:
            headers[_CRC_HEADER] = checksum_value(digests[_CRC])
        if hashed:
            payload = digests["sha256"]
        elif trailed:
            payload = STREAMING_TRAILER if signed else STREAMING_UNSIGNED_TRAILER
            headers.update(chunked_headers(size, trailer))
        elif signed:
            payload = STREAMING
            headers.update(chunked_headers(size, None))
        else:
            payload = UNSIGNED
        content = outgoing.content
        return Plan(content, size, headers, payload, trailer if trailed else None, digests)

    async def _upload(
        self,
        asked: Asked,
        bucket: str,
        key: str,
        query: str,
        headers: Mapping[str, str],
        plan: Plan,
    ) -> Mapping[str, str]:
        """Send a body that is not in memory; headers of the answer."""
        content, _, _, payload, trailer, _ = plan
        try:
            return await self._done(
                await self._send(
                    asked, "PUT", bucket, key, query, headers, content, payload, trailer
                )
            )
        finally:
            if isinstance(content, Collected):
                content.close()

    async def put(self, request: PutRequest) -> PutResult:
        bucket, key, body, attributes, conditions, keep, write_id = request
        options, data = self._options, body.data
        if data is None:
            plan = await self._streamed(body, self._kept(keep))
            _, size, headers, payload, _, digests = plan
            headers = {**options.write, **headers}
        else:
            # The service checks the CRC32C or keeps it as metadata: it is cheap where the bytes
            # are in memory, and reads can be verified by it.
            size, crc = len(data), body.digest(_CRC)
            digests = {_CRC: crc}
            if keep:
                digests = {**{name: body.digest(name) for name in keep}, _CRC: crc}
            if options.checksums:
                headers = {**self._put_headers, _CRC_HEADER: checksum_value(crc)}
            else:
                headers = {**self._put_headers, _CRC_KEPT: crc}
            payload = sha256(data).hexdigest() if options.signed_payload else UNSIGNED
        if keep or attributes is not NO_ATTRIBUTES or write_id is not None:
            headers = self._described(headers, request, digests)
        if conditions is not NO_CONDITIONS:
            headers = {**headers, **condition_headers(conditions, self._quoted)}
        try:
            if data is None:
                answer = await self._upload(_PUT, bucket, key, "", headers, plan)
            else:
                response = await self._send(_PUT, "PUT", bucket, key, "", headers, data, payload)
                answer = response.headers
                if response.data is None:
                    await self._body(response)
        except ObjectNotFoundError as error:
            raise unmet(error) from error
        except UnavailableError as error:
            if error.code == _RACED and conditions is not NO_CONDITIONS:
                error.unsent = True
            raise
        if data is None and options.checksums and _CRC not in digests and body.computes(_CRC):
            digests = {**digests, _CRC: body.digest(_CRC)}
        etag, version = _written(answer)
        return put_result(
            key,
            "" if etag is None else etag.strip('"'),
            size,
            version if self._versions else None,
            digests,
        )

    def _kept(self, keep: tuple[str, ...]) -> tuple[str, ...]:
        """Of the digests to keep, those that the service does not and metadata has to."""
        native = self._options.checksums
        return tuple([name for name in keep if not (native and name == _CRC)])

    def _described(
        self, headers: Mapping[str, str], request: PutRequest, digests: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Headers of a put, and those of its object's attributes and reserved metadata."""
        attributes = request.attributes
        kept = {name: digests[name] for name in self._kept(request.keep)}
        reserved = reserved_fields(kept, request.write_id)
        own = attribute_headers(attributes, reserved, self._preset.plain_names)
        if "content-encoding" in own and "content-encoding" in headers:
            own["content-encoding"] = f"aws-chunked,{own['content-encoding']}"
        if attributes.tags:
            own["x-amz-tagging"] = tagging(attributes.tags)
        return {**headers, **own}

    # --- get and head -----------------------------------------------------------------

    async def get(self, request: GetRequest) -> ObjectStream:
        bucket, key, wanted, version, conditions = request
        headers = self._whole_headers if wanted is None else self._options.read
        if conditions is not NO_CONDITIONS:
            headers = {**headers, **condition_headers(conditions, self._quoted)}
        if wanted is not None:
            headers = {**headers, "range": range_header(wanted)}
        query = "" if version is None else version_query(version)
        asked = _GET if version is None else _GET_VERSION
        try:
            response = await self._send(asked, "GET", bucket, key, query, headers)
        except InvalidRangeError:
            # The last bytes of an empty object are none; S3 has no range for them.
            if wanted is None or wanted.start >= 0:
                raise
            info = await self.head(HeadRequest(bucket, key, version, conditions))
            if info.size:
                raise
            return BytesStream(info, b"")
        try:
            if wanted is not None and response.status == 200 and response.data is None:
                await _small(response)
            return self._stream(response, key, wanted)
        except BaseException:
            await response.close()
            raise

    def _stream(self, response: Response, key: str, wanted: ByteRange | None) -> ObjectStream:
        headers, data, length = response.headers, response.data, response.length
        if length is None:
            if data is None:
                raise UnavailableError("the service's answer does not tell the object's size")
            length = len(data)
        if response.status == 206:
            start, stop, size = content_range(headers.get("content-range"))
            if stop - start != length:
                raise UnavailableError("the service's answer contradicts itself on its length")
        else:
            start, stop, size = 0, length, length
            if wanted is not None and (place := wanted.resolve(size)) != (0, size):
                if data is None:
                    raise UnavailableError("the service ignores ranges; read the whole object")
                start, stop = place
                data = data[start:stop]
        return AnswerStream(response, key, size, self._versions, start, stop - start, data)

    async def head(self, request: HeadRequest) -> ObjectInfo:
        bucket, key, version, conditions = request
        headers: Mapping[str, str] = self._whole_headers
        if conditions is not NO_CONDITIONS:
            headers = {**headers, **condition_headers(conditions, self._quoted)}
        query = "" if version is None else version_query(version)
        asked = _GET if version is None else _GET_VERSION
        response = await self._send(asked, "HEAD", bucket, key, query, headers)
        return object_info(key, response.headers, None, self._versions)

    # --- delete -----------------------------------------------------------------------

    async def delete(self, request: DeleteRequest) -> DeleteResult:
        bucket, key, version, conditions = request
        headers = self._options.read
        if conditions is not NO_CONDITIONS:
            headers = {**headers, **condition_headers(conditions, self._quoted)}
        asked = _DELETE if version is None else _DELETE_VERSION
        try:
            response = await self._send(
                asked, "DELETE", bucket, key, version_query(version), headers
            )
        except ObjectNotFoundError as error:
            if conditions.if_match is not None:
                raise unmet(error) from error
            return DeleteResult(key, version)
        answer = await self._done(response)
        if not self._versions:
            return DeleteResult(key)
        marker = answer.get("x-amz-delete-marker") == "true"
        return DeleteResult(key, version or answer.get("x-amz-version-id"), marker)

    async def delete_many(self, request: DeleteManyRequest) -> Sequence[DeleteResult]:
        bucket, items = request
        keys, versions = zip(*items, strict=True)
        listed = items
        if not fits_xml("".join(keys)):
            listed = [item for item in items if fits_xml(item[0])]
        told: dict[tuple[str, str | None], Deleted] = {}
        if listed:
            quiet = not self._versions
            if listed is items and versions.count(None) == len(versions):
                data = delete_keys_body(keys, quiet)
            else:
                data = delete_body(listed, quiet)
            headers = {**self._options.read, **self._guard(data), "content-type": "application/xml"}
            payload = sha256(data).hexdigest()
            response = await self._send(
                _DELETE, "POST", bucket, None, "delete=", headers, data, payload
            )
            answer = await self._body(response)
            if self._versions or b"<Error>" in answer:
                told = by_item(answer, listed)
        if not told and len(listed) == len(items):
            return _delete_results(len(items), keys, versions, repeat(False), repeat(None))
        results = []
        for key, version in items:
            if fits_xml(key):
                results.append(_fate(key, version, told.get((key, version))))
            else:
                results.append(await self._delete_one(bucket, key, version))
        return results

    def _guard(self, data: bytes) -> dict[str, str]:
        """A header by which the service checks a body; bulk deletes must have one."""
        if self._options.checksums:
            return {_CRC_HEADER: checksum_value(checksum.digest(_CRC, data).hex())}
        digest = md5(data, usedforsecurity=False).digest()
        return {"content-md5": b64encode(digest).decode()}

    async def _delete_one(self, bucket: str, key: str, version: str | None) -> DeleteResult:
        try:
            return await self.delete(DeleteRequest(bucket, key, version))
        except NotFoundError:
            raise
        except StorageError as error:
            return DeleteResult(key, version, error=error)

    # --- tags -------------------------------------------------------------------------

    async def get_tags(self, request: TagsRequest) -> Mapping[str, str]:
        bucket, key, version = request
        asked = _GET_TAGS if version is None else _GET_VERSION_TAGS
        query = version_query(version, "tagging")
        response = await self._send(asked, "GET", bucket, key, query, self._options.read)
        return parse_tags(await self._body(response)) or EMPTY

    async def put_tags(self, request: PutTagsRequest) -> None:
        bucket, key, tags, version = request
        asked = _PUT_TAGS if version is None else _PUT_VERSION_TAGS
        if not tags and self._preset.copied_tags:
            asked = _DELETE_TAGS if version is None else _DELETE_VERSION_TAGS
            query = version_query(version, "tagging")
            response = await self._send(asked, "DELETE", bucket, key, query, self._options.read)
            await self._done(response)
            return
        data = tagging_body(tags)
        headers = {**self._options.read, **self._guard(data)}
        query = version_query(version, "tagging")
        payload = sha256(data).hexdigest()
        response = await self._send(asked, "PUT", bucket, key, query, headers, data, payload)
        await self._done(response)


async def _small(response: Response) -> None:
    """Take in an object that came whole instead of a range, if it is small."""
    if response.length is not None and response.length <= _SMALL:
        response.data = await response.body(_SMALL)


def unmet(error: ObjectNotFoundError) -> PreconditionFailedError:
    """What a missing object means to a request with ``if_match``."""
    return PreconditionFailedError(
        "the object is missing, which if_match does not allow",
        status=error.status,
        code=error.code,
        request_id=error.request_id,
    )


def _fate(key: str, version: str | None, told: Deleted | None) -> DeleteResult:
    if told is None:
        return DeleteResult(key, version)
    if told.code and told.code not in _GONE:
        kind = _DELETE if version is None else _DELETE_VERSION
        return DeleteResult(key, version, error=error_of_code(told.code, told.message, kind))
    return DeleteResult(key, told.marker or version, told.marker is not None)
