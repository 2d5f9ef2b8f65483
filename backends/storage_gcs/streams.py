"""Bytes of an object as an answer brings them."""

from __future__ import annotations

from binascii import Error, a2b_base64
from collections.abc import Mapping

from storage_core.http.interface import Response
from storage_core.model import ObjectInfo
from storage_core.streams import ObjectStream
from storage_gcs.responses import read_info


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
    """

    __slots__ = ("_info", "_key", "_response", "_size", "_versions")

    def __init__(
        self, response: Response, key: str, size: int, versions: bool, start: int, length: int
    ) -> None:
        self.start = start
        self.length = length
        self.data = response.data
        self._response = response
        self._key = key
        self._size = size
        self._versions = versions
        self._info: ObjectInfo | None = None
        self.checksum = None
        if length == size:
            self.checksum = _plain_checksum(response.headers) or _checksum(self.info)

    @property
    def info(self) -> ObjectInfo:
        info = self._info
        if info is None:
            headers = self._response.headers
            self._info = info = read_info(self._key, headers, self._size, self._versions)
        return info

    async def read(self, size: int) -> bytes:
        return await self._response.read(size)

    async def readinto(self, buffer: memoryview) -> int:
        return await self._response.readinto(buffer)

    async def close(self) -> None:
        await self._response.close()


def _plain_checksum(headers: Mapping[str, str]) -> tuple[str, bytes] | None:
    """The CRC32C of the whole object, as GCS tells it of every one."""
    _, found, rest = headers.get("x-goog-hash", "").partition("crc32c=")
    try:
        return ("crc32c", a2b_base64(rest[:8], strict_mode=True)) if found else None
    except Error:
        return None


def _checksum(info: ObjectInfo) -> tuple[str, bytes] | None:
    for name in ("crc32c", "md5"):
        if name in info.checksums:
            return name, bytes.fromhex(info.checksums[name])
    return None
