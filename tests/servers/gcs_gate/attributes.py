"""Metadata of objects out of JSON resources and out of headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from tests.servers.gcs_gate.errors import invalid, undocumented, unimplemented
from tests.servers.gcs_gate.names import check_attributes
from tests.servers.gcs_gate.state import Attributes, ObjectVersion
from tests.servers.gcs_gate.wire import Request

JSON_NAMES = {
    "contentType": "content_type",
    "cacheControl": "cache_control",
    "contentDisposition": "content_disposition",
    "contentEncoding": "content_encoding",
    "contentLanguage": "content_language",
    "customTime": "custom_time",
    "storageClass": "storage_class",
}
READ_ONLY = frozenset(
    [
        "kind",
        "id",
        "selfLink",
        "mediaLink",
        "name",
        "bucket",
        "generation",
        "metageneration",
        "size",
        "md5Hash",
        "crc32c",
        "etag",
        "timeCreated",
        "updated",
        "timeDeleted",
        "timeStorageClassUpdated",
        "timeFinalized",
        "componentCount",
        "owner",
        "acl",
        "retentionExpirationTime",
        "softDeleteTime",
        "hardDeleteTime",
    ]
)
"""Parts of the resource that a request may repeat and that change nothing."""
NOT_HERE = frozenset(
    [
        "contexts",
        "customerEncryption",
        "eventBasedHold",
        "kmsKeyName",
        "restoreToken",
        "retention",
        "temporaryHold",
    ]
)
HEADERS = {
    "content-type": "content_type",
    "cache-control": "cache_control",
    "content-disposition": "content_disposition",
    "content-encoding": "content_encoding",
    "content-language": "content_language",
    "x-goog-custom-time": "custom_time",
    "x-goog-storage-class": "storage_class",
}
META = "x-goog-meta-"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
ACLS = ("private", "project-private", "bucket-owner-read", "bucket-owner-full-control")


def of_resource(resource: Mapping[str, Any], base: Attributes | None = None) -> Attributes:
    """Metadata of a JSON resource, on top of others: null removes (json: objects/patch)."""
    changes: dict[str, Any] = {}
    metadata = dict(base.metadata) if base else {}
    for name, value in resource.items():
        if name in JSON_NAMES:
            if value is not None and not isinstance(value, str):
                raise invalid(f"{name} has to be a string", location=name)
            changes[JSON_NAMES[name]] = value
        elif name == "metadata":
            metadata = _merged(metadata, value)
        elif name in NOT_HERE and value:
            raise unimplemented(f"object property {name}")
        elif name not in READ_ONLY | NOT_HERE:
            raise undocumented(f"object property {name!r}", name)
    made = replace(base or Attributes(), **changes, metadata=metadata)
    return _checked(made, base)


def of_headers(request: Request) -> Attributes:
    """Metadata of the headers of an upload (xml: put-object-upload)."""
    found: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    for name, value in request.headers:
        if name in HEADERS:
            found[HEADERS[name]] = request.header(name)
        elif name.startswith(META):
            if not value.isascii():
                raise undocumented(f"bytes beyond ASCII in header {name}")
            key = name.removeprefix(META)
            if key in metadata:
                raise undocumented(f"header {name} sent twice")
            metadata[key] = value.strip()
    if found.get("content_encoding") == "aws-chunked":
        raise undocumented("Content-Encoding aws-chunked")
    return _checked(Attributes(**found, metadata=metadata), None)


def to_headers(version: ObjectVersion) -> list[tuple[str, str]]:
    """Metadata as headers of a download (xml: get-object-download)."""
    told = [("Content-Type", version.attributes.content_type or "application/octet-stream")]
    names = {attribute: header for header, attribute in HEADERS.items()}
    for item in fields(Attributes):
        value = getattr(version.attributes, item.name)
        if value and item.name not in {"metadata", "content_type", "custom_time"}:
            told.append((names[item.name].title(), value))
    if version.attributes.custom_time:
        told.append(("x-goog-custom-time", version.attributes.custom_time))
    told += [(META + name, value) for name, value in version.attributes.metadata.items()]
    return told


def public_acl(request: Request) -> bool:
    """Whether `x-goog-acl` lets everybody read (docs: access-control/lists#predefined-acl)."""
    acl = request.header("x-goog-acl")
    if acl in {"", *ACLS}:
        return False
    if acl == "public-read":
        return True
    raise unimplemented(f"x-goog-acl: {acl}")


def _merged(metadata: dict[str, str], changes: Any) -> dict[str, str]:
    if changes is None:
        return {}
    if not isinstance(changes, dict):
        raise invalid("metadata has to be an object", location="metadata")
    for key, value in changes.items():
        if value is None:
            metadata.pop(key, None)
        elif isinstance(value, str):
            metadata[key] = value
        else:
            raise invalid(f"metadata[{key!r}] has to be a string", location="metadata")
    return metadata


def _checked(made: Attributes, base: Attributes | None) -> Attributes:
    if made.custom_time and not RFC3339.fullmatch(made.custom_time):
        raise invalid(f"customTime {made.custom_time!r} is not RFC 3339", location="customTime")
    if base and base.custom_time and (made.custom_time or "") < base.custom_time:
        raise invalid("customTime can not be removed or set to an earlier time")
    return check_attributes(made)
