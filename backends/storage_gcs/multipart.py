"""Multipart sessions, by the XML API's multipart uploads.

GCS knows no conditions on their completion, and their metadata is that of their beginning. So
a session completes under a hidden key (see `sessions`) and is published from there by a
rewrite, which has conditions, metadata and digests of its own and moves no bytes.

What a completion left under its hidden key belongs to whoever completed it. It is free for
others once it is marked as parked, after a condition failed at the last moment, or when it is
`ABANDONED` seconds old and the process that completed it must have died. A lifecycle rule of
the bucket that aborts old multipart uploads, and deletes what begins with ``.storage-core/``
after some days, takes away what nobody came back for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any, Final

from storage_core.errors import (
    IntegrityError,
    NotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    TransientError,
    UploadNotFoundError,
)
from storage_core.http.dates import parse_iso_date
from storage_core.http.interface import Content
from storage_core.http.metadata import encode_value
from storage_core.model import (
    EMPTY,
    NO_ATTRIBUTES,
    NO_CONDITIONS,
    Buffer,
    ObjectInfo,
    Part,
    PutResult,
    UploadInfo,
)
from storage_core.requests import (
    CompleteUploadRequest,
    CopyPartRequest,
    CreateUploadRequest,
    GetRequest,
    PutPartRequest,
    UploadRequest,
)
from storage_core.streams import Body
from storage_gcs import errors, requests, responses, sessions
from storage_gcs.conditions import check_write, match_parameters
from storage_gcs.content import Guarded, NoBytes, Relayed
from storage_gcs.names import State, check_own, encode_text
from storage_gcs.reading import find, get
from storage_gcs.sessions import Session
from storage_gcs.wire import Wire
from storage_gcs.writing import delete_state, discard, publish, upload

ABANDONED: Final = 15 * 60.0
"""Seconds after which an unpublished completion may be taken over."""
_XML: Final = {"content-type": "application/xml"}


async def create(wire: Wire, request: CreateUploadRequest) -> UploadInfo:
    """Begin a session."""
    check_own(request.key)
    session = sessions.begun(request.key)
    own = requests.own_metadata(request.attributes, EMPTY, None)
    headers = requests.attribute_headers(request.attributes, own)
    # The hidden object lives for a moment, for which colder classes charge a month.
    headers["x-goog-storage-class"] = "STANDARD"
    if wire.options.kms_key_name is not None:
        headers["x-goog-encryption-kms-key-name"] = wire.options.kms_key_name
    if session.long:
        await upload(wire, request.bucket, session.record, NoBytes(), _record(request.key))
    target = f"{wire.place(request.bucket).object(session.hidden)}?uploads"
    response = await wire.send(errors.CREATE_UPLOAD, request.bucket, "POST", target, headers, b"")
    root = responses.result_root(await wire.data(response), "InitiateMultipartUploadResult")
    return UploadInfo(session._replace(upload_id=root.need("UploadId")).id, request.key)


def _record(key: str) -> dict[str, Any]:
    return requests.resource(NO_ATTRIBUTES, {requests.LONG_KEY: encode_value(key)})


# --- parts ----------------------------------------------------------------------------


async def put_part(wire: Wire, request: PutPartRequest) -> Part:
    """Store a part; what is in memory takes its CRC32C along, a stream's is compared."""
    body = request.body
    headers, content = None, body.data
    if content is None:
        part = await _send_part(wire, request, None, Guarded(body))
    else:
        if body.computes("crc32c"):
            headers = {"x-goog-hash": requests.hash_header({"crc32c": body.digest("crc32c")})}
        part = await _send_part(wire, request, headers, content)
    return _checked(part, body.count, _crc_of(body))


def _crc_of(body: Body) -> str | None:
    return body.digest("crc32c") if body.computes("crc32c") else None


async def copy_part(wire: Wire, request: CopyPartRequest) -> Part:
    """Store a part from bytes of an object. GCS has no such request (its XML API knows no
    UploadPartCopy), so the bytes pass through this process, a piece at a time."""
    session = sessions.of_id(request.key, request.upload_id)
    await _page(wire, request.bucket, session, None, 1)  # before the bytes are read in vain
    source = GetRequest(
        request.source_bucket, request.source_key, request.range, request.source_version
    )
    stream = await get(wire, source)
    try:
        content = Relayed(stream)
        part = await _send_part(wire, request, None, content)
        return _checked(part, stream.length, content.crc32c)
    finally:
        await stream.close()


