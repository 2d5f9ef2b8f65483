"""V4 signatures: signed URLs and signed headers (docs: authentication/signatures,
authentication/canonical-requests, access-control/signed-urls)."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.servers.gcs_gate.errors import (
    RefusedError,
    invalid,
    malformed,
    undocumented,
    unimplemented,
)
from tests.servers.gcs_gate.keys import Keyring
from tests.servers.gcs_gate.wire import Request

RSA = "GOOG4-RSA-SHA256"
HMAC = "GOOG4-HMAC-SHA256"
LONGEST = 604_800
"""Seconds a signed URL is good for at most."""
SKEW = 900
"""Seconds a request may come before its own date, or a signed header may be old."""
PARAMETERS = (
    "x-goog-algorithm",
    "x-goog-credential",
    "x-goog-date",
    "x-goog-expires",
    "x-goog-signedheaders",
)
AUTHORIZATION = re.compile(
    r"(GOOG4-[A-Z]+-SHA256) Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-fA-F]+)"
)


@dataclass(frozen=True)
class Claim:
    """What a request says of its signature."""

    algorithm: str
    credential: str
    date: str
    signed_headers: str
    signature: str


def is_signed_url(request: Request) -> bool:
    """Whether the query has any part of a signature."""
    names = {name.lower() for name, _ in request.query}
    return "x-goog-signature" in names or bool(names & set(PARAMETERS))


def verify_url(keyring: Keyring, request: Request) -> str:
    """The account that signed this URL.

    Raises:
        RefusedError: it is not signed so, or no longer good.
    """
    given = {name.lower(): value for name, value in request.query}
    for name in (*PARAMETERS, "x-goog-signature"):
        if name not in given:
            raise malformed(name, f"The query has no {name}")
    claim = Claim(
        given["x-goog-algorithm"],
        given["x-goog-credential"],
        given["x-goog-date"],
        given["x-goog-signedheaders"],
        given["x-goog-signature"],
    )
    started = _date(claim.date)
    seconds = _expires(given["x-goog-expires"])
    account = _verify(keyring, request, claim)
    now = keyring.clock.now()
    if now < started - SKEW:
        raise _skewed()
    if now > started + seconds:
        ended = datetime.fromtimestamp(started + seconds, UTC)
        raise RefusedError(
            400,
            "ExpiredToken",
            "invalid",
            "Invalid argument.",
            details="The provided token has expired. Request signature expired at: "
            f"{ended:%Y-%m-%dT%H:%M:%S+00:00}",
        )
    if request.method == "POST" and request.header("x-goog-resumable") != "start":
        raise undocumented(
            "a signed URL for a POST that does not start a resumable upload "
            "(authentication/canonical-requests#verbs)"
        )
    return account


def verify_header(keyring: Keyring, request: Request) -> str:
    """The account that signed the headers (xml: overview, authentication)."""
    found = AUTHORIZATION.fullmatch(request.header("authorization"))
    if not found:
        raise malformed("Authorization", "It is not of the form of a V4 signature")
    algorithm, credential, signed_headers, signature = found.groups()
    date = request.header("x-goog-date")
    if not date:
        raise RefusedError(
            400,
            "MissingSecurityHeader",
            "required",
            "Your request was missing a required header.",
            details="x-goog-date",
        )
    started = _date(date)
    account = _verify(
        keyring, request, Claim(algorithm, credential, date, signed_headers, signature)
    )
    if abs(keyring.clock.now() - started) > SKEW:
        raise _skewed()
    return account


def canonical_request(request: Request, signed: list[str]) -> str:
    """The text that stands for the request (authentication/canonical-requests)."""
    query = "&".join(
        sorted(
            f"{_encode(name)}={_encode(value)}"
            for name, value in request.query
            if name.lower() != "x-goog-signature"
        )
    )
    lines = [f"{name}:{_header(request, name)}\n" for name in signed]
    payload = request.header("x-goog-content-sha256") or "UNSIGNED-PAYLOAD"
    return "\n".join(
        (request.method, _path(request.raw_path), query, "".join(lines), ";".join(signed), payload)
    )


def _verify(keyring: Keyring, request: Request, claim: Claim) -> str:
    if claim.algorithm not in {RSA, HMAC}:
        if claim.algorithm.startswith("AWS4"):
            raise unimplemented("AWS4-HMAC-SHA256")
        raise malformed("x-goog-algorithm", f"{claim.algorithm!r} is none of the algorithms")
    signer, scope = _scope(claim)
    signed = _signed_headers(request, claim.signed_headers)
    canonical = canonical_request(request, signed)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join((claim.algorithm, claim.date, "/".join(scope), digest))
    try:
        signature = bytes.fromhex(claim.signature)
    except ValueError:
        raise malformed("signature", "Signature was not hex encoded") from None
    if claim.algorithm == RSA:
        good, account = _good_rsa(keyring, signer, signature, to_sign), signer
    else:
        good, account = _good_hmac(keyring, signer, scope, signature, to_sign)
    if not good:
        raise RefusedError(
            403,
            "SignatureDoesNotMatch",
            "forbidden",
            "Access denied.",
            details="The request signature we calculated does not match the signature you "
            "provided. Check your Google secret key and signing method.",
            elements={"StringToSign": to_sign, "CanonicalRequest": canonical},
        )
    payload = request.header("x-goog-content-sha256")
    if payload and payload != "UNSIGNED-PAYLOAD":
        request.sha256 = payload
    return account


def _scope(claim: Claim) -> tuple[str, list[str]]:
    signer, *scope = claim.credential.rsplit("/", 4)
    if len(scope) != 4:
        raise malformed(
            "x-goog-credential", "It has to be SIGNER/DATE/LOCATION/storage/goog4_request"
        )
    date, location, service, kind = scope
    if (service, kind) != ("storage", "goog4_request") or not location:
        raise malformed("x-goog-credential", "The scope has to end in storage/goog4_request")
    if not claim.date.startswith(date) or len(date) != 8:
        raise malformed("x-goog-credential", "The scope is not of the day of x-goog-date")
    return signer, scope


def _signed_headers(request: Request, text: str) -> list[str]:
    signed = text.split(";")
    if signed != sorted({name.lower() for name in signed}):
        raise malformed("x-goog-signedheaders", "Names have to be in small letters and in order")
    if "host" not in signed:
        raise malformed("x-goog-signedheaders", "host has to be signed")
    sent = {name for name, _ in request.headers}
    for name in signed:
        if name not in sent:
            raise malformed(name, "Header was included in signedheaders, but not in the request.")
    for name in sorted(sent):
        if name.startswith("x-goog-") and name not in signed:
            raise malformed(name, "Header was in the request, but not included in signedheaders.")
    return signed


def _good_rsa(keyring: Keyring, email: str, signature: bytes, to_sign: str) -> bool:
    account = keyring.accounts.get(email)
    for key in account.public_keys.values() if account else ():
        try:
            key.verify(signature, to_sign.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            continue
        return True
    return False


def _good_hmac(
    keyring: Keyring, access_id: str, scope: list[str], signature: bytes, to_sign: str
) -> tuple[bool, str]:
    if access_id not in keyring.hmac:
        raise RefusedError(
            403,
            "InvalidSecurity",
            "forbidden",
            "The provided security credentials are not valid.",
            details=f"Access ID {access_id!r} is not known",
        )
    secret, account = keyring.hmac[access_id]
    key = f"GOOG4{secret}".encode()
    for step in (*scope, to_sign):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.compare_digest(key, signature), account


def _date(text: str) -> float:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise malformed("x-goog-date", f"{text!r} is not YYYYMMDDTHHMMSSZ") from None


def _expires(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise malformed("x-goog-expires", f"{text!r} is not a number of seconds")
    if not 1 <= int(text) <= LONGEST:
        raise invalid(f"X-Goog-Expires is {text}, not from 1 to {LONGEST}")
    return int(text)


def _skewed() -> RefusedError:
    return RefusedError(
        403,
        "RequestTimeTooSkewed",
        "forbidden",
        "The difference between the request time and the server's time is too large.",
    )


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def _path(raw: str) -> str:
    """The path with everything reserved percent-encoded, slashes left alone."""
    return quote(unquote_to_bytes(raw), safe="/-_.~")


def _header(request: Request, name: str) -> str:
    """All values, spaces trimmed and folded."""
    return ",".join(" ".join(value.split()) for value in request.header_values(name))
