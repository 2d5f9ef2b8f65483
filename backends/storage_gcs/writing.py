"""Writing and changing objects, by the JSON API."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from storage_core import checksum
from storage_core.errors import (
    IntegrityError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
)
from storage_core.http.metadata import RESERVED
from storage_core.model import (
    EMPTY,
    NO_ATTRIBUTES,
    NO_CONDITIONS,
    Attributes,
    Conditions,
    PutResult,
)
from storage_core.requests import PutRequest, UpdateMetadataRequest
from storage_core.streams import Body
from storage_gcs import errors, requests, responses
from storage_gcs.conditions import match_parameters, source_parameters, write_parameters
from storage_gcs.content import related
from storage_gcs.names import HIDDEN, State, check_own, encode_text
from storage_gcs.reading import find
from storage_gcs.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterable

_TURNS: Final = 5
_UPLOAD: Final = f"?uploadType=multipart&fields={requests.WRITTEN_FIELDS}"
_NATIVE: Final = frozenset({"crc32c", "md5"})
"""Digests GCS computes, keeps and tells by itself."""


async def put(wire: Wire, request: PutRequest) -> PutResult:
    """Write an object: one request, in which the metadata comes before the bytes.

    What is in memory takes its digests along, and GCS refuses other bytes. Of a stream they
    are known at its end: the CRC32C that GCS tells is then compared with ours, and if it
    differs that very generation is deleted. Where digests of a stream are to be kept that GCS
    does not compute, the object is written under a hidden key and published from there.
    """
    check_own(request.key)
    body = request.body
    kept = [name for name in request.keep if name not in _NATIVE]
    if body.data is None and kept:
        return await _put_staged(wire, request, kept)
    digests = {name: body.digest(name) for name in kept}
    own = requests.own_metadata(request.attributes, digests, request.write_id)
    resource = await upload(
        wire,
        request.bucket,
        request.key,
        body,
        requests.resource(request.attributes, own, wire.options.storage_class),
        write_parameters(request.conditions),
    )
    return responses.put_result(resource, wire.options.versions)


async def upload(
    wire: Wire,
    bucket: str,
    key: str,
    body: Body,
    resource: Mapping[str, Any],
    conditions: Iterable[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Send an object; the resource of what became of it, its bytes compared with ours."""
    described = {"name": key, **resource}
    data = body.data
    if data is not None:
        known = body.computes("crc32c")
        crc = body.digest("crc32c") if known else checksum.digest("crc32c", data).hex()
        described["crc32c"] = requests.digest_value(crc)
        if body.computes("md5"):
            described["md5Hash"] = requests.digest_value(body.digest("md5"))
    inner = resource["contentType"]
    kind, content = related(requests.dumps(described), inner, body)
    target = f"{wire.place(bucket).upload}{_UPLOAD}"
    for name, value in conditions:
        target = f"{target}&{name}={value}"
    if wire.options.kms_key_name is not None:
        target = f"{target}&kmsKeyName={encode_text(wire.options.kms_key_name)}"
    headers = {"content-type": kind}
    response = await wire.send(errors.PUT, bucket, "POST", target, headers, content)
    stored = responses.parse_json(await wire.data(response))
    if data is None:
        await _compare(wire, bucket, key, body, stored)
    return stored


async def _compare(
    wire: Wire, bucket: str, key: str, body: Body, stored: Mapping[str, Any]
) -> None:
    """Hold what was stored of a stream against what was sent."""
    told = stored.get("crc32c")
    if told is None or not body.computes("crc32c"):
        return
    if told == requests.digest_value(body.digest("crc32c")):
        return
    error = IntegrityError(
        "the service stored other bytes than were sent; they were deleted, write again"
    )
    try:
        await delete_state(wire, bucket, key, responses.state_in(stored))
    except StorageError as failure:
        error = IntegrityError(
            "the service stored other bytes than were sent, and they could not be deleted"
            f" ({failure.message}); write again"
        )
    raise error


