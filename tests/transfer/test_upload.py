"""Uploads on all four carriers, to a driver with a script."""

from __future__ import annotations

import gzip
import io
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage_core import (
    IntegrityError,
    InvalidRequestError,
    PreconditionFailedError,
    Progress,
    TransferOptions,
    UnavailableError,
)
from storage_core.checksum import digest
from tests.core.conftest import Opener, scripted
from tests.core.drivers import Lost, Scripted
from tests.transfer.downloads import OPTIONS, PART
from tests.transfer.uploads import (
    DATA,
    ONE_BY_ONE,
    by_path,
    clean,
    in_memory,
    numbers,
    small_pieces,
    stored,
)


@pytest.fixture
def pear(tmp_path: Path) -> Path:
    path = tmp_path / "pear"
    path.write_bytes(DATA)
    return path


# --- what can be uploaded -----------------------------------------------------------------


def by_name(path: Path) -> Any:
    return str(path)


def opened_file(path: Path) -> Any:
    return path.open("rb")


def raw_file(path: Path) -> Any:
    return path.open("rb", buffering=0)


def compressed(path: Path) -> Any:
    """A file object whose descriptor gives other bytes than it does."""
    packed = path.with_suffix(".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return gzip.open(packed)


def one_piece(path: Path) -> list[bytes]:
    return [b"", path.read_bytes(), b""]


def same_buffer(path: Path) -> Iterator[memoryview]:
    """Pieces that are good until the next one is asked for."""
    data = path.read_bytes()
    buffer = bytearray(PART)
    for start in range(0, len(data), PART):
        piece = data[start : start + PART]
        buffer[: len(piece)] = piece
        yield memoryview(buffer)[: len(piece)]


SIZES = [0, PART, PART + 1, len(DATA)]
OTHERS = [by_name, opened_file, raw_file, in_memory, compressed, one_piece, same_buffer]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("source", [by_path, small_pieces])
def test_what_is_stored_is_what_was_there(
    opened: Opener, tmp_path: Path, source: Callable[[Path], Any], size: int
) -> None:
    _round(opened, tmp_path, source, size)


@pytest.mark.parametrize("size", [1, len(DATA)])
@pytest.mark.parametrize("source", OTHERS)
@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_files_and_streams_of_other_kinds(
    opened: Opener, tmp_path: Path, source: Callable[[Path], Any], size: int
) -> None:
    _round(opened, tmp_path, source, size)


def _round(opened: Opener, tmp_path: Path, source: Callable[[Path], Any], size: int) -> None:
    bucket = opened().create_bucket("fruit")
    path = tmp_path / "pear"
    path.write_bytes(DATA[:size])
    seen: list[Progress] = []
    given = source(path)
    try:
        result = bucket.upload_file(
            given, "pear", content_type="x/y", options=OPTIONS, progress=seen.append
        )
    finally:
        if hasattr(given, "close"):
            given.close()
    assert stored(bucket) == DATA[:size]
    assert (result.key, result.size) == ("pear", size)
    assert result.checksums["crc32c"] == digest("crc32c", DATA[:size]).hex()
    assert bucket.head("pear").content_type == "x/y"
    assert clean(bucket)
    last = seen[-1]
    assert (last.bytes, last.total_bytes) == (size, size)
    assert (last.objects, last.total_objects, last.failed) == (1, 1, 0)
    assert len(numbers(bucket)) == (-(-size // PART) if size > PART else 0)


@pytest.mark.parametrize("carrier", ["direct", "threaded"], indirect=True)
def test_async_iterables(opened: Opener) -> None:
    bucket = opened().create_bucket("fruit")

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(DATA), 50_000):
            yield DATA[start : start + 50_000]

    bucket.upload_file(pieces(), "pear", options=OPTIONS)
    assert stored(bucket) == DATA


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
@pytest.mark.parametrize("buffering", [0, -1])
def test_a_file_object_is_read_from_where_it_stands_and_left_at_its_end(
    opened: Opener, pear: Path, buffering: int
) -> None:
    bucket = opened().create_bucket("fruit")
    with pear.open("rb", buffering=buffering) as file:
        file.read(100)
        bucket.upload_file(file, "pear", options=OPTIONS)
        assert file.tell() == len(DATA)
    assert stored(bucket) == DATA[100:]


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_a_file_of_proc_whose_size_says_nothing(opened: Opener) -> None:
    bucket = opened().create_bucket("fruit")
    bucket.upload_file("/proc/self/status", "pear")
    assert stored(bucket).startswith(b"Name:")


def _refused() -> list[tuple[Any, type[Exception], str]]:
    return [
        (b"bytes", InvalidRequestError, "put"),
        (io.StringIO("text"), InvalidRequestError, "binary"),
        (["text"], InvalidRequestError, "str"),
        (7, InvalidRequestError, "int"),
        ("/nowhere/pear", FileNotFoundError, "/nowhere/pear"),
        ("/", IsADirectoryError, "/"),
    ]


@pytest.mark.parametrize("case", range(len(_refused())))
@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_what_can_not_be_uploaded(opened: Opener, case: int) -> None:
    source, error, text = _refused()[case]
    bucket = opened().create_bucket("fruit")
    with pytest.raises(error, match=text):
        bucket.upload_file(source, "pear")
    assert scripted(bucket).names() == ["create_bucket"]


# --- how it is sent -----------------------------------------------------------------------


@pytest.mark.parametrize("source", [by_path, in_memory, small_pieces])
def test_without_sessions_one_request_takes_all(
    opened: Opener, pear: Path, source: Callable[[Path], Any]
) -> None:
    bucket = opened(Scripted(multipart=False)).create_bucket("fruit")
    seen: list[Progress] = []
    bucket.upload_file(source(pear), "pear", options=OPTIONS, progress=seen.append)
    assert stored(bucket) == DATA
    assert seen[-1].bytes == len(DATA)
    assert scripted(bucket).names().count("put") == 1


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_where_parts_are_written_twice_there_are_none_unless_asked_for(
    opened: Opener, pear: Path
) -> None:
    bucket = opened(Scripted(parts_copied=True)).create_bucket("fruit")
    with pear.open("ab") as file:
        file.truncate(9 * 1024**2)
    bucket.upload_file(pear, "pear")
    assert numbers(bucket) == []
    bucket.upload_file(pear, "pear", options=TransferOptions(part_size=8 * 1024**2))
    assert sorted(numbers(bucket)) == [1, 2]
    assert stored(bucket) == pear.read_bytes()


@pytest.mark.parametrize("carrier", ["inline", "threaded"], indirect=True)
def test_parts_of_a_stream_grow_so_that_they_suffice(opened: Opener) -> None:
    driver = Scripted(max_parts=10, max_put_size=PART, max_part_size=10**9)
    bucket = opened(driver).create_bucket("fruit")
    data = bytes(40 * 1024**2)
    # The first part has 8 MiB and each one twice the one before, as far as there is memory.
    for memory, sizes in ((64, [8, 16, 16]), (8, [8] * 5)):
        options = TransferOptions(max_memory=memory * 1024**2, concurrency=8)
        driver.calls.clear()
        bucket.upload_file(iter([data]), "pear", options=options)
        sent = {request.number: request.body.size for request in driver.requests("put_part")}
        assert [sent[number] // 1024**2 for number in sorted(sent)] == sizes
        assert stored(bucket) == data

    with pytest.raises(InvalidRequestError, match="longer than 10 parts"):
        bucket.upload_file(iter([data]), "pear", options=replace(OPTIONS, concurrency=2))
    assert clean(bucket)


@pytest.mark.parametrize("source", [by_path, small_pieces])
def test_a_part_that_is_sent_again_is_counted_once(
    opened: Opener, pear: Path, source: Callable[[Path], Any]
) -> None:
    bucket = opened().create_bucket("fruit")
    scripted(bucket).script["put_part"] = [None, Lost(UnavailableError("lost"))]
    seen: list[Progress] = []
    bucket.upload_file(source(pear), "pear", options=ONE_BY_ONE, progress=seen.append)
    assert stored(bucket) == DATA
    assert numbers(bucket) == [1, 2, 2, 3, 4, 5, 6]
    assert seen[-1].bytes == len(DATA)


@pytest.mark.parametrize("limit", [None, 1e9])
@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_the_pieces_of_a_body_are_counted_one_by_one(
    opened: Opener, tmp_path: Path, limit: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[int] = []
    from storage_core.transfer import progress

    original = progress.Meter.moved

    def noted(self: progress.Meter, size: int, *, earlier: bool = False) -> None:
        moved.append(size)
        original(self, size, earlier=earlier)

    monkeypatch.setattr(progress.Meter, "moved", noted)
    path = tmp_path / "pear"
    path.write_bytes(bytes(3 * 1024**2))
    bucket = opened().create_bucket("fruit")
    bucket.upload_file(path, "pear", options=TransferOptions(bandwidth=limit))
    assert sum(moved) == 3 * 1024**2
    assert max(moved) == (64 * 1024 if limit else max(moved))
    assert len(moved) >= 3


@pytest.mark.parametrize("source", [by_path, in_memory])
@pytest.mark.parametrize("size", [10, PART + 10])
def test_conditions(
    opened: Opener, tmp_path: Path, source: Callable[[Path], Any], size: int
) -> None:
    path = tmp_path / "pear"
    path.write_bytes(DATA[:size])
    bucket = opened().create_bucket("fruit")
    etag = bucket.upload_file(source(path), "pear", if_absent=True, options=OPTIONS).etag
    with pytest.raises(PreconditionFailedError):
        bucket.upload_file(source(path), "pear", if_absent=True, options=OPTIONS)
    with pytest.raises(PreconditionFailedError):
        bucket.upload_file(source(path), "pear", if_match="other", options=OPTIONS)
    bucket.upload_file(source(path), "pear", if_match=etag, options=OPTIONS)
    assert clean(bucket), "what can never be gone on with is gone"


@pytest.mark.parametrize("source", [by_path, small_pieces])
@pytest.mark.parametrize("size", [10, 3 * PART])
@pytest.mark.parametrize("algorithm", ["crc32c", "sha256", "md5"])
@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_declared_digests(
    opened: Opener, tmp_path: Path, source: Callable[[Path], Any], algorithm: str, size: int
) -> None:
    path = tmp_path / "pear"
    path.write_bytes(DATA[:size])
    right = {algorithm: digest(algorithm, DATA[:size]).hex()}
    bucket = opened().create_bucket("fruit")
    result = bucket.upload_file(source(path), "pear", checksums=right, options=OPTIONS)
    assert right.items() <= result.checksums.items()
    assert right.items() <= bucket.head("pear").checksums.items()
    asked = bucket.upload_file(source(path), "pear", compute=[algorithm], options=OPTIONS)
    assert right.items() <= asked.checksums.items()
    wrong = {algorithm: digest(algorithm, b"other").hex()}
    with pytest.raises(IntegrityError, match=algorithm):
        bucket.upload_file(source(path), "second", checksums=wrong, options=OPTIONS)
    assert not bucket.exists("second")
    assert clean(bucket)
