"""The facade `z3`: buckets and objects as Oystehr's Z3 service gives them over HTTP.

https://docs.oystehr.com/oystehr/services/z3/ and the npm package ``@oystehr/sdk`` are what its
clients go by. The bytes of objects travel by links only: ``POST`` gives one, good for one
method on one object for 15 minutes, whoever holds it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from storage_core import errors, keys
from storage_core.access import buckets, policy
from storage_core.gateway.answers import RefusedError
from storage_core.gateway.facade import BEARER, Call, Facade, Handler, Operation, Query, Reply
from storage_core.gateway.facades import z3_wire as wire
from storage_core.gateway.facades.z3_listing import list_objects

if TYPE_CHECKING:
    from storage_core.access.buckets import LogicalBucket
    from storage_core.aio import AsyncBucket
    from storage_core.gateway.settings import GatewaySettings
    from storage_core.model import Method

NAME: Final = "z3"
PROJECT_HEADERS: Final = ("x-oystehr-project-id", "x-zapehr-project-id")

_LINKS: Final[dict[str, tuple[Method, str]]] = {
    "upload": ("PUT", "Z3:PutObject"),
    "download": ("GET", "Z3:GetObject"),
}
_MESSAGES: Final[tuple[tuple[type[errors.StorageError], int, str], ...]] = (
    (errors.BucketExistsError, 409, "bucket_exists"),
    (errors.BucketNotEmptyError, 409, "bucket_not_empty"),
    (errors.InvalidBucketNameError, 400, "invalid_bucket_name"),
    (errors.InvalidKeyError, 400, "invalid_key"),
)
"""Failures whose own words are for the client."""


def _operation(handler: Handler) -> Handler:
    """What all operations have in common: the names a request may give, and what is said of
    those that are refused."""

    @functools.wraps(handler)
    async def operation(call: Call) -> Reply:
        project = (call.actor.project_id, call.actor.project_name)
        for header in PROJECT_HEADERS:
            if call.headers.get(header, project[0]) not in project:
                raise RefusedError(
                    403, "other_project", f"{header} is not the project that the token is for"
                )
        try:
            if "bucket" in call.path:
                buckets.check_name(call.path["bucket"])
            return await handler(call)
        except errors.StorageError as error:
            for kind, status, code in _MESSAGES:
                if isinstance(error, kind):
                    raise RefusedError(status, code, error.message) from error
            raise

    return operation


@_operation
async def list_buckets(call: Call) -> Reply:
    """The buckets that the caller may list; who may list none at all is refused."""
    rules, state = call.actor.rules, call.service.state
    if "Allow" not in policy.concerned(rules, "Z3:ListBuckets"):
        call.require("Z3:ListBuckets", "Z3:*")
    found = await call.service.run(buckets.list_buckets, state, call.actor.project_id)
    return Reply(
        value=[
            {"id": bucket.id, "name": bucket.name, "creationDate": wire.iso(bucket.created)}
            for bucket in found
            if policy.allows(rules, "Z3:ListBuckets", f"Z3:{bucket.name}")
        ]
    )


@_operation
async def create_bucket(call: Call) -> Reply:
    """Make a bucket."""
    name = call.path["bucket"]
    call.require("Z3:CreateBucket", f"Z3:{name}")
    service, wanted = call.service, call.service.settings.z3
    storage = service.storage(wanted.profile)
    bucket = await buckets.create_async(
        service.state, storage, call.actor.project_id, name, shared=wanted.bucket
    )
    return Reply(value={"id": bucket.id, "name": bucket.name})


@_operation
async def delete_bucket(call: Call) -> Reply:
    """Delete a bucket without objects."""
    name = call.path["bucket"]
    call.require("Z3:DeleteBucket", f"Z3:{name}")
    service = call.service
    bucket = await service.run(buckets.deletable, service.state, call.actor.project_id, name)
    await buckets.delete_async(service.state, service.storage(bucket.profile), bucket)
    return Reply(204)


@_operation
async def objects(call: Call) -> Reply:
    """List objects."""
    name, prefix = call.path["bucket"], call.path.get("key", "")
    call.require("Z3:ListObjects", f"Z3:{name}/{prefix}")
    bucket, physical = await _find(call)
    return await list_objects(
        bucket,
        physical,
        prefix,
        direct=call.query.get("direct", False),
        ordered=call.service.storage(bucket.profile).capabilities.ordered_listing,
        rules=call.actor.rules,
    )


@_operation
async def sign(call: Call) -> Reply:
    """Give a link. One to upload makes nothing, but for the marker of a folder; one to download
    does not look whether the object is there."""
    order = await call.json(wire.LinkOrder)
    key = _folder(call.path["key"]) if order.is_folder else call.path["key"]
    method, action = _LINKS[order.action]
    keys.check_key(key)
    call.require(action, f"Z3:{call.path['bucket']}/{key}")
    bucket, physical = await _find(call)
    keys.check_key(key, _room(call, bucket))
    if order.is_folder and method == "PUT":
        able = call.service.storage(bucket.profile).capabilities.allows("put", "if_absent")
        await _mark(physical, bucket.prefix + key, atomically=able)
    seconds = call.service.settings.z3.link_seconds
    link = call.service.sign(
        bucket, key, method=method, facade=NAME, actor=call.actor, expires_in=seconds
    )
    return Reply(value={"signedUrl": link.url})


@_operation
async def delete_object(call: Call) -> Reply:
    """Delete an object, or the marker of a folder and what below it is named; what is not there
    is no failure."""
    order = await call.json(wire.Deletion)
    name, key = call.path["bucket"], call.path["key"]
    doomed = [key]
    if order.children is not None:
        key = _folder(key)
        below = (_child(name, key, child) for child in order.children)
        doomed = list(dict.fromkeys((key, *below)))
    for each in doomed:
        keys.check_key(each)
    more = len(doomed) - 1
    target = f"Z3:{name}/{key}" + (f" and {more} below" if more else "")
    call.require_all("Z3:DeleteObject", (f"Z3:{name}/{each}" for each in doomed), target)
    bucket, physical = await _find(call)
    for each in doomed:
        keys.check_key(each, _room(call, bucket))
    for result in await physical.delete_many([bucket.prefix + each for each in doomed]):
        if result.error is not None:
            raise result.error
    return Reply(204)


async def _find(call: Call) -> tuple[LogicalBucket, AsyncBucket]:
    """The bucket of the request, and the storage's bucket it is in."""
    service = call.service
    name, project = call.path["bucket"], call.actor.project_id
    bucket = await service.run(buckets.get, service.state, project, name)
    return bucket, service.storage(bucket.profile).bucket(bucket.physical)


