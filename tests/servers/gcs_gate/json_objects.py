"""Objects in the JSON API: reading, listing, changing, deleting (json: objects)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.servers.gcs_gate import attributes, download, listing, preconditions
from tests.servers.gcs_gate.auth import Caller
from tests.servers.gcs_gate.errors import RefusedError
from tests.servers.gcs_gate.gate import Gate
from tests.servers.gcs_gate.json_buckets import is_true, make_page_token, page_size, page_token
from tests.servers.gcs_gate.names import check_object
from tests.servers.gcs_gate.preconditions import Conditions, number
from tests.servers.gcs_gate.resources import of_object
from tests.servers.gcs_gate.state import Attributes, Bucket, ObjectVersion
from tests.servers.gcs_gate.wire import Request, Response


async def get(
    gate: Gate, request: Request, who: Caller, bucket: str, name: str
) -> dict[str, Any] | Response:
    """json: objects/get; with alt=media the data."""
    version = find(gate, who, bucket, name, number(request, "generation"), "storage.objects.get")
    conditions = preconditions.of_json(request, reads=True)
    conditions.check(version, version.json_etag)
    if request.param("alt") == "media":
        return download.respond(request, version, version.json_etag, xml=False)
    return of_object(version, request.origin, full=full(request))


async def list_objects(gate: Gate, request: Request, who: Caller, bucket: str) -> dict[str, Any]:
    """json: objects/list."""
    place = gate.store.bucket(bucket)
    who.need("storage.objects.list", place)
    token = request.param("pageToken")
    query = listing.Query(
        prefix=request.param("prefix") or "",
        delimiter=request.param("delimiter") or "",
        start=request.param("startOffset") or "",
        end=request.param("endOffset") or "",
        after=page_token(request) if token else None,
        versions=is_true(request, "versions"),
        trailing=is_true(request, "includeTrailingDelimiter"),
        limit=page_size(request),
    )
    page = listing.page(place, query)
    made: dict[str, Any] = {"kind": "storage#objects"}
    if page.last is not None:
        made["nextPageToken"] = make_page_token(*page.last)
    if page.prefixes:
        made["prefixes"] = page.prefixes
    if page.items:
        made["items"] = [of_object(v, request.origin, full=full(request)) for v in page.items]
    return made


async def patch(
    gate: Gate, request: Request, who: Caller, bucket: str, name: str
) -> dict[str, Any]:
    """json: objects/patch: what is not named stays."""
    return await _change(gate, request, who, bucket, name, whole=False)


async def update(
    gate: Gate, request: Request, who: Caller, bucket: str, name: str
) -> dict[str, Any]:
    """json: objects/update: what is not named goes."""
    return await _change(gate, request, who, bucket, name, whole=True)


async def delete(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> None:
    """json: objects/delete."""
    delete_version(
        gate,
        who,
        bucket,
        name,
        number(request, "generation"),
        preconditions.of_json(request),
    )


def delete_version(
    gate: Gate,
    who: Caller,
    bucket: str,
    name: str,
    generation: int | None,
    conditions: Conditions,
) -> None:
    """Delete a version for good, or the live one as the bucket has it."""
    version = find(gate, who, bucket, name, generation, "storage.objects.delete")
    conditions.check(version)
    gate.store.bucket(bucket).remove(
        version, gate.clock.tick(), by_generation=generation is not None
    )


def find(
    gate: Gate, who: Caller, bucket: str, name: str, generation: int | None, permission: str
) -> ObjectVersion:
    """A version that is there and that the caller may do this with."""
    place = gate.store.bucket(bucket)
    check_object(name)
    version = place.find(name, generation)
    if version is None and permission == "storage.objects.get":
        if not who.has(permission, place):
            raise who.missing(place, name)
    else:
        who.need(permission, place, version)
    if version is None:
        raise who.missing(place, name)
    return version


def may_write(who: Caller, place: Bucket, name: str) -> None:
    """Creating, and deleting where an object is replaced (docs: access-control/iam-json)."""
    check_object(name)
    who.need("storage.objects.create", place)
    if name in place.live:
        who.need("storage.objects.delete", place)


def full(request: Request) -> bool:
    """Whether the resource is to have its access control list."""
    return request.param("projection") == "full"


async def _change(
    gate: Gate, request: Request, who: Caller, bucket: str, name: str, *, whole: bool
) -> dict[str, Any]:
    resource = await request.read_json()
    generation = number(request, "generation")
    version = find(gate, who, bucket, name, generation, "storage.objects.update")
    preconditions.of_json(request).check(version)
    old = version.attributes
    base = Attributes(storage_class=old.storage_class) if whole else old
    made = attributes.of_resource(resource, base)
    if made.storage_class != old.storage_class:
        raise RefusedError(
            400,
            "InvalidArgument",
            "invalid",
            "The storage class of an object changes by rewriting it, not here.",
        )
    changed = replace(
        version,
        attributes=made,
        metageneration=version.metageneration + 1,
        updated=gate.clock.tick(),
    )
    gate.store.bucket(bucket).amend(changed)
    return of_object(changed, request.origin, full=full(request))
