"""Rules for object keys, bucket names, metadata and tags: one answer on every backend.

A key is a string whose UTF-8 form has 1 to 1024 bytes. It is matched byte for byte and
never normalised. Keys with control characters, lone surrogates, or a ``.`` or ``..``
segment can not be created; one that exists already can still be named for reading and
deleting where the service can address it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from storage_core.errors import (
    InvalidBucketNameError,
    InvalidKeyError,
    InvalidMetadataError,
    KeyTooLongError,
)

MAX_KEY_BYTES = 1024
MAX_METADATA_BYTES = 2048
MAX_TAGS = 10
MAX_TAG_KEY_CHARS = 128
MAX_TAG_VALUE_CHARS = 256

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DOT_SEGMENT = re.compile(r"(?:\A|/)\.\.?(?:/|\Z)")
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
_METADATA_KEY = re.compile(r"[a-z0-9][a-z0-9_-]*", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*", re.ASCII)


def check_key(key: str, limit: int = MAX_KEY_BYTES) -> None:
    """Refuse a key that can not be created.

    Args:
        key: The object's key.
        limit: Longest UTF-8 form in bytes, 1024 unless a profile's encoding leaves less.

    Raises:
        InvalidKeyError: empty, not a string, a lone surrogate, a control character, or a
            ``.`` or ``..`` segment.
        KeyTooLongError: longer than ``limit`` bytes.
    """
    # The common case, in C: printable ASCII without a segment that starts with a dot.
    if (
        type(key) is str
        and 0 < len(key) <= limit
        and key.isascii()
        and key.isprintable()
        and key[0] != "."
        and "/." not in key
    ):
        return
    check_existing_key(key, limit)
    if found := _CONTROL.search(key):
        raise InvalidKeyError(
            f"key {key!r} holds the control character {found.group()!r}; remove or encode it",
            key=key,
        )
    if _DOT_SEGMENT.search(key):
        raise InvalidKeyError(
            f"key {key!r} has a '.' or '..' segment, which HTTP clients rewrite; rename it",
            key=key,
        )


def check_existing_key(key: str, limit: int = MAX_KEY_BYTES) -> None:
    """Refuse only what no service can address: for reading, listing and deleting.

    Raises:
        InvalidKeyError: empty, not a string, or a lone surrogate.
        KeyTooLongError: longer than ``limit`` bytes.
    """
    if type(key) is str and 0 < len(key) <= limit and key.isascii() and "\0" not in key:
        return
    if not isinstance(key, str):
        raise InvalidKeyError(f"a key is a str, not {type(key).__name__}")
    if not key:
        raise InvalidKeyError("the key is empty; a key has 1 to 1024 bytes")
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidKeyError(
            f"key {key!r} holds a lone surrogate and has no UTF-8 form"
        ) from error
    if "\0" in key:
        raise InvalidKeyError(f"key {key!r} holds a NUL, which no service stores")
    if size > limit:
        raise KeyTooLongError(f"the key has {size} bytes; the limit here is {limit}")


def all_plain(found: Sequence[object], limit: int = MAX_KEY_BYTES) -> bool:
    """Whether all are strings that `check_existing_key` surely takes, told in a few steps
    however many there are. Where it is false each has to be looked at."""
    if set(map(type, found)) != {str}:
        return False
    texts = cast("Sequence[str]", found)
    sizes = set(map(len, texts))
    joined = "".join(texts)
    return joined.isascii() and "\0" not in joined and min(sizes) > 0 and max(sizes) <= limit


def check_prefix(prefix: str, what: str = "prefix") -> None:
    """Refuse a listing prefix, delimiter or start_after that has no UTF-8 form.

    Raises:
        InvalidKeyError: not a string, or a lone surrogate.
    """
    if not isinstance(prefix, str):
        raise InvalidKeyError(f"{what} is a str, not {type(prefix).__name__}")
    if not prefix.isascii():
        try:
            prefix.encode()
        except UnicodeEncodeError as error:
            raise InvalidKeyError(f"{what} {prefix!r} holds a lone surrogate") from error


def check_bucket_name(name: str, limit: int = 63) -> None:
    """Refuse a name that some backend could not create.

    Args:
        name: The bucket's name.
        limit: Longest name in characters; less where the profile's ``bucket_prefix`` takes
            some of the 63.

    Raises:
        InvalidBucketNameError: not 3 to 63 of ``[a-z0-9-]`` with alphanumeric ends, or
            with ``--``.
    """
    if (
        not isinstance(name, str)
        or not 3 <= len(name) <= limit
        or "--" in name
        or not _BUCKET.fullmatch(name)
    ):
        raise InvalidBucketNameError(
            f"bucket name {name!r} is not portable: use 3 to {limit} of a-z, 0-9 and single '-',"
            " beginning and ending with a letter or digit"
        )


def check_existing_bucket_name(name: str) -> None:
    """Refuse only what can not be any service's bucket, for opening what exists.

    Names made elsewhere, such as ``my.company.data`` or ``$web``, pass.

    Raises:
        InvalidBucketNameError: empty, over 255 characters, or with ``/``, ``\\``, a control
            character, non-ASCII, or only dots.
    """
    if (
        not isinstance(name, str)
        or not 1 <= len(name) <= 255
        or not name.isascii()
        or not name.isprintable()
        or "/" in name
        or "\\" in name
        or not name.strip(".")
    ):
        raise InvalidBucketNameError(f"{name!r} can not be the name of a bucket")


def normalize_metadata(
    metadata: Mapping[str, str], limit: int = MAX_METADATA_BYTES
) -> dict[str, str]:
    """Return user metadata with lower-case keys.

    Args:
        metadata: Keys match ``[a-z0-9][a-z0-9_-]*`` without regard to case; values are any
            text that has a UTF-8 form and no NUL.
        limit: Bytes that keys and values may take together.

    Raises:
        InvalidMetadataError: a bad key or value, two keys that differ only by case, or more
            than ``limit`` bytes.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidMetadataError(f"metadata is a mapping, not {type(metadata).__name__}")
    normalized: dict[str, str] = {}
    size = 0
    for name, value in metadata.items():
        lowered = name.lower() if isinstance(name, str) else ""
        if not _METADATA_KEY.fullmatch(lowered):
            raise InvalidMetadataError(
                f"metadata key {name!r} is not [a-z0-9][a-z0-9_-]* (case does not matter)"
            )
        if lowered in normalized:
            raise InvalidMetadataError(f"metadata key {lowered!r} is given twice")
        if not isinstance(value, str) or "\0" in value:
            raise InvalidMetadataError(f"the value of metadata key {name!r} is not plain text")
        try:
            size += len(lowered) + len(value.encode())
        except UnicodeEncodeError as error:
            raise InvalidMetadataError(
                f"the value of metadata key {name!r} holds a lone surrogate"
            ) from error
        normalized[lowered] = value
    if size > limit:
        raise InvalidMetadataError(
            f"user metadata takes {size} bytes; the limit is {limit}. Keep the rest in the object"
        )
    return normalized