def _room(call: Call, bucket: LogicalBucket) -> int:
    """Bytes that a key may have in a bucket."""
    limit = call.service.storage(bucket.profile).capabilities.max_key_bytes
    return min(limit, keys.MAX_KEY_BYTES) - len(bucket.prefix)


def _folder(key: str) -> str:
    """Key of the marker of a folder."""
    return key if key.endswith("/") else key + "/"


def _child(bucket: str, folder: str, child: str) -> str:
    """The key that one of a folder's children is meant to have: written as in a listing, with
    the bucket; as a key; or by its path below the folder. None lies anywhere else."""
    for whole in (child.removeprefix(f"{bucket}/"), child):
        if whole.startswith(folder):
            return whole
    return folder + child


async def _mark(physical: AsyncBucket, key: str, *, atomically: bool) -> None:
    """Make the marker of a folder, unless there is one: an object of the name stays as it is."""
    if atomically:
        with suppress(errors.PreconditionFailedError):
            await physical.put(key, b"", if_absent=True)
    elif not await physical.exists(key):
        await physical.put(key, b"")


# --- the table ----------------------------------------------------------------------------

_DIRECT: Final = Query("direct", "Only what lies right there, folders being one entry each.", bool)


def _refusal(refusal: RefusedError) -> Reply:
    # `code` is a number to the SDK, which goes by it whether it tries again.
    return Reply(refusal.status, {"message": refusal.message, "code": refusal.status})


def _operations() -> tuple[Operation, ...]:
    bucket, below = "/{bucket}", "/{bucket}/{key:path}"
    return (
        Operation(
            name="z3.list_buckets",
            method="GET",
            path="/",
            handler=list_buckets,
            summary="List the buckets of the project that the caller may list.",
            response=list[wire.ListedBucket],
        ),
        Operation(
            name="z3.create_bucket",
            method="PUT",
            path=bucket,
            handler=create_bucket,
            summary="Make a bucket.",
            response=wire.CreatedBucket,
            refusals=(409,),
        ),
        Operation(
            name="z3.delete_bucket",
            method="DELETE",
            path=bucket,
            handler=delete_bucket,
            summary="Delete a bucket that has no objects.",
            status=204,
            refusals=(404, 409),
        ),
        Operation(
            name="z3.list_bucket",
            method="GET",
            path=bucket,
            handler=objects,
            summary="List all objects of a bucket, ascending by key.",
            response=list[wire.ListedObject],
            query=(_DIRECT,),
            refusals=(404,),
        ),
        Operation(
            name="z3.list_objects",
            method="GET",
            path=below,
            handler=objects,
            summary="List the objects whose keys begin with a string, ascending by key.",
            response=list[wire.ListedObject],
            query=(_DIRECT,),
            refusals=(404,),
        ),
        Operation(
            name="z3.sign",
            method="POST",
            path=below,
            handler=sign,
            summary="Get a link to upload (PUT) or download (GET) an object.",
            request=wire.LinkOrder,
            response=wire.SignedLink,
            refusals=(404,),
        ),
        Operation(
            name="z3.delete_object",
            method="DELETE",
            path=below,
            handler=delete_object,
            summary="Delete an object, or a folder with the children that are named.",
            request=wire.Deletion,
            status=204,
            refusals=(404,),
        ),
    )


def facade(settings: GatewaySettings) -> Facade:
    """The facade, at the path that the settings give it."""
    resource: Callable[[str, str], str] = "Z3:{}/{}".format
    return Facade(
        name=NAME,
        mounts=((settings.z3.path, _operations()),),
        refusal=_refusal,
        error=wire.Failure,
        token=BEARER,
        link_actions=dict(_LINKS.values()),
        link_resource=resource,
        description="Buckets, objects and presigned links, as the Z3 service has them.",
    )
