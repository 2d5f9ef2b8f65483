"""Bytes of an object as an answer brings them."""

from __future__ import annotations

from binascii import Error as HexError
from binascii import unhexlify
from collections.abc import Mapping
from typing import Final

from storage_azure.metadata import META
from storage_azure.responses import object_info, whole_checksum
from storage_core.http.interface import Response
from storage_core.model import ObjectInfo
from storage_core.streams import ObjectStream

_CRC_HEADER: Final = f"{META}storage_core_crc32c"


class AnswerStream(ObjectStream):
    """An `ObjectStream` over an answer. What its headers tell of the object is worked out when
    somebody asks, as most who get small objects do not.

    Args:
        response: Its head read.
        key: Of the object.
        versions: Whether the profile keeps versions.
        start: Offset in the object of the first byte delivered.
        length: Bytes delivered.
        whole: Whether that is all of the object.
    """

    __slots__ = ("_info", "_key", "_response", "_versions")

    def __init__(
        self, response: Response, key: str, versions: bool, start: int, length: int, whole: bool
    ) -> None:
        self.start = start
        self.length = length
        self.data = response.data
        self.checksum = None
        self._response = response
        self._key = key
        self._versions = versions
        self._info: ObjectInfo | None = None
        if whole:
            self.checksum = _plain_checksum(response.headers) or whole_checksum(self.info)

    @property
    def info(self) -> ObjectInfo:
        info = self._info
        if info is None:
            self._info = info = object_info(self._key, self._response.headers, self._versions)
        return info

    async def read(self, size: int) -> bytes:
        return await self._response.read(size)

    async def readinto(self, buffer: memoryview) -> int:
        return await self._response.readinto(buffer)

    async def close(self) -> None:
        await self._response.close()


def _plain_checksum(headers: Mapping[str, str]) -> tuple[str, bytes] | None:
    """The CRC32C that is kept with the object, where it is there and well-formed."""
    text = headers.get(_CRC_HEADER)
    if text is None or len(text) != 8:
        return None
    try:
        return "crc32c", unhexlify(text)
    except (HexError, ValueError):
        return None
