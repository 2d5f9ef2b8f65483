"""Uploads on all four carriers, to a driver with a script."""

from __future__ import annotations

import gzip
import io
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage_core import (
    Bucket,
    IntegrityError,
    InvalidRequestError,
    ObjectChangedError,
    PreconditionFailedError,
    Progress,
    QuotaExceededError,
    TransferOptions,
    UnavailableError,
)
from storage_core.checksum import digest
from storage_core.transfer.journal import journals
from tests.core.conftest import Opener, scripted
from tests.core.drivers import Before, Lost, Scripted
from tests.transfer.downloads import OPTIONS, PART, content

DATA = content(5 * PART + 7)
ONE_BY_ONE = replace(OPTIONS, concurrency=1)


@pytest.fixture
def pear(tmp_path: Path) -> Path:
    path = tmp_path / "pear"
    path.write_bytes(DATA)
    return path


def stored(bucket: Bucket, key: str = "pear") -> bytes:
    with bucket.get(key) as reader:
        return reader.read()


def clean(bucket: Bucket) -> bool:
    """Whether nothing is left of uploads."""
    return not list(bucket.list_uploads()) and not journals()


def numbers(bucket: Bucket) -> list[int]:
    """Parts that were sent, in order."""
    return [request.number for request in scripted(bucket).requests("put_part")]


# --- what can be uploaded -----------------------------------------------------------------


def by_path(path: Path) -> Any:
    return path


def by_name(path: Path) -> Any:
    return str(path)


def opened_file(path: Path) -> Any:
    return path.open("rb")


def raw_file(path: Path) -> Any:
    return path.open("rb", buffering=0)


def in_memory(path: Path) -> Any:
    return io.BytesIO(path.read_bytes())


