"""From what core asks to parameters, headers and bodies of Google's APIs. Pure.

The JSON API carries all that writes or tells of objects, since its answers are exact and its
preconditions hold everywhere; the XML API carries reads of bytes, multipart uploads, bulk
deletes and links. Sources: the reference pages of both APIs in the Cloud Storage
documentation.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from storage_core.http.metadata import RESERVED, WRITE_ID, encode_metadata
from storage_core.http.xml import escape
from storage_core.model import NO_ATTRIBUTES, Attributes, ByteRange, Part
from storage_gcs.names import State, encode_text

MAX_METADATA: Final = 8 * 1024
"""Bytes of names and values of metadata that GCS takes (its quotas page)."""
RESERVED_METADATA: Final = 512
"""Of these, what the driver's own fields can take."""
EXPLICIT: Final = RESERVED + "explicit"
"""Names the headers that were really given the value the XML API shows where none was."""
PARKED: Final = RESERVED + "parked"
"""On an object that waits under its hidden key: nobody is publishing it."""
LONG_KEY: Final = RESERVED + "key"
"""On the record of a session: its key, whole."""

OBJECT_FIELDS: Final = (
    "name,size,generation,metageneration,updated,contentType,contentEncoding,"
    "contentDisposition,contentLanguage,cacheControl,metadata,md5Hash,crc32c"
)
WRITTEN_FIELDS: Final = "name,size,generation,metageneration,md5Hash,crc32c,metadata"
COPIED_FIELDS: Final = f"done,rewriteToken,resource({WRITTEN_FIELDS})"
LISTED_FIELDS: Final = (
    "nextPageToken,prefixes,items(name,size,generation,metageneration,updated,md5Hash,crc32c)"
)
VERSION_FIELDS: Final = (
    "nextPageToken,items(name,size,generation,metageneration,updated,timeDeleted)"
)
BUCKET_FIELDS: Final = "name,timeCreated"

DEFAULT_TYPE: Final = "application/octet-stream"
DEFAULT_CACHING: Final = frozenset({"private, max-age=0", "public, max-age=3600"})
"""What the XML API shows of objects without a cache control, private and public ones."""

_FIELDS = (
    ("content_type", "contentType", "content-type"),
    ("content_encoding", "contentEncoding", "content-encoding"),
    ("content_disposition", "contentDisposition", "content-disposition"),
    ("content_language", "contentLanguage", "content-language"),
    ("cache_control", "cacheControl", "cache-control"),
)
# XML 1.0 can not carry these at all, not even as references (section 2.2).
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def query(path: str, parameters: Iterable[tuple[str, str | None]]) -> str:
    """Path and query; parameters without a value are left out."""
    text = "&".join(
        [f"{name}={encode_text(value)}" for name, value in parameters if value is not None]
    )
    return f"{path}?{text}" if text else path


# --- objects' attributes --------------------------------------------------------------


def own_metadata(
    attributes: Attributes, digests: Mapping[str, str], write_id: str | None
) -> dict[str, str]:
    """The driver's own fields of an object: digests GCS does not keep, the write id, and which
    headers are more than a default."""
    own = {RESERVED + name: digest for name, digest in digests.items()}
    if write_id is not None:
        own[WRITE_ID] = write_id
    explicit = [
        name
        for name, default in (
            ("content_type", attributes.content_type == DEFAULT_TYPE),
            ("cache_control", attributes.cache_control in DEFAULT_CACHING),
        )
        if default
    ]
    if explicit:
        own[EXPLICIT] = " ".join(explicit)
    return own


def metadata_of(attributes: Attributes, own: Mapping[str, str]) -> dict[str, str]:
    """All metadata of an object, as stored: values as header fields carry them, since reads
    get them so.

    Raises:
        InvalidMetadataError: too much once encoded, or a reserved name.
    """
    if not attributes.metadata:
        return dict(own)
    return {**encode_metadata(attributes.metadata, MAX_METADATA - RESERVED_METADATA), **own}


