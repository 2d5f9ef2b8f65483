"""The values that pass between callers, core and drivers. All are immutable.

Sizes are bytes, times are aware UTC datetimes, digests are lower-case hexadecimal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from storage_core.checksum import Buffer as Buffer  # noqa: PLC0414 - a word of the model too
from storage_core.errors import ConfigError, InvalidRangeError, StorageError
from storage_core.later import Later

Method: TypeAlias = Literal["GET", "HEAD", "PUT", "DELETE"]
Operation: TypeAlias = Literal["put", "get", "head", "delete", "copy", "copy_source", "complete"]
Condition: TypeAlias = Literal[
    "if_absent", "if_match", "if_none_match", "if_modified_since", "if_unmodified_since"
]

T_co = TypeVar("T_co", covariant=True)


class _Empty(Mapping[str, str]):
    """Nothing, for ever: hashable, so that dataclasses take it as a default, and picklable."""

    __slots__ = ()

    def __getitem__(self, key: str) -> str:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"

    def __reduce__(self) -> str:
        return "EMPTY"


EMPTY: Mapping[str, str] = _Empty()


# --- what a driver can do -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver, as configured, can do. Declared means it works and is tested;
    undeclared means `UnsupportedError` before anything is sent.

    The defaults describe the least a driver may offer. Sizes are bytes, counts are numbers
    of items in one request.
    """

    # Objects
    conditions: Mapping[Operation, frozenset[Condition]] = field(default_factory=dict)
    """For each operation the conditions it honours atomically."""
    server_side_copy: bool = False
    """Copies run inside the service, also between buckets; else core streams the bytes."""
    atomic_move: bool = False
    """`Driver.move` renames in one step; else core copies, then deletes."""
    update_metadata: bool = False
    """Headers and metadata can change without sending the bytes again."""
    content_headers: bool = True
    """Content encoding, disposition, language and cache control are kept."""
    object_expiry: bool = False
    """`expires_at` makes an object disappear by itself."""
    delete_many_limit: int = 1
    """Keys one `delete_many` takes; 1 means core deletes one by one."""
    max_key_bytes: int = 1024
    max_bucket_name: int = 63
    """Characters of a bucket's name at creation."""
    max_metadata_bytes: int = 2048
    max_object_size: int = 5 * 1024**4
    max_put_size: int = 5 * 1024**3
    """Largest body of one put (or one copy)."""
    unsized_put: bool = False
    """A put takes a body of unknown length in one request."""
    write_ids: bool = False
    """`PutRequest.write_id` is stored and returned by head, so that a lost answer to a
    conditional write can be resolved."""

    # Buckets
    atomic_bucket_delete: bool = False
    """`Driver.delete_bucket` refuses a bucket that holds an object in the step that would remove
    it; without it what is written between the look and the deletion goes with the bucket."""

    # Integrity
    checksums: frozenset[str] = frozenset()
    """Algorithms whose digest is kept with the object when declared or asked for."""
    default_checksum: str | None = None
    """Algorithm computed for and kept with every object."""

    # Listing
    ordered_listing: bool = False
    """Ascending by UTF-8 bytes, with `start_after`."""
    max_page_size: int = 1000

    # Multipart
    multipart: bool = False
    min_part_size: int = 5 * 1024**2
    max_part_size: int = 5 * 1024**3
    max_parts: int = 10_000
    parts_copied: bool = False
    """Completing an upload writes the bytes of its parts a second time, so that one put is
    faster for all that it takes."""

    # Versions and tags
    versions: bool = False
    """The profile keeps old versions of every object."""
    delete_markers: bool = False
    """With versions, a delete leaves a marker as the newest one, and when the newest one is
    deleted the one before it is current again. Without it what was deleted is among the old
    versions, and a copy of one restores it."""
    tags: bool = False
    max_tags: int = 10

    # Links
    presign: frozenset[Method] = frozenset()
    """Methods the driver signs by itself. Without them core signs gateway links."""
    presign_part: bool = False
    presign_binds: frozenset[str] = frozenset()
    """Of method, part, content_type, content_length, checksum, filename, version, if_absent:
    what a native link binds. Without ``method`` a GET link may do for HEAD too, and without
    ``part`` that of a part for others of its session."""
    max_presign_seconds: int = 7 * 24 * 3600

    def overridden(self, overrides: Mapping[str, Any]) -> Capabilities:
        """The same with a profile's corrections, for services that lack something.

        Raises:
            ConfigError: an unknown name.
        """
        if not overrides:
            return self
        known = {known.name for known in fields(self)}
        for name in overrides:
            if name not in known:
                raise ConfigError(f"capabilities.{name}: there is no such capability")
        values: dict[str, Any] = {
            name: frozenset(value) if isinstance(value, list | set | tuple) else value
            for name, value in overrides.items()
        }
        return replace(self, **values)

    def allows(self, operation: Operation, condition: Condition) -> bool:
        """Whether the operation honours the condition."""
        return condition in self.conditions.get(operation, frozenset())


