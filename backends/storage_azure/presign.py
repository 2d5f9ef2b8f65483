"""Links: shared access signatures for one blob and one permission.

A signature covers the blob, the permission, the end and headers of the answer, not the headers
of the request: type, length and digest of an upload can not be bound by it. ``r`` allows GET
and HEAD alike. A part's link is for a hidden blob of that part alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from storage_azure.errors import Asked
from storage_azure.keys import encode_key
from storage_azure.multipart import Multipart
from storage_azure.requests import XML, delegation_body
from storage_azure.responses import parse_delegation_key
from storage_azure.sessions import is_upload_id, part_name, session_name
from storage_azure.signing import (
    DelegationKey,
    Grant,
    SharedKey,
    blob_sas,
    encode_query,
    sas_time,
)
from storage_core.errors import UnsupportedError, UploadNotFoundError
from storage_core.http.dates import parse_iso_date
from storage_core.model import Link, Method
from storage_core.requests import PresignRequest

DELEGATED_DAYS: Final = 7
"""How long a delegated key can be good, and with it a link."""

_PERMISSIONS: Final[dict[Method, str]] = {"GET": "r", "HEAD": "r", "PUT": "cw", "DELETE": "d"}
_ASKED: Final = Asked("'Storage Blob Delegator'", "service")


class Links(Multipart):
    """Signing links."""

    _delegated: tuple[DelegationKey, datetime] | None = None

    async def presign(self, request: PresignRequest) -> Link:
        expires = (request.now + timedelta(seconds=request.expires_in)).replace(microsecond=0)
        permissions = _PERMISSIONS[request.method]
        headers: dict[str, str] = {}
        if request.method == "PUT":
            if request.content_type is not None:
                raise UnsupportedError(
                    "a shared access signature can not bind the content type of an upload; set"
                    " links.route to 'gateway' to have it bound"
                )
            headers["x-ms-blob-type"] = "BlockBlob"
            if request.if_absent:
                permissions = "c"
                headers["if-none-match"] = "*"
        name = encode_key(request.key)
        if request.part_number is not None:
            if request.upload_id is None or not is_upload_id(request.upload_id):
                raise UploadNotFoundError("the session does not exist, or has ended")
            name = part_name(session_name(request.key, request.upload_id), request.part_number)
        answer: dict[str, str] = {}
        if request.filename is not None:
            answer["rscd"] = disposition(request.filename)
        if request.content_type is not None:
            answer["rsct"] = request.content_type
        account = self._account
        grant = Grant(permissions, sas_time(expires.astimezone(UTC)), request.version or "", answer)
        protocol = "https" if account.origin.scheme == "https" else ""
        key = await self._link_key(request.now, expires)
        fields = blob_sas(key, account.access.account, request.bucket, name, grant, protocol)
        # Unencoded the "=" at the end of base64 (which a query may hold) can not be torn apart.
        query = encode_query(fields).replace("%3D&", "=&", 1)
        url = f"{account.origin.url}{self._path(request.bucket, name)}?{query}"
        return Link(url, request.method, headers, expires)

    async def _link_key(self, now: datetime, expires: datetime) -> SharedKey | DelegationKey:
        """What signs: the account's key, or one the service delegates, kept while it lasts."""
        if self._account.key is not None:
            return self._account.key
        if self._account.tokens is None:
            raise UnsupportedError("these credentials can not sign links; set account_key")
        if self._delegated is not None and self._delegated[1] >= expires:
            return self._delegated[0]
        until = max(expires, now + timedelta(days=DELEGATED_DAYS) - timedelta(hours=1))
        body = delegation_body(sas_time(now.astimezone(UTC)), sas_time(until.astimezone(UTC)))
        query = (("comp", "userdelegationkey"), ("restype", "service"))
        path = f"{self._account.base}/"
        response = await self._send(_ASKED, "POST", path, {"content-type": XML}, query, body)
        key = parse_delegation_key(await self._body(response))
        self._delegated = key, parse_iso_date(key.expiry)
        return key


def disposition(filename: str) -> str:
    """Content disposition that saves an answer under a name (RFC 6266, RFC 8187)."""
    plain = "".join(c if c.isascii() and c not in '"\\\\%' else "_" for c in filename)
    encoded = quote(filename, safe="!#$&+-.^_`|~")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
