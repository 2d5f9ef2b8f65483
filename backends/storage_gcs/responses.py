"""From Google's answers to the model. Pure: bytes and headers come in, nothing is read."""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

from storage_core.checksum import ALGORITHMS
from storage_core.errors import UnavailableError
from storage_core.http.dates import parse_http_date, parse_iso_date
from storage_core.http.metadata import split_reserved
from storage_core.http.xml import Element, parse_xml
from storage_core.model import (
    EMPTY,
    BucketInfo,
    ObjectInfo,
    ObjectSummary,
    Part,
    Prefix,
    PutResult,
)
from storage_gcs.names import HIDDEN, State
from storage_gcs.requests import DEFAULT_CACHING, DEFAULT_TYPE

META: Final = "x-goog-meta-"


def parse_json(data: bytes) -> dict[str, Any]:
    """An object of JSON.

    Raises:
        UnavailableError: it is none, so the answer is not what was asked for.
    """
    try:
        found = json.loads(data)
    except ValueError as error:
        raise UnavailableError(f"the service's answer is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise UnavailableError("the service's answer is not what was asked for")
    return found


def state_in(resource: Mapping[str, Any]) -> State:
    """Generation and metageneration; emulators leave the second out until it counts."""
    return State(_need(resource, "generation"), resource.get("metageneration") or "1")


def _need(resource: Mapping[str, Any], name: str) -> str:
    found = resource.get(name)
    if found is None:
        raise UnavailableError(f"the service's answer has no {name}")
    return str(found)


def moment(text: str) -> datetime:
    """A time of the JSON API, in whole seconds as the XML API tells them."""
    return parse_iso_date(f"{text[:19]}Z")


# --- objects --------------------------------------------------------------------------


def object_info(resource: Mapping[str, Any], versions: bool) -> ObjectInfo:
    """What an object resource of the JSON API tells."""
    state = state_in(resource)
    metadata, checksums, write_id, explicit = _fields(resource.get("metadata") or EMPTY)
    _take_hashes(checksums, resource)
    kind = resource.get("contentType") or None
    return ObjectInfo(
        resource["name"],
        int(resource["size"]),
        state.etag,
        moment(resource["updated"]),
        None if kind == DEFAULT_TYPE and "content_type" not in explicit else kind,
        resource.get("contentEncoding") or None,
        resource.get("contentDisposition") or None,
        resource.get("contentLanguage") or None,
        resource.get("cacheControl") or None,
        metadata or EMPTY,
        checksums or EMPTY,
        state.generation if versions else None,
        None,
        write_id,
    )


def read_info(key: str, headers: Mapping[str, str], size: int, versions: bool) -> ObjectInfo:
    """What the headers of a read by the XML API tell of the object.

    Args:
        key: Of the object.
        headers: Names in lower case.
        size: Of the object, which a ranged answer does not announce as its length.
        versions: Whether the profile keeps versions.
    """
    try:
        state = State(headers["x-goog-generation"], headers.get("x-goog-metageneration") or "1")
        modified = parse_http_date(headers["last-modified"])
    except (KeyError, ValueError) as error:
        raise UnavailableError(f"the service's answer lacks or garbles {error}") from None
    stored = {name[len(META) :]: headers[name] for name in headers if name.startswith(META)}
    metadata: Mapping[str, str] = EMPTY
    checksums: dict[str, str] = {}
    write_id, explicit = None, ""
    if stored:
        metadata, checksums, write_id, explicit = _fields(
            {name: _as_unicode(value) for name, value in stored.items()}
        )
    checksums.update(hashes(headers))
    kind = headers.get("content-type") or None
    encoding = headers.get("x-goog-stored-content-encoding") or headers.get("content-encoding")
    caching = headers.get("cache-control") or None
    return ObjectInfo(
        key,
        size,
        state.etag,
        modified,
        None if kind == DEFAULT_TYPE and "content_type" not in explicit else kind,
        None if encoding in {None, "", "identity"} else encoding,
        headers.get("content-disposition") or None,
        headers.get("content-language") or None,
        None if caching in DEFAULT_CACHING and "cache_control" not in explicit else caching,
        metadata or EMPTY,
        checksums or EMPTY,
        state.generation if versions else None,
        None,
        write_id,
    )


def _fields(
    stored: Mapping[str, str],
) -> tuple[Mapping[str, str], dict[str, str], str | None, str]:
    """User metadata, digests, write id, and which headers were really given."""
    if not stored:
        return EMPTY, {}, None, ""
    metadata, own = split_reserved({name.lower(): value for name, value in stored.items()})
    checksums = {
        name: digest
        for name, digest in own.items()
        if name in ALGORITHMS and len(digest) == 2 * ALGORITHMS[name][1]
    }
    return metadata, checksums, own.get("write-id"), own.get("explicit", "")


def _as_unicode(value: str) -> str:
    """Metadata of other writers goes out as UTF-8; headers are read as Latin-1."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def hashes(headers: Mapping[str, str]) -> dict[str, str]:
    """Digests of ``x-goog-hash``, in hexadecimal."""
    found: dict[str, str] = {}
    text = headers.get("x-goog-hash")
    if text:
        for item in text.split(","):
            name, _, value = item.strip().partition("=")
            if name in {"crc32c", "md5"}:
                found[name] = _hexadecimal(value)
    return found


def _take_hashes(checksums: dict[str, str], resource: Mapping[str, Any]) -> None:
    if value := resource.get("crc32c"):
        checksums["crc32c"] = _hexadecimal(value)
    if value := resource.get("md5Hash"):
        checksums["md5"] = _hexadecimal(value)


def _hexadecimal(value: str) -> str:
    try:
        return a2b_base64(value).hex()
    except ValueError:
        raise UnavailableError("the service's answer has a malformed digest") from None


def put_result(resource: Mapping[str, Any], versions: bool) -> PutResult:
    """What an object resource tells of a write."""
    state = state_in(resource)
    _, checksums, _, _ = _fields(resource.get("metadata") or EMPTY)
    _take_hashes(checksums, resource)
    return PutResult(
        resource["name"],
        state.etag,
        int(resource["size"]),
        state.generation if versions else None,
        checksums or EMPTY,
    )


# --- listings -------------------------------------------------------------------------


def listed(page: Mapping[str, Any]) -> list[ObjectSummary | Prefix]:
    """Objects and groups of a page, in their order; the driver's own left out."""
    found: list[ObjectSummary | Prefix] = []
    for item in page.get("items", ()):
        name = item["name"]
        if name.startswith(HIDDEN):
            continue
        checksums: dict[str, str] = {}
        _take_hashes(checksums, item)
        found.append(
            ObjectSummary(
                name,
                int(item["size"]),
                state_in(item).etag,
                moment(item["updated"]),
                checksums,
            )
        )
    groups = page.get("prefixes")
    if groups:
        found.extend(Prefix(group) for group in groups if group != HIDDEN)
        found.sort(key=lambda item: item.key)  # by code point, which is UTF-8's order
    return found


def bucket_info(resource: Mapping[str, Any]) -> BucketInfo:
    """What a bucket resource tells."""
    created = resource.get("timeCreated")
    return BucketInfo(resource["name"], None if created is None else moment(created))


# --- multipart ------------------------------------------------------------------------


def result_root(data: bytes, name: str) -> Element:
    """The root of an XML answer.

    Raises:
        UnavailableError: it is another answer.
    """
    root = parse_xml(data)
    if root.name not in {name, "Error"}:
        raise UnavailableError(f"the service answered <{root.name}> where <{name}> was due")
    return root


def parts(root: Element) -> list[Part]:
    """Parts of a session, ascending."""
    return [
        Part(int(item.need("PartNumber")), item.need("ETag").strip('"'), int(item.need("Size")))
        for item in root.all("Part")
    ]


def decoded(element: Element, name: str, encoded: bool) -> str:
    """Text of a child that may be percent-encoded (``encoding-type=url``)."""
    text = element.need(name)
    return unquote(text, errors="strict") if encoded else text


def is_true(text: str | None) -> bool:
    """Whether a boolean element says so."""
    return text == "true"
