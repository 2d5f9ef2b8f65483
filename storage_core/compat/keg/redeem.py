"""Redeeming a share link, for any framework: what was asked, answered as HTTP has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import IO

from storage_core.compat.keg.backends.base import (
    FileMode,
    InternalLinksStorageBackend,
    InternalLinkTokenData,
    RemoteFile,
    ShareLinkOperation,
)
from storage_core.compat.keg.backends.filesystem import LocalFSError
from storage_core.compat.keg.tokens import LinkTokenError
from storage_core.errors import BucketNotFoundError, InvalidKeyError, StorageError
from storage_core.http.disposition import attachment

OPERATIONS: Mapping[str, ShareLinkOperation] = MappingProxyType(
    {
        "GET": ShareLinkOperation.download,
        "HEAD": ShareLinkOperation.download,
        "POST": ShareLinkOperation.upload,
        "PUT": ShareLinkOperation.upload,
        "DELETE": ShareLinkOperation.remove,
    }
)
"""What a method asks for."""

MEDIA_TYPE = "application/octet-stream"


class LinkRefusedError(StorageError):
    """A request by a share link is refused; `status` is the answer's."""


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The answer to a request by a share link.

    Attributes:
        data: What the token said.
        headers: Headers of the answer.
        file: For GET the file, to be streamed and closed; its body else is ``OK``.
        status: 200.
    """

    data: InternalLinkTokenData
    headers: Mapping[str, str] = field(default_factory=dict)
    file: RemoteFile | None = None
    status: int = 200


def redeem(
    backend: InternalLinksStorageBackend,
    method: str,
    token: str | None,
    body: IO[bytes] | None = None,
) -> Redeemed:
    """Do what a request asks by a share link.

    Args:
        backend: The one that signed it.
        method: The request's: GET and HEAD read, POST and PUT write, DELETE removes.
        token: Parameter ``token`` of its query.
        body: What is to be written.

    Raises:
        LinkRefusedError: 404 without a token or file, 403 for a token that is not good, has
            expired or is for something else, 405 for another method.
    """
    return perform(backend, method, check(backend, token), body)


def check(backend: InternalLinksStorageBackend, token: str | None) -> InternalLinkTokenData:
    """What a token allows.

    Raises:
        LinkRefusedError: 404 without one, 403 for one that is not good.
    """
    if not token:
        raise LinkRefusedError("there is no token", status=404)
    try:
        return backend.deserialize_link_token(token)
    except LinkTokenError as error:
        raise LinkRefusedError(error.message, status=403) from error


def perform(
    backend: InternalLinksStorageBackend,
    method: str,
    data: InternalLinkTokenData,
    body: IO[bytes] | None = None,
) -> Redeemed:
    """As `redeem`, for a token that was checked."""
    operation = OPERATIONS.get(method)
    if operation is None:
        raise LinkRefusedError(f"a link does not answer {method}", status=405)
    if operation not in data.operations:
        raise LinkRefusedError(f"the link is not for {operation.name}", status=403)
    try:
        if operation is ShareLinkOperation.download:
            return _download(backend, method, data)
        if operation is ShareLinkOperation.remove:
            backend.delete(data.path)
        elif body is None:
            raise ValueError("an upload needs a body")
        else:
            backend.upload(body, data.path)
    except BucketNotFoundError:
        raise  # which is no matter of the client's
    except (FileNotFoundError, InvalidKeyError, LocalFSError) as error:
        raise LinkRefusedError("there is no such file", status=404) from error
    return Redeemed(data, {"Content-Type": "text/plain; charset=utf-8"})


def _download(
    backend: InternalLinksStorageBackend, method: str, data: InternalLinkTokenData
) -> Redeemed:
    headers = {"Content-Type": MEDIA_TYPE, "X-Content-Type-Options": "nosniff"}
    if data.output_path:
        headers["Content-Disposition"] = attachment(data.output_path)
    file = backend.open(data.path, FileMode.read)
    if file.size is not None:
        headers["Content-Length"] = str(file.size)
    if method == "HEAD":
        file.close()
        return Redeemed(data, headers)
    return Redeemed(data, headers, file)
