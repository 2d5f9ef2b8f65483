"""The record: everything kept about one object, and its bytes while they are few.

    offset  size
    0       4     magic "SLR1"
    4       2     flags
    6       2     zero
    8       4     size of the header, where inline bytes begin
    12      12    id of the write; names the data file
    24      4     CRC32C of the object's bytes
    28      8     size of the object in bytes
    36      8     modified, ns since 1970
    44      8     order, ns: ascends over the versions of a key
    52      8     expires, ns since 1970; 0 never
    60      4     size of the details
    64      …     details: JSON object, absent when empty
    …       4     CRC32C of the header up to here
    …       …     the object's bytes, when they are inline

Integers are little-endian. Details are the content headers, ``metadata``, ``tags``,
``checksums`` other than CRC32C, ``write_id``, ``etag`` unless it derives from the id, and
``keys`` when the record's name may be shortened: the key it belongs to is the one of them
that the name's hash confirms (a move adds the new key before it renames the record).
"""

from __future__ import annotations

import json
import os
import re
import struct
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from google_crc32c import value as _crc

from storage_core.errors import IntegrityError, InvalidRequestError
from storage_core.model import (
    EMPTY,
    Attributes,
    ObjectInfo,
    ObjectSummary,
    PutResult,
    VersionSummary,
)
from storage_local.names import MAX_NAME, sort_key

MAGIC = b"SLR1"
INLINE, MARKER, HAS_ETAG = 1, 2, 4
ID_SIZE = 12

_FIXED = struct.Struct("<4sHHI12sIQQQQI")
_unpack = _FIXED.unpack_from
_unpack_brief = struct.Struct("<4sHxxI16xQ16xQ").unpack_from
_pack = _FIXED.pack
FIXED_SIZE = _FIXED.size
HEAD_SIZE = 448
"""Bytes to read when only the header is wanted: nearly always enough, and few enough for the
interpreter's own allocator."""

# CRC32C of any bytes and their own CRC32C behind them.
_RESIDUE = 0x48674BC7

