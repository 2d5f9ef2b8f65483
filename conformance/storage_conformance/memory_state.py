"""What the memory driver holds: buckets, versions and sessions as plain Python objects.

Everything here is called with `LOCK` held and does no I/O.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count, islice
from typing import TypeVar

from storage_core.checksum import digest
from storage_core.errors import (
    BucketExistsError,
    BucketNotEmptyError,
    BucketNotFoundError,
    InvalidRequestError,
    NotModifiedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    UploadNotFoundError,
    VersionNotFoundError,
)
from storage_core.model import (
    EMPTY,
    Attributes,
    BucketInfo,
    Conditions,
    ObjectInfo,
    ObjectSummary,
    Page,
    Part,
    Prefix,
    UploadInfo,
    VersionSummary,
)

T = TypeVar("T")

LOCK = threading.Lock()
"""One lock for all states. It is held across a fork, so that no child inherits a state in
the middle of a change, or a lock that nobody will ever release."""

os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)


def utc_now() -> datetime:
    """The driver's clock: when an object was written, and whether it has expired."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object, or a delete marker."""

    info: ObjectInfo
    data: bytes = b""
    tags: Mapping[str, str] = EMPTY
    marker: bool = False

    @property
    def expired(self) -> bool:
        return self.info.expires_at is not None and self.info.expires_at <= utc_now()


@dataclass(slots=True)
class Session:
    """An open multipart session."""

    info: UploadInfo
    attributes: Attributes
    keep: tuple[str, ...]
    parts: dict[int, tuple[Part, bytes]] = field(default_factory=dict)


class Bucket:
    """One bucket: for each key its history, oldest first.

    Args:
        name: Its name.
        versioned: Old versions are kept; else a history has one entry.
    """

    def __init__(self, name: str, versioned: bool) -> None:
        self.info = BucketInfo(name, utc_now())
        self.versioned = versioned
        self.sessions: dict[str, Session] = {}
        self._histories: dict[str, list[Stored]] = {}
        # Sorted by code point, which is the order of the UTF-8 bytes as well.
        self._keys: list[str] = []
        self._numbers = count(1)

    # --- one object -------------------------------------------------------------------

    def current(self, key: str) -> Stored | None:
        """What the key shows, None if there is nothing to be seen."""
        history = self._histories.get(key)
        if history is None or history[-1].marker or history[-1].expired:
            return None
        return history[-1]

    def find(self, key: str, version: str | None = None) -> Stored:
        """The current object, or one version of it.

        Raises:
            ObjectNotFoundError: there is none. VersionNotFoundError: not in that version.
        """
        if version is None:
            if (found := self.current(key)) is None:
                raise ObjectNotFoundError("the object does not exist")
            return found
        for stored in self._histories.get(key, ()):
            if stored.info.version == version and not stored.marker and not stored.expired:
                return stored
        raise VersionNotFoundError(f"the object has no version {version!r}")

    def write(
        self,
        key: str,
        data: bytes,
        attributes: Attributes,
        keep: tuple[str, ...] = (),
        write_id: str | None = None,
    ) -> Stored:
        """Make `data` the current object."""
        info = ObjectInfo(
            key,
            len(data),
            f"{secrets.token_hex(12)}-m",
            utc_now(),
            **{name: getattr(attributes, name) for name in Attributes.HEADERS},
            metadata=attributes.metadata,
            checksums={name: digest(name, data).hex() for name in ("crc32c", *keep)},
            expires_at=attributes.expires_at,
            write_id=write_id,
        )
        return self.publish(Stored(info, data, attributes.tags))

    def publish(self, stored: Stored) -> Stored:
        """Put an entry on top of its key's history."""
        key = stored.info.key
        if self.versioned:
            version = f"{next(self._numbers):08x}{secrets.token_hex(4)}"
            stored = replace(stored, info=replace(stored.info, version=version))
        history = self._histories.get(key)
        if history is None:
            history = self._histories[key] = []
            insort(self._keys, key)
        if not self.versioned:
            history.clear()
        history.append(stored)
        return stored

    def rewrite(self, old: Stored, new: Stored) -> None:
        """Change an entry in its place."""
        history = self._histories[old.info.key]
        history[history.index(old)] = new

    def remove(self, key: str, version: str | None = None) -> Stored | None:
        """Delete an object or a version; the delete marker that came or went, if any."""
        history = self._histories.get(key)
        if history is None:
            return None
        if version is None and self.versioned:
            if self.current(key) is None:
                return None
            return self.publish(Stored(ObjectInfo(key, 0, "", utc_now()), marker=True))
        gone = [entry for entry in history if version in {None, entry.info.version}]
        for entry in gone:
            history.remove(entry)
        if not history:
            del self._histories[key]
            del self._keys[bisect_left(self._keys, key)]
        return next((entry for entry in gone if entry.marker), None)

    # --- all of them ------------------------------------------------------------------

    def listed(
        self, prefix: str, delimiter: str, after: str, past_group: bool
    ) -> Iterator[ObjectSummary | Prefix]:
        """Objects and groups beyond `after`, which `past_group` says is a whole group."""
        position = bisect_left(self._keys, max(prefix, after))
        while position < len(self._keys) and self._keys[position].startswith(prefix):
            key = self._keys[position]
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            group = key[: cut + len(delimiter)] if cut >= 0 else ""
            position += 1
            found = self.current(key)
            if found is None or key == after or (past_group and key.startswith(after)):
                continue
            if not group:
                info = found.info
                yield ObjectSummary(key, info.size, info.etag, info.modified, info.checksums)
                continue
            if group > after:
                yield Prefix(group)
            while position < len(self._keys) and self._keys[position].startswith(group):
                position += 1

    def listed_versions(
        self, prefix: str, after: tuple[str, str] | None
    ) -> Iterator[VersionSummary]:
        """Versions and markers beyond `after`: keys ascending, newest first within a key."""
        position = bisect_left(self._keys, max(prefix, after[0] if after else ""))
        for key in self._keys[position:]:
            if not key.startswith(prefix):
                return
            history = self._histories[key]
            for entry in reversed(history):
                info = entry.info
                # Numbers grow and have one width, so ids order as their versions do.
                if entry.expired or (after and key == after[0] and info.version >= after[1]):  # type: ignore[operator]
                    continue
                yield VersionSummary(
                    key,
                    info.version or "null",
                    entry is history[-1],
                    entry.marker,
                    info.modified,
                    info.size,
                    info.etag or None,
                )

    def session(self, key: str, upload_id: str) -> Session:
        """An open session.

        Raises:
            UploadNotFoundError: there is none, or it is another key's.
        """
        session = self.sessions.get(upload_id)
        if session is None or session.info.key != key:
            raise UploadNotFoundError("no such session; it was completed or aborted, or never was")
        return session

    @property
    def empty(self) -> bool:
        live = (entry for history in self._histories.values() for entry in history)
        return not self.sessions and all(entry.expired for entry in live)


