"""Open files: what was opened is what is read, and what is closed is what is there."""

from __future__ import annotations

import asyncio
import gzip
import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from fsspec.asyn import sync

from storage_core import ObjectChangedError, StorageError, UnsupportedError
from storage_core.errors import ClosedError, IntegrityError
from storage_core.fs import StorageFileSystem
from storage_core.fs.files import AsyncStorageFile
from tests.fs.conftest import scripted_fs
from tests.s3.scripted import Answer, Script, error, of_object
from tests.waiting import wait_until

BIG = os.urandom(300_000)
"""More than comes with the opening."""


def test_reading(fs: StorageFileSystem, bucket: str):
    path = f"{bucket}/a"
    fs.pipe_file(path, BIG)
    with fs.open(path, block_size=50_000) as file:
        assert (file.size, file.tell(), file.readable(), file.writable()) == (
            len(BIG),
            0,
            True,
            False,
        )
        assert file.read(10) == BIG[:10]
        assert file.seek(-100, 2) == len(BIG) - 100
        assert file.read() == BIG[-100:]
        assert file.read(1) == b""
        assert file.seek(65_000) == 65_000
        assert file.read(2_000) == BIG[65_000:67_000]
        buffer = bytearray(7)
        assert file.readinto(buffer) == 7
        assert buffer == BIG[67_000:67_007]
        assert file.info()["size"] == len(BIG)
    with pytest.raises(ValueError, match="closed"):
        file.read()
    with fs.open(path, cache_type="none") as file:
        assert file.read() == BIG
    with fs.open(path, cache_type="all") as file:
        assert file.read() == BIG


def test_a_small_object_is_read_by_one_request(s3_config: object, monkeypatch: pytest.MonkeyPatch):
    from storage_s3.calls import Calls

    fs = StorageFileSystem(config=str(s3_config))
    bucket = f"s3/one-{os.urandom(6).hex()}"
    fs.mkdir(bucket)
    fs.pipe({f"{bucket}/a": b"small", f"{bucket}/empty": b""})
    asked = []
    send = Calls._send

    def counted(self, asked_for, method, *rest, **named):
        asked.append(method)
        return send(self, asked_for, method, *rest, **named)

    monkeypatch.setattr(Calls, "_send", counted)
    with fs.open(f"{bucket}/a") as file:
        assert file.read() == b"small"
    assert asked == ["GET"]
    with fs.open(f"{bucket}/empty") as file:
        assert file.read() == b""
    fs.rm(bucket, recursive=True)


def test_an_object_that_is_replaced_is_never_mixed(fs: StorageFileSystem, bucket: str):
    path = f"{bucket}/a"
    fs.pipe_file(path, BIG)
    with fs.open(path, block_size=1_000) as file, fs.open(path) as whole:
        copy = pickle.dumps(file)
        assert file.read(10) == BIG[:10]
        assert whole.read() == BIG
        fs.pipe_file(path, bytes(len(BIG)))
        file.seek(200_000)
        with pytest.raises(ObjectChangedError, match="open it again"):
            file.read(10)
        with pytest.raises(ObjectChangedError):
            pickle.loads(copy)
        assert whole.seek(0) == 0
        assert whole.read() == BIG  # it has it all
        fs.rm_file(path)
        with pytest.raises(ObjectChangedError):
            file.read(10)


def test_a_file_for_reading_goes_on_in_another_process(fs: StorageFileSystem, bucket: str):
    fs.pipe_file(f"{bucket}/a", BIG)
    with fs.open(f"{bucket}/a", block_size=1_000) as file:
        file.seek(123)
        with pickle.loads(pickle.dumps(file)) as other:
            assert other.fs is fs
            assert other.read(10) == BIG[123:133]
    with fs.open(f"{bucket}/b", "wb") as file, pytest.raises(TypeError, match="can not be pickled"):
        pickle.dumps(file)


def test_text(fs: StorageFileSystem, bucket: str):
    path = f"{bucket}/a.txt"
    with fs.open(path, "w", encoding="utf-8", newline="\r\n") as file:
        file.write("äpfel\nbirnen\n")
    assert fs.cat_file(path) == "äpfel\r\nbirnen\r\n".encode()
    with fs.open(path, "rt", encoding="utf-8") as file:
        assert list(file) == ["äpfel\n", "birnen\n"]
    fs.write_text(path, "neu")
    assert fs.read_text(path) == "neu"
    with fs.open(f"{bucket}/a.gz", "wb", compression="infer") as file:
        file.write(b"packed")
    assert gzip.decompress(fs.cat_file(f"{bucket}/a.gz")) == b"packed"
    with fs.open(f"{bucket}/a.gz", "r", compression="gzip") as file:
        assert file.read() == "packed"
    fs.pipe_file(path, b"one\ntwo\nthree")
    with fs.open(path) as file:
        assert file.readline() == b"one\n"
        assert file.readline(2) == b"tw"
        assert file.readline(100) == b"o\n"
        assert file.readlines() == [b"three"]


