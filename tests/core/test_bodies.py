"""Every kind of body, by every carrier."""

from __future__ import annotations

import array
import asyncio
import gzip
import hashlib
import io
import mmap
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core import Bucket, IntegrityError, InvalidRequestError, UnsupportedError, aio
from storage_core.core.bodies import PIECE, make_body
from storage_core.core.retry import Deadline
from storage_core.errors import OperationTimeoutError, UnavailableError
from storage_core.runtime import Inline, drive
from tests.core.conftest import Opener, scripted
from tests.core.drivers import CARRIERS, Before, Scripted

DATA = bytes(range(256)) * 1100 + b"end"  # more than one piece, and not a round number


def real_file(tmp_path: Path, offset: int) -> io.BufferedReader:
    path = tmp_path / "body"
    path.write_bytes(b"x" * offset + DATA)
    file = path.open("rb")
    file.seek(offset)
    return file


def memory_map(tmp_path: Path) -> mmap.mmap:
    with real_file(tmp_path, 0) as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def spooled(tmp_path: Path) -> Any:
    file = tempfile.SpooledTemporaryFile(max_size=10)  # noqa: SIM115 - closed by the test
    file.write(b"skip" + DATA)
    file.seek(4)
    return file


def compressed(tmp_path: Path) -> Any:
    path = tmp_path / "body.gz"
    path.write_bytes(gzip.compress(DATA))
    return gzip.open(path, "rb")


