"""Links: V4 signed URLs of the XML API, and who signs them.

A service account's key or an HMAC key signs offline. Other credentials have Google sign in the
name of an account (IAM signBlob), which is a request for each link.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from storage_core.errors import UnavailableError, UnsupportedError
from storage_core.http import Origin, Request, Transport
from storage_core.model import Link
from storage_core.requests import PresignRequest
from storage_gcs import errors, requests, sessions
from storage_gcs.credentials import Account, with_errors
from storage_gcs.names import Endpoint, encode_path, encode_text, is_generation
from storage_gcs.signing import (
    CONTENT_SHA256,
    HMAC,
    MAX_EXPIRES,
    RSA,
    Algorithm,
    draft,
    hmac_signature,
)

if TYPE_CHECKING:
    from storage_core.driver import IO

BINDS: Final = frozenset(
    {
        "checksum",
        "content_length",
        "content_type",
        "filename",
        "if_absent",
        "method",
        "part",
        "version",
    }
)
MAX_SECONDS: Final = MAX_EXPIRES
_ANSWER: Final = 64 * 1024


class LinkSigner(ABC):
    """Signs links in the name of `identity`."""

    algorithm: Algorithm = RSA

    @abstractmethod
    async def identity(self) -> str:
        """Email of a service account, or access id of an HMAC key."""

    @abstractmethod
    async def sign(self, text: str) -> bytes:
        """Signature over a string to sign."""


class HmacSigner(LinkSigner):
    """An HMAC key of Cloud Storage."""

    algorithm = HMAC

    def __init__(self, access_id: str, secret: str) -> None:
        self._access_id = access_id
        self._secret = secret

    async def identity(self) -> str:
        return self._access_id

    async def sign(self, text: str) -> bytes:
        return hmac_signature(self._secret, text)


class KeySigner(LinkSigner):
    """Credentials of google-auth that sign: a service account's key here, those of an account
    that is impersonated by asking Google, which blocks."""

    def __init__(self, google: Any, io: IO, *, offline: bool) -> None:
        self._google = google
        self._at_once = offline or io == "blocking"

    async def identity(self) -> str:
        email: str = self._google.signer_email
        return email

    async def sign(self, text: str) -> bytes:
        if self._at_once:
            return self._signed(text)
        import asyncio

        return await asyncio.to_thread(self._signed, text)

    def _signed(self, text: str) -> bytes:
        signature: bytes = with_errors(lambda: self._google.sign_bytes(text.encode()))
        return signature


class IamSigner(LinkSigner):
    """Google signs in the name of an account, by the IAM Credentials API's signBlob.

    Args:
        account: Who asks for it.
        transport: Sends the requests.
        email: Of the account; None for the machine's own, which it tells with its token.
        url: Of the API.
    """

    def __init__(self, account: Account, transport: Transport, email: str | None, url: str) -> None:
        self._account = account
        self._transport = transport
        self._email = email
        self._url = url
        self._origin = Origin.of(url)

    async def identity(self) -> str:
        if self._email is None:
            await self._account.get()
            self._email = str(self._account.google.service_account_email)
        return self._email

    async def sign(self, text: str) -> bytes:
        sent = self._account.headers or await self._account.get()
        base = Endpoint(self._url).base
        email = quote(await self.identity(), safe="@")
        target = f"{base}/v1/projects/-/serviceAccounts/{email}:signBlob"
        body = requests.dumps({"payload": b64encode(text.encode()).decode()})
        headers = {**sent, "content-type": "application/json"}
        response = await self._transport.send(Request("POST", self._origin, target, headers, body))
        data = await response.body(_ANSWER)
        if response.status != 200:
            raise errors.error_of(
                response.status, response.headers, data, errors.SIGN, endpoint=self._url
            )
        try:
            return b64decode(json.loads(data)["signedBlob"])
        except (KeyError, TypeError, ValueError):
            raise UnavailableError("the answer to signBlob holds no signature") from None


def signer_of(account: Account, transport: Transport, io: IO) -> LinkSigner | None:
    """Who signs the profile's links; None if nobody can."""
    settings = account.settings
    if settings.hmac_access_id is not None and settings.hmac_secret is not None:
        return HmacSigner(settings.hmac_access_id, settings.hmac_secret.get_secret_value())
    google = account.google
    email = settings.service_account_email
    if email is not None and not account.anonymous and getattr(google, "signer_email", "") != email:
        return IamSigner(account, transport, email, settings.iam_endpoint_url)
    if hasattr(google, "sign_bytes"):
        return KeySigner(google, io, offline=hasattr(google, "from_service_account_info"))
    if getattr(google, "service_account_email", None) is not None:
        return IamSigner(account, transport, None, settings.iam_endpoint_url)
    return None


async def presign(endpoint: Endpoint, signer: LinkSigner, request: PresignRequest) -> Link:
    """Sign a link."""
    query, headers = _query(request), _headers(request)
    key = request.key
    if request.upload_id is not None:
        key = sessions.of_id(request.key, request.upload_id).hidden
    path = f"{endpoint.base}/{encode_text(request.bucket)}/{encode_path(key)}"
    host = endpoint.origin.authority
    unsigned = draft(
        signer.algorithm,
        await signer.identity(),
        request.method,
        host,
        path,
        query,
        headers,
        request.expires_in,
        request.now,
    )
    target = unsigned.signed(await signer.sign(unsigned.string_to_sign))
    return Link(
        endpoint.origin.url + target,
        request.method,
        headers,
        request.now + timedelta(seconds=request.expires_in),
    )


def _query(request: PresignRequest) -> list[tuple[str, str]]:
    query: list[tuple[str, str]] = []
    if request.upload_id is not None:
        session = sessions.of_id(request.key, request.upload_id)
        query = [("partNumber", str(request.part_number)), ("uploadId", session.upload_id)]
    if request.version is not None:
        if not is_generation(request.version):
            raise UnsupportedError(f"{request.version!r} is no version of GCS")
        query.append(("generation", request.version))
    if request.filename is not None:
        query.append(("response-content-disposition", attachment(request.filename)))
    if request.content_type is not None and request.method in {"GET", "HEAD"}:
        query.append(("response-content-type", request.content_type))
    return query


def _headers(request: PresignRequest) -> dict[str, str]:
    """What the holder must send, and the signature covers."""
    headers: dict[str, str] = {}
    if request.content_type is not None and request.method == "PUT":
        headers["Content-Type"] = request.content_type
    if request.content_length is not None:
        length = str(request.content_length)
        if request.upload_id is None:
            headers["x-goog-content-length-range"] = f"{length},{length}"
        else:  # parts know no such header; their own length is signed instead
            headers["Content-Length"] = length
    if request.checksum is not None:
        algorithm, digest = request.checksum
        if algorithm == "sha256":
            headers[CONTENT_SHA256] = digest.lower()
        elif algorithm in {"crc32c", "md5"}:
            headers["x-goog-hash"] = requests.hash_header({algorithm: digest})
        else:
            raise UnsupportedError(
                f"links of GCS bind crc32c, md5 or sha256, not {algorithm}; set links.route to"
                " 'gateway' to have it bound"
            )
    if request.if_absent:
        headers["x-goog-if-generation-match"] = "0"
    return headers


def attachment(filename: str) -> str:
    """Content disposition under which an answer is saved (RFC 6266 section 4.3 and appendix
    D: a plain name for old clients, the real one by RFC 8187)."""
    plain = "".join(c if c.isascii() and c not in '"\\%' else "_" for c in filename)
    if plain == filename:
        return f'attachment; filename="{filename}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
