"""Reading objects: bytes by the XML API, which tells all of an object in its headers; what is
known without the bytes by the JSON API, which tells it exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from storage_core.errors import (
    InvalidRangeError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
    VersionNotFoundError,
)
from storage_core.http import Response
from storage_core.model import NO_CONDITIONS, ByteRange, ObjectInfo
from storage_core.requests import GetRequest, HeadRequest
from storage_core.streams import ObjectStream
from storage_gcs import errors, requests, responses
from storage_gcs.conditions import check_read
from storage_gcs.names import is_generation, state_of
from storage_gcs.streams import AnswerStream
from storage_gcs.wire import Wire

# An answer in another encoding than the stored one could be neither ranged nor verified.
_AS_STORED: Final = {"accept-encoding": "gzip"}
_TURNS: Final = 5


async def head(wire: Wire, request: HeadRequest) -> ObjectInfo:
    """Tell of an object. Conditions are held against the one answer."""
    resource = await find(wire, request.bucket, request.key, request.version)
    info = responses.object_info(resource, wire.options.versions)
    if request.conditions is not NO_CONDITIONS:
        check_read(request.conditions, info)
    return info


async def find(wire: Wire, bucket: str, key: str, version: str | None = None) -> dict[str, Any]:
    """The resource of an object, or of one of its versions.

    Raises:
        ObjectNotFoundError: there is none (VersionNotFoundError with a version).
    """
    path = wire.place(bucket).resource(key)
    if version is None:
        target, asked = f"{path}?fields={requests.OBJECT_FIELDS}", errors.GET
    else:
        _check_version(version)
        target = f"{path}?generation={version}&fields={requests.OBJECT_FIELDS}"
        asked = errors.GET_VERSION
    response = await wire.send(asked, bucket, "GET", target)
    data = response.data
    return responses.parse_json(await wire.data(response) if data is None else data)


def _check_version(version: str) -> None:
    if not is_generation(version):
        raise VersionNotFoundError(
            f"{version!r} is no version: those of GCS are numbers, its generations", status=404
        )


async def get(wire: Wire, request: GetRequest) -> ObjectStream:
    """Open an object for reading.

    ``if_match`` goes with the request. The other conditions the XML API has only by an etag of
    its own and by times that it compares alone, so they are held against the object's info
    first; the bytes are then asked for in just that state.
    """
    conditions = request.conditions
    if conditions is NO_CONDITIONS or _only_match(request):
        return await _open(wire, request, conditions.if_match)
    for _ in range(_TURNS):
        looked = HeadRequest(request.bucket, request.key, request.version, conditions)
        info = await head(wire, looked)
        try:
            return await _open(wire, request, info.etag)
        except (PreconditionFailedError, ObjectNotFoundError):
            continue  # replaced in between: its conditions are judged anew
    raise UnavailableError("the object changes all the time; try again", unsent=True)


def _only_match(request: GetRequest) -> bool:
    given = request.conditions
    return given.if_none_match is None and (
        given.if_match is not None
        or (given.if_modified_since is None and given.if_unmodified_since is None)
    )


async def _open(wire: Wire, request: GetRequest, etag: str | None) -> ObjectStream:
    bucket, key, wanted, version, _ = request
    target = wire.place(bucket).object(key)
    asked = errors.GET
    if version is not None:
        _check_version(version)
        target, asked = f"{target}?generation={version}", errors.GET_VERSION
    headers: Mapping[str, str] = _AS_STORED
    if wanted is not None or etag is not None:
        headers = dict(_AS_STORED)
        if wanted is not None:
            headers["range"] = requests.range_header(wanted)
        if etag is not None:
            headers.update(requests.state_headers(state_of(etag)))
    try:
        response = await wire.send(asked, bucket, "GET", target, headers)
    except InvalidRangeError:
        if wanted is None or wanted.start >= 0:
            raise
        # Of an empty object there is no last byte, but all of it is what was asked for.
        return await _whole_of_nothing(wire, request, etag)
    return await _stream(wire, request, etag, response)


async def _whole_of_nothing(wire: Wire, request: GetRequest, etag: str | None) -> ObjectStream:
    stream = await _open(wire, request._replace(range=None), etag)
    if stream.info.size:
        await stream.close()
        return await _open(wire, request, stream.info.etag)  # it was replaced in between
    return stream


async def _stream(
    wire: Wire, request: GetRequest, etag: str | None, response: Response
) -> ObjectStream:
    try:
        start, length, size = _extent(response, request.range)
        versions = wire.options.versions
        stream = AnswerStream(response, request.key, size, versions, start, length)
        if etag is not None and stream.info.etag != etag:
            raise PreconditionFailedError("the object is not the one expected", status=412)
    except StorageError:
        await response.close()
        raise
    return stream


def _extent(response: Response, wanted: ByteRange | None) -> tuple[int, int, int]:
    """Start and length of what the answer holds, and the object's size."""
    headers = response.headers
    if response.status == 206:
        try:
            span, _, size = headers["content-range"].removeprefix("bytes ").partition("/")
            first, _, last = span.partition("-")
            return int(first), int(last) + 1 - int(first), int(size)
        except (KeyError, ValueError):
            raise UnavailableError("the service's answer has no valid Content-Range") from None
    length = response.length
    if length is None:
        stored = headers.get("x-goog-stored-content-length")
        if stored is None:
            raise UnavailableError("the service does not tell the object's length")
        length = int(stored)
    if wanted is not None and wanted.resolve(length) != (0, length):
        raise UnavailableError("the service answered a range with the whole object")
    return 0, length, length
