"""Bytes of an object as an answer brings them."""

from __future__ import annotations

import pytest

from storage_core.errors import UnavailableError
from storage_core.http.interface import Response
from storage_s3.streams import AnswerStream

HEADERS = {
    "last-modified": "Sat, 31 Jan 2026 12:00:00 GMT",
    "etag": '"abc"',
    "content-type": "text/plain",
}
CRC = {"x-amz-checksum-crc32c": "Nks/tw=="}  # of b"abc"


class Answer(Response):
    async def read(self, size: int) -> bytes:
        return b"read"[:size]

    async def body(self, limit: int) -> bytes:
        raise NotImplementedError

    async def close(self) -> None:
        self.status = 0


def stream(
    headers: dict[str, str], size: int = 3, start: int = 0, data: bytes | None = b"abc"
) -> AnswerStream:
    answer = Answer(200, headers, size, data)
    return AnswerStream(answer, "key", size, False, start, 3, data)


def test_what_the_headers_tell() -> None:
    found = stream({**HEADERS, **CRC})
    assert found.data == b"abc"
    assert found.whole
    assert (found.info.key, found.info.size, found.info.etag) == ("key", 3, "abc")
    assert found.info is found.info
    assert found.info.content_type == "text/plain"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (CRC, ("crc32c", bytes.fromhex("364b3fb7"))),
        ({"x-amz-checksum-sha1": "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="}, "sha1"),
        ({"x-amz-meta-storage-core-crc32c": "364b3fb7"}, ("crc32c", bytes.fromhex("364b3fb7"))),
        ({"x-amz-checksum-crc32c": "Nks/tw==-2"}, None),
        ({"x-amz-checksum-crc32c": "Nks/!w=="}, None),
        ({}, None),
    ],
)
def test_digest_of_the_whole(headers: dict[str, str], expected: object) -> None:
    found = stream({**HEADERS, **headers})
    assert found.checksum == expected or (found.checksum or [None])[0] == expected


def test_a_part_has_no_digest() -> None:
    assert stream({**HEADERS, **CRC}, size=10, start=2).checksum is None


def test_an_answer_without_a_date() -> None:
    with pytest.raises(UnavailableError, match="date"):
        _ = stream(CRC).info


def test_reading_and_closing_are_the_answers() -> None:
    found = stream({**HEADERS, **CRC}, data=None)
    with pytest.raises(StopIteration) as stopped:
        found.read(2).send(None)
    assert stopped.value.value == b"re"
    with pytest.raises(StopIteration):
        found.close().send(None)
    assert found._response.status == 0