def resource(
    attributes: Attributes,
    own: Mapping[str, str],
    storage_class: str | None = None,
) -> dict[str, Any]:
    """An object resource of the JSON API with these attributes and no others.

    It always names a type: GCS wants one in what replaces the metadata of a copy, and serves
    objects without one as this very type.
    """
    found: dict[str, Any] = {"contentType": DEFAULT_TYPE}
    if attributes is not NO_ATTRIBUTES:
        for name, field, _ in _FIELDS:
            if (value := getattr(attributes, name)) is not None:
                found[field] = value
    if metadata := metadata_of(attributes, own):
        found["metadata"] = metadata
    if storage_class is not None:
        found["storageClass"] = storage_class
    return found


def patch(attributes: Attributes, old: Mapping[str, str], own: Mapping[str, str]) -> bytes:
    """Body of a PATCH that leaves an object with these attributes.

    Args:
        attributes: The new ones.
        old: Its metadata as stored; what is not renewed has to be taken away by name.
        own: The driver's fields it is to have.
    """
    metadata: dict[str, str | None] = dict.fromkeys(old)
    metadata.update(metadata_of(attributes, own))
    fields: dict[str, Any] = {field: getattr(attributes, name) for name, field, _ in _FIELDS}
    fields["contentType"] = attributes.content_type or DEFAULT_TYPE
    return dumps({**fields, "metadata": metadata})


def attribute_headers(attributes: Attributes, own: Mapping[str, str]) -> dict[str, str]:
    """Headers of the XML API that give an object its attributes."""
    headers = {
        header: value
        for name, _, header in _FIELDS
        if (value := getattr(attributes, name)) is not None
    }
    for name, value in metadata_of(attributes, own).items():
        headers[f"x-goog-meta-{name}"] = value
    return headers


def dumps(value: object) -> bytes:
    """JSON in ASCII."""
    return json.dumps(value, separators=(",", ":")).encode()


def digest_value(digest: str) -> str:
    """A hexadecimal digest as both APIs have it."""
    return b64encode(bytes.fromhex(digest)).decode()


def hash_header(digests: Mapping[str, str]) -> str:
    """Value of ``x-goog-hash``."""
    return ",".join(
        f"{name}={digest_value(digests[name])}" for name in ("crc32c", "md5") if name in digests
    )


# --- reads ----------------------------------------------------------------------------


def range_header(wanted: ByteRange) -> str:
    """Value of ``Range``, whose stop is inclusive."""
    start, stop = wanted
    if start < 0:
        return f"bytes={start}"
    return f"bytes={start}-" if stop is None else f"bytes={start}-{stop - 1}"


def state_headers(state: State) -> dict[str, str]:
    """The condition, in the XML API, that an object is in a state."""
    return {
        "x-goog-if-generation-match": state.generation,
        "x-goog-if-metageneration-match": state.metageneration,
    }


# --- XML bodies -----------------------------------------------------------------------


def in_xml(text: str) -> bool:
    """Whether XML can carry the text."""
    return _NOT_XML.search(text) is None


def delete_body(items: Sequence[tuple[str, str | None]]) -> bytes:
    """Body of a bulk delete that is answered by its failures alone."""
    objects = "".join(
        f"<Object><Key>{escape(key)}</Key>"
        + (f"<VersionId>{version}</VersionId>" if version is not None else "")
        + "</Object>"
        for key, version in items
    )
    return f"{_XML}<Delete><Quiet>true</Quiet>{objects}</Delete>".encode()


def complete_body(parts: Sequence[Part]) -> bytes:
    """Body that completes a multipart upload."""
    named = "".join(
        f'<Part><PartNumber>{part.number}</PartNumber><ETag>"{escape(part.etag)}"</ETag></Part>'
        for part in parts
    )
    return f"{_XML}<CompleteMultipartUpload>{named}</CompleteMultipartUpload>".encode()


_XML = '<?xml version="1.0" encoding="UTF-8"?>'