MAX_NS = 2**64 - 1
"""The last time a record can hold, in ns since 1970: in the year 2554."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def to_datetime(ns: int) -> datetime:
    """Aware UTC time of nanoseconds since 1970, cut to microseconds."""
    return _EPOCH + timedelta(0, 0, ns // 1000)


def expiry(moment: datetime | None) -> int:
    """What stands in a record for the time an object expires: ns since 1970, 0 for never.

    Raises:
        InvalidRequestError: it is later than a record can say.
    """
    if moment is None:
        return 0
    ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    if ns > MAX_NS:
        raise InvalidRequestError(
            f"an object can not expire at {moment}: the last time that can be kept is"
            f" {to_datetime(MAX_NS)}; for an object that stays give none"
        )
    return ns


def new_id() -> bytes:
    """Id of a new write."""
    return os.urandom(ID_SIZE)


def unpack_checked(raw: bytes) -> tuple[Any, ...]:
    """The fixed fields of a record.

    Raises:
        IntegrityError: the header is damaged.
    """
    try:
        fields = _unpack(raw)
    except struct.error:
        raise IntegrityError("the record of the object is cut off; run fsck") from None
    size: int = fields[3]
    if (
        _crc(raw if len(raw) == size else raw[:size]) != _RESIDUE
        or fields[0] != MAGIC
        or size != FIXED_SIZE + fields[10] + 4
    ):
        raise IntegrityError("the record of the object is damaged; run fsck")
    return fields


def brief(raw: bytes) -> tuple[int, int, int]:
    """Flags, size and expiry of a record, for those who want no more.

    Raises:
        IntegrityError: the header is damaged.
    """
    try:
        magic, flags, header_size, size, expires = _unpack_brief(raw)
    except struct.error:
        raise IntegrityError("the record of the object is cut off; run fsck") from None
    head = raw if len(raw) == header_size else raw[:header_size]
    if _crc(head) != _RESIDUE or magic != MAGIC:
        raise IntegrityError("the record of the object is damaged; run fsck")
    return flags, size, expires


def plain_object(raw: bytes) -> tuple[bytes, int] | None:
    """Bytes and CRC32C of a record that is nothing but an inline object without expiry: the
    most frequent read, in one step. None for all else, which takes a `Record`.

    Raises:
        IntegrityError: the header is damaged.
    """
    _, flags, _, header_size, _, crc, size, _, _, expires, _ = unpack_checked(raw)
    if flags & ~HAS_ETAG != INLINE or expires or len(raw) != header_size + size:
        return None
    return raw[header_size:], crc


class Record:
    """A parsed record. Its details are decoded when first asked for.

    Args:
        raw: The record's bytes, from the beginning.
        trusted: Whether they were checked before.

    Raises:
        IntegrityError: the header is damaged.
    """

    __slots__ = (
        "_details",
        "crc",
        "details_size",
        "expires",
        "flags",
        "header_size",
        "id",
        "modified",
        "order",
        "raw",
        "size",
    )

    def __init__(self, raw: bytes, *, trusted: bool = False) -> None:
        self.raw = raw
        self._details: dict[str, Any] | None = None
        (
            _,
            self.flags,
            _,
            self.header_size,
            self.id,
            self.crc,
            self.size,
            self.modified,
            self.order,
            self.expires,
            self.details_size,
        ) = _unpack(raw) if trusted else unpack_checked(raw)

    @property
    def details(self) -> dict[str, Any]:
        """Attributes and other things most objects lack."""
        if self._details is None:
            text = self.raw[FIXED_SIZE : FIXED_SIZE + self.details_size]
            self._details = json.loads(text) if text else {}
        return self._details

    @property
    def inline(self) -> bool:
        """Whether the object's bytes stand in the record."""
        return bool(self.flags & INLINE)

    @property
    def marker(self) -> bool:
        """Whether this is a delete marker."""
        return bool(self.flags & MARKER)

    @property
    def live(self) -> bool:
        """Whether there is an object to see: no delete marker, not expired."""
        if self.flags & MARKER:
            return False
        return not self.expires or self.expires > time.time_ns()

    @property
    def data(self) -> bytes:
        """The object's bytes, when they are inline."""
        return self.raw[self.header_size : self.header_size + self.size]

    @property
    def data_name(self) -> str | None:
        """Name of the data file; None when there is none."""
        return None if self.flags & (INLINE | MARKER) else self.id.hex()

    @property
    def etag(self) -> str:
        """Quoted nowhere; derived from the write's id unless the profile has MD5 etags."""
        if self.flags & HAS_ETAG:
            return str(self.details["etag"])
        return f"{self.id.hex()}-{self.size:x}"

    @property
    def version(self) -> str:
        """Version id; as text it descends from the oldest to the newest version of a key."""
        return f"{MAX_NS - self.order:016x}{self.id[:4].hex()}"

    @property
    def checksums(self) -> dict[str, str]:
        """All digests kept."""
        sums = {"crc32c": f"{self.crc:08x}"}
        if self.details_size and (more := self.details.get("checksums")):
            sums.update(more)
        return sums

    @property
    def tags(self) -> Mapping[str, str]:
        """The object's tags."""
        tags: Mapping[str, str] = self.details.get("tags", EMPTY) if self.details_size else EMPTY
        return tags

    def info(self, key: str, *, versions: bool) -> ObjectInfo:
        """The object's info; ``versions`` tells whether to name the version."""
        found = self.details if self.details_size else EMPTY
        version = self.version if versions else None
        expires = to_datetime(self.expires) if self.expires else None
        if not found:
            return ObjectInfo(
                key,
                self.size,
                self.etag,
                to_datetime(self.modified),
                checksums=self.checksums,
                version=version,
                expires_at=expires,
            )
        get: Any = found.get
        return ObjectInfo(
            key,
            self.size,
            self.etag,
            to_datetime(self.modified),
            get("content_type"),
            get("content_encoding"),
            get("content_disposition"),
            get("content_language"),
            get("cache_control"),
            get("metadata", EMPTY),
            self.checksums,
            version,
            expires,
            get("write_id"),
        )

    def summary(self, key: str) -> ObjectSummary:
        """The object's line in a listing."""
        moment = to_datetime(self.modified)
        return ObjectSummary(key, self.size, self.etag, moment, self.checksums)

    def version_summary(self, key: str, *, latest: bool) -> VersionSummary:
        """The version's line in a listing of versions."""
        marker = self.marker
        return VersionSummary(
            key,
            self.version,
            latest,
            marker,
            to_datetime(self.modified),
            self.size,
            None if marker else self.etag,
        )

    def result(self, key: str, *, versions: bool) -> PutResult:
        """The answer to the write that made the record."""
        version = self.version if versions else None
        return PutResult(key, self.etag, self.size, version, self.checksums)

    def attributes(self) -> Attributes:
        """What the writer chose besides the bytes, tags included."""
        return self.info("", versions=False).attributes(self.tags)


