"""Tokens for the JWT of a service account, and signatures by its own keys.

developers.google.com/identity/protocols/oauth2/service-account (HTTP/REST), RFC 7523, and
cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.servers.gcs_gate import keys
from tests.servers.gcs_gate.auth import caller
from tests.servers.gcs_gate.errors import RefusedError
from tests.servers.gcs_gate.keys import Keyring
from tests.servers.gcs_gate.wire import Request, Response, json_response, parse_json

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCE = "https://oauth2.googleapis.com/token"
"""What the page has as `aud`; the address of the key file, which is the same there, counts
too."""
LIFETIME = 3600
SKEW = 300
SIGN_BLOB = "/v1/projects/-/serviceAccounts/"


class GrantError(Exception):
    """A token request that is refused: error and description of RFC 6749, 5.2."""


async def token(keyring: Keyring, request: Request) -> Response:
    """POST of the token endpoint."""
    try:
        if request.method != "POST":
            raise GrantError("invalid_request", "only POST")
        kind = request.header("content-type").partition(";")[0].strip()
        if kind != "application/x-www-form-urlencoded":
            raise GrantError("invalid_request", f"Content-Type is {kind!r}")
        form = dict(parse_qsl((await request.read()).decode("ascii", "replace")))
        if form.get("grant_type") != GRANT:
            raise GrantError(
                "unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type')}"
            )
        claims = _verified(keyring, form.get("assertion", ""), f"{request.origin}/token")
        scopes = frozenset(str(claims["scope"]).split())
        text = keyring.new_token(claims["iss"], seconds=LIFETIME, scopes=scopes)
    except GrantError as error:
        code, description = error.args
        return json_response({"error": code, "error_description": description}, 400)
    body = {"access_token": text, "expires_in": LIFETIME - 1, "token_type": "Bearer"}
    return json_response(body)


async def sign_blob(keyring: Keyring, request: Request) -> Response:
    """POST of iamcredentials: a signature with a key nobody else has."""
    email, _, verb = request.raw_path.removeprefix(SIGN_BLOB).partition(":")
    email = email.replace("%40", "@")
    if verb != "signBlob" or request.method != "POST":
        return _status(501, "UNIMPLEMENTED", f"{request.method} :{verb} is not part of this double")
    try:
        who = caller(keyring, request)
    except RefusedError as refusal:
        return _status(refusal.status, "UNAUTHENTICATED", refusal.message)
    account = keyring.accounts.get(email)
    if who.token is None or who.email is None or account is None:
        return _status(403, "PERMISSION_DENIED", f"no token, or no account {email}")
    permission = "iam.serviceAccounts.signBlob"
    if who.email != email and not keyring.account_allowed(who.email, permission, account.project):
        text = f"Permission '{permission}' denied on resource {email}"
        return _status(403, "PERMISSION_DENIED", text)
    if not who.token.allows(keys.PLATFORM, keys.IAM):
        return _status(403, "PERMISSION_DENIED", "insufficient authentication scopes")
    try:
        payload = base64.b64decode((await request.read_json())["payload"], validate=True)
    except (KeyError, TypeError, binascii.Error):
        return _status(400, "INVALID_ARGUMENT", "payload has to be base64")
    key_id, key = account.system_key()
    signature = key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
    return json_response({"keyId": key_id, "signedBlob": base64.b64encode(signature).decode()})


def _verified(keyring: Keyring, assertion: str, audience: str) -> dict[str, Any]:
    """Claims of a JWT whose signature, audience and times are right."""
    try:
        head, body, mark = assertion.split(".")
        header, claims = (parse_json(_base64(part)) for part in (head, body))
        signature = _base64(mark)
    except (ValueError, RefusedError):
        raise GrantError("invalid_grant", "Bad Request: not a JWT") from None
    if header.get("alg") != "RS256":
        raise GrantError("invalid_grant", "Invalid JWT: alg has to be RS256")
    account = keyring.accounts.get(str(claims.get("iss")))
    if account is None:
        raise GrantError("invalid_grant", "Invalid grant: account not found")
    key = account.public_keys.get(str(header.get("kid")))
    try:
        if key is None:
            raise InvalidSignature
        key.verify(signature, f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise GrantError("invalid_grant", "Invalid JWT Signature.") from None
    if claims.get("aud") not in {AUDIENCE, audience}:
        raise GrantError("invalid_grant", f"Invalid JWT: aud is {claims.get('aud')!r}")
    _check_times(keyring.clock.now(), claims)
    known = set(str(claims.get("scope", "")).split())
    if not known or not known <= set(keys.SCOPES):
        raise GrantError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    return claims


def _check_times(now: float, claims: dict[str, Any]) -> None:
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or not isinstance(expires, int):
        raise GrantError("invalid_grant", "Invalid JWT: iat and exp are required")
    reasonable = issued - SKEW <= now < expires + SKEW
    if not reasonable or not 0 < expires - issued <= LIFETIME:
        raise GrantError(
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
            "timeframe. Check your iat and exp values in the JWT claim.",
        )


def _base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _status(code: int, status: str, message: str) -> Response:
    """An error as google.rpc.Status has it."""
    error = {"error": {"code": code, "message": message, "status": status}}
    return Response(code, [("Content-Type", "application/json")], json.dumps(error).encode())
