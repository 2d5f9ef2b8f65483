"""Backends over a bucket of this library, whatever driver is behind it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from storage_core.blocking.bucket import Bucket
from storage_core.blocking.reader import Reader
from storage_core.blocking.writer import Writer
from storage_core.compat.keg.backends.base import (
    ExtraArgs,
    FileNotFoundInStorageError,
    InternalLinksStorageBackend,
    ListEntry,
    ShareLinkOperation,
)
from storage_core.compat.keg.backends.files import FileMode, RemoteFile, WriteOnce, single_mode
from storage_core.compat.keg.utils import Moment, expire_time_to_seconds
from storage_core.errors import ObjectNotFoundError, UnsupportedError
from storage_core.model import Buffer, Method

UPLOAD_TYPE: Final = "application/octet-stream"
"""What an upload by a link has to send where nothing else was said."""

METHODS: Final[Mapping[ShareLinkOperation, Method]] = MappingProxyType(
    {
        ShareLinkOperation.download: "GET",
        ShareLinkOperation.upload: "PUT",
        ShareLinkOperation.remove: "DELETE",
    }
)

_ARGUMENTS: Final = MappingProxyType(
    {
        "ContentType": "content_type",
        "ContentEncoding": "content_encoding",
        "ContentDisposition": "content_disposition",
        "ContentLanguage": "content_language",
        "CacheControl": "cache_control",
        "Metadata": "metadata",
    }
)


class BucketReader(RemoteFile):
    """An object being read; its checksum is verified at the end."""

    _reader: Reader | None = None

    def __init__(self, reader: Reader) -> None:
        super().__init__(FileMode.read)
        self._reader = reader
        self.size = reader.length

    def read(self, size: int = -1) -> bytes:
        """As `RemoteFile.read`; fewer bytes than asked for only at the end.

        Raises:
            IntegrityError: the bytes are not those that were stored.
        """
        assert self._reader is not None
        data = self._reader.read(size)
        if not data or size < 0 or len(data) == size:
            return data
        pieces = [data]
        missing = size - len(data)
        while missing and (data := self._reader.read(missing)):
            pieces.append(data)
            missing -= len(data)
        return b"".join(pieces)

    def write(self, data: Buffer) -> object:
        raise io.UnsupportedOperation("File not opened for writing")

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


class BucketWriter(WriteOnce):
    """An object being written, in parts where it is large; it appears when it is closed."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer.key)
        self._writer = writer

    def write(self, data: Buffer) -> int:
        return self._writer.write(data)

    def _publish(self) -> None:
        self._writer.commit()

    def _discard(self) -> None:
        self._writer.abort()


class BucketStorage(InternalLinksStorageBackend):
    """The objects of a bucket as files.

    Args:
        name: As `StorageBackend`.
        opener: Opens the bucket, when it is first used.
        linked_endpoint: As `InternalLinksStorageBackend`; with it links are tokens for that
            endpoint, without it the storage's own links or those of its gateway.
        secret_key: Likewise.
    """

    def __init__(
        self,
        *,
        name: str,
        opener: Callable[[], Bucket],
        linked_endpoint: str | None = None,
        secret_key: bytes | str | None = None,
    ) -> None:
        super().__init__(linked_endpoint=linked_endpoint, secret_key=secret_key, name=name)
        self._opener = opener
        self._opened: Bucket | None = None
        self._lock = threading.Lock()

    def _bucket(self) -> Bucket:
        """The bucket, opened once."""
        with self._lock:
            if self._opened is None:
                self._opened = self._opener()
            return self._opened

    def _key(self, path: str) -> str:
        """The key of a path: there is no root, so a path may begin with a slash or not."""
        return path.lstrip("/")

    def list(self, path: str) -> list[ListEntry]:
        """The objects whose key begins with ``path``, by their whole keys, ascending."""
        return list(self._entries(self._key(path)))

    def _entries(self, prefix: str, delimiter: str = "") -> Iterator[ListEntry]:
        for item in self._bucket().list(prefix, delimiter=delimiter):
            if item.is_prefix:
                yield ListEntry(item.key, None, 0)
            else:
                yield ListEntry(item.key, item.modified, item.size)

    def open(self, path: str, mode: FileMode | str, extra_args: ExtraArgs = None) -> RemoteFile:
        if single_mode(mode, self) is FileMode.write:
            return BucketWriter(self._bucket().writer(self._key(path), **_headers(extra_args)))
        try:
            return BucketReader(self._bucket().get(self._key(path)))
        except ObjectNotFoundError as error:
            raise FileNotFoundInStorageError(self, path) from error

    def delete(self, path: str) -> None:
        self._bucket().delete(self._key(path))

    def copy(self, path: str, new_path: str) -> None:
        try:
            self._bucket().copy(self._key(path), self._key(new_path))
        except ObjectNotFoundError as error:
            raise FileNotFoundInStorageError(self, path) from error

    def link_to(
        self,
        path: str,
        operation: ShareLinkOperation | str,
        expire: Moment,
        output_path: str | None = None,
        content_type: str | None = None,
    ) -> str:
        """As `StorageBackend.link_to`: a link of the storage's own, or of its gateway, is for
        one operation. An upload has to send ``content_type``, ``application/octet-stream`` if
        None, wherever the link can hold it to that; a gateway answers 400 to any other."""
        if self.linked_endpoint is not None:
            return super().link_to(path, operation, expire, output_path, content_type)
        wanted = ShareLinkOperation.as_operation(operation)
        if wanted not in METHODS:
            raise UnsupportedError(
                f"{self} can not make one link for several operations; make one for each, or set"
                " linked_endpoint and secret_key"
            )
        seconds = self._seconds(expire)
        return self._presign(self._key(path), wanted, seconds, output_path, content_type)

    def _seconds(self, expire: Moment) -> int:
        """How long a link is good: one at least."""
        return max(1, int(expire_time_to_seconds(expire, now=self.now)))

    def _presign(
        self,
        key: str,
        operation: ShareLinkOperation,
        seconds: int,
        output_path: str | None,
        content_type: str | None,
    ) -> str:
        bucket = self._bucket()
        method = METHODS[operation]
        if operation is ShareLinkOperation.download:
            return bucket.presign(
                key, expires_in=seconds, filename=output_path or None, content_type=content_type
            ).url
        if operation is ShareLinkOperation.upload:
            try:
                return bucket.presign(
                    key,
                    method=method,
                    expires_in=seconds,
                    content_type=content_type or UPLOAD_TYPE,
                ).url
            except UnsupportedError:
                if content_type is not None:
                    raise
        return bucket.presign(key, method=method, expires_in=seconds).url

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.storage.close()
                self._opened = None


def _headers(extra_args: ExtraArgs) -> dict[str, Any]:
    """Arguments of `Bucket.writer`.

    Raises:
        UnsupportedError: something else is asked for.
    """
    given = extra_args or {}
    if unknown := sorted(given.keys() - _ARGUMENTS.keys()):
        raise UnsupportedError(
            f"extra_args can not hold {unknown[0]!r}; use {', '.join(_ARGUMENTS)}, and set"
            " encryption, storage class and ACL in the profile"
        )
    return {_ARGUMENTS[name]: value for name, value in given.items()}
