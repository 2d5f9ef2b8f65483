"""Buckets, by the JSON API."""

from __future__ import annotations

from typing import Any

from storage_core.errors import BucketNotEmptyError, StorageError, TransientError
from storage_core.model import BucketInfo, Page
from storage_core.requests import ListBucketsRequest
from storage_gcs import errors, requests, responses
from storage_gcs.names import HIDDEN, State
from storage_gcs.sessions import UPLOADS
from storage_gcs.wire import Wire
from storage_gcs.writing import delete_state

_FIELDS = ("fields", requests.BUCKET_FIELDS)


async def create(wire: Wire, name: str) -> BucketInfo:
    """Create a bucket, with the profile's location, class, key and versions."""
    settings = wire.account.settings
    resource: dict[str, Any] = {
        "name": name,
        # Access by roles alone: ACLs of single objects are Google's past.
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
    }
    if settings.location is not None:
        resource["location"] = settings.location
    if settings.storage_class is not None:
        resource["storageClass"] = settings.storage_class
    if settings.kms_key_name is not None:
        resource["encryption"] = {"defaultKmsKeyName": settings.kms_key_name}
    if settings.versions:
        resource["versioning"] = {"enabled": True}
    parameters = (("project", wire.account.project()), _FIELDS)
    answer = await wire.json(
        errors.CREATE_BUCKET,
        None,
        "POST",
        wire.endpoint.buckets,
        parameters,
        requests.dumps(resource),
    )
    return responses.bucket_info(answer)


async def head(wire: Wire, name: str) -> BucketInfo:
    """Tell of a bucket."""
    answer = await wire.json(
        errors.GET_BUCKET, None, "GET", wire.place(name).json, (("fields", requests.BUCKET_FIELDS),)
    )
    return responses.bucket_info(answer)


async def list_page(wire: Wire, request: ListBucketsRequest) -> Page[BucketInfo]:
    """Buckets of the project, ascending."""
    answer = await wire.json(
        errors.LIST_BUCKETS,
        None,
        "GET",
        wire.endpoint.buckets,
        (
            ("project", wire.account.project()),
            ("prefix", request.prefix or None),
            ("pageToken", request.token),
            ("maxResults", str(request.limit)),
            ("fields", f"nextPageToken,items({requests.BUCKET_FIELDS})"),
        ),
    )
    infos = (responses.bucket_info(item) for item in answer.get("items", ()))
    # Emulators know neither prefix nor order.
    found = sorted(
        (info for info in infos if info.name.startswith(request.prefix)),
        key=lambda info: info.name,
    )
    return Page(found, answer.get("nextPageToken") or None)


async def delete(wire: Wire, name: str) -> None:
    """Delete an empty bucket.

    GCS would take open uploads along, so they are asked for first; and it counts the driver's
    hidden objects, which a crash may have left, so those are removed where nothing else is.
    """
    if await _has_uploads(wire, name):
        raise BucketNotEmptyError("the bucket holds open uploads; abort them first", status=409)
    try:
        await _delete(wire, name)
    except BucketNotEmptyError:
        if not await _sweep(wire, name):
            raise
        await _delete(wire, name)


async def _delete(wire: Wire, name: str) -> None:
    path = wire.place(name).json
    await wire.data(await wire.send(errors.DELETE_BUCKET, None, "DELETE", path))


async def _has_uploads(wire: Wire, name: str) -> bool:
    parameters = (("uploads", ""), ("max-uploads", "1"), ("prefix", UPLOADS))
    target = requests.query(wire.place(name).xml, parameters)
    try:
        response = await wire.send(errors.LIST_UPLOADS, None, "GET", target)
        root = responses.result_root(await wire.data(response), "ListMultipartUploadsResult")
    except TransientError as error:
        # Another document is of a service that knows no such uploads, and some emulators
        # break on a missing bucket.
        if error.status is None or await wire.bucket_is_missing(name):
            return False
        raise
    except StorageError:
        return False  # the deletion itself will tell what is the matter
    return root.find("Upload") is not None


async def _sweep(wire: Wire, name: str) -> bool:
    """Remove the hidden objects of a bucket that has no others; whether there were some."""
    hidden: list[tuple[str, State]] = []
    token = None
    while True:
        answer = await wire.json(
            errors.LIST,
            name,
            "GET",
            f"{wire.place(name).json}/o",
            (
                ("versions", "true"),
                ("pageToken", token),
                ("fields", "nextPageToken,items(name,generation,metageneration)"),
            ),
        )
        for item in answer.get("items", ()):
            if not item["name"].startswith(HIDDEN):
                return False
            hidden.append((item["name"], responses.state_in(item)))
        token = answer.get("nextPageToken") or None
        if token is None:
            break
    for key, state in hidden:
        await delete_state(wire, name, key, state)
    return bool(hidden)
