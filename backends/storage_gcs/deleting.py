"""Deleting objects, one and many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from storage_core.errors import (
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    TransientError,
    UnsupportedError,
)
from storage_core.http.xml import Element
from storage_core.model import NO_CONDITIONS, DeleteResult
from storage_core.requests import DeleteManyRequest, DeleteRequest
from storage_gcs import errors, requests, responses
from storage_gcs.conditions import match_parameters
from storage_gcs.names import is_generation, state_of
from storage_gcs.wire import Wire

_XML: Final = {"content-type": "application/xml"}


async def delete(wire: Wire, request: DeleteRequest) -> DeleteResult:
    """Delete an object, or one version of it for good. GCS leaves no delete markers: where
    versions are kept, the object becomes one."""
    bucket, key, version, conditions = request
    etag = conditions.if_match
    gone = DeleteResult(key, version)
    if version is not None and not is_generation(version):
        version = "1"  # never was a generation; the service tells of a missing bucket
    if etag is not None and version not in {None, state_of(etag).generation}:
        raise PreconditionFailedError("the version is not the one expected", status=412)
    path = wire.place(bucket).resource(key)
    if version is not None or etag is not None:
        path = requests.query(path, (("generation", version), *match_parameters(etag)))
    try:
        await wire.data(await wire.send(errors.DELETE, bucket, "DELETE", path))
    except ObjectNotFoundError:
        if etag is not None:
            raise PreconditionFailedError("the object does not exist", status=412) from None
    return gone


async def delete_many(wire: Wire, request: DeleteManyRequest) -> list[DeleteResult]:
    """Delete several by one request of the XML API, which answers with the failures; keys
    that XML can not carry go one by one."""
    bucket = request.bucket
    together = [item for item in request.items if _in_bulk(item)]
    failures: dict[tuple[str, str | None], StorageError] = {}
    try:
        if together:
            failures = await _bulk(wire, bucket, together)
    except UnsupportedError:  # emulators know no bulk deletes
        together = []
    done = set(together)
    return [
        DeleteResult(*item, error=failures.get(item))
        if item in done
        else await _alone(wire, bucket, *item)
        for item in request.items
    ]


async def _bulk(
    wire: Wire, bucket: str, items: Sequence[tuple[str, str | None]]
) -> dict[tuple[str, str | None], StorageError]:
    target = f"{wire.place(bucket).xml}?delete"
    body = requests.delete_body(items)
    response = await wire.send(errors.DELETE_MANY, bucket, "POST", target, _XML, body)
    return _failures(await wire.data(response), items)


def _in_bulk(item: tuple[str, str | None]) -> bool:
    key, version = item
    possible = requests.in_xml(key) and not ({"\n", "\r"} & set(key))
    return possible and (version is None or is_generation(version))


async def _alone(wire: Wire, bucket: str, key: str, version: str | None) -> DeleteResult:
    try:
        return await delete(wire, DeleteRequest(bucket, key, version, NO_CONDITIONS))
    except TransientError:
        raise
    except StorageError as error:
        return DeleteResult(key, version, error=error)


def _failures(
    data: bytes, items: Sequence[tuple[str, str | None]]
) -> dict[tuple[str, str | None], StorageError]:
    """Keys and versions that could not be deleted; what was not there is no failure. One that
    names no version asked for is that of all versions of its key: none counts as deleted."""
    root = responses.result_root(data, "DeleteResult")
    if root.name == "Error":
        raise _error_of(root)
    found: dict[tuple[str, str | None], StorageError] = {}
    for item in root.all("Error"):
        error = _error_of(item)
        if not isinstance(error, ObjectNotFoundError):
            place = item.need("Key"), item.get("VersionId") or None
            same = [place] if place in items else [one for one in items if one[0] == place[0]]
            if not same:
                raise error
            found.update((one, error) for one in same)
    return found


def _error_of(item: Element) -> StorageError:
    code = item.get("Code") or ""
    status = {"AccessDenied": 403}.get(code)
    return errors.error_of_code(code, item.get("Message") or "", errors.DELETE_MANY, status)
