"""User metadata as Azure keeps it: names are C# identifiers, values are ASCII.

A ``-``, and a digit at the start, become ``_x2d_`` and the like; an underscore is escaped only
where it could be read as such a text. The library's own fields are ``storage_core_…``, which
no user's name is after encoding. Values are those of `storage_core.http.metadata`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from storage_core.http.metadata import RESERVED, WRITE_ID, encode_metadata, split_reserved
from storage_core.model import NO_ATTRIBUTES, Attributes, ObjectInfo

META: Final = "x-ms-meta-"
MAX_METADATA: Final = 7 * 1024
"""Bytes of names and values that user metadata may take. The service has 8 KiB, of which the
library's own fields need some."""
DEFAULT_TYPE: Final = "application/octet-stream"
"""What the service stores as the content type where none is given."""

_OWN = "storage_core_"
_TYPE = f"{RESERVED}type"
# A value that is not there would be refused; this is the encoded word of nothing.
_EMPTY = "=?UTF-8?B??="

_ESCAPE = re.compile(r"-|\A[0-9]|_(?=x(?:2d|5f|3[0-9])[_-])|(?<=\Astorage)_(?=core_)")
_UNESCAPE = re.compile(r"_x(2d|5f|3[0-9])_")

# Attribute, header of a request, header of an answer, element of a listing.
HEADERS: Final = (
    ("content_type", "x-ms-blob-content-type"),
    ("content_encoding", "x-ms-blob-content-encoding"),
    ("content_disposition", "x-ms-blob-content-disposition"),
    ("content_language", "x-ms-blob-content-language"),
    ("cache_control", "x-ms-blob-cache-control"),
)


@lru_cache(maxsize=1024)
def encode_name(name: str) -> str:
    """The identifier of a name; `RESERVED` ones are the library's own."""
    if name.startswith(RESERVED):
        return name.replace("-", "_")
    return _ESCAPE.sub(lambda found: f"_x{ord(found[0]):02x}_", name)


@lru_cache(maxsize=1024)
def decode_name(identifier: str) -> str:
    """The name of an identifier, of any case."""
    identifier = identifier.lower()
    if identifier.startswith(_OWN):
        return identifier.replace("_", "-")
    return _UNESCAPE.sub(lambda found: chr(int(found[1], 16)), identifier)


def attribute_headers(attributes: Attributes, own: Mapping[str, str]) -> dict[str, str]:
    """Headers that give an object its attributes, but for the tags.

    Args:
        attributes: What the writer chose.
        own: The library's fields, by their names in `storage_core.http.metadata`.

    Raises:
        InvalidMetadataError: too much once encoded, or a reserved name.
    """
    headers: dict[str, str] = {}
    if attributes is not NO_ATTRIBUTES:
        for name, header in HEADERS:
            if (value := getattr(attributes, name)) is not None:
                headers[header] = value
        headers.update(metadata_headers(attributes, own))
    else:
        for name, value in own.items():
            headers[META + encode_name(name)] = value
    return headers


def metadata_headers(attributes: Attributes, own: Mapping[str, str]) -> dict[str, str]:
    """Headers of the user's metadata and the library's own."""
    headers = {}
    if attributes.metadata:
        limited = {encode_name(name): text for name, text in attributes.metadata.items()}
        for name in attributes.metadata:
            encode_metadata({name: ""}, MAX_METADATA)  # refuses what is reserved
        for name, text in encode_metadata(limited, MAX_METADATA).items():
            headers[META + name] = text or _EMPTY
    for name, text in own.items():
        headers[META + encode_name(name)] = text
    if attributes.content_type == DEFAULT_TYPE:
        headers[META + encode_name(_TYPE)] = "1"
    return headers


def own_fields(digests: Mapping[str, str], write_id: str | None) -> dict[str, str]:
    """The library's own metadata: digests the service does not keep, and the write id."""
    fields = {RESERVED + name: digest for name, digest in digests.items() if name != "md5"}
    if write_id is not None:
        fields[WRITE_ID] = write_id
    return fields


def own_fields_of(info: ObjectInfo) -> dict[str, str]:
    """Those that belong to an object's bytes."""
    return own_fields(info.checksums, None)


def read_metadata(fields: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """User metadata and the library's own fields, of identifiers and what they hold."""
    return split_reserved({decode_name(name): text for name, text in fields.items()})


def hex_of(md5: str) -> str | None:
    """A digest in base64, as the service writes it, in hexadecimal; None if it is none."""
    try:
        return base64.b64decode(md5, validate=True).hex() if md5 else None
    except (binascii.Error, ValueError):
        return None


def base64_of(digest: str) -> str:
    """A hexadecimal digest in base64."""
    return base64.b64encode(bytes.fromhex(digest)).decode()
