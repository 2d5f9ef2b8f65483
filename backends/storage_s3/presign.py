"""Links: what a holder may do, as query and headers that the signature covers. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from storage_core.model import Link
from storage_core.requests import PresignRequest
from storage_s3.endpoint import Place
from storage_s3.requests import CHECKSUM, checksum_value
from storage_s3.signing import Signer, canonical_query

if TYPE_CHECKING:
    from storage_s3.settings import Options

_SHOWN: Final = {
    "content-type": "Content-Type",
    "content-length": "Content-Length",
    "content-md5": "Content-MD5",
    "if-none-match": "If-None-Match",
}


_PAYER: Final = "x-amz-request-payer"


def presign(request: PresignRequest, place: Place, signer: Signer, options: Options) -> Link:
    """Sign a link.

    Args:
        request: As core asks for it.
        place: Address of its bucket.
        signer: Of the account.
        options: Of the profile. What it says of new objects a holder must send along.
    """
    method, expires_in = request.method, request.expires_in
    headers = _headers(request, options) if method == "PUT" else {}
    pairs = _query(request, options)
    query = canonical_query(pairs) if pairs else ""
    now = int(request.now.timestamp())  # the signature's time has whole seconds
    target = signer.presign(
        method, place.host, place.object(request.key), query, headers, expires_in, now
    )
    return Link(
        place.url + target,
        method,
        {_SHOWN.get(name, name): value for name, value in headers.items()} if headers else {},
        datetime.fromtimestamp(now + expires_in, UTC),
    )


def _headers(request: PresignRequest, options: Options) -> dict[str, str]:
    headers = {}
    if request.upload_id is None:
        headers = {name: options.write[name] for name in options.write if name not in options.read}
    if request.content_type is not None:
        headers["content-type"] = request.content_type
    if request.content_length is not None:
        headers["content-length"] = str(request.content_length)
    if request.checksum is not None:
        algorithm, digest = request.checksum
        name = "content-md5" if algorithm == "md5" else CHECKSUM + algorithm
        headers[name] = checksum_value(digest)
    if request.if_absent:
        headers["if-none-match"] = "*"
    return headers


def _query(request: PresignRequest, options: Options) -> list[tuple[str, str]]:
    pairs = [(_PAYER, options.read[_PAYER])] if _PAYER in options.read else []
    if request.version is not None:
        pairs.append(("versionId", request.version))
    if request.upload_id is not None:
        pairs += [("uploadId", request.upload_id), ("partNumber", str(request.part_number))]
    if request.method in {"GET", "HEAD"} and request.content_type is not None:
        pairs.append(("response-content-type", request.content_type))
    if request.filename is not None:
        pairs.append(("response-content-disposition", disposition(request.filename)))
    return pairs


def disposition(filename: str) -> str:
    """The content disposition by which an answer is saved under a name (RFC 6266)."""
    if filename.isascii() and not set(filename) & set('"\\%'):
        return f'attachment; filename="{filename}"'
    return f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
