"""Writes of one object: nothing of it is visible before it is committed."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from storage_core.aio import AsyncBucket, AsyncWriter
from storage_core.errors import (
    BucketExistsError,
    BucketNotEmptyError,
    PreconditionFailedError,
    StorageError,
)
from storage_core.model import Buffer, ObjectInfo

PIECE = 1024**2
"""Bytes copied at a time."""


@contextmanager
def exclusive(path: str, only_new: bool = True) -> Iterator[None]:
    """Say by the system's words that something exists already.

    Raises:
        FileExistsError: it does.
    """
    try:
        yield
    except BucketExistsError as error:
        raise FileExistsError(errno.EEXIST, "the bucket exists", path) from error
    except PreconditionFailedError as error:
        if not only_new:
            raise
        raise FileExistsError(errno.EEXIST, "the object exists", path) from error


@contextmanager
def emptied(path: str) -> Iterator[None]:
    """Say by the system's words that a bucket is not empty.

    Raises:
        OSError: it is not (ENOTEMPTY).
    """
    try:
        yield
    except BucketNotEmptyError as error:
        raise OSError(errno.ENOTEMPTY, "the bucket is not empty", path) from error


def create_only(mode: str) -> bool:
    """Whether fsspec's ``mode`` of a write is "create" rather than "overwrite"."""
    if mode not in {"create", "overwrite"}:
        raise ValueError(f"mode {mode!r} is neither 'create' nor 'overwrite'")
    return mode == "create"


@dataclass(frozen=True, slots=True)
class Headers:
    """What a write may say of its object."""

    content_type: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(slots=True)
class Sink:
    """An object that is being written.

    Args:
        bucket: Where it goes.
        key: Of the object.
        path: As the caller wrote it, for messages.
        headers: What is kept with it.
        only_new: Refuse to replace another one.
        before: The object that this one continues; it must still be there at the end.
    """

    bucket: AsyncBucket
    key: str
    path: str
    headers: Headers = field(default_factory=Headers)
    only_new: bool = False
    before: ObjectInfo | None = None
    _writer: AsyncWriter | None = None

    async def write(self, data: Buffer) -> None:
        """Take some more bytes. After a failure nothing can be published any more."""
        try:
            await (self._writer or await self._begun()).write(data)
        except BaseException:
            with suppress(StorageError):  # which must not hide the failure
                await self.abort()
            raise

    async def commit(self) -> None:
        """Publish the object.

        Raises:
            FileExistsError: it must be new, and is not.
            PreconditionFailedError: what it continues was replaced meanwhile.
        """
        with exclusive(self.path, self.only_new):
            await (self._writer or await self._begun()).commit()

    async def abort(self) -> None:
        """Drop what was written; may be called twice."""
        if self._writer is not None:
            await self._writer.abort()

    async def _begun(self) -> AsyncWriter:
        if self.before is not None:
            return await self._continued(self.before)
        self._writer = self.bucket.writer(
            self.key,
            content_type=self.headers.content_type,
            metadata=self.headers.metadata,
            if_absent=self.only_new,
        )
        return self._writer

    async def _continued(self, before: ObjectInfo) -> AsyncWriter:
        """A writer with all that the object before had, headers and bytes."""
        bucket, headers = self.bucket, self.headers
        capabilities = bucket.storage.capabilities
        tags = await bucket.get_tags(self.key) if capabilities.tags else None
        writer = self._writer = bucket.writer(
            self.key,
            content_type=headers.content_type or before.content_type,
            content_encoding=before.content_encoding,
            content_disposition=before.content_disposition,
            content_language=before.content_language,
            cache_control=before.cache_control,
            metadata=before.metadata if headers.metadata is None else headers.metadata,
            tags=tags,
            expires_at=before.expires_at,
            if_match=before.etag if capabilities.allows("put", "if_match") else None,
        )
        pinned = before.etag if capabilities.allows("get", "if_match") else None
        async with bucket.get(self.key, version=before.version, if_match=pinned) as reader:
            while piece := await reader.read(PIECE):
                await writer.write(piece)
        return writer
