"""User metadata in header fields, which carry ASCII alone.

A value that headers can not carry becomes an encoded word of RFC 2047 (UTF-8, base64), the
form that S3 itself uses in its answers. What looks like one already is encoded too, so that
every value comes back as it was. Names that begin with `RESERVED` are the library's own.
"""

from __future__ import annotations

import base64
import quopri
import re
from collections.abc import Mapping

from storage_core.errors import InvalidMetadataError

RESERVED = "storage-core-"
WRITE_ID = "storage-core-write-id"

_PLAIN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_WORD = re.compile(r"=\?([A-Za-z0-9_-]+)\?([BbQq])\?([!->@-~]*)\?=")
_BETWEEN = re.compile(rf"(?P<before>{_WORD.pattern})[ \t]+(?={_WORD.pattern})")


def encode_value(value: str) -> str:
    """The value as a header field carries it."""
    if not value or (_PLAIN.fullmatch(value) and "=?" not in value):
        return value
    return f"=?UTF-8?B?{base64.b64encode(value.encode()).decode()}?="


def decode_value(text: str) -> str:
    """The value a header field carries; encoded words of other writers are read too."""
    if "=?" not in text:
        return text
    # White space between two encoded words is no part of the value (RFC 2047 section 6.2).
    return _WORD.sub(_decoded, _BETWEEN.sub(r"\g<before>", text))


def _decoded(word: re.Match[str]) -> str:
    charset, encoding, content = word.groups()
    try:
        if encoding in "Bb":
            raw = base64.b64decode(content, validate=True)
        else:
            raw = quopri.decodestring(content.replace("_", " ").encode())
        value = raw.decode(charset)
        value.encode()  # some of Python's codecs yield lone surrogates
        return value
    except (LookupError, ValueError):  # ValueError: all that codecs and base64 raise
        return word.group()


def encode_metadata(metadata: Mapping[str, str], limit: int) -> dict[str, str]:
    """Names and encoded values of user metadata.

    Args:
        metadata: Names in lower case and values.
        limit: Bytes that names and encoded values may have together.

    Raises:
        InvalidMetadataError: a name is reserved, or it is too much once encoded.
    """
    encoded = {}
    total = 0
    for name, value in metadata.items():
        if name.startswith(RESERVED):
            raise InvalidMetadataError(
                f"metadata {name!r}: names that begin with {RESERVED!r} are the library's own"
            )
        encoded[name] = text = encode_value(value)
        total += len(name) + len(text)
    if total > limit:
        raise InvalidMetadataError(
            f"the metadata takes {total} bytes once encoded for headers, {limit} are allowed"
        )
    return encoded


def split_reserved(fields: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Decoded user metadata, and the library's own fields without their prefix, such as
    ``{"write-id": ...}``. Names of ``fields`` are in lower case, without the service's prefix."""
    user = {}
    own = {}
    for name, text in fields.items():
        if name.startswith(RESERVED):
            own[name[len(RESERVED) :]] = text
        else:
            user[name] = decode_value(text)
    return user, own