def check_header(name: str, value: str) -> None:
    """Refuse a content header (type, encoding, disposition, …) that could break a message.

    Raises:
        InvalidMetadataError: empty, over 1024 characters, or other than printable ASCII
            (RFC 9110 section 5.5; encode names by RFC 8187 first).
    """
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= 1024
        or not _HEADER_VALUE.fullmatch(value)
        or value != value.strip()
    ):
        raise InvalidMetadataError(f"{name} {value!r} is not a printable ASCII header value")


def check_tags(tags: Mapping[str, str], limit: int = MAX_TAGS) -> None:
    """Refuse tags that some service would not take.

    Raises:
        InvalidMetadataError: more than ``limit`` tags, a key over 128 or a value over 256
            characters, an empty key, or characters other than letters, digits, spaces and
            ``+ - = . _ : /`` (the set S3 and Azure share).
    """
    if not isinstance(tags, Mapping):
        raise InvalidMetadataError(f"tags are a mapping, not {type(tags).__name__}")
    if len(tags) > limit:
        raise InvalidMetadataError(f"{len(tags)} tags; the limit is {limit}")
    for name, value in tags.items():
        if not isinstance(name, str) or not 0 < len(name) <= MAX_TAG_KEY_CHARS:
            raise InvalidMetadataError(f"tag key {name!r} has not 1 to {MAX_TAG_KEY_CHARS} chars")
        if not isinstance(value, str) or len(value) > MAX_TAG_VALUE_CHARS:
            raise InvalidMetadataError(f"the value of tag {name!r} is over {MAX_TAG_VALUE_CHARS}")
        for text in (name, value):
            if not all((c.isascii() and c.isalnum()) or c in " +-=._:/" for c in text):
                raise InvalidMetadataError(
                    f"tag {name!r}: only letters, digits, spaces and + - = . _ : / are portable"
                )
