"""An object's bytes as they come in a response."""

from datetime import UTC, datetime

from storage_core.http import Response
from storage_core.http.stream import ResponseStream
from storage_core.model import ObjectInfo
from storage_core.runtime import drive

INFO = ObjectInfo("k", 10, "e", datetime(2026, 1, 1, tzinfo=UTC))


class Canned(Response):
    __slots__ = ("asked", "closed", "left")

    def __init__(self, left: bytes, data: bytes | None = None) -> None:
        super().__init__(200, {}, len(left), data)
        self.left = left
        self.asked: list[int] = []
        self.closed = 0

    async def read(self, size: int) -> bytes:
        self.asked.append(size)
        found, self.left = self.left[:size], self.left[size:]
        return found

    async def body(self, limit: int) -> bytes:
        raise AssertionError

    async def close(self) -> None:
        self.closed += 1


def test_reads_and_closes_the_response():
    response = Canned(b"34567")
    stream = ResponseStream(response, INFO, 3, 5, ("crc32c", b"abcd"))
    assert (stream.start, stream.length, stream.info) == (3, 5, INFO)
    assert stream.checksum == ("crc32c", b"abcd")
    assert stream.data is None
    assert not stream.whole
    assert drive(stream.read(4)) == b"3456"
    assert drive(stream.read(4)) == b"7"
    assert drive(stream.read(4)) == b""
    assert response.asked == [4, 4, 4]
    drive(stream.close())
    assert response.closed == 1


def test_what_came_with_the_head_is_there_at_once():
    """Core then asks for nothing more, so a small object costs no second read."""
    stream = ResponseStream(Canned(b"", data=b"0123456789"), INFO, 0, 10)
    assert stream.data == b"0123456789"
    assert stream.whole


def test_an_empty_body_is_in_memory():
    assert ResponseStream(Canned(b"", data=b""), INFO, 10, 0).data == b""
