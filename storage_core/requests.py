"""What core asks a driver: one request per operation, complete and checked.

Named tuples: they are made on every call, and an import pays a tenth of what dataclasses
cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from storage_core.model import (
    EMPTY,
    NO_ATTRIBUTES,
    NO_CONDITIONS,
    Attributes,
    ByteRange,
    Conditions,
    Method,
    Part,
)
from storage_core.streams import Body


class ListBucketsRequest(NamedTuple):
    """One page of buckets, ascending by name."""

    prefix: str = ""
    token: str | None = None
    limit: int = 1000


class PutRequest(NamedTuple):
    """Write one object as a whole.

    `body` already computes what is wanted, checks declared size and digests while it is
    read, and raises at its end when they do not hold: a driver only must publish nothing
    then. `keep` names the digests to store, of `Capabilities.checksums`.
    """

    bucket: str
    key: str
    body: Body
    attributes: Attributes = NO_ATTRIBUTES
    conditions: Conditions = NO_CONDITIONS
    keep: tuple[str, ...] = ()
    write_id: str | None = None


class GetRequest(NamedTuple):
    """Read an object, or a range of it."""

    bucket: str
    key: str
    range: ByteRange | None = None
    version: str | None = None
    conditions: Conditions = NO_CONDITIONS


class HeadRequest(NamedTuple):
    """Tell of an object."""

    bucket: str
    key: str
    version: str | None = None
    conditions: Conditions = NO_CONDITIONS


class DeleteRequest(NamedTuple):
    """Delete an object, or one version of it."""

    bucket: str
    key: str
    version: str | None = None
    conditions: Conditions = NO_CONDITIONS


class DeleteManyRequest(NamedTuple):
    """Up to `Capabilities.delete_many_limit` pairs of key and version."""

    bucket: str
    items: Sequence[tuple[str, str | None]]


class CopyRequest(NamedTuple):
    """Copy inside the service. `attributes` None keeps the source's, tags included.
    `token` continues a copy that answered with one."""

    source_bucket: str
    source_key: str
    bucket: str
    key: str
    source_version: str | None = None
    attributes: Attributes | None = None
    conditions: Conditions = NO_CONDITIONS
    source_conditions: Conditions = NO_CONDITIONS
    token: str | None = None
    write_id: str | None = None


class MoveRequest(NamedTuple):
    """Rename in one step; the target is replaced unless a condition forbids it."""

    source_bucket: str
    source_key: str
    bucket: str
    key: str
    conditions: Conditions = NO_CONDITIONS


class UpdateMetadataRequest(NamedTuple):
    """Replace content headers, user metadata and expiry; tags and bytes stay."""

    bucket: str
    key: str
    attributes: Attributes
    conditions: Conditions = NO_CONDITIONS


class ListRequest(NamedTuple):
    """One page of objects. `start_after` is exclusive and counts only without `token`."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    start_after: str = ""
    token: str | None = None
    limit: int = 1000


class ListVersionsRequest(NamedTuple):
    """One page of versions: by key ascending, within a key newest first."""

    bucket: str
    prefix: str = ""
    token: str | None = None
    limit: int = 1000


class CreateUploadRequest(NamedTuple):
    """Begin a session whose object will have these attributes."""

    bucket: str
    key: str
    attributes: Attributes = NO_ATTRIBUTES
    keep: tuple[str, ...] = ()


class UploadRequest(NamedTuple):
    """Names a session, for listing parts (`token`, `limit`) or aborting."""

    bucket: str
    key: str
    upload_id: str
    token: str | None = None
    limit: int = 1000


class PutPartRequest(NamedTuple):
    """Store one part; `body` as for `PutRequest`."""

    bucket: str
    key: str
    upload_id: str
    number: int
    body: Body


class CopyPartRequest(NamedTuple):
    """Fill a part with bytes of another object; `range` None means all of it."""

    bucket: str
    key: str
    upload_id: str
    number: int
    source_bucket: str
    source_key: str
    source_version: str | None = None
    range: ByteRange | None = None


class CompleteUploadRequest(NamedTuple):
    """Publish a session's parts, ascending by number, each etag to be checked.
    `attributes` None keeps those given at create."""

    bucket: str
    key: str
    upload_id: str
    parts: Sequence[Part]
    conditions: Conditions = NO_CONDITIONS
    attributes: Attributes | None = None
    checksums: Mapping[str, str] = EMPTY
    """Digests of the whole object that core knows; kept as far as the service can."""
    write_id: str | None = None


class ListUploadsRequest(NamedTuple):
    """One page of open sessions."""

    bucket: str
    prefix: str = ""
    token: str | None = None
    limit: int = 1000


class TagsRequest(NamedTuple):
    """Ask for the tags of an object or a version."""

    bucket: str
    key: str
    version: str | None = None


class PutTagsRequest(NamedTuple):
    """Replace all tags; empty removes them."""

    bucket: str
    key: str
    tags: Mapping[str, str]
    version: str | None = None


class PresignRequest(NamedTuple):
    """Sign one operation. For a part `upload_id` and `part_number` are set, method PUT."""

    bucket: str
    key: str
    method: Method
    expires_in: int
    now: datetime
    version: str | None = None
    content_type: str | None = None
    content_length: int | None = None
    checksum: tuple[str, str] | None = None
    """Algorithm and digest of the body the holder must send."""
    filename: str | None = None
    """Name under which the answer is to be saved: content disposition of the reply."""
    if_absent: bool = False
    upload_id: str | None = None
    part_number: int | None = None
