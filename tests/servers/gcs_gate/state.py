"""Buckets, versions of objects and uploads: what the gate remembers.

Everything here runs to its end without giving way to another request, so a check and the
change it guards are one step (docs: consistency, request-preconditions).
"""

from __future__ import annotations

import base64
import secrets
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.servers.gcs_gate.clock import Clock
from tests.servers.gcs_gate.content import Content
from tests.servers.gcs_gate.errors import RefusedError, no_such_bucket


@dataclass(frozen=True)
class Attributes:
    """Metadata of an object that its owner may set (json: objects#resource)."""

    content_type: str | None = None
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    custom_time: str | None = None
    storage_class: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ObjectVersion:
    """One generation of an object. Times are microseconds since the epoch."""

    bucket: str
    name: str
    content: Content
    attributes: Attributes
    generation: int
    metageneration: int
    created: int
    updated: int
    owner: str
    public: bool = False
    component_count: int | None = None
    deleted: int | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return self.content.size

    @property
    def json_etag(self) -> str:
        """Changes with the data and with the metadata (docs: metadata#etags)."""
        numbers = _varint(1, self.generation) + _varint(2, self.metageneration)
        return base64.b64encode(numbers).decode()

    @property
    def xml_etag(self) -> str:
        """The MD5 where one exists, else opaque (docs: hashes-etags#_ETags)."""
        md5 = self.content.md5
        return f'"{md5.hex()}"' if md5 is not None else f'"-{self.json_etag}"'


@dataclass
class Part:
    """A part of a multipart upload."""

    number: int
    content: Content
    modified: int

    @property
    def etag(self) -> str:
        """What completing has to name."""
        assert self.content.md5 is not None
        return f'"{self.content.md5.hex()}"'


@dataclass
class Multipart:
    """A multipart upload that is under way."""

    id: str
    name: str
    attributes: Attributes
    owner: str
    public: bool
    started: int
    parts: dict[int, Part] = field(default_factory=dict)


@dataclass
class Bucket:
    """A bucket. `settings` are the parts of its resource that the gate only keeps."""

    name: str
    project: str
    location: str
    storage_class: str
    created: int
    updated: int
    owner: str
    versioning: bool = False
    uniform_access: bool = False
    listable_by_all: bool = False
    objects_public: bool = False
    metageneration: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    bindings: list[dict[str, Any]] = field(default_factory=list)
    live: dict[str, ObjectVersion] = field(default_factory=dict)
    archive: dict[str, list[ObjectVersion]] = field(default_factory=dict)
    uploads: dict[str, Multipart] = field(default_factory=dict)
    _names: list[bytes] = field(default_factory=list)

    @property
    def etag(self) -> str:
        """Changes with the metageneration."""
        return base64.b64encode(_varint(1, self.metageneration)).decode()

    @property
    def empty(self) -> bool:
        """No object, live or noncurrent (json: buckets/delete)."""
        return not self.live and not self.archive

    def touch(self, now: int) -> None:
        """The metadata changed."""
        self.metageneration += 1
        self.updated = now

    def names(self, start: bytes) -> Iterator[str]:
        """Names of live and noncurrent objects from `start` on, in the order of UTF-8."""
        for index in range(bisect_left(self._names, start), len(self._names)):
            yield self._names[index].decode()

    def versions(self, name: str) -> list[ObjectVersion]:
        """All versions of a name, oldest first."""
        live = self.live.get(name)
        return self.archive.get(name, []) + ([live] if live else [])

    def find(self, name: str, generation: int | None) -> ObjectVersion | None:
        """A version, or the live one."""
        if generation is None:
            return self.live.get(name)
        return next((v for v in self.versions(name) if v.generation == generation), None)

    def put(self, version: ObjectVersion) -> None:
        """Make a version the live one; the one before is noncurrent or gone
        (docs: object-versioning)."""
        self._retire(version.name, version.created)
        self.live[version.name] = version
        self._index(version.name)

    def amend(self, version: ObjectVersion) -> None:
        """Put changed metadata in the place of the same generation."""
        live = self.live.get(version.name)
        if live is not None and live.generation == version.generation:
            self.live[version.name] = version
            return
        kept = self.archive[version.name]
        index = [old.generation for old in kept].index(version.generation)
        kept[index] = version

    def remove(self, version: ObjectVersion, now: int, *, by_generation: bool) -> None:
        """Delete for good, or make noncurrent (docs: object-versioning#delete)."""
        name = version.name
        live = self.live.get(name)
        if live is not None and live.generation == version.generation:
            if by_generation:
                del self.live[name]
            else:
                self._retire(name, now)
        else:
            kept = [v for v in self.archive[name] if v.generation != version.generation]
            self.archive[name] = kept
            if not kept:
                del self.archive[name]
        self._index(name)

    def _retire(self, name: str, now: int) -> None:
        old = self.live.pop(name, None)
        if old is not None and self.versioning:
            self.archive.setdefault(name, []).append(replace(old, deleted=now))

    def _index(self, name: str) -> None:
        """Have the name in the list, or not, as there are versions."""
        raw = name.encode()
        at = bisect_left(self._names, raw)
        listed = at < len(self._names) and self._names[at] == raw
        present = name in self.live or name in self.archive
        if present and not listed:
            self._names.insert(at, raw)
        elif listed and not present:
            del self._names[at]