class OnlyRead:
    """The least a file object may be: no position, no descriptor."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._inner.read(min(size, 1000))


def wide(data: bytes) -> memoryview:
    assert len(data) % 4 == 3
    return memoryview(array.array("I", data + b"!"))


BODIES: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda _: DATA,
    "bytearray": lambda _: bytearray(DATA),
    "memoryview": lambda _: memoryview(DATA),
    "view of a part": lambda _: memoryview(b"--" + DATA + b"--")[2:-2],
    "view with a stride": lambda _: memoryview(bytes(b for one in DATA for b in (one, 0)))[::2],
    "mmap": memory_map,
    "array": lambda _: array.array("B", DATA),
    "BytesIO": lambda _: io.BytesIO(DATA),
    "file": lambda path: real_file(path, 0),
    "file from its position": lambda path: real_file(path, 5),
    "unbuffered file": lambda path: real_file(path, 0).detach(),
    "spooled file": spooled,
    "gzip": compressed,
    "only read()": lambda _: OnlyRead(DATA),
    "generator": lambda _: (DATA[at : at + 999] for at in range(0, len(DATA), 999)),
    "list": lambda _: [DATA[:1], b"", bytearray(DATA[1:9]), memoryview(DATA)[9:]],
}


@pytest.fixture
def close() -> Iterator[list[Any]]:
    made: list[Any] = []
    yield made
    for one in made:
        if hasattr(one, "close"):
            one.close()


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


# --- sizes and digests that do not hold ---------------------------------------------------


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


# --- sources that fail --------------------------------------------------------------------


class BrokenError(Exception):
    pass


@pytest.mark.parametrize(
    "raised", [BrokenError("mine"), FileNotFoundError(2, "gone"), UnavailableError("of another storage"),
               TimeoutError("mine"), KeyError("x")]
)  # fmt: skip
@pytest.mark.parametrize("after", [0, 3])
def test_what_a_source_raises_comes_back_as_it_is(opened: Opener, raised: Exception, after: int):
    def pieces() -> Iterator[bytes]:
        for _ in range(after):
            yield b"piece"
        raise raised

    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    bucket.put("a", b"old")
    driver.calls.clear()
    with pytest.raises(type(raised)) as caught:
        bucket.put("a", pieces())
    # asyncio's futures hand on a builtin TimeoutError as one of their own making.
    assert caught.value is raised or type(raised) is TimeoutError
    assert caught.value.args == raised.args
    assert driver.names() == ["put"]  # whatever it looks like, it is no failure of the service
    with bucket.get("a") as reader:
        assert reader.read() == b"old"


class FailingFile(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise ConnectionResetError(104, "the source's own")


def test_a_file_that_fails(opened: Opener):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    driver.calls.clear()
    with pytest.raises(ConnectionResetError, match="the source's own"):
        bucket.put("a", FailingFile(DATA))
    assert driver.names() == ["put"]


def test_a_failing_body_through_the_writer(opened: Opener):
    def pieces() -> Iterator[bytes]:
        yield b"piece"
        raise BrokenError

    driver = Scripted(unsized_put=False)
    bucket = opened(driver).create_bucket("fruit")
    driver.calls.clear()
    with pytest.raises(BrokenError):
        bucket.put("a", pieces())
    assert driver.calls == []


# --- repeats ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bytes", "BytesIO", "file from its position"])
def test_what_can_be_read_again_is_sent_again(
    opened: Opener, tmp_path: Path, kind: str, close: list[Any]
):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    driver.script["put"] = [UnavailableError("first"), UnavailableError("second")]
    close.append(BODIES[kind](tmp_path))
    assert bucket.put("a", close[-1], compute=("sha256",)).checksums["sha256"] == (
        hashlib.sha256(DATA).hexdigest()
    )
    assert driver.names().count("put") == 3
    with bucket.get("a") as reader:
        assert reader.read() == DATA


class HalfRead(Scripted):
    """Reads some of the body before the connection breaks."""

    pieces = 1

    async def put(self, request: Any) -> Any:
        if self.script.get("put"):
            self.calls.append(("put", request))
            left = self.pieces
            if left:
                async for _ in request.body:
                    left -= 1
                    if not left:
                        break
            raise self.script["put"].pop(0)  # type: ignore[misc]
        return await super().put(request)


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_file_half_sent_is_sent_again_from_its_position(
    opened: Opener, tmp_path: Path, pieces: int
):
    driver = HalfRead()
    driver.pieces = pieces
    bucket = opened(driver).create_bucket("fruit")
    driver.script["put"] = [UnavailableError("reset")]
    with real_file(tmp_path, 5) as file:
        result = bucket.put("a", file, compute=("md5",))
    assert result.checksums["md5"] == hashlib.md5(DATA).hexdigest()
    with bucket.get("a") as reader:
        assert reader.read() == DATA


def test_an_iterator_is_not_sent_again_once_it_gave_something(opened: Opener):
    driver = HalfRead()
    bucket = opened(driver).create_bucket("fruit")
    driver.script["put"] = [UnavailableError("reset")]
    with pytest.raises(UnavailableError, match="reset") as caught:
        bucket.put("a", iter([b"a", b"b"]))
    assert caught.value.attempts == 1
    assert driver.names().count("put") == 1
    assert not bucket.exists("a")


def test_an_iterator_is_sent_again_while_it_is_untouched(opened: Opener):
    driver = HalfRead()
    driver.pieces = 0
    bucket = opened(driver).create_bucket("fruit")
    driver.script["put"] = [UnavailableError("no connection")]
    assert bucket.put("a", iter([b"a", b"b"])).size == 2


# --- what a driver may ask of a body ------------------------------------------------------


def test_digests_are_told_when_all_bytes_were_seen():
    body = make_body(iter([b"ab", b"c"]), Inline(), compute=("md5",))
    assert body.computes("md5")
    assert not body.computes("sha1")
    assert body.digests() == {}
    assert not body.begun

    async def read() -> int:
        return sum([len(piece) async for piece in body])

    assert drive(read()) == 3
    assert body.begun
    assert body.digests() == {"md5": hashlib.md5(b"abc").hexdigest()}
    assert body.digest("md5") == hashlib.md5(b"abc").hexdigest()
    with pytest.raises(KeyError):
        body.digest("sha1")


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(-3, 3))
def test_sizes_are_held_to_the_byte(pieces: list[bytes], delta: int):
    whole = b"".join(pieces)
    size = max(0, len(whole) + delta)
    body = make_body(iter(pieces), Inline(), size=size, compute=("crc32c",))

    async def read() -> bytes:
        return b"".join([bytes(piece) async for piece in body])

    if size == len(whole):
        assert drive(read()) == whole
    else:
        with pytest.raises(IntegrityError):
            drive(read())
        assert isinstance(body.take_failure(), IntegrityError)
        assert body.take_failure() is None


def test_files_are_read_in_pieces(tmp_path: Path):
    sizes: list[int] = []

    class Watched(OnlyRead):
        def read(self, size: int) -> bytes:
            sizes.append(size)
            return self._inner.read(size)

    body = make_body(Watched(DATA), Inline())

    async def read() -> list[int]:
        return [len(piece) async for piece in body]

    assert max(drive(read())) <= PIECE
    assert set(sizes) == {PIECE}


def test_the_deadline_counts_while_a_body_is_read():
    deadline = Deadline(1000)

    def pieces() -> Iterator[bytes]:
        yield b"a"
        deadline.at = 0.0  # it passes
        yield b"b"

    body = make_body(pieces(), Inline(), deadline=deadline)

    async def read() -> None:
        async for _ in body:
            pass

    with pytest.raises(OperationTimeoutError, match="while the body was sent"):
        drive(read())


def test_a_slow_body_is_a_timeout_of_the_call(opened: Opener):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")

    def expire(request: Any) -> None:
        request.body._deadline.at = 0.0

    driver.script["put"] = [Before(expire)]
    with pytest.raises(OperationTimeoutError) as caught:
        bucket.put("a", iter([b"a"]), if_absent=True, deadline=1000)
    assert (caught.value.operation, caught.value.key) == ("put", "a")
    assert not bucket.exists("a")


def test_generators_do_not_block_the_loop():
    """A generator that waits for something the loop has to do."""

    async def main(io_kind: str) -> None:
        loop = asyncio.get_running_loop()
        happened = threading.Event()

        def pieces() -> Iterator[bytes]:
            loop.call_soon_threadsafe(happened.set)
            assert happened.wait(10)
            yield b"a"

        async with aio.open_driver(Scripted((io_kind,))) as storage:
            made = await storage.create_bucket("fruit")
            await made.put("a", pieces())

    for carrier in ("direct", "threaded"):
        asyncio.run(main(CARRIERS[carrier][1]), debug=True)