# --- what a caller says ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Conditions:
    """Preconditions of RFC 9110 section 13. `if_absent` is ``if_none_match="*"``."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None

    @property
    def if_absent(self) -> bool:
        """Whether nothing may exist yet."""
        return self.if_none_match == "*"

    def names(self) -> Iterator[Condition]:
        """The conditions that are set."""
        if self.if_match is not None:
            yield "if_match"
        if self.if_none_match is not None:
            yield "if_absent" if self.if_none_match == "*" else "if_none_match"
        if self.if_modified_since is not None:
            yield "if_modified_since"
        if self.if_unmodified_since is not None:
            yield "if_unmodified_since"


NO_CONDITIONS = Conditions()


@dataclass(frozen=True, slots=True)
class Attributes:
    """Everything about an object that its writer may choose besides its bytes."""

    content_type: str | None = None
    content_encoding: str | None = None
    content_disposition: str | None = None
    content_language: str | None = None
    cache_control: str | None = None
    metadata: Mapping[str, str] = EMPTY
    """User metadata, keys in lower case."""
    tags: Mapping[str, str] = EMPTY
    expires_at: datetime | None = None

    HEADERS: ClassVar[tuple[str, ...]] = (
        "content_type",
        "content_encoding",
        "content_disposition",
        "content_language",
        "cache_control",
    )


NO_ATTRIBUTES = Attributes()


class ByteRange(NamedTuple):
    """Bytes `start` up to but not including `stop`; `stop` None means to the end; a negative
    `start` (with `stop` None) the last `-start` bytes."""

    start: int
    stop: int | None = None

    @classmethod
    def of(cls, value: tuple[int, int | None]) -> ByteRange:
        """A range a caller wrote.

        Raises:
            InvalidRangeError: it is none, or no object could satisfy it: inverted, empty, or
                a negative start with a stop.
        """
        try:
            start, stop = value
            valid = isinstance(start, int) and (stop is None or isinstance(stop, int))
        except (TypeError, ValueError):
            valid = False
        if not valid:
            raise InvalidRangeError(f"range {value!r} is not (start, stop)")
        if stop is not None and (start < 0 or stop <= start):
            raise InvalidRangeError(
                f"range {value!r} selects nothing; use (start, stop) with start < stop,"
                " (start, None) or (-length, None)"
            )
        return cls(start, stop)

    def resolve(self, size: int) -> tuple[int, int]:
        """Start and stop within an object of ``size`` bytes, the stop cut to its end.

        Raises:
            InvalidRangeError: the range starts at or past the end. An empty object has no
                satisfiable range but the suffix (RFC 9110 section 14.1.2 is the model).
        """
        start, stop = self
        if start < 0:
            return max(0, size + start), size
        if start >= size:
            raise InvalidRangeError(
                f"the range starts at byte {start}, the object has {size}", status=416
            )
        return start, size if stop is None or stop > size else stop


# --- what a service answers -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """A bucket. `created` is None where the service does not tell."""

    name: str
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class ObjectInfo(Later):
    """All that is known of one object (or one version of it) without its bytes.

    Attributes:
        etag: Opaque; changes with every change of the bytes.
        checksums: Algorithm to digest of the whole object, as far as the service keeps them.
        version: None where the profile keeps no versions.
        write_id: Random id the last writer stored, if any; see `Capabilities.write_ids`.
    """

    key: str
    size: int
    etag: str
    modified: datetime
    content_type: str | None = None
    content_encoding: str | None = None
    content_disposition: str | None = None
    content_language: str | None = None
    cache_control: str | None = None
    metadata: Mapping[str, str] = EMPTY
    checksums: Mapping[str, str] = EMPTY
    version: str | None = None
    expires_at: datetime | None = None
    write_id: str | None = None

    def attributes(self, tags: Mapping[str, str] = EMPTY) -> Attributes:
        """The same object's attributes, for writing them to another one."""
        return Attributes(
            self.content_type,
            self.content_encoding,
            self.content_disposition,
            self.content_language,
            self.cache_control,
            self.metadata,
            tags,
            self.expires_at,
        )


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """An object in a listing; what the service does not list is absent, never faked."""

    key: str
    size: int
    etag: str | None
    modified: datetime
    checksums: Mapping[str, str] = EMPTY

    is_prefix: ClassVar[Literal[False]] = False


@dataclass(frozen=True, slots=True)
class Prefix:
    """A group of keys up to and including the delimiter."""

    key: str

    is_prefix: ClassVar[Literal[True]] = True


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """One version of an object, or a delete marker, in a listing of versions."""

    key: str
    version: str
    is_latest: bool
    is_delete_marker: bool
    modified: datetime
    size: int = 0
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T_co]):
    """A stretch of a listing. `next_token` is opaque, None at the end, and good in another
    process."""

    items: Sequence[T_co]
    next_token: str | None = None


@dataclass(frozen=True, slots=True)
class PutResult:
    """What became visible. `checksums` are those the service verified or we computed."""

    key: str
    etag: str
    size: int
    version: str | None = None
    checksums: Mapping[str, str] = EMPTY


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """Answer to one copy request: a result, or a token to go on with."""

    result: PutResult | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """Fate of one key of a delete. `error` is None when the key is gone, also when it was
    never there."""

    key: str
    version: str | None = None
    delete_marker: bool = False
    error: StorageError | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart session."""

    number: int
    etag: str
    size: int
    checksums: Mapping[str, str] = EMPTY


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """An open multipart session."""

    id: str
    key: str
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A presigned link: whoever holds it may do one thing to one object until it expires.

    Attributes:
        url: The whole URL. It is a secret; the repr leaves its query out.
        method: The HTTP method it is good for.
        headers: What the holder must send along.
        expires_at: Until when it is good.
    """

    url: str
    method: Method
    headers: Mapping[str, str]
    expires_at: datetime

    def __repr__(self) -> str:
        return (
            f"Link(url={self.url.partition('?')[0] + '?…'!r}, method={self.method!r},"
            f" headers={dict(self.headers)!r}, expires_at={self.expires_at.isoformat()})"
        )
