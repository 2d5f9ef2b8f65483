"""From what core asks to headers, queries and bodies of S3's API. Pure: nothing is sent.

Header names are in lower case, as the signer wants them. Sources: the operations' pages of the
Amazon S3 API reference.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from storage_core.errors import UploadNotFoundError, VersionNotFoundError
from storage_core.http.dates import format_http_date
from storage_core.http.metadata import RESERVED, WRITE_ID, encode_metadata, encode_value
from storage_core.http.xml import escape
from storage_core.model import NO_ATTRIBUTES, Attributes, ByteRange, Conditions, Part
from storage_s3.signing import canonical_query, encode_key, encode_text

META: Final = "x-amz-meta-"
FIELD: Final = "field-"
"""Reserved fields that begin so hold a name and its value."""
_LONG_NAME: Final = 64
_LONG_ID: Final = 1024
CHECKSUM: Final = "x-amz-checksum-"

MAX_METADATA: Final = 2048
"""Bytes of names and values of user metadata that S3 takes."""
RESERVED_METADATA: Final = 256
"""Of these, what the write id and the digests of all algorithms can take."""

_HEADERS = tuple((name, name.replace("_", "-")) for name in Attributes.HEADERS)
# XML 1.0 can not carry these at all, not even as references (section 2.2).
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# --- headers --------------------------------------------------------------------------


def attribute_headers(
    attributes: Attributes, reserved: Mapping[str, str], plain_names: bool = True
) -> dict[str, str]:
    """Headers that give an object its attributes.

    Args:
        attributes: All but the tags, see `tagging`.
        reserved: The library's own fields, by their names in `storage_core.http.metadata`.
        plain_names: Whether the service takes all names. Else one with an underscore, or a
            long one, goes before its value in a field of ours.

    Raises:
        InvalidMetadataError: too much once encoded, or a reserved name.
    """
    headers: dict[str, str] = {}
    if attributes is not NO_ATTRIBUTES:
        for name, header in _HEADERS:
            if (value := getattr(attributes, name)) is not None:
                headers[header] = value
        if attributes.metadata:
            limit = MAX_METADATA - RESERVED_METADATA
            for name, value in encode_metadata(attributes.metadata, limit).items():
                if plain_names or ("_" not in name and len(name) <= _LONG_NAME):
                    headers[META + name] = value
                else:
                    field = f"{META}{RESERVED}{FIELD}{len(headers)}"
                    headers[field] = encode_value(f"{name}={attributes.metadata[name]}")
    headers.update((META + name, value) for name, value in reserved.items())
    return headers


def reserved_fields(digests: Mapping[str, str], write_id: str | None) -> dict[str, str]:
    """The library's own metadata: digests that the service does not keep, and the write id."""
    fields = {RESERVED + name: digest for name, digest in digests.items()}
    if write_id is not None:
        fields[WRITE_ID] = write_id
    return fields


def tagging(tags: Mapping[str, str]) -> str:
    """Value of ``x-amz-tagging``."""
    return "&".join([f"{encode_text(name)}={encode_text(tags[name])}" for name in tags])


def checksum_value(digest: str) -> str:
    """A hexadecimal digest as S3's checksum headers have it."""
    return b2a_base64(bytes.fromhex(digest), newline=False).decode()


def condition_headers(conditions: Conditions, quoted: bool, prefix: str = "") -> dict[str, str]:
    """Conditions as headers.

    Args:
        conditions: See there.
        quoted: Whether etags go in quotes, as RFC 9110 section 8.8.3 wants.
        prefix: ``x-amz-copy-source-`` for those on the source of a copy.
    """
    headers: dict[str, str] = {}
    if conditions.if_match is not None:
        headers[f"{prefix}if-match"] = entity_tag(conditions.if_match, quoted)
    if (other := conditions.if_none_match) is not None:
        headers[f"{prefix}if-none-match"] = other if other == "*" else entity_tag(other, quoted)
    if conditions.if_modified_since is not None:
        headers[f"{prefix}if-modified-since"] = format_http_date(conditions.if_modified_since)
    if conditions.if_unmodified_since is not None:
        headers[f"{prefix}if-unmodified-since"] = format_http_date(conditions.if_unmodified_since)
    return headers


def entity_tag(etag: str, quoted: bool) -> str:
    """An etag as a condition has it."""
    return f'"{etag}"' if quoted else etag


def range_header(wanted: ByteRange) -> str:
    """Value of ``Range``; the stop of S3's is inclusive."""
    start, stop = wanted
    if start < 0:
        return f"bytes={start}"
    return f"bytes={start}-" if stop is None else f"bytes={start}-{stop - 1}"


def copy_source(bucket: str, key: str, version: str | None) -> str:
    """Value of ``x-amz-copy-source``, encoded like a path."""
    source = f"/{encode_text(bucket)}/{encode_key(key)}"
    return source if version is None else f"{source}?versionId={encode_text(version)}"


