"""Every kind of body, by every carrier."""

from __future__ import annotations

import array
import asyncio
import hashlib
import io
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from storage_core import Bucket, IntegrityError, InvalidRequestError, UnsupportedError
from tests.core.body_kinds import BODIES, DATA, wide
from tests.core.conftest import Opener, scripted
from tests.core.drivers import Scripted


@pytest.mark.parametrize("kind", BODIES)
def test_every_kind_of_body_arrives(bucket: Bucket, tmp_path: Path, kind: str, close: list[Any]):
    body = BODIES[kind](tmp_path)
    close.append(body)
    result = bucket.put("a", body, compute=("sha256",))
    assert result.size == len(DATA)
    assert result.checksums["sha256"] == hashlib.sha256(DATA).hexdigest()
    with bucket.get("a") as reader:
        assert reader.read() == DATA
    scripted(bucket).calls.clear()  # which alone keeps hold of the body now


@pytest.mark.parametrize(
    "make",
    [lambda: b"", bytearray, lambda: io.BytesIO(), list, lambda: iter(()), lambda: [b"", b""],
     lambda: array.array("I")],
)  # fmt: skip
def test_an_empty_body_of_any_kind(bucket: Bucket, make):
    assert bucket.put("a", make()).size == 0
    assert bucket.put("a", make(), size=0).size == 0
    with bucket.get("a") as reader:
        assert reader.read() == b""


def test_wide_items_count_in_bytes(bucket: Bucket):
    expected = DATA + b"!"
    assert bucket.put("a", wide(DATA)).size == len(expected)
    assert bucket.put("a", wide(DATA), size=len(expected)).size == len(expected)
    assert bucket.put("a", [wide(DATA)], size=len(expected)).size == len(expected)
    with bucket.get("a") as reader:
        assert reader.read() == expected


def test_a_pipe_has_no_length(bucket: Bucket):
    read, write = os.pipe()

    def feed() -> None:
        with open(write, "wb") as out:
            out.write(DATA)

    feeder = threading.Thread(target=feed)
    feeder.start()
    with open(read, "rb") as pipe:
        assert bucket.put("a", pipe).size == len(DATA)
    feeder.join()
    with bucket.get("a") as reader:
        assert reader.read() == DATA


def test_an_object_can_be_the_body_of_another(bucket: Bucket):
    bucket.put("a", DATA)
    with bucket.get("a") as reader:
        body = getattr(reader, "_target", reader)
        assert bucket.put("b", body, size=len(DATA)).size == len(DATA)
    with bucket.get("b") as reader:
        assert reader.read() == DATA


@pytest.mark.parametrize("carrier", ["direct", "threaded"], indirect=True)
def test_async_iterables(opened: Opener, carrier: str):
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(DATA), 9999):
            await asyncio.sleep(0)
            yield DATA[at : at + 9999]

    class Iterable:
        def __aiter__(self) -> AsyncIterator[bytes]:
            return pieces()

    storage = opened()
    made = storage.create_bucket("fruit")
    for body in (pieces(), Iterable()):
        assert made.put("a", body, size=len(DATA)).size == len(DATA)
        with made.get("a") as reader:
            assert reader.read() == DATA


@pytest.mark.parametrize("carrier", ["inline", "loop_thread"], indirect=True)
def test_the_blocking_face_says_where_async_iterables_belong(opened: Opener):
    class Custom:
        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> bytes:
            raise AssertionError("never asked")

    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    driver.calls.clear()
    with pytest.raises(InvalidRequestError, match=r"storage_core\.aio"):
        bucket.put("a", Custom())
    assert driver.calls == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("text", "encode it"),
        (io.StringIO("text"), "binary mode"),
        (None, "not NoneType"),
        (5, "not int"),
        (Path("a"), "not PosixPath"),
        (1.5, "not float"),
    ],
)
def test_what_is_no_body_is_refused_before_any_request(opened: Opener, body, says: str):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    driver.calls.clear()
    with pytest.raises(InvalidRequestError, match=says):
        bucket.put("a", body)
    assert driver.calls == []


def test_a_text_file_is_refused(bucket: Bucket, tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("é")
    with path.open() as file, pytest.raises(InvalidRequestError, match="binary mode"):
        bucket.put("a", file)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "says"),
    [(["text"], "str was given"), ([1, 2], "int was given"), ([b"a", None, b"b"], "NoneType"),
     ({"a": 1}, "str was given")],
)  # fmt: skip
def test_pieces_that_are_no_bytes(bucket: Bucket, body, says: str):
    with pytest.raises(InvalidRequestError, match=says) as caught:
        bucket.put("a", body)
    assert (caught.value.operation, caught.value.key) == ("put", "a")
    assert not bucket.exists("a")


class WrongRead:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def read(self, size: int) -> Any:
        return self.answer


@pytest.mark.parametrize("answer", ["text", None, 5])
def test_a_read_that_gives_no_bytes(bucket: Bucket, answer):
    with pytest.raises(InvalidRequestError, match=type(answer).__name__):
        bucket.put("a", WrongRead(answer))
    assert not bucket.exists("a")


# --- sizes and digests that do not hold ----------------------------------------------


@pytest.mark.parametrize("delta", [-1, 1000])
@pytest.mark.parametrize("kind", ["bytes", "array", "BytesIO", "file", "generator", "only read()"])
def test_a_body_of_another_size_than_declared(
    bucket: Bucket, tmp_path: Path, kind: str, delta: int, close: list[Any]
):
    bucket.put("a", b"old")
    body = BODIES[kind](tmp_path)
    close.append(body)
    with pytest.raises(IntegrityError, match=rf"declared as {len(DATA) + delta} bytes"):
        bucket.put("a", body, size=len(DATA) + delta)
    with bucket.get("a") as reader:
        assert reader.read() == b"old"


@pytest.mark.parametrize("kind", ["bytes", "file", "generator"])
def test_declared_digests(bucket: Bucket, tmp_path: Path, kind: str, close: list[Any]):
    good = {"sha256": hashlib.sha256(DATA).hexdigest(), "md5": hashlib.md5(DATA).hexdigest()}
    for checksums in (good, {name: digest.upper() for name, digest in good.items()}):
        close.append(BODIES[kind](tmp_path))
        result = bucket.put("a", close[-1], checksums=checksums)
        assert good.items() <= dict(result.checksums).items()
    for name, digest in good.items():
        close.append(BODIES[kind](tmp_path))
        with pytest.raises(IntegrityError, match=f"the body's {name} is {digest}"):
            bucket.put("b", close[-1], checksums={**good, name: "0" * len(digest)})
        assert not bucket.exists("b")


@pytest.mark.parametrize(
    ("checksums", "error", "says"),
    [
        ({"sha256": "xyz"}, InvalidRequestError, "64 hexadecimal digits"),
        ({"sha256": "ab"}, InvalidRequestError, "64 hexadecimal digits"),
        ({"sha256": b"ab"}, InvalidRequestError, "64 hexadecimal digits"),
        ({"sha256": None}, InvalidRequestError, "64 hexadecimal digits"),
        ({"sha3": "ab"}, UnsupportedError, "'sha3' is not one of"),
    ],
)
def test_malformed_digests(bucket: Bucket, checksums, error, says: str):
    with pytest.raises(error, match=says):
        bucket.put("a", b"x", checksums=checksums)
    with pytest.raises(error, match=says):
        bucket.writer("a", checksums=checksums)