async def _send_part(
    wire: Wire,
    request: PutPartRequest | CopyPartRequest,
    headers: Mapping[str, str] | None,
    content: Buffer | Content,
) -> Part:
    session = sessions.of_id(request.key, request.upload_id)
    target = _target(wire, request.bucket, session, f"partNumber={request.number}&")
    response = await wire.send(errors.UPLOAD, request.bucket, "PUT", target, headers, content)
    await wire.data(response)
    etag = response.headers.get("etag", "").strip('"')
    return Part(request.number, etag, 0, responses.hashes(response.headers))


def _checked(part: Part, size: int, crc: str | None) -> Part:
    """The part as it was sent, if it was stored so."""
    told = part.checksums.get("crc32c")
    if crc is not None and told is not None and told != crc:
        raise IntegrityError(
            f"the service stored other bytes as part {part.number} than were sent; send it again"
        )
    return Part(part.number, part.etag, size, {"crc32c": crc} if crc else EMPTY)


def _target(wire: Wire, bucket: str, session: Session, first: str = "", more: str = "") -> str:
    path = wire.place(bucket).object(session.hidden)
    return f"{path}?{first}uploadId={encode_text(session.upload_id)}{more}"


async def list_parts(wire: Wire, request: UploadRequest) -> tuple[list[Part], str | None]:
    """One page of the parts stored so far, and where the next one begins."""
    session = sessions.of_id(request.key, request.upload_id)
    return await _page(wire, request.bucket, session, request.token, request.limit)


async def _page(
    wire: Wire, bucket: str, session: Session, token: str | None, limit: int
) -> tuple[list[Part], str | None]:
    more = f"&max-parts={limit}"
    if token is not None:
        more += f"&part-number-marker={encode_text(token)}"
    target = _target(wire, bucket, session, more=more)
    response = await wire.send(errors.LIST_PARTS, bucket, "GET", target)
    root = responses.result_root(await wire.data(response), "ListPartsResult")
    ends = not responses.is_true(root.get("IsTruncated"))
    return responses.parts(root), None if ends else root.need("NextPartNumberMarker")


# --- the end of a session -------------------------------------------------------------


async def abort(wire: Wire, request: UploadRequest) -> None:
    """Drop a session and its parts."""
    bucket = request.bucket
    session = sessions.of_id(request.key, request.upload_id)
    target = _target(wire, bucket, session)
    try:
        await wire.data(await wire.send(errors.ABORT_UPLOAD, bucket, "DELETE", target))
    except UploadNotFoundError:
        left = await _free(wire, bucket, session)
        if left is None:
            raise
        await delete_state(wire, bucket, session.hidden, responses.state_in(left))
    await _forget(wire, bucket, session)


class Completions:
    """Completes sessions; remembers those whose answer was lost, for the try that follows."""

    __slots__ = ("_lost",)

    def __init__(self) -> None:
        self._lost: set[tuple[str, str | None]] = set()

    async def complete(self, wire: Wire, request: CompleteUploadRequest) -> PutResult:
        """Publish the parts as one object."""
        mark = (request.upload_id, request.write_id)
        try:
            session, found = await self._assembled(wire, request)
        except TransientError as error:
            if not error.unsent:
                self._lost.add(mark)
            raise
        try:
            result = await _publish(wire, request, session, found)
        except TransientError as error:
            self._lost.add(mark)
            error.unsent = False  # the session has ended, whatever became of this request
            raise
        self._lost.discard(mark)
        return result

    async def _assembled(
        self, wire: Wire, request: CompleteUploadRequest
    ) -> tuple[Session, dict[str, Any]]:
        """The session, and its parts as one object under its hidden key."""
        bucket, conditions = request.bucket, request.conditions
        session = sessions.of_id(request.key, request.upload_id)
        if conditions is not NO_CONDITIONS:
            # Now, while the session can stay as it is; the rewrite holds them for good.
            check_write(conditions, await _now(wire, bucket, request.key))
        try:
            await _assemble(wire, request, session)
        except UploadNotFoundError as error:
            return session, await self._left(wire, bucket, session, request.write_id, error)
        try:
            return session, await find(wire, bucket, session.hidden)
        except TransientError as error:
            error.unsent = False  # the parts are one object now
            raise
        except ObjectNotFoundError as error:
            raise _gone() from error

    async def _left(
        self, wire: Wire, bucket: str, session: Session, write_id: str | None, error: StorageError
    ) -> dict[str, Any]:
        """What an earlier completion left, if it may be published now.

        Raises:
            UploadNotFoundError: nothing, or another one is about to publish it.
        """
        if (session.id, write_id) in self._lost:
            try:
                return await find(wire, bucket, session.hidden)
            except ObjectNotFoundError:
                raise error from None
        found = await _free(wire, bucket, session)
        if found is None:
            raise error
        return found


