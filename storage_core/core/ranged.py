"""`RangedCore`: random access to one object by ranged gets, never mixing two objects."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from storage_core.errors import (
    InvalidRangeError,
    InvalidRequestError,
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from storage_core.model import NO_CONDITIONS, Conditions, ObjectInfo

if TYPE_CHECKING:
    from storage_core.core.bucket import BucketCore


class RangedCore:
    """A position in an object and reads from there."""

    __slots__ = ("_bucket", "_conditions", "_key", "_version", "info", "position")

    def __init__(self, bucket: BucketCore, key: str, info: ObjectInfo) -> None:
        self._bucket = bucket
        self._key = key
        self._version = info.version
        conditional = bucket.client.capabilities.allows("get", "if_match")
        self._conditions = Conditions(if_match=info.etag) if conditional else NO_CONDITIONS
        self.info = info
        self.position = 0

    @classmethod
    async def open(cls, bucket: BucketCore, key: str, version: str | None) -> RangedCore:
        return cls(bucket, key, await bucket.head(key, version, NO_CONDITIONS, None))

    def seek(self, offset: int, whence: int) -> int:
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.info.size}
        if whence not in bases:
            raise InvalidRequestError(f"whence {whence!r} is not one of 0, 1, 2")
        position = bases[whence] + offset
        if position < 0:
            raise InvalidRequestError(f"position {position} is before the object's start")
        self.position = position
        return position

    async def read(self, size: int) -> bytes:
        """``size`` bytes from the position, fewer only at the end; all if negative."""
        left = max(0, self.info.size - self.position)
        size = left if size < 0 else min(size, left)
        if not size:
            return b""
        stop = self.position + size
        try:
            reader = await self._bucket.get(
                self._key, (self.position, stop), self._version, self._conditions, False, None
            )
        except (PreconditionFailedError, ObjectNotFoundError, InvalidRangeError) as error:
            raise self._changed() from error
        try:
            if reader.info.etag != self.info.etag:
                raise self._changed()
            data = await reader.read()
        finally:
            await reader.close()
        self.position += len(data)
        return data

    def _changed(self) -> ObjectChangedError:
        error = ObjectChangedError("the object was replaced since it was opened; open it again")
        error.with_context("open", self._bucket.name, self._key)
        return error
