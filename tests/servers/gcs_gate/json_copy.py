"""Objects out of objects in the JSON API: copyTo, rewriteTo, compose, moveTo
(json: objects/copy, objects/rewrite, objects/compose, objects/move)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.servers.gcs_gate import attributes, preconditions
from tests.servers.gcs_gate.auth import Caller
from tests.servers.gcs_gate.content import Content, concatenated
from tests.servers.gcs_gate.errors import (
    RefusedError,
    invalid,
    precondition_failed,
    required,
    undocumented,
    unimplemented,
)
from tests.servers.gcs_gate.gate import Gate
from tests.servers.gcs_gate.json_objects import find, full, may_write
from tests.servers.gcs_gate.preconditions import NONE, Conditions, number
from tests.servers.gcs_gate.resources import of_object
from tests.servers.gcs_gate.state import Attributes, ObjectVersion, token
from tests.servers.gcs_gate.wire import Request

MIB = 1 << 20
MOST_SOURCES = 32
LIFETIME = 7 * 24 * 3600


@dataclass
class Rewrite:
    """A copy that takes several calls."""

    who: str | None
    source: ObjectVersion
    target: tuple[str, str]
    resource: dict[str, Any]
    limit: int | None
    conditions: Conditions
    expires: float
    copied: int = 0


async def copy(
    gate: Gate, request: Request, who: Caller, bucket: str, name: str, to: str, key: str
) -> dict[str, Any]:
    """json: objects/copy."""
    resource = await request.read_json()
    source = _source(gate, request, who, bucket, name)
    conditions = preconditions.of_json(request)
    return _written(gate, request, who, source, resource, to, key, conditions)


async def rewrite(
    gate: Gate, request: Request, who: Caller, bucket: str, name: str, to: str, key: str
) -> dict[str, Any]:
    """json: objects/rewrite: as many bytes as one call may, until all are there."""
    resource = await request.read_json()
    limit = number(request, "maxBytesRewrittenPerCall")
    if limit is not None and (limit == 0 or limit % MIB):
        raise invalid(
            "maxBytesRewrittenPerCall must be an integral multiple of 1 MiB (1048576)",
            location="maxBytesRewrittenPerCall",
        )
    source = _source(gate, request, who, bucket, name)
    conditions = preconditions.of_json(request)
    expires = gate.clock.now() + LIFETIME
    work = Rewrite(who.email, source, (to, key), resource, limit, conditions, expires)
    text = request.param("rewriteToken")
    if text is not None:
        work = _continued(gate, text, work)
    may_write(who, gate.store.bucket(to), key)
    work.conditions.check(gate.store.bucket(to).live.get(key))
    work.copied = min(source.size, work.copied + min(limit or 1 << 62, gate.options.rewrite_bytes))
    made: dict[str, Any] = {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": str(work.copied),
        "objectSize": str(source.size),
        "done": work.copied == source.size,
    }
    if made["done"]:
        resource = work.resource
        made["resource"] = _written(gate, request, who, source, resource, to, key, work.conditions)
        gate.store.rewrites.pop(text or "", None)
    else:
        made["rewriteToken"] = text or token()
        gate.store.rewrites[made["rewriteToken"]] = work
    return made


async def move(
    gate: Gate, request: Request, who: Caller, bucket: str, name: str, key: str
) -> dict[str, Any]:
    """json: objects/move: copy and delete in one step."""
    source = _source(gate, request, who, bucket, name)
    place = gate.store.bucket(bucket)
    who.need("storage.objects.delete", place)
    if name == key:
        raise invalid("source and destination of a move are the same")
    conditions = preconditions.of_json(request)
    made = _written(gate, request, who, source, {}, bucket, key, conditions)
    place.remove(source, gate.clock.tick(), by_generation=False)
    return made


async def compose(
    gate: Gate, request: Request, who: Caller, bucket: str, name: str
) -> dict[str, Any]:
    """json: objects/compose."""
    resource = await request.read_json()
    for field in set(resource) - {"kind", "destination", "sourceObjects", "deleteSourceObjects"}:
        raise undocumented(f"property {field!r} of a compose request", field)
    if resource.get("deleteSourceObjects"):
        raise unimplemented("deleteSourceObjects")
    sources = resource.get("sourceObjects")
    if not sources:
        raise required("sourceObjects")
    if len(sources) > MOST_SOURCES:
        raise invalid(
            f"The number of source components provided ({len(sources)}) exceeds the maximum "
            f"({MOST_SOURCES})"
        )
    place = gate.store.bucket(bucket)
    found = [_component(gate, who, bucket, item) for item in sources]
    may_write(who, place, name)
    made = attributes.of_resource(resource.get("destination") or {})
    conditions = preconditions.of_json(request)
    version = gate.store.create(
        place,
        name,
        concatenated(version.content for version in found),
        made,
        owner=who.owner,
        public=False,
        check=conditions.check,
        component_count=sum(version.component_count or 1 for version in found),
    )
    return of_object(version, request.origin, full=full(request))


def copied(
    gate: Gate,
    who: Caller,
    source: ObjectVersion,
    made: Attributes,
    to: str,
    key: str,
    conditions: Conditions,
    public: bool = False,
) -> ObjectVersion:
    """Write the data of one object as another."""
    place = gate.store.bucket(to)
    may_write(who, place, key)
    content: Content = source.content
    return gate.store.create(
        place,
        key,
        content,
        made,
        owner=who.owner,
        public=public,
        check=conditions.check,
        component_count=source.component_count,
    )


def _source(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> ObjectVersion:
    generation = number(request, "sourceGeneration")
    version = find(gate, who, bucket, name, generation, "storage.objects.get")
    preconditions.of_json(request, source=True).check(version)
    return version


def _written(
    gate: Gate,
    request: Request,
    who: Caller,
    source: ObjectVersion,
    resource: dict[str, Any],
    to: str,
    key: str,
    conditions: Conditions,
) -> dict[str, Any]:
    """A resource in the body replaces all metadata, none keeps that of the source."""
    made = attributes.of_resource(resource) if resource else source.attributes
    version = copied(gate, who, source, made, to, key, conditions)
    return of_object(version, request.origin, full=full(request))


def _continued(gate: Gate, text: str, asked: Rewrite) -> Rewrite:
    """The copy a token stands for. What a later call says has to be as in the first; body and
    conditions may be left out (json: objects/rewrite, rewriteToken)."""
    work: Rewrite | None = gate.store.rewrites.get(text)
    if (
        work is None
        or work.expires <= gate.clock.now()
        or (asked.who, asked.target, asked.limit) != (work.who, work.target, work.limit)
        or asked.source != work.source
        or (asked.resource and asked.resource != work.resource)
        or asked.conditions not in {NONE, work.conditions}
    ):
        raise invalid("The rewriteToken is invalid.", location="rewriteToken")
    return work


def _component(gate: Gate, who: Caller, bucket: str, item: dict[str, Any]) -> ObjectVersion:
    for field in set(item) - {"name", "generation", "objectPreconditions"}:
        raise undocumented(f"property {field!r} of a source object", field)
    if not isinstance(item.get("name"), str):
        raise required("sourceObjects.name")
    generation = _whole(item.get("generation"))
    wanted = _whole((item.get("objectPreconditions") or {}).get("ifGenerationMatch"))
    if generation is not None and wanted is not None and generation != wanted:
        raise invalid("generation and ifGenerationMatch of a source object differ")
    version = find(gate, who, bucket, item["name"], generation, "storage.objects.get")
    if wanted is not None and version.generation != wanted:
        raise precondition_failed("ifGenerationMatch of a source object")
    return version


def _whole(value: Any) -> int | None:
    if value is None:
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise RefusedError(400, "InvalidArgument", "invalid", f"Invalid value {value!r}") from None
