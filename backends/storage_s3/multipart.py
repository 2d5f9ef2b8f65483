"""Multipart sessions. All their state is in the service; an id is S3's own."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from hashlib import md5, sha256
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from storage_core.checksum import crc32c_combine
from storage_core.errors import (
    ObjectNotFoundError,
    OutcomeUnknownError,
    StorageError,
    TransientError,
    UnavailableError,
    UploadNotFoundError,
)
from storage_core.model import (
    EMPTY,
    NO_CONDITIONS,
    Attributes,
    Conditions,
    Page,
    Part,
    PutResult,
    UploadInfo,
)
from storage_core.requests import (
    CompleteUploadRequest,
    CopyPartRequest,
    CreateUploadRequest,
    HeadRequest,
    ListUploadsRequest,
    PutPartRequest,
    PutTagsRequest,
    TagsRequest,
    UploadRequest,
)
from storage_s3 import tokens
from storage_s3.copying import SOURCE, Copies
from storage_s3.errors import Asked
from storage_s3.objects import unmet
from storage_s3.requests import (
    CHECKSUM,
    attribute_headers,
    checksum_value,
    complete_body,
    condition_headers,
    copy_source,
    list_query,
    part_query,
    tagging,
    upload_query,
)
from storage_s3.responses import parse_copied, parse_parts, parse_upload_id, parse_uploads
from storage_s3.signing import encode_text

if TYPE_CHECKING:
    from pydantic import BaseModel

_CRC = "crc32c"
_COMPLETES = 0.5
"""Seconds that a completion is given before another one is tried again."""

_CREATE = Asked("s3:PutObject", "bucket")
_PART = Asked("s3:PutObject", "upload")
_COPY_PART = Asked("s3:PutObject", "object")
_COMPLETE = Asked("s3:PutObject", "object")
_LIST_PARTS = Asked("s3:ListMultipartUploadParts", "upload")
_ABORT = Asked("s3:AbortMultipartUpload", "upload")
_LIST = Asked("s3:ListBucketMultipartUploads", "bucket")


class Uploads(Copies):
    """Operations on multipart sessions."""

    def __init__(self, settings: BaseModel) -> None:
        super().__init__(settings)
        self._completing: dict[tuple[str, str, str], CompleteUploadRequest] = {}

    @property
    def _full_object(self) -> bool:
        """Whether a session's object gets one CRC32C of all its bytes."""
        return self._options.checksums and self._preset.full_object

    async def create_upload(self, request: CreateUploadRequest) -> UploadInfo:
        bucket, key, attributes, _ = request
        headers = {
            **self._options.write,
            **attribute_headers(attributes, EMPTY, self._preset.plain_names),
        }
        tags = tagging(attributes.tags)
        if tags:
            headers["x-amz-tagging"] = tags
        if self._options.checksums:
            headers["x-amz-checksum-algorithm"] = "CRC32C"
        if self._full_object:
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
        response = await self._send(_CREATE, "POST", bucket, key, "uploads=", headers, b"")
        upload_id = parse_upload_id(await self._body(response))
        if tags and not self._preset.upload_tags:
            upload_id += f".{urlsafe_b64encode(tags.encode()).decode()}"
        return UploadInfo(upload_id, key)

    def _session(self, upload_id: str) -> tuple[str, dict[str, str] | None]:
        """The service's id of a session, and the tags that ours carries along for its object
        where the service would forget them."""
        if self._preset.upload_tags or "." not in upload_id:
            return upload_id, None
        own, _, encoded = upload_id.partition(".")
        try:
            tags = dict(parse_qsl(urlsafe_b64decode(encoded).decode(), True))
        except ValueError:
            tags = {}
        if not own or not tags:
            raise UploadNotFoundError("the upload does not exist: no id is like that")
        return own, tags

    async def put_part(self, request: PutPartRequest) -> Part:
        bucket, key, upload_id, number, body = request
        data = body.data
        plan = await self._streamed(body) if data is None else self._in_memory(body, data)
        headers = {**self._options.read, **plan.headers}
        query = part_query(self._session(upload_id)[0], number)
        answer = await self._upload(_PART, bucket, key, query, headers, plan)
        digests = plan.digests
        if _CRC not in digests and body.computes(_CRC):
            digests = {**digests, _CRC: body.digest(_CRC)}
        return Part(number, answer.get("etag", "").strip('"'), plan.size, digests)

    async def copy_part(self, request: CopyPartRequest) -> Part:
        """Copy a part. The answer tells no size, and S3 takes no open ranges, so the source is
        looked at first."""
        source = HeadRequest(request.source_bucket, request.source_key, request.source_version)
        info = await self.head(source)
        version = request.source_version or info.version
        headers = {
            **self._options.read,
            SOURCE: copy_source(request.source_bucket, request.source_key, version),
        }
        if self.capabilities.allows("copy_source", "if_match"):
            same = Conditions(if_match=info.etag)
            headers.update(condition_headers(same, self._quoted, f"{SOURCE}-"))
        size = info.size
        if request.range is not None:
            start, stop = request.range.resolve(info.size)
            size = stop - start
            headers[f"{SOURCE}-range"] = f"bytes={start}-{stop - 1}"
        query = part_query(self._session(request.upload_id)[0], request.number)
        response = await self._send(
            _COPY_PART, "PUT", request.bucket, request.key, query, headers, b""
        )
        copied = parse_copied(await self._result(response, _COPY_PART))
        return Part(request.number, copied.etag, size, copied.checksums)

    async def list_parts_page(self, request: UploadRequest) -> Page[Part]:
        query = f"max-parts={request.limit}"
        if request.token is not None:
            query += f"&part-number-marker={encode_text(request.token)}"
        query += f"&{upload_query(self._session(request.upload_id)[0])}"
        response = await self._send(
            _LIST_PARTS, "GET", request.bucket, request.key, query, self._options.read
        )
        return parse_parts(await self._body(response))

    async def abort_upload(self, request: UploadRequest) -> None:
        query = upload_query(self._session(request.upload_id)[0])
        response = await self._send(
            _ABORT, "DELETE", request.bucket, request.key, query, self._options.read
        )
        await self._done(response)

    async def list_uploads_page(self, request: ListUploadsRequest) -> Page[UploadInfo]:
        key, upload_id = tokens.split(request.token)
        query = list_query(
            limit=("max-uploads", request.limit),
            prefix=request.prefix,
            names=(("key-marker", key), ("upload-id-marker", upload_id)),
            sub_resource="uploads",
            encoded=self._preset.encoded_uploads,
        )
        response = await self._send(_LIST, "GET", request.bucket, None, query, self._options.read)
        uploads, following = parse_uploads(await self._body(response))
        return Page(uploads, None if following is None else tokens.join(*following))

    # --- complete ---------------------------------------------------------------------

    async def complete_upload(self, request: CompleteUploadRequest) -> PutResult:
        """Publish the parts.

        S3 takes attributes when a session is created, and only then. Where others are given
        now, the finished object is copied onto itself with them: for a moment it shows with
        the old ones.
        """
        if self._preset.known_uploads:
            return await self._publish(request)
        # The service would do it again. Other processes can not be kept from trying.
        session = (request.bucket, request.key, request.upload_id)
        if self._completing.setdefault(session, request) is not request:
            raise UnavailableError(
                "another completion of the upload is on its way",
                unsent=True,
                retry_after=_COMPLETES,  # it may last longer than all tries close upon another
            )
        try:
            await self._look_for(request)
            return await self._publish(request)
        finally:
            del self._completing[session]

    async def _publish(self, request: CompleteUploadRequest) -> PutResult:
        try:
            result = await self._complete(request)
        except TransientError as error:
            if error.unsent:
                raise
            result = await self._settle(request, error)
        except ObjectNotFoundError as error:
            if request.conditions.if_match is None:
                raise
            raise unmet(error) from error
        if request.attributes is not None:
            return await self._amend(request, result, request.attributes)
        if (tags := self._session(request.upload_id)[1]) is not None:
            await self.put_tags(PutTagsRequest(request.bucket, request.key, tags))
        return result

    async def _look_for(self, request: CompleteUploadRequest) -> None:
        """Raise unless the session is there."""
        upload = UploadRequest(request.bucket, request.key, request.upload_id, None, 1)
        await self.list_parts_page(upload)

    async def _complete(self, request: CompleteUploadRequest) -> PutResult:
        parts = request.parts
        headers = {**self._options.read, "content-type": "application/xml"}
        digest = None
        if self._full_object:
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
            if (digest := request.checksums.get(_CRC) or _combined(request)) is not None:
                headers[CHECKSUM + _CRC] = checksum_value(digest)
        if request.conditions is not NO_CONDITIONS:
            headers.update(condition_headers(request.conditions, self._quoted))
        data = complete_body(parts, told=self._options.checksums)
        query = upload_query(self._session(request.upload_id)[0])
        payload = sha256(data).hexdigest()
        response = await self._send(
            _COMPLETE, "POST", request.bucket, request.key, query, headers, data, payload
        )
        copied = parse_copied(await self._result(response, _COMPLETE))
        etag = copied.etag or _expected_etag(request)  # Ceph 16 tells none
        if etag is None:
            etag = (await self.head(HeadRequest(request.bucket, request.key))).etag
        version = response.headers.get("x-amz-version-id") if self._versions else None
        size = sum([part.size for part in parts])
        digests = copied.checksums if digest is None else {_CRC: digest}
        return PutResult(request.key, etag, size, version, digests)

    async def _settle(self, request: CompleteUploadRequest, lost: TransientError) -> PutResult:
        """The result of a completion whose answer was lost.

        A session exists until it is completed or aborted. If it is gone and the object is the
        one its parts make, it was completed.

        Raises:
            TransientError: it was not, and may be tried again.
            UploadNotFoundError: the service did answer, that it failed; it was another request
                then that ended the session.
            OutcomeUnknownError: it can not be told.
        """
        bucket, key = request.bucket, request.key
        try:
            await self._look_for(request)
        except UploadNotFoundError as gone:
            if lost.status is not None:
                raise gone from lost
        except StorageError:
            raise self._unsettled(request, lost) from lost
        else:
            lost.unsent = True
            raise lost
        try:
            info = await self.head(HeadRequest(bucket, key))
        except StorageError:
            raise self._unsettled(request, lost) from lost
        if info.etag != _expected_etag(request):
            raise self._unsettled(request, lost) from lost
        return PutResult(key, info.etag, info.size, info.version, info.checksums)

    def _unsettled(self, request: CompleteUploadRequest, lost: TransientError) -> StorageError:
        if request.conditions is NO_CONDITIONS:
            return lost  # to do it twice does no harm
        return OutcomeUnknownError(
            "the answer was lost, and whether the upload was completed can not be told; look at"
            " the object before trying again"
        )

    async def _amend(
        self, request: CompleteUploadRequest, result: PutResult, attributes: Attributes
    ) -> PutResult:
        """Give a completed object the attributes that came with its completion, if they are
        other than those of its session."""
        bucket, key = request.bucket, request.key
        info = await self.head(HeadRequest(bucket, key, result.version))
        tags: Mapping[str, str] = EMPTY
        if self.capabilities.tags:
            tags = await self.get_tags(TagsRequest(bucket, key, result.version))
        same = replace(attributes, tags=EMPTY) == info.attributes()
        if same and dict(tags) == dict(attributes.tags):
            return result
        return await self._rewrite(bucket, info, attributes, NO_CONDITIONS, attributes.tags)


def _combined(request: CompleteUploadRequest) -> str | None:
    """CRC32C of the whole from those of the parts, where all are known."""
    whole = 0
    for part in request.parts:
        digest = part.checksums.get(_CRC)
        if digest is None:
            return None
        whole = crc32c_combine(whole, int(digest, 16), part.size)
    return f"{whole:08x}"


def _expected_etag(request: CompleteUploadRequest) -> str | None:
    """The etag S3 gives to an object made of parts: the MD5 of theirs, and their number."""
    try:
        digests = b"".join([bytes.fromhex(part.etag) for part in request.parts])
    except ValueError:
        return None
    return f"{md5(digests, usedforsecurity=False).hexdigest()}-{len(request.parts)}"
