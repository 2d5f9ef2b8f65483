"""From S3's answers to the model. Pure: bytes and headers come in, nothing is read."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

from storage_core.checksum import ALGORITHMS
from storage_core.errors import UnavailableError
from storage_core.http.dates import parse_http_date, parse_iso_date
from storage_core.http.fields import Pick, plain
from storage_core.http.metadata import decode_value, split_reserved
from storage_core.http.xml import Element, parse_xml
from storage_core.model import (
    EMPTY,
    BucketInfo,
    ObjectInfo,
    Page,
    Part,
    UploadInfo,
    VersionSummary,
)
from storage_s3.columns import begun_info
from storage_s3.requests import CHECKSUM, FIELD, META

DEFAULT_TYPE: Final = "binary/octet-stream"
"""The content type S3 gives to objects that were written without one."""

_TOLD = ("crc32c", "sha256", "sha1", "crc32")
"""Checksums that the service tells."""
_first = Pick("content-length", "last-modified", "etag")
_more = Pick(
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "x-amz-version-id",
    META + "*",
    *[CHECKSUM + name for name in _TOLD],
)
_HEX = re.compile(r"[0-9a-f]+").fullmatch
_VERIFIED = ("crc32c", "sha256", "sha1", "md5")


# --- headers --------------------------------------------------------------------------


def object_info(
    key: str, headers: Mapping[str, str], size: int | None, versions: bool
) -> ObjectInfo:
    """What the headers of an answer tell of an object.

    Args:
        key: Of the object.
        headers: Names in lower case.
        size: Of the object, which a ranged answer does not announce as its length; None where
            the answer does, as that to HEAD.
        versions: Whether the profile keeps versions.

    Raises:
        UnavailableError: they do not tell its size, or when it was written.
    """
    length, date, etag = _first(headers)
    if size is None:
        if length is None or not length.isdecimal():
            raise UnavailableError("the service's answer does not tell the object's size")
        size = int(length)
    try:
        modified = parse_http_date(date or "")
    except ValueError:
        raise UnavailableError("the service's answer does not tell the object's date") from None
    etag = "" if etag is None else etag.strip('"')
    return begun_info(key, size, etag, modified, partial(_others, headers, versions))


def _others(headers: Mapping[str, str], versions: bool) -> Mapping[str, Any]:
    """The fields of `ObjectInfo` after the first four."""
    kind, encoding, disposition, language, cache_control, version, own, *told = _more(headers)
    metadata: Mapping[str, str] = EMPTY
    checksums: Mapping[str, str] = EMPTY
    write_id = None
    if own is not None:  # most have none
        metadata, checksums, write_id = _own_fields(plain(headers))
    return {
        "content_type": None if kind == DEFAULT_TYPE else kind or None,
        "content_encoding": without_chunks(encoding) if encoding else None,
        "content_disposition": disposition,
        "content_language": language,
        "cache_control": cache_control,
        "metadata": metadata,
        "checksums": _with_told(checksums, told),
        "version": version if versions else None,
        "expires_at": None,
        "write_id": write_id,
    }


def _own_fields(
    headers: Mapping[str, str],
) -> tuple[Mapping[str, str], Mapping[str, str], str | None]:
    """User metadata, and the digests and the write id that the library stored beside it."""
    fields = {name[len(META) :]: headers[name] for name in headers if name.startswith(META)}
    user, own = split_reserved(fields)
    checksums = {
        name: digest
        for name, digest in own.items()
        if name in ALGORITHMS and _HEX(digest) and len(digest) == 2 * ALGORITHMS[name][1]
    }
    return _completed(user, own) or EMPTY, checksums or EMPTY, own.get("write-id")


def _with_told(stored: Mapping[str, str], told: Iterable[str | None]) -> Mapping[str, str]:
    """Digests, those that the service itself tells before stored ones."""
    checksums = dict(stored)
    for name, text in zip(_TOLD, told, strict=True):
        if text is not None and (found := digest_of(text)) is not None:
            checksums[name] = found
    return checksums or EMPTY


def _completed(user: dict[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """User metadata with what had to be written as name and value."""
    for field, text in own.items():
        if field.startswith(FIELD):
            name, equals, value = decode_value(text).partition("=")
            if equals:
                user[name] = value
    return user


def digest_of(text: str) -> str | None:
    """The hexadecimal digest of a checksum header, None if it is no digest of the whole object:
    those made of parts' digests end in ``-N``."""
    if "-" in text:
        return None
    try:
        return binascii.a2b_base64(text, strict_mode=True).hex()
    except ValueError:  # binascii.Error is one
        return None