class State:
    """One account: what its drivers share."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.link_keys = {secrets.token_hex(4): secrets.token_bytes(32)}

    def bucket(self, name: str) -> Bucket:
        try:
            return self.buckets[name]
        except KeyError:
            raise BucketNotFoundError(
                f"bucket {name!r} does not exist; create it", bucket=name
            ) from None

    def create(self, name: str, versioned: bool) -> Bucket:
        if name in self.buckets:
            raise BucketExistsError("the bucket exists")
        self.buckets[name] = Bucket(name, versioned)
        return self.buckets[name]

    def delete(self, name: str) -> None:
        if not self.bucket(name).empty:
            raise BucketNotEmptyError("the bucket holds objects, versions or open uploads")
        del self.buckets[name]


_named: dict[str, State] = {}


def shared_state(name: str) -> State:
    """The state all drivers of this process with that name share."""
    with LOCK:
        return _named.setdefault(name, State())


# --- conditions and pages -------------------------------------------------------------


def check_write(conditions: Conditions, current: Stored | None) -> None:
    """Hold the conditions of a write against what it would replace.

    Raises:
        PreconditionFailedError: one does not hold.
    """
    etag = None if current is None else current.info.etag
    if conditions.if_absent and current is not None:
        raise PreconditionFailedError("the object exists already", status=412)
    if conditions.if_match is not None and conditions.if_match != etag:
        raise PreconditionFailedError("the object is missing or not the one expected", status=412)


def check_read(conditions: Conditions, info: ObjectInfo) -> None:
    """Hold the conditions of a read against the object, in the order of RFC 9110
    section 13.2.2: an etag, where given, decides before a time.

    Raises:
        PreconditionFailedError: another object than expected.
        NotModifiedError: still the object the caller has.
    """
    if conditions.if_match is not None:
        if conditions.if_match != info.etag:
            raise PreconditionFailedError("the object is not the one expected", status=412)
    elif conditions.if_unmodified_since and info.modified > conditions.if_unmodified_since:
        raise PreconditionFailedError("the object was modified since", status=412)
    if conditions.if_none_match is not None:
        if conditions.if_none_match == info.etag:
            raise NotModifiedError("the object is the one the caller has", status=304)
    elif conditions.if_modified_since and info.modified <= conditions.if_modified_since:
        raise NotModifiedError("the object was not modified since", status=304)


def check_source(conditions: Conditions, info: ObjectInfo) -> None:
    """As `check_read` for the source of a copy, where nothing is "not modified"."""
    try:
        check_read(conditions, info)
    except NotModifiedError as error:
        raise PreconditionFailedError(error.message, status=412) from error


def page(found: Iterator[T], limit: int, mark: Callable[[T], list[object]]) -> Page[T]:
    """The next `limit` items, and a token that says where they ended."""
    items = list(islice(found, limit))
    more = next(found, None) is not None
    if not items or not more:
        return Page(items)
    return Page(items, base64.urlsafe_b64encode(json.dumps(mark(items[-1])).encode()).decode())


def position(token: str | None) -> list[object]:
    """What `mark` noted in a token; empty without one.

    Raises:
        InvalidRequestError: the token is none of ours.
    """
    if token is None:
        return []
    try:
        marks = json.loads(base64.urlsafe_b64decode(token.encode()))
    except ValueError as error:
        raise InvalidRequestError("the page token is not one of this listing") from error
    return list(marks)
