"""Bytes of an object as an answer brings them."""

from __future__ import annotations

import binascii

from storage_core.http.fields import Pick
from storage_core.http.interface import Response
from storage_core.http.metadata import RESERVED
from storage_core.model import ObjectInfo
from storage_core.streams import ObjectStream
from storage_s3.requests import CHECKSUM, META
from storage_s3.responses import object_info, verified

_digests = Pick(CHECKSUM + "crc32c", CHECKSUM + "sha256", CHECKSUM + "sha1", f"{META}{RESERVED}*")
"""Where an answer may tell a digest; the last are the library's own fields."""
_NONE = (None, None, None, None)


class AnswerStream(ObjectStream):
    """An `ObjectStream` over an answer. What its headers tell of the object is worked out when
    somebody asks, as most who get small objects do not.

    Args:
        response: Its head read.
        key: Of the object.
        size: Of the object, in bytes.
        versions: Whether the profile keeps versions.
        start: Offset in the object of the first byte delivered.
        length: Bytes delivered.
        data: All of them, where they are in memory.
    """

    __slots__ = ("_headers", "_info", "_key", "_response", "_size", "_versions")

    def __init__(
        self,
        response: Response,
        key: str,
        size: int,
        versions: bool,
        start: int,
        length: int,
        data: bytes | None,
    ) -> None:
        self.start = start
        self.length = length
        self.data = data
        self._response = response
        self._headers = response.headers
        self._key = key
        self._size = size
        self._versions = versions
        self._info: ObjectInfo | None = None
        self.checksum = None
        if length == size:
            told = _digests(response.headers)
            if told != _NONE:
                self.checksum = _plain_checksum(told[0]) or verified(self.info)

    @property
    def info(self) -> ObjectInfo:
        info = self._info
        if info is None:
            self._info = info = object_info(self._key, self._headers, self._size, self._versions)
        return info

    async def read(self, size: int) -> bytes:
        return await self._response.read(size)

    async def readinto(self, buffer: memoryview) -> int:
        return await self._response.readinto(buffer)

    async def close(self) -> None:
        await self._response.close()


def _plain_checksum(text: str | None) -> tuple[str, bytes] | None:
    """The CRC32C of the whole object, as the service tells it."""
    if text is None or len(text) != 8:
        return None
    try:
        return "crc32c", binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return None
