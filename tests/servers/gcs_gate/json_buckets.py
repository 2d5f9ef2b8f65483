"""Buckets in the JSON API (json: buckets)."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from tests.servers.gcs_gate import names, preconditions
from tests.servers.gcs_gate.auth import Caller
from tests.servers.gcs_gate.errors import (
    invalid,
    precondition_failed,
    required,
    undocumented,
    unimplemented,
)
from tests.servers.gcs_gate.gate import Gate
from tests.servers.gcs_gate.keys import ROLES
from tests.servers.gcs_gate.resources import of_bucket
from tests.servers.gcs_gate.state import Bucket
from tests.servers.gcs_gate.wire import Request

READ_ONLY = frozenset(
    [
        "kind",
        "id",
        "selfLink",
        "projectNumber",
        "metageneration",
        "generation",
        "etag",
        "timeCreated",
        "updated",
        "owner",
        "locationType",
        "softDeleteTime",
        "hardDeleteTime",
        "satisfiesPZI",
        "satisfiesPZS",
        "acl",
        "defaultObjectAcl",
        "name",
        "location",
    ]
)
NOT_HERE = frozenset(
    [
        "autoclass",
        "billing",
        "cors",
        "customPlacementConfig",
        "defaultEventBasedHold",
        "encryption",
        "hierarchicalNamespace",
        "ipFilter",
        "lifecycle",
        "logging",
        "objectRetention",
        "retentionPolicy",
        "rpo",
        "website",
    ]
)
PRIVATE_ACLS = (
    None,
    "private",
    "projectPrivate",
    "bucketOwnerRead",
    "bucketOwnerFullControl",
)


async def insert(gate: Gate, request: Request, who: Caller) -> dict[str, Any]:
    """json: buckets/insert."""
    project = request.param("project")
    if not project:
        raise required("project")
    who.need_in_project("storage.buckets.create", project)
    if is_true(request, "enableObjectRetention"):
        raise unimplemented("retention of objects")
    resource = await request.read_json()
    if not isinstance(resource.get("name"), str):
        raise required("name")
    now = gate.clock.tick()
    bucket = Bucket(
        name=names.check_bucket(resource["name"]),
        project=project,
        location=names.check_location(resource.get("location") or "US"),
        storage_class=names.check_storage_class(resource.get("storageClass") or "STANDARD"),
        created=now,
        updated=now,
        owner=who.owner,
        listable_by_all=_public(request, "predefinedAcl"),
        objects_public=_public(request, "predefinedDefaultObjectAcl"),
    )
    _apply(bucket, {k: v for k, v in resource.items() if k != "storageClass"})
    gate.store.add_bucket(bucket)
    return of_bucket(bucket, request.origin, full=_full(request))


async def list_buckets(gate: Gate, request: Request, who: Caller) -> dict[str, Any]:
    """json: buckets/list."""
    project = request.param("project")
    if not project:
        raise required("project")
    who.need_in_project("storage.buckets.list", project)
    prefix = request.param("prefix") or ""
    limit = page_size(request)
    after = page_token(request)[0]
    mine = sorted(
        (b for b in gate.store.buckets.values() if b.project == project), key=lambda b: b.name
    )
    found = [b for b in mine if b.name.startswith(prefix) and b.name > after]
    items = [of_bucket(b, request.origin, full=_full(request)) for b in found[:limit]]
    made: dict[str, Any] = {"kind": "storage#buckets"}
    if items:
        made["items"] = items
    if len(found) > limit:
        made["nextPageToken"] = make_page_token(found[limit - 1].name, 0)
    return made


async def get(gate: Gate, request: Request, who: Caller, name: str) -> dict[str, Any]:
    """json: buckets/get."""
    bucket = gate.store.bucket(name)
    who.need("storage.buckets.get", bucket)
    preconditions.of_json(request, reads=True).check_bucket(bucket)
    return of_bucket(bucket, request.origin, full=_full(request))


async def patch(gate: Gate, request: Request, who: Caller, name: str) -> dict[str, Any]:
    """json: buckets/patch."""
    return await _change(gate, request, who, name, whole=False)


async def update(gate: Gate, request: Request, who: Caller, name: str) -> dict[str, Any]:
    """json: buckets/update."""
    return await _change(gate, request, who, name, whole=True)


async def delete(gate: Gate, request: Request, who: Caller, name: str) -> None:
    """json: buckets/delete."""
    bucket = gate.store.bucket(name)
    who.need("storage.buckets.delete", bucket)
    preconditions.of_json(request).check_bucket(bucket)
    gate.store.delete_bucket(bucket)


async def get_iam(gate: Gate, request: Request, who: Caller, name: str) -> dict[str, Any]:
    """json: buckets/getIamPolicy."""
    bucket = gate.store.bucket(name)
    who.need("storage.buckets.getIamPolicy", bucket)
    return _policy(bucket)


async def set_iam(gate: Gate, request: Request, who: Caller, name: str) -> dict[str, Any]:
    """json: buckets/setIamPolicy."""
    resource = await request.read_json()
    bucket = gate.store.bucket(name)
    who.need("storage.buckets.setIamPolicy", bucket)
    if resource.get("etag") not in {None, bucket.etag}:
        raise precondition_failed("etag")
    bindings = resource.get("bindings", [])
    for binding in bindings:
        if binding.get("role") not in ROLES:
            raise unimplemented(f"role {binding.get('role')!r}")
        if binding.get("condition"):
            raise unimplemented("conditions of bindings")
    bucket.bindings = bindings
    bucket.touch(gate.clock.tick())
    return _policy(bucket)


async def test_iam(gate: Gate, request: Request, who: Caller, name: str) -> dict[str, Any]:
    """json: buckets/testIamPermissions."""
    bucket = gate.store.bucket(name)
    asked = [value for key, value in request.query if key == "permissions"]
    if not asked:
        raise required("permissions")
    held = [permission for permission in asked if who.has(permission, bucket)]
    return {"kind": "storage#testIamPermissionsResponse", "permissions": held}


def is_true(request: Request, name: str) -> bool:
    """A parameter that is true or false."""
    return (request.param(name) or "").lower() == "true"


def page_size(request: Request, name: str = "maxResults", largest: int = 1000) -> int:
    """Entries of a page: at most 1000, whatever is asked for (json: objects/list)."""
    wanted = preconditions.number(request, name)
    if wanted == 0:
        raise invalid(f"Invalid value 0 for {name}", location=name)
    return min(wanted or largest, largest)


def page_token(request: Request) -> tuple[str, int]:
    """The last entry of the page before."""
    text = request.param("pageToken")
    if not text:
        return "", 0
    try:
        generation, _, name = base64.urlsafe_b64decode(text).decode().partition(":")
        return name, int(generation)
    except ValueError:
        raise invalid(f"Invalid value {text!r} for pageToken", location="pageToken") from None


def make_page_token(name: str, generation: int) -> str:
    """A token that tells the last entry of a page."""
    return base64.urlsafe_b64encode(f"{generation}:{name}".encode()).decode()


async def _change(
    gate: Gate, request: Request, who: Caller, name: str, *, whole: bool
) -> dict[str, Any]:
    resource = await request.read_json()
    bucket = gate.store.bucket(name)
    who.need("storage.buckets.update", bucket)
    preconditions.of_json(request).check_bucket(bucket)
    changed = replace(bucket)
    if whole:
        changed.versioning, changed.settings = False, {}
    else:
        changed.settings = dict(bucket.settings)
    _apply(changed, resource)
    # All or nothing: only a resource without a fault gets here.
    for field in ("versioning", "settings", "uniform_access", "storage_class"):
        setattr(bucket, field, getattr(changed, field))
    bucket.touch(gate.clock.tick())
    return of_bucket(bucket, request.origin, full=_full(request))


def _apply(bucket: Bucket, resource: dict[str, Any]) -> None:
    """Set what a resource says (json: buckets#resource)."""
    for name, value in resource.items():
        if name == "versioning":
            bucket.versioning = bool((value or {}).get("enabled"))
        elif name == "storageClass":
            bucket.storage_class = names.check_storage_class(value)
        elif name == "labels":
            _labels(bucket, value)
        elif name == "iamConfiguration":
            uniform = value.get("uniformBucketLevelAccess") or value.get("bucketPolicyOnly") or {}
            bucket.uniform_access = bool(uniform.get("enabled", bucket.uniform_access))
            if value.get("publicAccessPrevention", "inherited") != "inherited":
                raise unimplemented("publicAccessPrevention")
        elif name == "softDeletePolicy":
            if value and int(value.get("retentionDurationSeconds", 0)):
                raise unimplemented("soft delete")
        elif name in NOT_HERE:
            if value:
                raise unimplemented(f"bucket property {name}")
        elif name not in READ_ONLY:
            raise undocumented(f"bucket property {name!r}", name)


def _labels(bucket: Bucket, changes: Any) -> None:
    labels = dict(bucket.settings.get("labels", {}))
    for key, value in (changes or {}).items():
        if value is None:
            labels.pop(key, None)
        else:
            labels[key] = value
    if changes is None or not labels:
        bucket.settings.pop("labels", None)
    else:
        bucket.settings["labels"] = labels


def _public(request: Request, name: str) -> bool:
    value = request.param(name)
    if value in PRIVATE_ACLS:
        return False
    if value == "publicRead":
        return True
    raise unimplemented(f"{name}={value}")


def _full(request: Request) -> bool:
    return request.param("projection") == "full"


def _policy(bucket: Bucket) -> dict[str, Any]:
    return {
        "kind": "storage#policy",
        "resourceId": f"projects/_/buckets/{bucket.name}",
        "version": 1,
        "etag": bucket.etag,
        "bindings": bucket.bindings,
    }