# --- queries --------------------------------------------------------------------------


def version_query(version: str | None, sub_resource: str = "") -> str:
    """Query of a request about an object, one of its versions, or a part of it (``tagging``).

    Raises:
        VersionNotFoundError: no service gives out such an id.
    """
    query = f"{sub_resource}=" if sub_resource else ""
    if version is None:
        return query
    if len(version) > _LONG_ID:
        raise VersionNotFoundError("the object has no such version: no id is that long")
    named = f"versionId={encode_text(version)}"
    return f"{query}&{named}" if query else named


def list_query(
    *,
    limit: tuple[str, int],
    prefix: str,
    names: Iterable[tuple[str, str]],
    sub_resource: str = "",
    encoded: bool = True,
) -> str:
    """Query of a listing.

    Args:
        limit: Name and number of the items of a page at most.
        prefix: Left out when empty, as are all values of `names`.
        names: Further parameters.
        sub_resource: Such as ``versions``.
        encoded: Whether keys are to come percent-encoded: XML does not carry them all.
    """
    pairs = [(name, value) for name, value in (("prefix", prefix), *names) if value]
    if encoded:
        pairs.append(("encoding-type", "url"))
    if sub_resource:
        pairs.append((sub_resource, ""))
    return canonical_query((*pairs, (limit[0], str(limit[1]))))


def part_query(upload_id: str, number: int) -> str:
    """Query of a request about one part."""
    return f"partNumber={number}&{upload_query(upload_id)}"


def upload_query(upload_id: str) -> str:
    """Query of a request about a session.

    Raises:
        UploadNotFoundError: no service gives out such an id.
    """
    if len(upload_id) > _LONG_ID:
        raise UploadNotFoundError("the upload does not exist: no id is that long")
    return f"uploadId={encode_text(upload_id)}"


# --- bodies ---------------------------------------------------------------------------

_XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def location_body(region: str) -> bytes:
    """Of CreateBucket, in any region but the first."""
    return (
        f"<CreateBucketConfiguration {_XMLNS}>"
        f"<LocationConstraint>{escape(region)}</LocationConstraint>"
        "</CreateBucketConfiguration>"
    ).encode()


VERSIONING_BODY: Final = (
    f"<VersioningConfiguration {_XMLNS}><Status>Enabled</Status></VersioningConfiguration>"
).encode()
"""Of PutBucketVersioning."""


def fits_xml(text: str) -> bool:
    """Whether XML can carry a key, or several put together."""
    return (text.isascii() and text.isprintable()) or _NOT_XML.search(text) is None


def delete_body(items: Sequence[tuple[str, str | None]], quiet: bool) -> bytes:
    """Of DeleteObjects. With ``quiet`` the answer tells of failures alone."""
    return _delete("".join([_object(key, version) for key, version in items]), quiet)


def delete_keys_body(keys: Sequence[str], quiet: bool) -> bytes:
    """As `delete_body`, for keys without versions."""
    # NUL is in no key that XML can carry, so all can be escaped in one go.
    named = escape("\0".join(keys)).replace("\0", "</Key></Object><Object><Key>")
    return _delete(f"<Object><Key>{named}</Key></Object>", quiet)


def _delete(objects: str, quiet: bool) -> bytes:
    mode = "<Quiet>true</Quiet>" if quiet else ""
    return f"<Delete {_XMLNS}>{mode}{objects}</Delete>".encode()


def _object(key: str, version: str | None) -> str:
    named = "" if version is None else f"<VersionId>{escape(version)}</VersionId>"
    return f"<Object><Key>{escape(key)}</Key>{named}</Object>"


def complete_body(parts: Iterable[Part], told: bool) -> bytes:
    """Of CompleteMultipartUpload; ``told`` names the parts' checksums too."""
    pieces = [f"<CompleteMultipartUpload {_XMLNS}>"]
    for part in parts:
        digest = part.checksums.get("crc32c") if told else None
        checksum = f"<ChecksumCRC32C>{checksum_value(digest)}</ChecksumCRC32C>" if digest else ""
        pieces.append(
            f"<Part><PartNumber>{part.number}</PartNumber>"
            f'<ETag>"{escape(part.etag)}"</ETag>{checksum}</Part>'
        )
    pieces.append("</CompleteMultipartUpload>")
    return "".join(pieces).encode()


def tagging_body(tags: Mapping[str, str]) -> bytes:
    """Of PutObjectTagging."""
    pairs = "".join(
        f"<Tag><Key>{escape(name)}</Key><Value>{escape(value)}</Value></Tag>"
        for name, value in tags.items()
    )
    return f"<Tagging {_XMLNS}><TagSet>{pairs}</TagSet></Tagging>".encode()