@dataclass
class Store:
    """All buckets, and the clock that numbers generations."""

    clock: Clock
    buckets: dict[str, Bucket] = field(default_factory=dict)
    sessions: dict[str, Any] = field(default_factory=dict)
    rewrites: dict[str, Any] = field(default_factory=dict)

    def bucket(self, name: str) -> Bucket:
        """A bucket that has to be there."""
        try:
            return self.buckets[name]
        except KeyError:
            raise no_such_bucket() from None

    def add_bucket(self, bucket: Bucket) -> None:
        """A new bucket; names are shared by all projects (docs: buckets#naming)."""
        old = self.buckets.get(bucket.name)
        if old is not None:
            mine = old.owner == bucket.owner
            raise RefusedError(
                409,
                "BucketAlreadyOwnedByYou" if mine else "BucketAlreadyExists",
                "conflict",
                "Your previous request to create the named bucket succeeded and you already own it."
                if mine
                else "The requested bucket name is not available. The bucket namespace is shared "
                "by all users of the system. Please select a different name and try again.",
            )
        self.buckets[bucket.name] = bucket

    def delete_bucket(self, bucket: Bucket) -> None:
        """Remove an empty bucket."""
        if not bucket.empty:
            raise RefusedError(
                409,
                "BucketNotEmpty",
                "conflict",
                "The bucket you tried to delete is not empty.",
            )
        del self.buckets[bucket.name]

    def create(
        self,
        bucket: Bucket,
        name: str,
        content: Content,
        attributes: Attributes,
        *,
        owner: str,
        public: bool,
        check: Callable[[ObjectVersion | None], None],
        component_count: int | None = None,
    ) -> ObjectVersion:
        """Write an object in one step, if `check` has nothing against the live version."""
        if self.buckets.get(bucket.name) is not bucket:
            raise no_such_bucket()
        check(bucket.live.get(name))
        now = self.clock.tick()
        version = ObjectVersion(
            bucket=bucket.name,
            name=name,
            content=content,
            attributes=replace(
                attributes, storage_class=attributes.storage_class or bucket.storage_class
            ),
            generation=now,
            metageneration=1,
            created=now,
            updated=now,
            owner=owner,
            public=public or bucket.objects_public,
            component_count=component_count,
        )
        bucket.put(version)
        return version


def token() -> str:
    """An id that can not be guessed."""
    return secrets.token_urlsafe(48)


def _varint(number: int, value: int) -> bytes:
    """A numbered value in the base-128 form of protocol buffers."""
    out = bytearray([number << 3])
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
