"""Names on disk: an escape that keeps the order of keys.

A key becomes text of a few characters that are safe on every file system, in lower case
alone, so that a case-folding or normalising one can merge nothing. Comparing two escaped
keys as text gives the order of the keys' UTF-8 bytes, and the escape of a prefix is a prefix
of the escape (with one exception, see `prefix_range`), so listings compare names without
decoding them.

    bytes                     escaped as
    a-z 0-9 _ - . + , `       themselves
    00-2a                     %xx
    2f  (/)                   .~~
    3a-5e (A-Z among them)    =xx
    7b-ff                     ~xx

A *sort key* is the escaped key and ``!``, which sorts below all other characters; the sort
key of a noncurrent version goes on with the version id. Its file has the same name unless
that is too long; then its name is a stretch of it, ``$`` and a hash, and the key stands in
the record.
"""

from __future__ import annotations

import re
from hashlib import blake2b

MAX_NAME = 240
_LONG_STEM = 200
_LONG_HASH = 16
LONG_NAME = _LONG_STEM + 1 + 2 * _LONG_HASH
"""Length of every shortened name; it holds a ``$``, which no other name does."""

TEMPORARY = "#"
"""First character of temporaries inside a leaf; sorts below every sort key."""

FIRST = "%"
"""At or below every sort key."""

_plain = re.compile(r"[a-z0-9_.+,`-]*").fullmatch


def _escape(byte: int) -> str:
    if byte <= 0x2A:
        return f"%{byte:02x}"
    if byte == 0x2F:
        return ".~~"
    if 0x3A <= byte <= 0x5E:
        return f"={byte:02x}"
    if byte >= 0x7B:
        return f"~{byte:02x}"
    return chr(byte)


_TABLE = {byte: _escape(byte) for byte in range(256)}
_ESCAPED = re.compile(rb"\.~~|[%=~]([0-9a-f]{2})")


def _unescape(match: re.Match[bytes]) -> bytes:
    digits = match[1]
    return b"/" if digits is None else bytes.fromhex(digits.decode())


def escape(key: str) -> str:
    """The escape of a key or prefix."""
    if _plain(key):
        return key
    if not key.isascii():
        key = key.encode().decode("latin-1")
    return key.translate(_TABLE)


def unescape(escaped: str) -> str:
    """The key of an escape.

    Raises:
        ValueError: it is not one.
    """
    text = escaped.replace(".~~", "/")
    if "~" not in text and "=" not in text and "%" not in text:
        return text
    return _ESCAPED.sub(_unescape, escaped.encode("ascii")).decode()


def sort_key(key: str, version: str = "") -> str:
    """Sort key of an object, or of one of its noncurrent versions."""
    return f"{escape(key)}!{version}"


def key_of(sort: str) -> str:
    """The object key of a sort key."""
    key = sort[: sort.index("!")]
    return key if _plain(key) else unescape(key)


def keys_of(sorts: list[str]) -> list[str]:
    """The object keys of sort keys of current objects, all in one go."""
    text = "\n".join(sorts).replace(".~~", "/")
    if not sorts or "~" in text or "=" in text or "%" in text:
        return [unescape(sort[:-1]) for sort in sorts]
    return text[:-1].split("!\n")


def file_name(sort: str) -> str:
    """Name of the record with this sort key inside its leaf."""
    if len(sort) <= MAX_NAME:
        return sort
    digest = blake2b(sort.encode(), digest_size=_LONG_HASH).hexdigest()
    return f"{sort[:_LONG_STEM]}${digest}"


def is_long(name: str) -> bool:
    """Whether a file name is shortened."""
    return len(name) == LONG_NAME and name[_LONG_STEM] == "$"


def after(sort: str) -> str:
    """The least text above a sort key and all its equals, below every other sort key."""
    return sort + " "


def prefix_range(prefix: str) -> tuple[str, str]:
    """Bounds ``low <= sort key < high`` of the keys that start with a prefix."""
    low = escape(prefix)
    # "." is a prefix of the escape of "/", whose "~~" sorts above all that may follow ".".
    return low, low + ("~~" if prefix.endswith(".") else "\x7f")
