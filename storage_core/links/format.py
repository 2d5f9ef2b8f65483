"""What a link says, and the bytes of it that are signed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from storage_core.checksum import ALGORITHMS
from storage_core.errors import InvalidRequestError
from storage_core.model import Method

FORMAT: Final = "1"
ROUTE: Final = "/o/"
"""First segment of a link's path, below the base URL."""

_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9._~-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class LinkClaims:
    """What a verified link allows.

    Attributes:
        id: Random id of the link, for logs.
        key_id: The key that signed it.
        expires: Unix seconds from which on it is refused.
        issuer: Who vouches for it: a service or an access grant; empty for the profile.
        content_type: On PUT what the body must be, on GET and HEAD what the reply says.
        content_length: Exact size of the body in bytes.
        checksum: Algorithm and hexadecimal digest of the body.
        filename: Name under which the reply is to be saved.
        if_absent: The object must not exist yet.
    """

    method: Method
    bucket: str
    key: str
    expires: int
    id: str
    key_id: str
    issuer: str = ""
    version: str | None = None
    upload_id: str | None = None
    part_number: int | None = None
    content_type: str | None = None
    content_length: int | None = None
    checksum: tuple[str, str] | None = None
    filename: str | None = None
    if_absent: bool = False


def encode(text: str) -> str:
    """Percent-encoded in the one way that is signed."""
    return text if _PLAIN.fullmatch(text) else quote(text, safe="")


def message(bucket: str, key: str, parameters: Mapping[str, str]) -> bytes:
    """The bytes that are signed; see `storage_core.links`."""
    query = "&".join([f"{name}={encode(parameters[name])}" for name in sorted(parameters)])
    lines = ("storage-core-link", encode(bucket), encode(key), query)
    return "\n".join(lines).encode("ascii")


def number(text: str) -> int:
    """A decimal number, written in the one way our signer does; ValueError otherwise."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _digest(text: str) -> tuple[str, str]:
    algorithm, _, digest = text.partition(":")
    check_digest(algorithm, digest)
    return algorithm, digest


def check_digest(algorithm: str, digest: str) -> None:
    """Refuse an unknown algorithm or a digest that is not its length in hexadecimal.

    Raises:
        InvalidRequestError: so.
    """
    if algorithm not in ALGORITHMS:
        raise InvalidRequestError(
            f"checksum algorithm {algorithm!r} is not one of {', '.join(ALGORITHMS)}"
        )
    size = ALGORITHMS[algorithm][1]
    if not re.fullmatch(f"[0-9a-fA-F]{{{2 * size}}}", digest, re.ASCII):
        raise InvalidRequestError(f"a {algorithm} checksum is {2 * size} hexadecimal digits")


# Parameter, attribute of both request and claims, how it is written, how it is read.
OPTIONAL: Final[tuple[tuple[str, str, Callable[[Any], str], Callable[[str], object]], ...]] = (
    ("sc-version", "version", str, str),
    ("sc-upload", "upload_id", str, str),
    ("sc-part", "part_number", str, number),
    ("sc-content-type", "content_type", str, str),
    ("sc-content-length", "content_length", str, number),
    ("sc-checksum", "checksum", lambda pair: ":".join(pair).lower(), _digest),
    ("sc-filename", "filename", str, str),
    ("sc-if-absent", "if_absent", lambda _: "1", {"1": True}.__getitem__),
)
REQUIRED: Final = ("sc-format", "sc-id", "sc-key-id", "sc-method", "sc-expires")
KNOWN: Final = frozenset((*REQUIRED, "sc-issuer", *(row[0] for row in OPTIONAL)))