def compressed(path: Path) -> Any:
    """A file object whose descriptor gives other bytes than it does."""
    packed = path.with_suffix(".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return gzip.open(packed)


def small_pieces(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    return (data[start : start + 1000] for start in range(0, len(data), 1000))


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


# --- what goes wrong ----------------------------------------------------------------------


def failing_at(bucket: Bucket, number: int) -> None:
    """Let the service be gone for good from the so many-th part on."""
    gone = [UnavailableError("gone") for _ in range(200)]
    scripted(bucket).script["put_part"] = [*[None] * (number - 1), *gone]


def interrupted(opened: Opener, pear: Path) -> Bucket:
    """A bucket after an upload that stopped with three parts."""
    bucket = opened().create_bucket("fruit")
    failing_at(bucket, 4)
    with pytest.raises(UnavailableError) as failure:
        bucket.upload_file(pear, "pear", options=ONE_BY_ONE)
    assert "3 of 6 parts are stored" in failure.value.__notes__[0]
    assert not bucket.exists("pear")
    scripted(bucket).script.clear()
    scripted(bucket).calls.clear()
    return bucket


def test_what_was_interrupted_goes_on(opened: Opener, pear: Path) -> None:
    bucket = interrupted(opened, pear)
    (found,) = journals()
    assert (found.kind, found.source, found.target) == ("upload", str(pear), "fruit/pear")
    assert (found.done, found.size, found.in_use) == (3 * PART, len(DATA), False)
    (upload,) = bucket.list_uploads()
    assert found.header["upload_id"] == upload.id

    seen: list[Progress] = []
    result = bucket.upload_file(pear, "pear", options=ONE_BY_ONE, progress=seen.append)
    assert numbers(bucket) == [4, 5, 6]
    assert stored(bucket) == DATA
    assert result.checksums["crc32c"] == digest("crc32c", DATA).hex()
    assert seen[-1].bytes == len(DATA)
    assert "create_upload" not in scripted(bucket).names()
    assert clean(bucket)


def touch(pear: Path, _: Bucket) -> None:
    os.utime(pear, ns=(1, 1))


def grow(pear: Path, _: Bucket) -> None:
    with pear.open("ab") as file:
        file.write(b"more")


def replace_the_file(pear: Path, _: Bucket) -> None:
    other = pear.with_name("other")
    other.write_bytes(DATA[::-1])
    os.utime(other, ns=(pear.stat().st_atime_ns, pear.stat().st_mtime_ns))
    other.rename(pear)


def spoil_a_part_unseen(pear: Path, _: Bucket) -> None:
    """Other bytes, and all that tells of it as before."""
    status = pear.stat()
    with pear.open("r+b") as file:
        file.seek(PART + 100)
        file.write(bytes([DATA[PART + 100] ^ 1]))
    os.utime(pear, ns=(status.st_atime_ns, status.st_mtime_ns))


def send_another_part(_: Path, bucket: Bucket) -> None:
    (upload,) = bucket.list_uploads()
    bucket.resume_upload(upload.id).put_part(2, DATA[:PART])


def end_the_session(_: Path, bucket: Bucket) -> None:
    (upload,) = bucket.list_uploads()
    bucket.resume_upload(upload.id).abort()


def tear_the_journal(_: Path, __: Bucket) -> None:
    (found,) = journals()
    found.place.write_bytes(found.place.read_bytes()[:-5])


def spoil_the_journal(_: Path, __: Bucket) -> None:
    (found,) = journals()
    found.place.write_bytes(os.urandom(300))


ALL = [1, 2, 3, 4, 5, 6]
CHANGES: list[tuple[Callable[[Path, Bucket], None], list[int]]] = [
    (touch, ALL),
    (grow, ALL),
    (replace_the_file, ALL),
    (spoil_a_part_unseen, [2, 4, 5, 6]),
    (send_another_part, [2, 4, 5, 6]),
    (end_the_session, ALL),
    (tear_the_journal, [3, 4, 5, 6]),
]


@pytest.mark.parametrize(
    ("change", "again"), CHANGES, ids=lambda value: getattr(value, "__name__", "")
)
@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_nothing_that_was_left_is_believed(
    opened: Opener, pear: Path, change: Callable[[Path, Bucket], None], again: list[int]
) -> None:
    bucket = interrupted(opened, pear)
    change(pear, bucket)
    scripted(bucket).calls.clear()
    bucket.upload_file(pear, "pear", options=ONE_BY_ONE)
    assert stored(bucket) == pear.read_bytes()
    assert numbers(bucket) == again
    assert clean(bucket), "the session of the other file is aborted"


@pytest.mark.parametrize("carrier", ["inline"], indirect=True)
def test_other_attributes_begin_anew(opened: Opener, pear: Path) -> None:
    bucket = interrupted(opened, pear)
    bucket.upload_file(pear, "pear", content_type="x/y", options=ONE_BY_ONE)
    assert numbers(bucket) == ALL
    assert bucket.head("pear").content_type == "x/y"
    assert clean(bucket)


@pytest.mark.parametrize("carrier", ["inline"], indirect=True)
def test_a_journal_that_can_not_be_read_hurts_nothing(opened: Opener, pear: Path) -> None:
    bucket = interrupted(opened, pear)
    spoil_the_journal(pear, bucket)
    bucket.upload_file(pear, "pear", options=ONE_BY_ONE)
    assert stored(bucket) == DATA
    assert not journals()


@pytest.mark.parametrize("source", [by_path, small_pieces])
def test_without_resume_nothing_is_left(
    opened: Opener, pear: Path, source: Callable[[Path], Any]
) -> None:
    bucket = opened().create_bucket("fruit")
    failing_at(bucket, 4)
    with pytest.raises(UnavailableError):
        bucket.upload_file(source(pear), "pear", options=replace(ONE_BY_ONE, resume=False))
    assert clean(bucket)


@pytest.mark.parametrize("change", [grow, touch])
@pytest.mark.parametrize("size", [5 * PART, len(DATA)])
def test_a_file_that_changes_on_its_way_is_not_stored(
    opened: Opener, pear: Path, change: Callable[[Path, Any], None], size: int
) -> None:
    bucket = opened().create_bucket("fruit")
    steps = [None, Before(lambda _: change(pear, None))]
    if size == len(DATA):  # after the last part
        steps = [None] * 5 + [Before(lambda _: change(pear, None))]
    scripted(bucket).script["put_part"] = steps  # type: ignore[assignment]
    with pytest.raises(ObjectChangedError, match=str(pear)):
        bucket.upload_file(pear, "pear", options=ONE_BY_ONE)
    assert not bucket.exists("pear")
    assert clean(bucket)


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_a_file_that_shrinks_on_its_way_is_not_stored(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "pear"
    path.write_bytes(bytes(1024**2))
    bucket = opened().create_bucket("fruit")
    scripted(bucket).script["put"] = [Before(lambda _: os.truncate(path, 700_000))]
    with pytest.raises(ObjectChangedError, match=str(path)):
        bucket.upload_file(path, "pear")
    assert not bucket.exists("pear")


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_a_stream_that_fails(opened: Opener) -> None:
    bucket = opened().create_bucket("fruit")

    def pieces() -> Iterable[bytes]:
        yield DATA
        raise ZeroDivisionError("the caller's own")

    with pytest.raises(ZeroDivisionError, match="own"):
        bucket.upload_file(pieces(), "pear", options=OPTIONS)
    assert not bucket.exists("pear")
    assert clean(bucket)


def test_the_lost_answer_to_the_last_request(opened: Opener, pear: Path) -> None:
    bucket = opened().create_bucket("fruit")
    scripted(bucket).script["complete_upload"] = [Lost(UnavailableError("lost"))]
    result = bucket.upload_file(pear, "pear", if_absent=True, options=OPTIONS)
    assert result.etag == bucket.head("pear").etag
    assert stored(bucket) == DATA
    assert clean(bucket)


@pytest.mark.parametrize("carrier", ["inline", "threaded"], indirect=True)
def test_two_at_a_time_do_not_meet(opened: Opener, pear: Path) -> None:
    """The second one, which finds the journal in use, has a session of its own."""
    bucket = opened().create_bucket("fruit")

    def meanwhile(_: object) -> None:
        assert [found.in_use for found in journals()] == [True]
        worker = threading.Thread(
            target=bucket.upload_file, args=(pear, "pear"), kwargs={"options": OPTIONS}
        )
        worker.start()
        worker.join()
        assert len(list(bucket.list_uploads())) == 1, "that of the first one is left alone"

    scripted(bucket).script["put_part"] = [None, None, Before(meanwhile)]
    bucket.upload_file(pear, "pear", options=ONE_BY_ONE)
    assert stored(bucket) == DATA
    assert clean(bucket)


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_a_place_for_journals_is_not_needed(
    opened: Opener, pear: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_STATE_DIR", "/dev/null/nowhere")
    bucket = opened().create_bucket("fruit")
    bucket.upload_file(pear, "pear", options=OPTIONS)
    assert stored(bucket) == DATA


@pytest.mark.parametrize("carrier", ["inline"], indirect=True)
def test_more_than_an_object_can_be(opened: Opener, tmp_path: Path) -> None:
    bucket = opened(Scripted(multipart=False, max_put_size=1000)).create_bucket("fruit")
    (tmp_path / "pear").write_bytes(DATA)
    with pytest.raises(QuotaExceededError, match="1000"):
        bucket.upload_file(tmp_path / "pear", "pear")
