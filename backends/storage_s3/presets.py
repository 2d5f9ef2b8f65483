"""What services that speak S3 do differently: one table, a profile's ``preset`` chooses.

An entry with a version says what that version was seen to do. The others were tried on no
server: they follow documentation, and leave undeclared what a service might ignore silently. A
profile's ``capabilities`` correct an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from storage_core.model import Capabilities, Condition, Operation

_READ: frozenset[Condition] = frozenset(
    {"if_match", "if_none_match", "if_modified_since", "if_unmodified_since"}
)
_WRITE: frozenset[Condition] = frozenset({"if_absent", "if_match"})

RESERVED_METADATA = 256
"""Bytes of S3's 2 KiB of user metadata kept for the library's own fields: write id, digests."""

CAPABILITIES = Capabilities(
    conditions={
        "put": _WRITE,
        "get": _READ,
        "head": _READ,
        "delete": frozenset({"if_match"}),
        "copy": _WRITE,
        "copy_source": _READ,
        "complete": _WRITE,
    },
    server_side_copy=True,
    update_metadata=True,
    delete_many_limit=1000,
    max_metadata_bytes=2048 - RESERVED_METADATA,
    write_ids=True,
    atomic_bucket_delete=True,
    checksums=frozenset({"crc32c", "md5", "sha1", "sha256"}),
    default_checksum="crc32c",
    ordered_listing=True,
    multipart=True,
    tags=True,
    presign=frozenset({"GET", "HEAD", "PUT", "DELETE"}),
    presign_part=True,
    presign_binds=frozenset(
        {
            "content_type",
            "content_length",
            "checksum",
            "filename",
            "version",
            "if_absent",
            "method",
            "part",
        }
    ),
)
"""What Amazon S3 can do, but for versions, which a bucket may keep or not."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One service.

    Attributes:
        addressing: How buckets are named in requests, unless the profile says.
        region: Signed where the profile names none; None means it has to be found.
        checksums: Whether it takes, keeps and returns ``x-amz-checksum-*``. Else digests are
            kept in reserved metadata, and nothing but TLS guards the bytes on their way.
        full_object: Whether a multipart object can have one CRC of all its bytes
            (``x-amz-checksum-type: FULL_OBJECT``).
        trailers: Whether a checksum may follow a streamed body (``x-amz-trailer``).
        streaming: Whether chunks of a body can be signed each
            (``STREAMING-AWS4-HMAC-SHA256-PAYLOAD``).
        quoted_etags: Whether ``If-Match`` carries etags in quotes, as RFC 9110 has them.
        plain_names: Whether a header can be named like any metadata; otherwise names that are
            long or have an underscore move into the value.
        upload_tags: Whether tags can be given to a session; otherwise its object gets them
            once it is complete.
        known_uploads: Whether completing a session again is refused; otherwise it is looked
            for first.
        encoded_uploads: Whether a listing of uploads may ask for encoded keys
            (``encoding-type=url``).
        copied_tags: Whether a copy with new metadata keeps the tags.
        location_constraint: Whether a new bucket names its region in the body.
        announced: Whether a body's checksum counts only where its algorithm is named in
            ``x-amz-sdk-checksum-algorithm``, as Amazon's own clients do.
        versioned: Corrections of `CAPABILITIES` where buckets keep versions.
        overrides: Corrections of `CAPABILITIES`.
    """

    addressing: Literal["virtual", "path"] = "path"
    region: str | None = "us-east-1"
    checksums: bool = True
    full_object: bool = True
    trailers: bool = True
    streaming: bool = True
    quoted_etags: bool = True
    plain_names: bool = True
    upload_tags: bool = True
    known_uploads: bool = True
    encoded_uploads: bool = True
    copied_tags: bool = True
    location_constraint: bool = False
    announced: bool = False
    versioned: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)


def _without(*operations: Operation) -> dict[str, Any]:
    """Conditions on all operations but these."""
    every = CAPABILITIES.conditions.items()
    return {"conditions": {name: found for name, found in every if name not in operations}}


PRESETS: Mapping[str, Preset] = {
    "aws": Preset(addressing="virtual", region=None, location_constraint=True),
    # Cloudflare R2, untried. Its page "S3 API compatibility" (2026) has the region, and CRC32C
    # of parts as composite only; users report that chunked signatures are NotImplemented and
    # that parts must have one size. Undeclared for want of a source: tags, versions, trailers,
    # conditions on delete, copy and complete, deleting a bucket in one step.
    "r2": Preset(
        region="auto",
        full_object=False,
        trailers=False,
        streaming=False,
        overrides={
            **_without("delete", "copy", "complete"),
            "tags": False,
            "versions": False,
            "atomic_bucket_delete": False,
        },
    ),
    # Ceph radosgw 16.2: If-Match never matches an etag in quotes; x-amz-checksum-* headers
    # and trailers are not understood; If-Match of delete and copy source, If-None-Match of
    # copy and complete are ignored; it takes `_` and `-` in names of metadata for one, and none
    # of over 80 characters; asked to encode keys of uploads it does not say that it did; new
    # metadata drops the tags, and a session forgets them; a session can be completed again;
    # with versions all conditions of put are ignored, and deleting tags deletes none; it looks
    # into a bucket (its RGWRados::check_bucket_empty) in a step before the one that deletes it.
    "ceph": Preset(
        checksums=False,
        full_object=False,
        trailers=False,
        quoted_etags=False,
        plain_names=False,
        upload_tags=False,
        known_uploads=False,
        encoded_uploads=False,
        copied_tags=False,
        overrides={
            **_without("delete", "copy", "complete", "copy_source"),
            "atomic_bucket_delete": False,
        },
        versioned=_without("put", "delete", "copy", "complete", "copy_source"),
    ),
    # MinIO and its relatives, untried: conditions of delete and on the target of a copy are
    # undeclared, as they might be ignored, and so is deleting a bucket in one step.
    "minio": Preset(
        overrides={**_without("delete", "copy"), "atomic_bucket_delete": False},
    ),
    # OpenStack Swift 2.38, s3api: If-None-Match is checked before the write, not with it, so
    # that two writers may both win; If-Match on put is not implemented; neither are tags. A
    # container's list may lack an object that is there (swift-object-updater(1)), so that a
    # container may be deleted as empty.
    "swift": Preset(
        full_object=False,
        trailers=False,
        overrides={
            **_without("put", "copy", "complete"),
            "tags": False,
            "atomic_bucket_delete": False,
        },
    ),
    # moto 5.2, for tests: conditions of a copy and If-Match of a completion are ignored, and so
    # is what a link is signed for; `_` and `-` in names of metadata are one to its web server;
    # a session can be completed again while it is being completed.
    "moto": Preset(
        announced=True,
        location_constraint=True,
        plain_names=False,
        known_uploads=False,
        overrides={
            "conditions": {
                **_without("copy", "copy_source")["conditions"],
                "complete": frozenset({"if_absent"}),
            },
            "presign_binds": frozenset({"filename", "version", "if_absent"}),
        },
    ),
    # A service nobody named: what all have. A condition it ignored would overwrite silently,
    # so none is declared on writes; and unknown checksum headers are refused by some.
    "generic": Preset(
        checksums=False,
        full_object=False,
        trailers=False,
        overrides={
            **_without("put", "delete", "copy", "complete", "copy_source"),
            "atomic_bucket_delete": False,
            "presign_binds": CAPABILITIES.presign_binds - {"if_absent"},
        },
    ),
}


def capabilities(
    preset: Preset, *, versions: bool, checksums: bool, anonymous: bool, min_part_size: int
) -> Capabilities:
    """What a profile can do.

    Args:
        preset: Of its service.
        versions: Whether its buckets keep old versions.
        checksums: Whether the service's checksum headers are used.
        anonymous: Whether requests go unsigned; links can not.
        min_part_size: Bytes.
    """
    changed: dict[str, Any] = {
        "versions": versions,
        "delete_markers": versions,
        "min_part_size": min_part_size,
        **preset.overrides,
        **(preset.versioned if versions else {}),
    }
    if not (checksums and preset.trailers and preset.full_object):
        # A digest is kept with an object however it was written, or it is no default.
        changed["default_checksum"] = None
    if not checksums:
        binds = changed.get("presign_binds", CAPABILITIES.presign_binds)
        changed["presign_binds"] = binds - {"checksum"}
    if anonymous:
        changed.update(presign=frozenset(), presign_part=False, presign_binds=frozenset())
    return CAPABILITIES.overridden(changed)