def _gone() -> UploadNotFoundError:
    return UploadNotFoundError(
        "the upload does not exist, or was completed or aborted before", status=404
    )


async def _assemble(wire: Wire, request: CompleteUploadRequest, session: Session) -> None:
    """Make the parts one object under the hidden key."""
    target = _target(wire, request.bucket, session)
    body = requests.complete_body(request.parts)
    response = await wire.send(errors.UPLOAD, request.bucket, "POST", target, _XML, body)
    root = responses.result_root(await wire.data(response), "CompleteMultipartUploadResult")
    if root.name == "Error":
        raise errors.error_of_code(
            root.get("Code") or "", root.get("Message") or "", errors.UPLOAD, response.status
        )


async def _publish(
    wire: Wire,
    request: CompleteUploadRequest,
    session: Session,
    found: Mapping[str, Any],
) -> PutResult:
    """Make the hidden object the real one, and tidy up."""
    bucket, digests, state = request.bucket, request.checksums, responses.state_in(found)
    info = responses.object_info(found, versions=False)
    want, told = digests.get("crc32c"), info.checksums.get("crc32c")
    if want is not None and told is not None and want != told:
        await discard(wire, bucket, session.hidden, state)
        raise IntegrityError(
            "the service put other bytes together than were sent; they were deleted, upload again"
        )
    attributes = info.attributes() if request.attributes is None else request.attributes
    kept = {name: digest for name, digest in digests.items() if name != "crc32c"}
    own = requests.own_metadata(attributes, kept, request.write_id)
    try:
        result = await publish(
            wire, bucket, session.hidden, state, request.key, attributes, own, request.conditions
        )
    except PreconditionFailedError:
        with contextlib.suppress(StorageError):
            await _mark(wire, bucket, session, state, "1")  # whoever tries next may have it
        raise
    await discard(wire, bucket, session.hidden, state)
    await _forget(wire, bucket, session)
    return result


async def _free(wire: Wire, bucket: str, session: Session) -> dict[str, Any] | None:
    """What an earlier completion left, taken over; None if there is nothing to be had."""
    try:
        found = await find(wire, bucket, session.hidden)
    except ObjectNotFoundError:
        return None
    parked = requests.PARKED in (found.get("metadata") or EMPTY)
    age = time.time() - parse_iso_date(found["updated"]).timestamp()
    if not parked and age < ABANDONED:
        return None
    try:
        # Of several that want it the first one changes its state, and the others see that.
        return await _mark(wire, bucket, session, responses.state_in(found), None)
    except (PreconditionFailedError, NotFoundError):
        return None


async def _mark(
    wire: Wire, bucket: str, session: Session, state: State, value: str | None
) -> dict[str, Any]:
    """Park what was completed, or take it over."""
    return await wire.json(
        errors.UPDATE,
        bucket,
        "PATCH",
        wire.place(bucket).resource(session.hidden),
        (*match_parameters(state.etag), ("fields", requests.OBJECT_FIELDS)),
        requests.dumps({"metadata": {requests.PARKED: value}}),
    )


async def _now(wire: Wire, bucket: str, key: str) -> ObjectInfo | None:
    try:
        return responses.object_info(await find(wire, bucket, key), versions=False)
    except ObjectNotFoundError:
        return None


async def _forget(wire: Wire, bucket: str, session: Session) -> None:
    """Remove the record of a long key."""
    if session.long:
        path = wire.place(bucket).resource(session.record)
        with contextlib.suppress(StorageError):  # it lies hidden, and tells of nothing any more
            await wire.data(await wire.send(errors.DELETE, bucket, "DELETE", path))
