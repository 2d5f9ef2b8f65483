"""Google's V4 signatures for links. Pure: no I/O, no clock.

After "Signatures" and "Canonical requests" of the Cloud Storage documentation. What is signed
is put together here; the RSA signature itself comes from whoever holds the key, which may be
Google (see `credentials`). HMAC keys sign at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import quote

Algorithm: TypeAlias = Literal["GOOG4-RSA-SHA256", "GOOG4-HMAC-SHA256"]

RSA: Final = "GOOG4-RSA-SHA256"
HMAC: Final = "GOOG4-HMAC-SHA256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
CONTENT_SHA256: Final = "x-goog-content-sha256"
MAX_EXPIRES: Final = 7 * 24 * 3600
"""Seconds a link can be good for at most."""


class Draft(NamedTuple):
    """A link without its signature.

    Attributes:
        target: Path and query, as they will be sent.
        canonical_request: What the service rebuilds from a request.
        string_to_sign: What the signature is over.
    """

    target: str
    canonical_request: str
    string_to_sign: str

    def signed(self, signature: bytes) -> str:
        """Path and query with the signature."""
        return f"{self.target}&X-Goog-Signature={signature.hex()}"


def draft(
    algorithm: Algorithm,
    identity: str,
    method: str,
    host: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    expires_in: int,
    now: datetime,
) -> Draft:
    """Put a link together.

    Args:
        algorithm: Of the key that will sign.
        identity: Email of the service account, or access id of the HMAC key.
        method: The one it is good for.
        host: What the ``Host`` header will say.
        path: Encoded, begins with ``/``.
        query: Further parameters, not encoded.
        headers: Those the holder must send, besides ``host``.
        expires_in: Seconds it is good for, at most `MAX_EXPIRES`.
        now: Aware.
    """
    date = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{date[:8]}/auto/storage/goog4_request"
    lines = _header_lines({**headers, "host": host})
    names = ";".join(name for name, _ in lines)
    own = (
        ("X-Goog-Algorithm", algorithm),
        ("X-Goog-Credential", f"{identity}/{scope}"),
        ("X-Goog-Date", date),
        ("X-Goog-Expires", str(expires_in)),
        ("X-Goog-SignedHeaders", names),
    )
    signed_query = canonical_query((*own, *query))
    block = "".join(f"{name}:{value}\n" for name, value in lines)
    payload = dict(lines).get(CONTENT_SHA256, UNSIGNED)
    canonical = f"{method}\n{path}\n{signed_query}\n{block}\n{names}\n{payload}"
    return Draft(
        f"{path}?{signed_query}",
        canonical,
        f"{algorithm}\n{date}\n{scope}\n{sha256(canonical.encode()).hexdigest()}",
    )


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Parameters encoded and in the order that is signed."""
    encoded = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _header_lines(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names in lower case in their order, white space in values folded."""
    return sorted((name.lower(), " ".join(value.split())) for name, value in headers.items())


def hmac_signature(secret: str, string_to_sign: str) -> bytes:
    """Signature by an HMAC key; its date and scope are those of the string."""
    _, _, scope, _ = string_to_sign.split("\n")
    key = f"GOOG4{secret}".encode()
    for step in scope.split("/"):
        key = hmac_digest(key, step.encode(), "sha256")
    return hmac_digest(key, string_to_sign.encode(), "sha256")