async def delete_state(wire: Wire, bucket: str, key: str, state: State) -> None:
    """Delete one generation of an object for good; if it is gone, it is."""
    path = f"{wire.place(bucket).resource(key)}?generation={state.generation}"
    with contextlib.suppress(ObjectNotFoundError):
        await wire.data(await wire.send(errors.DELETE, bucket, "DELETE", path))


# --- publishing from a hidden key -----------------------------------------------------


async def _put_staged(wire: Wire, request: PutRequest, kept: list[str]) -> PutResult:
    bucket, body = request.bucket, request.body
    staged = f"{HIDDEN}p/{secrets.token_hex(12)}"
    stored = await upload(wire, bucket, staged, body, requests.resource(NO_ATTRIBUTES, EMPTY))
    state = responses.state_in(stored)
    try:
        digests = {name: body.digest(name) for name in kept}
        own = requests.own_metadata(request.attributes, digests, request.write_id)
        return await publish(
            wire, bucket, staged, state, request.key, request.attributes, own, request.conditions
        )
    finally:
        await discard(wire, bucket, staged, state)


async def publish(
    wire: Wire,
    bucket: str,
    hidden: str,
    state: State,
    key: str,
    attributes: Attributes,
    own: Mapping[str, str],
    conditions: Conditions,
) -> PutResult:
    """Make an object of a hidden one, atomically and under conditions.

    Within one bucket GCS moves no bytes for it.

    Raises:
        PreconditionFailedError: a condition does not hold; the hidden object stays.
    """
    source, target = wire.place(bucket).resource(hidden), wire.place(bucket).resource(key)
    path = f"{source}/rewriteTo{target.removeprefix(wire.endpoint.base + '/storage/v1')}"
    body = requests.dumps(requests.resource(attributes, own, wire.options.storage_class))
    token = None
    while True:
        parameters: list[tuple[str, str | None]] = [
            ("sourceGeneration", state.generation),
            *source_parameters(state.etag),
            *write_parameters(conditions),
            ("destinationKmsKeyName", wire.options.kms_key_name),
            ("rewriteToken", token),
            ("fields", requests.COPIED_FIELDS),
        ]
        answer = await wire.json(errors.COPY, bucket, "POST", path, parameters, body)
        if "resource" in answer:
            return responses.put_result(answer["resource"], wire.options.versions)
        token = answer.get("rewriteToken")
        if token is None:
            raise UnavailableError("the service's answer to a rewrite tells neither end nor token")


async def discard(wire: Wire, bucket: str, hidden: str, state: State) -> None:
    """Delete a hidden object. What can not be deleted now stays hidden until the bucket is."""
    with contextlib.suppress(StorageError):
        await delete_state(wire, bucket, hidden, state)


# --- metadata -------------------------------------------------------------------------


async def update_metadata(wire: Wire, request: UpdateMetadataRequest) -> PutResult:
    """Replace an object's attributes: a look at the old ones, since a PATCH takes metadata
    away only by name, and a PATCH that holds for just that state."""
    bucket, key, attributes, conditions = request
    wanted = conditions.if_match
    for _ in range(_TURNS):
        found = await _found(wire, bucket, key, wanted)
        state = responses.state_in(found)
        old = found.get("metadata") or EMPTY
        own = {
            name: value
            for name, value in old.items()
            if name.startswith(RESERVED) and name != requests.EXPLICIT
        }
        own.update(requests.own_metadata(attributes, EMPTY, None))
        body = requests.patch(attributes, old, own)
        path = wire.place(bucket).resource(key)
        parameters = (*match_parameters(state.etag), ("fields", requests.WRITTEN_FIELDS))
        try:
            resource = await wire.json(errors.UPDATE, bucket, "PATCH", path, parameters, body)
        except PreconditionFailedError:
            if conditions is not NO_CONDITIONS:
                raise
            continue
        return responses.put_result(resource, wire.options.versions)
    raise UnavailableError("the object changes all the time; try again", unsent=True)


async def _found(wire: Wire, bucket: str, key: str, etag: str | None) -> dict[str, Any]:
    found = await find(wire, bucket, key)
    if etag is not None and responses.state_in(found).etag != etag:
        raise PreconditionFailedError("the object is not the one expected", status=412)
    return found