def test_nothing_is_there_before_the_file_is_closed(fs: StorageFileSystem, bucket: str):
    """Neither of a small one nor of one that goes out in parts."""
    for size in (0, 10, 9_000_000):
        path, data = f"{bucket}/{size}", os.urandom(size)
        with fs.open(path, "wb", content_type="text/x", metadata={"k": "v"}) as file:
            file.write(data)
            assert file.tell() == size
            assert not fs.exists(path)
        assert fs.cat_file(path) == data
        info = fs.info(path)
        assert (info["ContentType"], info["metadata"]) == ("text/x", {"k": "v"})


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("mode", ["w", "wb"])
def test_an_exception_publishes_nothing(
    fs: StorageFileSystem, bucket: str, mode: str, compression: str | None
):
    files = []

    def write() -> None:
        with fs.open(f"{bucket}/a", mode, compression=compression) as file:
            files.append(file)
            file.write("new" if mode == "w" else os.urandom(9_000_000))
            raise RuntimeError("half way")

    fs.pipe_file(f"{bucket}/a", b"before")
    with pytest.raises(RuntimeError, match="half way"):
        write()
    assert files[0].closed
    assert fs.cat_file(f"{bucket}/a") == b"before"


@pytest.mark.parametrize("cache_type", ["none", "readahead", "bytes", "blockcache", "background"])
def test_blocks_end_with_the_object(fs: StorageFileSystem, bucket: str, cache_type: str):
    """Some of fsspec's caches ask for whole ones."""
    fs.pipe_file(f"{bucket}/a", BIG)
    with fs.open(f"{bucket}/a", block_size=70_000, cache_type=cache_type) as file:
        for start in (290_000, 0, 100_000, 299_999):
            file.seek(start)
            assert file.read(20_000) == BIG[start : start + 20_000]


def test_a_file_that_is_dropped_publishes_nothing(fs: StorageFileSystem, bucket: str):
    file = fs.open(f"{bucket}/a", "wb")
    file.write(b"lost")
    with pytest.warns(ResourceWarning, match="was not closed: nothing is published"):
        del file
    assert fs.ls(bucket) == []


@pytest.mark.parametrize(("mode", "compression"), [("w", None), ("w", "gzip"), ("wb", "gzip")])
def test_what_is_around_a_dropped_file_publishes_nothing_either(
    fs: StorageFileSystem, bucket: str, mode: str, compression: str | None
):
    file = fs.open(f"{bucket}/a", mode, compression=compression)
    file.write("lost" if mode == "w" else b"lost")
    with pytest.warns(ResourceWarning, match="was not closed: nothing is published"):
        del file
    assert fs.ls(bucket) == []


def test_exclusive_creation(fs: StorageFileSystem, bucket: str):
    path = f"{bucket}/a"
    with fs.open(path, "xb") as file:
        file.write(b"1")
    with pytest.raises(FileExistsError):
        fs.open(path, "xb")
    with pytest.raises(FileExistsError):
        fs.open(path, "x")
    late = fs.open(f"{bucket}/b", "xb")
    fs.pipe_file(f"{bucket}/b", b"first")
    with pytest.raises(FileExistsError):
        late.close()
    assert fs.cat_file(f"{bucket}/b") == b"first"


def test_appending_sends_all_of_it_again(fs: StorageFileSystem, bucket: str):
    path = f"{bucket}/a"
    with fs.open(path, "ab") as file:
        file.write(b"one")
    fs.pipe_file(path, BIG, content_type="text/x", metadata={"k": "v"})
    with fs.open(path, "ab") as file:
        assert file.tell() == len(BIG)
        file.write(b"two")
    assert fs.cat_file(path) == BIG + b"two"
    info = fs.info(path)
    assert (info["ContentType"], info["metadata"]) == ("text/x", {"k": "v"})
    with fs.open(path, "a") as file:
        file.write("!")
    assert fs.tail(path, 4) == b"two!"


def test_two_who_append_do_not_lose_each_others(fs: StorageFileSystem, bucket: str):
    from storage_core.errors import PreconditionFailedError

    path = f"{bucket}/a"
    fs.pipe_file(path, b"1")
    late = fs.open(path, "ab")
    late.write(b"late")
    with fs.open(path, "ab") as file:
        file.write(b"2")
    with pytest.raises(PreconditionFailedError):
        late.close()
    assert fs.cat_file(path) == b"12"


def test_objects_are_not_changed_in_place(fs: StorageFileSystem, bucket: str):
    fs.pipe_file(f"{bucket}/a", b"1")
    for mode in ("r+b", "wb+", "r+"):
        with pytest.raises(UnsupportedError, match="replaced as a whole"):
            fs.open(f"{bucket}/a", mode)
    with fs.open(f"{bucket}/a", "wb") as file, pytest.raises(OSError, match="Seek"):
        file.seek(0)


def test_a_transaction_publishes_all_at_its_end(fs: StorageFileSystem, bucket: str):
    with fs.transaction:
        with fs.open(f"{bucket}/a", "wb") as file:
            file.write(b"1")
        with fs.open(f"{bucket}/b", "w") as file:
            file.write("2")
        left_open = fs.open(f"{bucket}/c", "wb")
        left_open.write(b"3")
        assert fs.ls(bucket) == []
    assert fs.cat(f"{bucket}/*") == {f"{bucket}/a": b"1", f"{bucket}/b": b"2", f"{bucket}/c": b"3"}
    assert left_open.closed


