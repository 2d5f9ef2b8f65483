"""From answers of the Blob service to the contract's values. Pure.

Keys come as the service gives them: encoded in percent where XML can not carry them
(``Encoded="true"``), and as the names of `storage_azure.keys`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from html import unescape
from typing import NamedTuple
from urllib.parse import unquote
from xml.parsers import expat

from storage_azure.metadata import DEFAULT_TYPE, META, hex_of, read_metadata
from storage_azure.signing import DelegationKey
from storage_core.checksum import ALGORITHMS
from storage_core.errors import UnavailableError
from storage_core.http.dates import parse_http_date
from storage_core.http.fields import plain
from storage_core.http.xml import Element, parse_xml
from storage_core.model import EMPTY, BucketInfo, ObjectInfo

_META = len(META)


def object_info(key: str, headers: Mapping[str, str], versions: bool = False) -> ObjectInfo:
    """What the headers of an answer tell of an object.

    Args:
        key: The object's.
        headers: Of an answer to GET or HEAD, names in lower case.
        versions: Whether the profile keeps versions.

    Raises:
        UnavailableError: a header is missing or malformed.
    """
    headers = plain(headers)
    get = headers.get
    fields = {name[_META:]: text for name, text in headers.items() if name.startswith(META)}
    metadata, own = read_metadata(fields) if fields else (EMPTY, EMPTY)
    checksums = {name: own[name] for name in ALGORITHMS if name in own} if own else {}
    # An answer with a range tells the MD5 of the whole object in a header of its own.
    md5 = get("x-ms-blob-content-md5") or (
        "" if "content-range" in headers else get("content-md5", "")
    )
    if md5 and (digest := hex_of(md5)):
        checksums["md5"] = digest
    kind = get("content-type")
    try:
        if (spot := get("content-range")) is not None:
            size = int(spot.rpartition("/")[2])
        else:
            size = int(headers["content-length"])
        return ObjectInfo(
            key=key,
            size=size,
            etag=headers["etag"].strip('"'),
            modified=parse_http_date(headers["last-modified"]),
            content_type=None if kind == DEFAULT_TYPE and "type" not in own else kind or None,
            content_encoding=get("content-encoding") or None,
            content_disposition=get("content-disposition") or None,
            content_language=get("content-language") or None,
            cache_control=get("cache-control") or None,
            metadata=metadata or EMPTY,
            checksums=checksums or EMPTY,
            version=get("x-ms-version-id") if versions else None,
            write_id=own.get("write-id"),
        )
    except (KeyError, ValueError) as error:
        raise UnavailableError(f"the service's answer lacks or garbles {error}") from error


def whole_checksum(info: ObjectInfo) -> tuple[str, bytes] | None:
    """The digest a whole read is held against: the cheapest that is known."""
    for name in ("crc32c", "md5"):
        if (digest := info.checksums.get(name)) is not None:
            return name, bytes.fromhex(digest)
    return None


# --- listings -------------------------------------------------------------------------


class Blob(NamedTuple):
    """One blob of a listing. `name` is not decoded to a key yet."""

    name: str
    size: int
    etag: str
    modified: datetime
    md5: str = ""


class Listing(NamedTuple):
    """One page: blobs and prefixes in the order of the answer, and where it goes on."""

    blobs: list[Blob]
    prefixes: list[str]
    marker: str


_BLOB = re.compile(
    r"<Blob><Name>([^<]+)</Name>.*?<Last-Modified>([^<]+)</Last-Modified><Etag>([^<]+)</Etag>"
    r".*?<Content-Length>(\d+)</Content-Length>.*?<Content-MD5>([^<]*)</Content-MD5>.*?</Blob>",
    re.DOTALL,
)
_MARKER = re.compile(r"<NextMarker>([^<]*)</NextMarker>")


def parse_listing(data: bytes) -> Listing:
    """A page of List Blobs.

    Raises:
        UnavailableError: it is none.
    """
    return _scanned(data) or _parsed(data)


def _scanned(data: bytes) -> Listing | None:
    """The page by one expression, where each blob has the usual form; else None."""
    if b"<BlobPrefix>" in data:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    # A blob of another form takes the next one along, and the numbers differ.
    found = _BLOB.findall(text)
    marker = _MARKER.search(text)
    if len(found) != text.count("<Blob>") or (
        marker is None and "<NextMarker />" not in text and "<NextMarker/>" not in text
    ):
        return None
    blobs = []
    for name, modified, etag, size, md5 in found:
        if "&" in name:
            name = unescape(name)  # noqa: PLW2901
        blobs.append(Blob(name, int(size), etag.strip('"'), parse_http_date(modified), md5))
    return Listing(blobs, [], unescape(marker[1]) if marker is not None else "")


def _parsed(data: bytes) -> Listing:
    root = parse_encoded(data)
    blobs = [_blob(item) for item in _items(root, "Blob")]
    prefixes = [item.need("Name") for item in _items(root, "BlobPrefix")]
    return Listing(blobs, prefixes, root.get("NextMarker") or "")


def _items(root: Element, name: str) -> Iterator[Element]:
    holder = root.find("Blobs")
    return iter(()) if holder is None else holder.all(name)


def _blob(item: Element) -> Blob:
    properties = item.find("Properties")
    if properties is None:
        raise UnavailableError("the service's listing has a blob without properties")
    return Blob(
        item.need("Name"),
        int(properties.need("Content-Length")),
        properties.need("Etag").strip('"'),
        parse_http_date(properties.need("Last-Modified")),
        properties.get("Content-MD5") or "",
    )


def parse_encoded(data: bytes) -> Element:
    """As `parse_xml`, with elements that are marked ``Encoded="true"`` decoded: names with
    characters that XML does not have."""
    # Such names are so rare that the usual answer is not looked through for attributes.
    if b'Encoded="true"' not in data:
        return parse_xml(data)
    root = parse_xml(data)
    marks = iter(_marks(data))
    for element in _walk(root):
        if next(marks):
            element.text = unquote(element.text)
    return root


def _walk(root: Element) -> Iterator[Element]:
    yield root
    for child in root.children:
        yield from _walk(child)


def _marks(data: bytes) -> list[bool]:
    """For each element in the order of their start tags, whether it is encoded."""
    found: list[bool] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda _, attributes: found.append(
        attributes.get("Encoded") == "true"
    )
    parser.Parse(data, True)
    return found


class Version(NamedTuple):
    """One version of a blob in a listing."""

    blob: Blob
    version: str
    current: bool


def parse_versions(data: bytes) -> tuple[list[Version], str]:
    """A page of List Blobs with ``include=versions``."""
    root = parse_encoded(data)
    found = [
        Version(_blob(item), item.need("VersionId"), item.get("IsCurrentVersion") == "true")
        for item in _items(root, "Blob")
        if item.get("VersionId")
    ]
    return found, root.get("NextMarker") or ""


class Session(NamedTuple):
    """A hidden blob of a listing with ``include=metadata``."""

    blob: Blob
    fields: Mapping[str, str]


def parse_sessions(data: bytes) -> tuple[list[Session], str]:
    """A page of hidden blobs, with the library's own fields of their metadata."""
    root = parse_encoded(data)
    found = []
    for item in _items(root, "Blob"):
        holder = item.find("Metadata")
        fields = {} if holder is None else {each.name: each.text for each in holder.children}
        found.append(Session(_blob(item), read_metadata(fields)[1]))
    return found, root.get("NextMarker") or ""


