"""Copies inside the service, of any size: ``rewriteTo`` until it says that it is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from storage_core.errors import (
    BucketNotFoundError,
    NotFoundError,
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    UnavailableError,
    VersionNotFoundError,
)
from storage_core.http.metadata import RESERVED, WRITE_ID
from storage_core.model import EMPTY, NO_CONDITIONS, CopyProgress
from storage_core.requests import CopyRequest
from storage_gcs import errors, requests, responses
from storage_gcs.conditions import check_source, source_parameters, write_parameters
from storage_gcs.names import State, check_own, is_generation
from storage_gcs.reading import find
from storage_gcs.wire import Wire

_TURNS: Final = 5


async def copy(wire: Wire, request: CopyRequest) -> CopyProgress:
    """One request of a copy.

    A copy that keeps all is just that. Where attributes or a write id are to be written, or
    the source has conditions GCS can not check, the source is looked at first, and copied in
    just the state it was seen in. The token carries that state, for the requests that follow.
    """
    check_own(request.key)
    version = request.source_version
    if version is not None and not is_generation(version):
        raise VersionNotFoundError("the source has no such version", status=404)
    if _plain(wire, request):
        source = request.source_conditions.if_match
        return await _rewrite(wire, request, source, version, None, request.token)
    if request.token is not None:
        return await _go_on(wire, request)
    for _ in range(_TURNS):
        found = await _source(wire, request)
        state = responses.state_in(found)
        check_source(request.source_conditions, responses.object_info(found, versions=False))
        try:
            return await _rewrite_as_seen(wire, request, found, state, None)
        except PreconditionFailedError:
            # The target's condition, unless the source was replaced meanwhile.
            now = responses.state_in(await _source(wire, request))
            if now == state:
                raise
    raise UnavailableError("the source changes all the time; try again", unsent=True)


def _plain(wire: Wire, request: CopyRequest) -> bool:
    """Whether the service does it all in one request."""
    given = request.source_conditions
    return (
        request.attributes is None
        and request.write_id is None
        and wire.options.storage_class is None
        and (
            given is NO_CONDITIONS
            or (
                given.if_none_match is None
                and given.if_modified_since is None
                and given.if_unmodified_since is None
            )
        )
    )


async def _go_on(wire: Wire, request: CopyRequest) -> CopyProgress:
    """A further request of a copy whose source was looked at."""
    etag, _, token = (request.token or "").partition(":")
    found = await _source(wire, request)
    state = responses.state_in(found)
    if state.etag != etag:
        raise ObjectChangedError("the object was replaced while it was being copied; copy again")
    return await _rewrite_as_seen(wire, request, found, state, token)


async def _source(wire: Wire, request: CopyRequest) -> dict[str, Any]:
    try:
        return await find(wire, request.source_bucket, request.source_key, request.source_version)
    except BucketNotFoundError as error:
        error.bucket = request.source_bucket
        raise


async def _rewrite_as_seen(
    wire: Wire, request: CopyRequest, found: Mapping[str, Any], state: State, token: str | None
) -> CopyProgress:
    attributes = request.attributes
    stored = found.get("metadata") or EMPTY
    if attributes is None:
        attributes = responses.object_info(found, versions=False).attributes()
    own = {
        name: value
        for name, value in stored.items()
        if name.startswith(RESERVED) and name not in _NOT_COPIED
    }
    own.update(requests.own_metadata(attributes, EMPTY, request.write_id))
    resource = requests.resource(attributes, own, wire.options.storage_class)
    body = requests.dumps(resource)
    progress = await _rewrite(wire, request, state.etag, state.generation, body, token)
    if progress.token is not None:
        return CopyProgress(token=f"{state.etag}:{progress.token}")
    return progress


_NOT_COPIED: Final = frozenset({requests.EXPLICIT, WRITE_ID})


async def _rewrite(
    wire: Wire,
    request: CopyRequest,
    source: str | None,
    generation: str | None,
    body: bytes | None,
    token: str | None,
) -> CopyProgress:
    origin = wire.place(request.source_bucket).resource(request.source_key)
    target = wire.place(request.bucket).resource(request.key)
    versioned = request.source_version is not None
    try:
        answer = await wire.json(
            errors.COPY_VERSION if versioned else errors.COPY,
            None,
            "POST",
            f"{origin}/rewriteTo{target.removeprefix(wire.endpoint.base + '/storage/v1')}",
            (
                ("sourceGeneration", generation),
                *source_parameters(source),
                *write_parameters(request.conditions),
                ("destinationKmsKeyName", wire.options.kms_key_name),
                ("rewriteToken", token),
                ("fields", requests.COPIED_FIELDS),
            ),
            body,
        )
    except NotFoundError as error:
        await _name_bucket(wire, request, error)
        raise
    if "resource" in answer:
        return CopyProgress(responses.put_result(answer["resource"], wire.options.versions))
    if (token := answer.get("rewriteToken")) is None:
        raise UnavailableError("the service's answer to a rewrite tells neither end nor token")
    return CopyProgress(token=token)


async def _name_bucket(wire: Wire, request: CopyRequest, error: NotFoundError) -> None:
    """Say which bucket is missing, if one is: the service does not."""
    if isinstance(error, ObjectNotFoundError) and errors.is_certain(error):
        return
    for bucket in (request.source_bucket, request.bucket):
        if await wire.bucket_is_missing(bucket):
            raise BucketNotFoundError(
                f"bucket {bucket!r} does not exist", status=404, bucket=bucket
            ) from error
    if isinstance(error, BucketNotFoundError):
        error.bucket = request.bucket
