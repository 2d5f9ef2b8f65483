"""Keys as names of blobs, and back: where the service does not take a name as it is given, the
name is encoded so that the key comes back byte for byte.

Azure turns ``\\`` into ``/``, drops the dots at the end of a segment, refuses more than 254
segments and some characters ("Naming and referencing containers, blobs, and metadata"). So
``\\`` is stored as ``%5C``, the last dot of a segment as ``%2E``, and U+E000, U+FFFE and U+FFFF
as their UTF-8 in percent, all literally part of the name. A key that holds such a text itself
gets one ``25`` more behind its percent sign: ``%5C`` is stored as ``%255C``, that as
``%25255C``. A slash behind the 253rd is stored as U+2044. Every name the service can hold is
thereby the name of exactly one key, and all names but these few are the keys themselves.

Names that begin with `HIDDEN` are no key's: the library keeps its sessions there.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

from storage_core.errors import KeyTooLongError

MAX_NAME: Final = 1024
"""Characters of a blob's name."""
MAX_SLASHES: Final = 253
HIDDEN: Final = "%storagecore/"

_ODD = "\ue000\ufffe\uffff"
_OF_ODD = "EE%80%80|EF%BF%B[EF]"

# What stands for itself in a key but must not in a name, or not alone.
_ESCAPE = re.compile(
    rf"[\\{_ODD}]|\.(?=/|\Z)|%(?=(?:25)*(?:5C|2E(?:/|\Z)|{_OF_ODD}))|\A%(?=(?:25)*storagecore/)"
)
_UNESCAPE = re.compile(
    rf"%(?:(?P<code>5C|2E(?=/|\Z)|{_OF_ODD})|25(?=(?:25)*(?:5C|2E(?:/|\Z)|{_OF_ODD})))"
    r"|\A%25(?=(?:25)*storagecore/)"
)
# Behind the last slash that may be one, in what is one segment for the service.
_ESCAPE_TAIL = re.compile(rf"[/\\\u2044{_ODD}]|\.\Z|%(?=(?:25)*(?:5C|2E\Z|E2%81%84|{_OF_ODD}))")
_UNESCAPE_TAIL = re.compile(
    rf"\u2044|%(?:(?P<code>5C|2E\Z|E2%81%84|{_OF_ODD})"
    rf"|25(?=(?:25)*(?:5C|2E\Z|E2%81%84|{_OF_ODD})))"
)
_CODES = {"/": "\u2044", ".": "%2E", "%": "%25"}

# An end of a prefix that may go on as something that is encoded otherwise.
_OPEN_END = re.compile(
    r"(?:\.+|%(?:25)*(?:2E?|5|E(?:[EF2](?:%[B8]?)?[F01]?(?:%[B8]?)?)?)?|\A%(?:25)*s[a-z]*)\Z"
)
# Characters of a prefix that the service could not give back in its answer (XML 1.0 section
# 2.2), and that no name has.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_PLAIN = re.compile(r"[A-Za-z0-9._~/-]*", re.ASCII)


def encode_key(key: str) -> str:
    """The name of a key's blob.

    Raises:
        KeyTooLongError: the name would be longer than the service takes.
    """
    if (
        "%" in key
        or "\\" in key
        or "./" in key
        or key[-1:] == "."
        or not key.isascii()
        or (len(key) > MAX_SLASHES and key.count("/") > MAX_SLASHES)
    ):
        key = _encode(key)
    if len(key) > MAX_NAME:
        raise KeyTooLongError(
            f"the key takes {len(key)} characters as a blob's name, {MAX_NAME} are allowed"
        )
    return key


def _encode(key: str) -> str:
    head, tail = _split(key)
    encoded = _ESCAPE.sub(_code, head)
    return encoded if tail is None else f"{encoded}{_ESCAPE_TAIL.sub(_code, tail)}"


def decode_name(name: str) -> str:
    """The key of a blob's name."""
    if "%" not in name and (name.isascii() or "\u2044" not in name):
        return name
    head, tail = _split(name)
    decoded = _UNESCAPE.sub(_character, head)
    return decoded if tail is None else f"{decoded}{_UNESCAPE_TAIL.sub(_character, tail)}"


def _split(text: str) -> tuple[str, str | None]:
    """What stands up to the last slash that may be one, and what behind it; None where there
    are not so many."""
    if len(text) < MAX_SLASHES or text.count("/") < MAX_SLASHES:
        return text, None
    *segments, tail = text.split("/", MAX_SLASHES)
    return "/".join(segments) + "/", tail


def _code(match: re.Match[str]) -> str:
    return _CODES.get(match[0]) or quote(match[0], safe="")


def _character(match: re.Match[str]) -> str:
    if match[0] == "\u2044":
        return "/"
    code = match.groupdict()["code"]
    return "%" if code is None else unquote(f"%{code}")


def encode_prefix(prefix: str) -> tuple[str, bool]:
    """What the names of all keys with a prefix begin with, and whether only they do: else the
    keys that are found have to be compared with the prefix themselves."""
    head, exact = prefix, True
    if not prefix.isprintable() and (odd := _NOT_XML.search(prefix)):
        head, exact = prefix[: odd.start()], False
    while found := _OPEN_END.search(head):
        exact = False
        head = head[: found.start()]
        if found[0][0] == "%":  # however it goes on, the name has a percent sign here too
            return _encode(head + "%"), False
    return _encode(head), exact


# --- URLs -----------------------------------------------------------------------------


def quote_name(name: str) -> str:
    """A name as the path of a URL has it: UTF-8, percent-encoded."""
    return name if _PLAIN.fullmatch(name) else quote(name, safe="/~")


@lru_cache(maxsize=1024)
def quote_text(text: str) -> str:
    """A parameter's name or value as the query of a URL has it."""
    return quote(text, safe="")