def parse_buckets(data: bytes) -> tuple[list[BucketInfo], str]:
    """A page of List Containers. They tell when they were changed, not when created."""
    root = parse_xml(data)
    holder = root.find("Containers")
    found = (
        []
        if holder is None
        else [BucketInfo(item.need("Name")) for item in holder.all("Container")]
    )
    return found, root.get("NextMarker") or ""


def parse_blocks(data: bytes) -> dict[str, int]:
    """Id and size of all blocks of Get Block List, committed or not."""
    root = parse_xml(data)
    found: dict[str, int] = {}
    for kind in ("CommittedBlocks", "UncommittedBlocks"):
        if (holder := root.find(kind)) is not None:
            for block in holder.all("Block"):
                found[block.need("Name")] = int(block.need("Size"))
    return found


def parse_tags(data: bytes) -> dict[str, str]:
    """Tags of Get Blob Tags."""
    root = parse_xml(data)
    holder = root.find("TagSet")
    if holder is None:
        return {}
    return {item.need("Key"): item.get("Value") or "" for item in holder.all("Tag")}


def parse_delegation_key(data: bytes) -> DelegationKey:
    """Answer to Get User Delegation Key."""
    root = parse_xml(data)
    names = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService",
             "SignedVersion", "Value")  # fmt: skip
    return DelegationKey(*(root.need(name) for name in names))