def pack(
    *,
    identity: bytes,
    size: int,
    crc: int,
    modified: int,
    order: int,
    expires: int = 0,
    details: Mapping[str, Any] = EMPTY,
    data: bytes | bytearray | memoryview | None = None,
    marker: bool = False,
) -> bytes:
    """The bytes of a record; ``data`` None means that they are in a data file."""
    text = _encode(details).encode() if details else b""
    flags = (0 if data is None else INLINE) | (MARKER if marker else 0)
    if "etag" in details:
        flags |= HAS_ETAG
    end = FIXED_SIZE + len(text)
    head = (
        _pack(MAGIC, flags, 0, end + 4, identity, crc, size, modified, order, expires, len(text))
        + text
    )
    tail = _crc(head).to_bytes(4, "little")
    return b"".join((head, tail, data)) if data else head + tail


def repack(record: Record, **changes: Any) -> bytes:
    """The record with some header fields or details changed."""
    values: dict[str, Any] = {
        "identity": record.id,
        "size": record.size,
        "crc": record.crc,
        "modified": record.modified,
        "order": record.order,
        "expires": record.expires,
        "details": record.details,
        "data": record.data if record.inline else None,
        "marker": record.marker,
    }
    return pack(**(values | changes))


def describe(
    key: str,
    attributes: Attributes,
    *,
    checksums: Mapping[str, str] = EMPTY,
    write_id: str | None = None,
    etag: str | None = None,
) -> dict[str, Any]:
    """Details of a new record."""
    details: dict[str, Any] = {}
    for header in Attributes.HEADERS:
        if (value := getattr(attributes, header)) is not None:
            details[header] = value
    if attributes.metadata:
        details["metadata"] = dict(attributes.metadata)
    if attributes.tags:
        details["tags"] = dict(attributes.tags)
    more = {name: digest for name, digest in checksums.items() if name != "crc32c"}
    if more:
        details["checksums"] = more
    if write_id is not None:
        details["write_id"] = write_id
    if etag is not None:
        details["etag"] = etag
    if needs_key(key):
        details["keys"] = [key]
    return details


VERSION_SIZE = 24
"""Characters of a version id."""

is_version = re.compile(rf"[0-9a-f]{{{VERSION_SIZE}}}", re.ASCII).fullmatch
"""Whether a text a caller gives can be a version id at all. It becomes part of a name on
disk, so nothing else may pass."""


def needs_key(key: str) -> bool:
    """Whether the name of the record, as current or old version, may not tell the key."""
    room = MAX_NAME - VERSION_SIZE - 1
    # A character takes at most twelve escaped, so a short key needs no escaping to tell.
    return len(key) * 12 > room and len(sort_key(key)) > room