def test_a_transaction_that_fails_publishes_nothing(fs: StorageFileSystem, bucket: str):
    def write() -> None:
        with fs.transaction:
            with fs.open(f"{bucket}/a", "wb") as file:
                file.write(b"1" * 9_000_000)
            fs.open(f"{bucket}/b", "wb").write(b"2")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write()
    assert fs.ls(bucket) == []
    with fs.open(f"{bucket}/a", "wb") as file:
        file.write(b"afterwards")
    assert fs.cat_file(f"{bucket}/a") == b"afterwards"


@pytest.fixture
def run(fs: StorageFileSystem) -> Callable[..., Any]:
    return lambda coroutine: sync(fs.loop, lambda: coroutine)


def test_coroutine_files(fs: StorageFileSystem, bucket: str, run):
    async def fail() -> None:
        async with await fs.open_async(f"{bucket}/b", "wb") as file:
            await file.write(b"1")
            raise RuntimeError("half way")

    async def work() -> None:
        async with await fs.open_async(f"{bucket}/a", "wb", content_type="text/x") as file:
            assert isinstance(file, AsyncStorageFile)
            await file.write(BIG)
            await file.write(b"end")
            assert file.tell() == len(BIG) + 3
        async with await fs.open_async(f"{bucket}/a") as file:
            assert file.size == len(BIG) + 3
            assert await file.read(10) == BIG[:10]
            file.seek(-3, 2)
            assert await file.read() == b"end"
            assert await file.read(5) == b""
            file.seek(100_000)
            await fs._pipe_file(f"{bucket}/a", bytes(len(BIG)))
            with pytest.raises(ObjectChangedError):
                await file.read(10)
        with pytest.raises(RuntimeError, match="half way"):
            await fail()
        assert not await fs._exists(f"{bucket}/b")
        async with await fs.open_async(f"{bucket}/c", "xb") as file:
            await file.write(b"new")
        with pytest.raises(FileExistsError):
            await fs.open_async(f"{bucket}/c", "xb")
        async with await fs.open_async(f"{bucket}/c", "ab") as file:
            assert file.tell() == 3
            await file.write(b"er")
        assert await fs._cat_file(f"{bucket}/c") == b"newer"

    run(work())


def test_a_coroutine_file_that_is_dropped(fs: StorageFileSystem, bucket: str, run):
    async def work() -> None:
        file = await fs.open_async(f"{bucket}/a", "wb")
        await file.write(b"1")
        with pytest.warns(ResourceWarning, match="nothing is published"):
            del file
        reading = await fs.open_async(f"{bucket}/b")
        del reading
        await asyncio.sleep(0)

    fs.pipe_file(f"{bucket}/b", b"1")
    run(work())
    assert fs.ls(bucket, detail=False) == [f"{bucket}/b"]


def test_parts_of_a_dropped_file_are_given_back(fs: StorageFileSystem, config: str, bucket: str):
    import storage_core

    profile, _, name = bucket.partition("/")
    file = fs.open(f"{bucket}/a", "wb")
    file.write(bytes(9_000_000))
    with storage_core.open(profile, config=config) as storage:
        assert len(list(storage.bucket(name).list_uploads())) == 1
        with pytest.warns(ResourceWarning):
            del file
        wait_until(lambda: not list(storage.bucket(name).list_uploads()))


def test_a_part_that_fails_leaves_no_session():
    begun = (
        b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
    )
    broken = error(400, "InvalidRequest", "no parts today")
    script = Script(Answer(body=begun), broken, Answer(204))
    with scripted_fs(script) as fs:
        file = fs.open("s3/fruit/a", "wb")
        with pytest.raises(StorageError, match="no parts today"):
            file.write(bytes(9_000_000))
        with pytest.raises(ClosedError):
            file.close()
        assert file.closed
        assert [asked.method for asked in script.asked] == ["POST", "PUT", "DELETE"]


def test_a_damaged_object_is_not_read():
    """One that comes whole with the opening is held against its checksum."""
    damaged = of_object(
        x_amz_checksum_crc32c="AAAAAA==", Content_Range="bytes 0-4/5", Content_Length="5"
    )
    script = Script(Answer(206, b"bytes", damaged))
    with scripted_fs(script) as fs, pytest.raises(IntegrityError, match="crc32c"):
        fs.open("s3/fruit/a")


def test_a_large_file_is_read_by_several_requests(fs: StorageFileSystem, bucket: str):
    data = os.urandom(20_000_000)
    fs.pipe_file(f"{bucket}/a", data)
    with fs.open(f"{bucket}/a") as file:
        assert file.read() == data
    with fs.open(f"{bucket}/a", cache_type="none") as file:
        fs.pipe_file(f"{bucket}/a", bytes(20_000_000))
        with pytest.raises(ObjectChangedError):
            file.read()
