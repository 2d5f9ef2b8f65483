"""An object's bytes as they come in a response."""

from __future__ import annotations

from storage_core.http.interface import Response
from storage_core.model import ObjectInfo
from storage_core.streams import ObjectStream


class ResponseStream(ObjectStream):
    """An `ObjectStream` over the body of a response.

    Args:
        response: Its head read, its body not.
        info: The object's.
        start: Offset in the object of the first byte of the body.
        length: Bytes of the body.
        checksum: Algorithm and digest of these bytes, where known.
    """

    __slots__ = ("_info", "_response")

    def __init__(
        self,
        response: Response,
        info: ObjectInfo,
        start: int,
        length: int,
        checksum: tuple[str, bytes] | None = None,
    ) -> None:
        super().__init__(start, length, response.data, checksum)
        self._response = response
        self._info = info

    @property
    def info(self) -> ObjectInfo:
        return self._info

    async def read(self, size: int) -> bytes:
        return await self._response.read(size)

    async def readinto(self, buffer: memoryview) -> int:
        return await self._response.readinto(buffer)

    async def close(self) -> None:
        await self._response.close()
