"""What every backend has: the interface, entries, errors and share links."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import IO, Any, NamedTuple, TypeAlias

from storage_core.compat.keg.backends.files import CHUNK, FileMode, RemoteFile
from storage_core.compat.keg.backends.replacing import ReplacedFile
from storage_core.compat.keg.tokens import (
    InternalLinkTokenData,
    ShareLinkOperation,
    read_token,
    sign_token,
    token_key,
)
from storage_core.compat.keg.utils import Moment, expire_time_to_seconds, missing, utc_now
from storage_core.errors import ObjectNotFoundError

__all__ = [
    "ExtraArgs",
    "FileMode",
    "FileNotFoundInStorageError",
    "InternalLinkTokenData",
    "InternalLinksStorageBackend",
    "ListEntry",
    "ProgressCallback",
    "RemoteFile",
    "ShareLinkOperation",
    "StorageBackend",
]

ProgressCallback: TypeAlias = Callable[[int], object]
"""Called with the number of bytes transferred so far."""

ExtraArgs: TypeAlias = Mapping[str, object] | None
"""Headers of what is written, by boto3's names: ``ContentType``, ``ContentEncoding``,
``ContentDisposition``, ``ContentLanguage``, ``CacheControl``, and ``Metadata``."""


class ListEntry(NamedTuple):
    """One file of a listing. `last_modified` is an aware UTC datetime; None for a folder of
    `AzureStorage`."""

    name: str
    last_modified: datetime | None
    size: int


class FileNotFoundInStorageError(ObjectNotFoundError):
    """There is no such file in the backend.

    Attributes:
        storage_type: The backend.
        filename: The path that was asked for.
    """

    def __init__(self, storage_type: object, filename: str) -> None:
        super().__init__(f"File {filename} not found in {storage_type}.")
        self.storage_type = storage_type
        self.filename = filename

    def __reduce__(self) -> tuple[object, ...]:
        return FileNotFoundInStorageError, (str(self.storage_type), self.filename)


class StorageBackend:
    """Interface of a backend.

    Args:
        name: What profiles and share links call it.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def now(self) -> datetime:
        """The clock for links."""
        return utc_now()

    def list(self, path: str) -> list[ListEntry]:
        """The files under a folder or prefix; ``/`` is all of them."""
        raise NotImplementedError

    def open(self, path: str, mode: FileMode | str, extra_args: ExtraArgs = None) -> RemoteFile:
        """Open a file.

        Args:
            path: Its path.
            mode: ``"r"`` or ``"w"``; ``"rw"`` where the backend can.
            extra_args: Headers of what is written.

        Raises:
            FileNotFoundInStorageError: there is no such file to read.
            NotImplementedError: the backend can not read and write at once.
            ValueError: no mode, or a path that can not be.
        """
        raise NotImplementedError

    def delete(self, path: str) -> None:
        """Delete a file; one that is not there is a success."""
        raise NotImplementedError

    def copy(self, path: str, new_path: str) -> None:
        """Copy a file within the backend.

        Raises:
            FileNotFoundInStorageError: there is no such file.
        """
        raise NotImplementedError

    def link_to(
        self,
        path: str,
        operation: ShareLinkOperation | str,
        expire: Moment,
        output_path: str | None = None,
        content_type: str | None = None,
    ) -> str:
        """A URL by which anybody can do something to a file until it expires.

        Args:
            path: The file's path.
            operation: What it allows; as text, of the letters ``d``, ``u`` and ``r``.
            expire: Until when.
            output_path: Name under which a download is saved.
            content_type: What an upload must send, or a download says.

        Raises:
            ValueError: ``expire`` has passed, or the backend lacks what it takes.
            NotImplementedError: it can not link to this.
        """
        raise NotImplementedError

    def get(self, path: str, dest: str) -> None:
        """Download a file to a local path, where it appears once all has arrived."""
        with ReplacedFile(dest, same=True) as file:
            self.download(path, file)

    def download(
        self, path: str, file_obj: IO[bytes], *, progress_callback: ProgressCallback | None = None
    ) -> None:
        """Download a file into an open one, in pieces of 5 MiB."""
        done = 0
        with self.open(path, FileMode.read) as source:
            for chunk in source.iter_chunks():
                file_obj.write(chunk)
                done += len(chunk)
                if progress_callback is not None:
                    progress_callback(done)

    def put(self, path: str, dest: str) -> None:
        """Upload a local file to the path ``dest``."""
        with open(path, "rb") as file:
            self.upload(file, dest)

    def upload(
        self,
        file_obj: IO[bytes],
        path: str,
        *,
        progress_callback: ProgressCallback | None = None,
        extra_args: ExtraArgs = None,
    ) -> None:
        """Upload what an open file still holds, in pieces of 5 MiB. On an exception nothing
        appears."""
        done = 0
        with self.open(path, FileMode.write, extra_args=extra_args) as target:
            while chunk := file_obj.read(CHUNK):
                target.write(chunk)
                done += len(chunk)
                if progress_callback is not None:
                    progress_callback(done)

    def close(self) -> None:
        """Let go of connections. Using the backend again opens them again."""

    def __str__(self) -> str:
        return type(self).__name__