def without_chunks(encoding: str) -> str | None:
    """A content encoding without S3's own framing, which some services store."""
    if "aws-chunked" not in encoding:
        return encoding
    kept = [name for name in encoding.split(",") if name.strip() != "aws-chunked"]
    return ",".join(kept).strip() or None


def verified(info: ObjectInfo) -> tuple[str, bytes] | None:
    """The digest by which a whole read is verified."""
    checksums = info.checksums
    if checksums:
        for name in _VERIFIED:
            if name in checksums:
                return name, bytes.fromhex(checksums[name])
    return None


def content_range(text: str | None) -> tuple[int, int, int]:
    """Start, stop and the object's size out of ``bytes 0-9/100``.

    Raises:
        UnavailableError: it is none, so the answer is not what was asked for.
    """
    try:
        unit, _, rest = (text or "").partition(" ")
        place, _, size = rest.partition("/")
        start, _, last = place.partition("-")
        if unit != "bytes":
            raise ValueError
        return int(start), int(last) + 1, int(size)
    except ValueError:
        raise UnavailableError(f"the service's answer has the range {text!r}") from None


# --- XML ------------------------------------------------------------------------------


class Copied(NamedTuple):
    """What a copy answers."""

    etag: str
    checksums: Mapping[str, str]


def parse_copied(root: Element) -> Copied:
    """Of CopyObjectResult, CopyPartResult and CompleteMultipartUploadResult."""
    return Copied(root.need("ETag").strip('"'), element_checksums(root))


def element_checksums(element: Element) -> Mapping[str, str]:
    """Digests of whole objects or parts in an element."""
    found = {}
    for name in _TOLD:
        text = element.get(f"Checksum{name.upper()}")
        if text and (digest := digest_of(text)) is not None:
            found[name] = digest
    return found or EMPTY


def parse_buckets(data: bytes) -> tuple[list[BucketInfo], str | None]:
    """Of ListBuckets: the buckets and the service's own token."""
    root = parse_xml(data)
    buckets = root.find("Buckets")
    found = []
    for element in buckets.all("Bucket") if buckets else ():
        created = element.get("CreationDate")
        found.append(BucketInfo(element.need("Name"), parse_iso_date(created) if created else None))
    return found, root.get("ContinuationToken") or None


def parse_upload_id(data: bytes) -> str:
    """Of CreateMultipartUpload."""
    return parse_xml(data).need("UploadId")


def parse_parts(data: bytes) -> Page[Part]:
    """Of ListParts."""
    root = parse_xml(data)
    parts = [
        Part(
            int(element.need("PartNumber")),
            element.need("ETag").strip('"'),
            int(element.need("Size")),
            element_checksums(element),
        )
        for element in root.all("Part")
    ]
    token = root.get("NextPartNumberMarker") if truncated(root) else None
    if token is None and truncated(root) and parts:
        token = str(parts[-1].number)
    return Page(parts, token)


def truncated(root: Element) -> bool:
    """Whether a listing goes on."""
    return (root.get("IsTruncated") or "").strip() == "true"


def text_decoder(root: Element) -> bool:
    """Whether the keys of a listing come percent-encoded."""
    return root.get("EncodingType") == "url"


def decoded(text: str, encoded: bool) -> str:
    """A key as a listing has it. S3 writes a space as ``+``, others as ``%20``."""
    return unquote_plus(text) if encoded else text


