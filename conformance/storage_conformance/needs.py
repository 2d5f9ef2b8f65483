"""What cases need of a profile: a predicate over its capabilities, and the call that must be
refused with `UnsupportedError`, nothing sent, where the predicate does not hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from storage_conformance.cases import Need
from storage_core import Bucket
from storage_core.model import Capabilities, Condition, Operation

_ETAG = "none-such"
_SESSION = "a2V5.none"  # the key "key", a session that never was: taking it up sends nothing
_THEN = datetime(2020, 1, 1, tzinfo=UTC)

ATOMIC_BUCKET_DELETE = Need("atomic bucket delete", lambda c: c.atomic_bucket_delete, None)
VERSIONS = Need("versions", lambda c: c.versions, lambda b: list(b.list_versions()))
DELETE_MARKERS = Need("delete markers", lambda c: c.versions and c.delete_markers, None)
TAGS = Need("tags", lambda c: c.tags, lambda b: b.get_tags("key"))
MULTIPART = Need("multipart", lambda c: c.multipart, lambda b: b.create_upload("key"))
COPY_PARTS = Need(
    "copying parts",
    lambda c: c.server_side_copy,
    lambda b: b.resume_upload(_SESSION).copy_part(1, "key"),
)
UPDATE_METADATA = Need(
    "update_metadata",
    lambda c: c.update_metadata,
    lambda b: b.update_metadata("key", content_type="text/plain"),
)
CONTENT_HEADERS = Need(
    "content headers",
    lambda c: c.content_headers,
    lambda b: b.put("key", b"", cache_control="no-store"),
)
UPDATE_IF_MATCH = Need(
    "if_match on update_metadata",
    lambda c: c.update_metadata and c.allows("copy", "if_match"),
    lambda b: b.update_metadata("key", content_type="text/plain", if_match=_ETAG),
)

# The call that asks for a condition on each operation, without anything else undeclared.
_READS: dict[str, Callable[[Bucket, str], object]] = {
    "if_match": lambda b, how: getattr(b, how)("key", if_match=_ETAG),
    "if_none_match": lambda b, how: getattr(b, how)("key", if_none_match=_ETAG),
    "if_modified_since": lambda b, how: getattr(b, how)("key", if_modified_since=_THEN),
    "if_unmodified_since": lambda b, how: getattr(b, how)("key", if_unmodified_since=_THEN),
}
_PROBES: dict[tuple[Operation, Condition], Callable[[Bucket], object]] = {
    ("put", "if_absent"): lambda b: b.put("key", b"", if_absent=True),
    ("put", "if_match"): lambda b: b.put("key", b"", if_match=_ETAG),
    ("get", "if_match"): lambda b: _READS["if_match"](b, "get"),
    ("get", "if_none_match"): lambda b: _READS["if_none_match"](b, "get"),
    ("get", "if_modified_since"): lambda b: _READS["if_modified_since"](b, "get"),
    ("get", "if_unmodified_since"): lambda b: _READS["if_unmodified_since"](b, "get"),
    ("head", "if_match"): lambda b: _READS["if_match"](b, "head"),
    ("head", "if_none_match"): lambda b: _READS["if_none_match"](b, "head"),
    ("head", "if_modified_since"): lambda b: _READS["if_modified_since"](b, "head"),
    ("head", "if_unmodified_since"): lambda b: _READS["if_unmodified_since"](b, "head"),
    ("delete", "if_match"): lambda b: b.delete("key", if_match=_ETAG),
    ("copy", "if_absent"): lambda b: b.copy("key", "other", if_absent=True),
    ("copy", "if_match"): lambda b: b.copy("key", "other", if_match=_ETAG),
    ("copy_source", "if_match"): lambda b: b.copy("key", "other", source_if_match=_ETAG),
    ("copy_source", "if_none_match"): lambda b: b.copy("key", "other", source_if_none_match=_ETAG),
    ("copy_source", "if_modified_since"): lambda b: b.copy(
        "key", "other", source_if_modified_since=_THEN
    ),
    ("copy_source", "if_unmodified_since"): lambda b: b.copy(
        "key", "other", source_if_unmodified_since=_THEN
    ),
    ("complete", "if_absent"): lambda b: b.resume_upload(_SESSION).complete(if_absent=True),
    ("complete", "if_match"): lambda b: b.resume_upload(_SESSION).complete(if_match=_ETAG),
}


def condition(operation: Operation, name: Condition) -> Need:
    """The profile honours a condition on an operation."""
    return Need(
        f"{name} on {operation}",
        lambda c: c.allows(operation, name),
        _PROBES[operation, name],
    )


def kept(algorithm: str) -> Need:
    """The profile keeps digests of an algorithm. Without it they are computed all the same,
    so there is no call to refuse."""
    return Need(f"{algorithm} kept", lambda c: algorithm in c.checksums, None)


def bound(rule: str, probe: Callable[[Bucket], object] | None) -> Need:
    """Links of the profile can bind a rule: the gateway's all of them, native ones those the
    driver declares. Without a probe the rule is none that a caller asks for."""

    def holds(capabilities: Capabilities) -> bool:
        return not capabilities.presign or rule in capabilities.presign_binds

    return Need(f"links that bind {rule}", holds, probe)