class InternalLinksStorageBackend(StorageBackend):
    """A backend whose links are signed tokens that an endpoint of the application redeems.

    Args:
        linked_endpoint: The endpoint: the name of a Flask one, or a URL.
        secret_key: Signs the tokens, together with the name; 16 bytes or more.
        name: What profiles call it.

    Raises:
        ValueError: the secret is too short.
    """

    def __init__(
        self, *, linked_endpoint: str | None, secret_key: bytes | str | None, name: str
    ) -> None:
        super().__init__(name)
        self.linked_endpoint = linked_endpoint
        self.secret_key = secret_key.encode() if isinstance(secret_key, str) else secret_key
        if self.secret_key is not None and len(self.secret_key) < 16:
            raise ValueError(
                f"secret_key of backend {name!r} has {len(self.secret_key)} bytes; use 16 or"
                " more, better 32 random ones"
            )

    def get_token_signature(self, digest_method: Callable[..., Any] = hashlib.sha512) -> bytes:
        """The key that signs, made of name and secret by a function of `hashlib`.

        Raises:
            ValueError: there is no secret.
        """
        if self.secret_key is None:
            raise ValueError("Backend must be configured with secret_key to use this feature")
        return token_key(self.name, self.secret_key, digest_method)

    def create_link_token(
        self,
        *,
        path: str,
        operation: ShareLinkOperation | str,
        expire: Moment,
        output_path: str | None = None,
    ) -> str:
        """A token that allows the operations on a file until it expires (RFC 7519, HS512).

        Raises:
            ValueError: ``expire`` has passed, no operation, an ``output_path`` that can not be
                a file's name, or no secret.
        """
        key = self.get_token_signature()
        data = InternalLinkTokenData(
            path, ShareLinkOperation.as_operation(operation), output_path or None
        )
        now = self.now()
        issued = int(now.timestamp())
        seconds = int(expire_time_to_seconds(expire, now=lambda: now))
        return sign_token(data, key, issued=issued, expires=issued + seconds)

    def deserialize_link_token(self, token: str) -> InternalLinkTokenData:
        """What a token allows.

        Raises:
            LinkTokenError: it was not signed by this backend, or has expired.
            ValueError: there is no secret.
        """
        return read_token(token, self.get_token_signature(), self.now())

    def link_to(
        self,
        path: str,
        operation: ShareLinkOperation | str,
        expire: Moment,
        output_path: str | None = None,
        content_type: str | None = None,
    ) -> str:
        """As `StorageBackend.link_to`. Operations can be combined; ``content_type`` does not
        count, and ``output_path`` is part of what is signed."""
        if self.linked_endpoint is None or self.secret_key is None:
            raise ValueError(
                "Backend must be configured with linked_endpoint and secret_key to use this feature"
            )
        token = self.create_link_token(
            path=path, operation=operation, expire=expire, output_path=output_path
        )
        if "://" in self.linked_endpoint:
            return (
                f"{self.linked_endpoint}{'&' if '?' in self.linked_endpoint else '?'}token={token}"
            )
        try:
            import flask
        except ImportError as error:
            raise missing(error, "a linked_endpoint that is no URL", "flask") from error
        return flask.url_for(self.linked_endpoint, token=token, _external=True)