def parse_uploads(data: bytes) -> tuple[list[UploadInfo], tuple[str, str] | None]:
    """Of ListMultipartUploads: the sessions, and the markers of key and id to go on from."""
    root = parse_xml(data)
    encoded = text_decoder(root)
    uploads = []
    for element in root.all("Upload"):
        begun = element.get("Initiated")
        uploads.append(
            UploadInfo(
                element.need("UploadId"),
                decoded(element.need("Key"), encoded),
                parse_iso_date(begun) if begun else None,
            )
        )
    uploads.sort(key=lambda info: info.key)  # those of one key stay in their order
    if not truncated(root):
        return uploads, None
    key, upload_id = root.get("NextKeyMarker"), root.get("NextUploadIdMarker")
    if key:
        return uploads, (decoded(key, encoded), upload_id or "")
    return uploads, (uploads[-1].key, uploads[-1].id) if uploads else None


def parse_versions(data: bytes) -> tuple[list[VersionSummary], tuple[str, str] | None]:
    """Of ListObjectVersions: versions and markers, and where to go on from."""
    root = parse_xml(data)
    encoded = text_decoder(root)
    found = [
        _version(element, encoded)
        for element in root.children
        if element.name in {"Version", "DeleteMarker"}
    ]
    places = [(item.key, not item.is_latest) for item in found]
    if places != sorted(places):
        # Some services put markers behind versions. Sorting is stable.
        found.sort(key=lambda item: item.modified, reverse=True)
        found.sort(key=lambda item: (item.key, not item.is_latest))
    if not truncated(root):
        return found, None
    key, version = root.get("NextKeyMarker"), root.get("NextVersionIdMarker")
    if key:
        return found, (decoded(key, encoded), version or "")
    return found, (found[-1].key, found[-1].version) if found else None


def _version(element: Element, encoded: bool) -> VersionSummary:
    marker = element.name == "DeleteMarker"
    etag = element.get("ETag")
    return VersionSummary(
        decoded(element.need("Key"), encoded),
        element.get("VersionId") or "null",
        (element.get("IsLatest") or "").strip() == "true",
        marker,
        parse_iso_date(element.need("LastModified")),
        0 if marker else int(element.need("Size")),
        etag.strip('"') if etag and not marker else None,
    )


def parse_tags(data: bytes) -> dict[str, str]:
    """Of GetObjectTagging; some services have nothing to say where there are none."""
    if not data.strip():
        return {}
    tags = parse_xml(data).find("TagSet")
    if tags is None:
        return {}
    return {tag.need("Key"): tag.get("Value") or "" for tag in tags.all("Tag")}


class Deleted(NamedTuple):
    """One key's fate in the answer of DeleteObjects; `code` is empty where it is gone."""

    key: str
    version: str | None
    code: str = ""
    message: str = ""
    marker: str | None = None


def parse_deleted(data: bytes) -> list[Deleted]:
    """Of DeleteObjects: what it tells, which with ``Quiet`` are the failures alone."""
    found = []
    for element in parse_xml(data).children:
        if element.name == "Error":
            code, message = element.get("Code") or "InternalError", element.get("Message") or ""
            version = element.get("VersionId") or None
            found.append(Deleted(element.get("Key") or "", version, code, message))
        elif element.name == "Deleted":
            marker = None
            if (element.get("DeleteMarker") or "").strip() == "true":
                marker = element.get("DeleteMarkerVersionId")
            found.append(
                Deleted(element.need("Key"), element.get("VersionId") or None, marker=marker)
            )
    return found


def by_item(
    data: bytes, items: Sequence[tuple[str, str | None]]
) -> dict[tuple[str, str | None], Deleted]:
    """What an answer of DeleteObjects tells of each item. A failure may name its version in another way than the
    request did, and then counts for all versions of the key: none is taken for a success.

    Raises:
        UnavailableError: a failure is of a key that was not asked for.
    """
    found = {(each.key, each.version): each for each in parse_deleted(data)}
    for each in [found.pop(place) for place in found.keys() - set(items)]:
        same = [item for item in items if item[0] == each.key]
        if each.code and not same:
            raise UnavailableError(
                f"the service could not delete {each.key!r} ({each.code}), which it was not asked"
            )
        for item in same:
            found.setdefault(item, each)
    return found
