"""Bodies in S3's own chunks: the examples of the Amazon S3 API reference, and framing."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core import checksum
from storage_s3 import chunked
from storage_s3.chunked import ChunkedContent, Trailer, chunked_headers
from storage_s3.signing import STREAMING, STREAMING_TRAILER, Keys, Seed, Signer

SIGNER = Signer(
    Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), "us-east-1"
)
NOW = datetime(2013, 5, 24, tzinfo=UTC).timestamp()
BODY = b"a" * 66560


class Pieces:
    """A body in pieces; what was handed out is overwritten when the next one is asked for."""

    def __init__(self, *pieces: bytes, sized: bool = True) -> None:
        self.pieces = pieces
        self.size = sum(map(len, pieces)) if sized else None
        self.begun = False

    async def __aiter__(self) -> AsyncIterator[bytearray]:
        self.begun = True
        for piece in self.pieces:
            handed = bytearray(piece)
            yield handed
            handed[:] = b"!" * len(handed)


def drive(content: ChunkedContent) -> bytes:
    """All bytes, read without a loop: nothing may suspend."""

    async def read() -> bytes:
        return b"".join([bytes(piece) async for piece in content])

    coroutine = read()
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    return stopped.value.value


def crc_trailer(body: bytes) -> Trailer:
    value = base64.b64encode(checksum.digest("crc32c", body)).decode()
    return Trailer("x-amz-checksum-crc32c", 8, lambda: value)


def signed(payload: str, headers: dict[str, str]) -> Seed:
    path = "/examplebucket/chunkObject.txt"
    headers = {**headers, "x-amz-storage-class": "REDUCED_REDUNDANCY"}
    return SIGNER.seed(SIGNER.sign("PUT", "s3.amazonaws.com", path, "", headers, payload, NOW))


def test_the_published_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK", 65536)
    headers = {**chunked_headers(len(BODY), None), "content-length": "66824"}
    seed = signed(STREAMING, headers)
    assert seed.signature == "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    content = ChunkedContent(Pieces(BODY), seed, None)
    assert content.size == 66824
    assert drive(content) == (
        b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"
        + b"a" * 65536
        + b"\r\n400;chunk-signature="
        b"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n"
        + b"a"
        * 1024
        + b"\r\n0;chunk-signature="
        b"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
    )


def test_the_published_example_with_a_trailer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK", 65536)
    trailer = crc_trailer(BODY)
    seed = signed(STREAMING_TRAILER, chunked_headers(len(BODY), trailer))
    assert seed.signature == "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    sent = drive(ChunkedContent(Pieces(BODY), seed, trailer))
    assert b"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2" in sent
    assert b"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7" in sent
    assert sent.endswith(
        b"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
        b"\r\nx-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"
        b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
    )


@pytest.mark.parametrize("with_seed", [False, True])
@given(pieces=st.lists(st.binary(max_size=40), max_size=6))
def test_framing_keeps_the_bytes_and_tells_its_length(with_seed: bool, pieces: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunked, "CHUNK", 16)
        body = b"".join(pieces)
        seed = Seed("0" * 64, "20130524T000000Z", "scope", b"key") if with_seed else None
        content = ChunkedContent(Pieces(*pieces), seed, crc_trailer(body))
        sent = drive(content)
        assert content.size == len(sent)
        assert content.begun
        found, sizes = _decoded(sent)
        assert found == body
        assert all(size == 16 for size in sizes[:-1])


def _decoded(sent: bytes) -> tuple[bytes, list[int]]:
    body = b""
    sizes: list[int] = []
    while True:
        head, _, sent = sent.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if size == 0:
            return body, sizes
        sizes.append(size)
        body += sent[:size]
        assert sent[size : size + 2] == b"\r\n"
        sent = sent[size + 2 :]


def test_a_body_of_unknown_length() -> None:
    content = ChunkedContent(Pieces(b"abc", sized=False), None, crc_trailer(b"abc"))
    assert content.size is None
    assert drive(content) == b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32c:Nks/tw==\r\n\r\n"
    assert chunked_headers(None, None) == {"content-encoding": "aws-chunked"}


def test_the_trailer_is_asked_at_the_end_alone() -> None:
    asked: list[bool] = []
    body = Pieces(b"abc")

    def value() -> str:
        asked.append(body.begun)
        return "abcdefg="

    content = ChunkedContent(body, None, Trailer("x-amz-checksum-crc32c", 8, value))
    assert content.size
    assert asked == []
    drive(content)
    assert asked == [True]
