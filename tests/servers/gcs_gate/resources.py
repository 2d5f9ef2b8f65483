"""JSON resources of buckets and objects (json: buckets#resource, objects#resource), and the
`fields` parameter that picks parts of them (json: how-tos/performance#partial-response)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.servers.gcs_gate import checksums
from tests.servers.gcs_gate.attributes import JSON_NAMES
from tests.servers.gcs_gate.clock import rfc3339
from tests.servers.gcs_gate.errors import invalid
from tests.servers.gcs_gate.state import Bucket, ObjectVersion

REGIONS = ("US", "EU", "ASIA")


def of_bucket(bucket: Bucket, origin: str, *, full: bool = False) -> dict[str, Any]:
    """Resource of a bucket."""
    uniform = {"enabled": bucket.uniform_access}
    made: dict[str, Any] = {
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": f"{origin}/storage/v1/b/{bucket.name}",
        "name": bucket.name,
        "projectNumber": str(project_number(bucket.project)),
        "metageneration": str(bucket.metageneration),
        "location": bucket.location,
        "locationType": "multi-region" if bucket.location in REGIONS else "region",
        "storageClass": bucket.storage_class,
        "etag": bucket.etag,
        "timeCreated": rfc3339(bucket.created),
        "updated": rfc3339(bucket.updated),
        "iamConfiguration": {
            "bucketPolicyOnly": uniform,
            "uniformBucketLevelAccess": uniform,
            "publicAccessPrevention": "inherited",
        },
        "softDeletePolicy": {"retentionDurationSeconds": "0"},
        **bucket.settings,
    }
    if bucket.versioning:
        made["versioning"] = {"enabled": True}
    if full and not bucket.uniform_access:
        entity = f"project-owners-{project_number(bucket.project)}"
        made["acl"] = [{"kind": "storage#bucketAccessControl", "entity": entity, "role": "OWNER"}]
    return made


def of_object(version: ObjectVersion, origin: str, *, full: bool = False) -> dict[str, Any]:
    """Resource of a version of an object."""
    path = f"/storage/v1/b/{version.bucket}/o/{quote(version.name, safe='')}"
    created = rfc3339(version.created)
    made: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{version.bucket}/{version.name}/{version.generation}",
        "selfLink": origin + path,
        "mediaLink": f"{origin}/download{path}?generation={version.generation}&alt=media",
        "name": version.name,
        "bucket": version.bucket,
        "generation": str(version.generation),
        "metageneration": str(version.metageneration),
        "size": str(version.size),
        "etag": version.json_etag,
        "timeCreated": created,
        "updated": rfc3339(version.updated),
        "timeStorageClassUpdated": created,
        "timeFinalized": created,
    }
    digests = checksums.digests(version.content)
    made["crc32c"] = digests["crc32c"]
    if "md5" in digests:
        made["md5Hash"] = digests["md5"]
    for name, attribute in JSON_NAMES.items():
        value = getattr(version.attributes, attribute)
        if value is not None:
            made[name] = value
    if version.attributes.metadata:
        made["metadata"] = dict(version.attributes.metadata)
    if version.component_count is not None:
        made["componentCount"] = version.component_count
    if version.deleted is not None:
        made["timeDeleted"] = rfc3339(version.deleted)
    if full:
        entity = f"user-{version.owner}"
        made["owner"] = {"entity": entity}
        entry = {"kind": "storage#objectAccessControl", "role": "OWNER"}
        made["acl"] = [{**entry, "entity": entity}]
        if version.public:
            made["acl"] += [{**entry, "entity": "allUsers", "role": "READER"}]
    return made


def project_number(project: str) -> int:
    """A number that stays the same for a project."""
    return 10**11 + int.from_bytes(project.encode()[:5], "big") % 10**11


Selection = dict[str, "Selection | None"]
"""Names to keep; None keeps all below."""


def parse_fields(text: str) -> Selection:
    """A selection such as ``items(name,metadata/a),nextPageToken``."""
    selection, rest = _parse(text, text)
    if rest:
        raise invalid(f"Invalid field selection {text}", location="fields")
    return selection


def select(resource: Any, selection: Selection) -> Any:
    """The parts of a resource that a selection names."""
    if isinstance(resource, list):
        return [select(item, selection) for item in resource]
    if not isinstance(resource, dict):
        return resource
    if "*" in selection:
        below = selection["*"]
        return resource if below is None else {k: select(v, below) for k, v in resource.items()}
    return {
        name: value if (below := selection[name]) is None else select(value, below)
        for name, value in resource.items()
        if name in selection
    }


def _parse(text: str, whole: str) -> tuple[Selection, str]:
    """A list of names up to its end or a closing bracket."""
    found: Selection = {}
    while True:
        length = next((i for i, c in enumerate(text) if c in ",/()"), len(text))
        name, text = text[:length].strip(), text[length:]
        if not name or not name.replace("*", "").replace("-", "").replace("_", "").isalnum() | (
            name == "*"
        ):
            raise invalid(f"Invalid field selection {whole}", location="fields")
        below: Selection | None = None
        if text.startswith("/"):
            nested, text = _one(text[1:], whole)
            below = nested
        elif text.startswith("("):
            below, text = _parse(text[1:], whole)
            if not text.startswith(")"):
                raise invalid(f"Invalid field selection {whole}", location="fields")
            text = text[1:]
        _add(found, name, below)
        if not text.startswith(","):
            return found, text
        text = text[1:]


def _one(text: str, whole: str) -> tuple[Selection, str]:
    """What follows a slash: one name, with what is below it."""
    length = next((i for i, c in enumerate(text) if c in ",/()"), len(text))
    name, text = text[:length].strip(), text[length:]
    if not name:
        raise invalid(f"Invalid field selection {whole}", location="fields")
    if text.startswith("/"):
        below, text = _one(text[1:], whole)
        return {name: below}, text
    if text.startswith("("):
        inner, text = _parse(text[1:], whole)
        if not text.startswith(")"):
            raise invalid(f"Invalid field selection {whole}", location="fields")
        return {name: inner}, text[1:]
    return {name: None}, text


def _add(found: Selection, name: str, below: Selection | None) -> None:
    old = found.get(name)
    if old is None or below is None:
        found[name] = None if name in found else below
    else:
        for key, value in below.items():
            _add(old, key, value)
