"""The backend interface over every driver."""

from __future__ import annotations

import gc
import io
import pickle
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import storage_core
from storage_core.compat import keg
from storage_core.compat.keg import FileMode, FileNotFoundInStorageError
from tests.keg.conftest import Served

MIB = 1024**2


def write(backend: keg.StorageBackend, path: str, data: bytes = b"red") -> None:
    with backend.open(path, "w") as file:
        file.write(data)


def read(backend: keg.StorageBackend, path: str) -> bytes:
    with backend.open(path, FileMode.read) as file:
        return file.read()


def test_files_there_and_back(backend: keg.StorageProfile):
    write(backend, "a/b.txt", b"0123456789")
    with backend.open("a/b.txt", "rb") as file:
        assert (file.size, file.mode) == (10, FileMode.read)
        assert [file.read(1), file.read(4), file.read(100), file.read(1)] == [
            b"0", b"1234", b"56789", b"",
        ]  # fmt: skip
        file.close()
    file.close()
    with backend.open("a/b.txt", "r") as file:
        assert list(file.iter_chunks(4)) == [b"0123", b"4567", b"89"]
    with backend.open("a/b.txt", "r") as file:
        assert list(file) == [b"0123456789"]


def test_a_read_gives_what_was_asked_for(backend: keg.StorageProfile):
    data = bytes(range(256)) * (12 * 1024)  # 3 MiB, more than the library reads at once
    write(backend, "large", data)
    with backend.open("large", "r") as file:
        assert file.read(len(data) - 1) == data[:-1]
        assert file.read(2) == data[-1:]


def test_large_files_go_in_parts(backend: keg.StorageProfile):
    piece = bytes(range(256)) * 4096
    seen: list[int] = []
    source = io.BytesIO(piece * 20)
    backend.upload(source, "large", progress_callback=seen.append)
    assert seen == [5 * MIB, 10 * MIB, 15 * MIB, 20 * MIB]
    seen.clear()
    target = io.BytesIO()
    backend.download("large", target, progress_callback=seen.append)
    assert seen == [5 * MIB, 10 * MIB, 15 * MIB, 20 * MIB]
    assert target.getvalue() == source.getvalue()


class Endless(io.RawIOBase):
    """So many bytes, made as they are read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1, /) -> bytes:
        given = bytes(min(size, self.left))
        self.left -= len(given)
        return given


class Sink(io.RawIOBase):
    """Counts what is written."""

    size = 0

    def write(self, data, /) -> int:
        self.size += len(data)
        return len(data)


def test_memory_stays_flat(served: Served, backend: keg.StorageProfile):
    if served.driver == "memory":
        pytest.skip("the memory driver keeps the bytes in this process")
    tracemalloc.start()
    try:
        backend.upload(Endless(100 * MIB), "large")  # type: ignore[arg-type]
        sink = Sink()
        backend.download("large", sink)  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sink.size == 100 * MIB
    assert peak < 40 * MIB


def test_local_files_go_whole(backend: keg.StorageProfile, tmp_path: Path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"red")
    backend.put(str(source), "a")
    target.write_bytes(b"old")
    target.chmod(0o640)
    backend.get("a", str(target))
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"red", 0o640)
    with target.open("rb") as file:  # such as a named temporary one
        backend.get("a", str(target))
        assert file.read() == b"red"
    with pytest.raises(FileNotFoundInStorageError):
        backend.get("nothing", str(target))
    assert target.read_bytes() == b"red"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_an_exception_publishes_nothing(backend: keg.StorageProfile, bucket: storage_core.Bucket):
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if data := super().read(size):
                return data
            raise OSError("the line is gone")

    with pytest.raises(OSError, match="the line is gone"):
        backend.upload(Broken(bytes(11 * MIB)), "a")
    write(backend, "kept", b"old")
    with pytest.raises(KeyError), backend.open("kept", "w") as file:  # noqa: PT012
        file.write(bytes(9 * MIB))
        raise KeyError
    assert [item.key for item in bucket.list()] == ["kept"]
    assert read(backend, "kept") == b"old"
    if backend._bucket().storage.capabilities.multipart:
        assert [*bucket.list_uploads()] == []


def test_a_file_nobody_closed_is_dropped(backend: keg.StorageProfile, bucket: storage_core.Bucket):
    file = backend.open("a", "w")
    file.write(b"half")
    with pytest.warns(ResourceWarning, match="'a' was never closed"):  # noqa: PT031
        del file
        gc.collect()
    assert not bucket.exists("a")


def test_abort_and_close_may_come_again(backend: keg.StorageProfile, bucket: storage_core.Bucket):
    file = backend.open("a", "w")
    file.write(b"half")
    file.abort()
    file.abort()
    file.close()
    assert not bucket.exists("a")
    file = backend.open("a", "w")
    file.close()
    file.close()
    file.abort()
    assert bucket.head("a").size == 0  # nothing written is an empty file


def test_headers_of_what_is_written(backend: keg.StorageProfile, bucket: storage_core.Bucket):
    extra = {"ContentType": "text/csv", "CacheControl": "no-store", "Metadata": {"year": "2012"}}
    if not bucket.storage.capabilities.content_headers:
        del extra["CacheControl"]
    backend.upload(io.BytesIO(b"a"), "a", extra_args=extra)
    info = bucket.head("a")
    assert (info.content_type, dict(info.metadata)) == ("text/csv", {"year": "2012"})
    with pytest.raises(NotImplementedError, match="'ACL'"):
        backend.open("a", "w", extra_args={"ACL": "public-read"})


@pytest.mark.parametrize(
    ("mode", "error", "text"),
    [
        ("rw", NotImplementedError, "Read\\+write"),
        (FileMode.read | FileMode.write, NotImplementedError, "StorageProfile"),
        (FileMode(0), ValueError, "Unsupported mode"),
        ("x", ValueError, "Unsupported mode"),
        (1, ValueError, "only FileMode or str"),
    ],
)
def test_modes_that_can_not_be(backend: keg.StorageProfile, mode, error, text: str):
    with pytest.raises(error, match=text):
        backend.open("a", mode)


def test_a_file_is_read_or_written(backend: keg.StorageProfile):
    with backend.open("a", "w") as file, pytest.raises(OSError, match="not opened for reading"):
        file.read()
    with backend.open("a", "r") as file, pytest.raises(OSError, match="not opened for writing"):
        file.write(b"")


def test_list(backend: keg.StorageProfile):
    began = datetime.now(UTC) - timedelta(minutes=5)
    for path in ("b", "a/1", "a/2", "ab"):
        write(backend, path)
    assert [entry.name for entry in backend.list("/")] == ["a/1", "a/2", "ab", "b"]
    assert [entry.name for entry in backend.list("")] == ["a/1", "a/2", "ab", "b"]
    assert [entry.name for entry in backend.list("a/")] == ["a/1", "a/2"]
    assert [entry.name for entry in backend.list("/a")] == ["a/1", "a/2", "ab"]
    assert backend.list("nothing") == []
    [entry] = backend.list("b")
    assert entry.size == 3
    assert entry.last_modified is not None
    assert entry.last_modified.utcoffset() == timedelta(0)
    assert began < entry.last_modified < began + timedelta(minutes=10)


def test_copy_and_delete(backend: keg.StorageProfile):
    write(backend, "a")
    backend.copy("a", "/b")
    backend.delete("/a")
    backend.delete("a")
    assert [entry.name for entry in backend.list("")] == ["b"]
    with pytest.raises(FileNotFoundInStorageError) as caught:
        backend.copy("a", "c")
    assert (caught.value.filename, str(caught.value.storage_type)) == ("a", "StorageProfile")


def test_missing_files_are_missing_files_to_everybody(backend: keg.StorageProfile):
    for expected in (FileNotFoundInStorageError, FileNotFoundError, storage_core.NotFoundError):
        with pytest.raises(expected, match=r"File nothing not found in StorageProfile\."):
            backend.open("nothing", "r")
    error = pickle.loads(pickle.dumps(FileNotFoundInStorageError(backend, "nothing")))
    assert (error.filename, error.storage_type) == ("nothing", "StorageProfile")


def test_an_opened_bucket_is_left_open(served: Served, bucket: storage_core.Bucket):
    backend = keg.StorageProfile(bucket)
    assert backend.name == bucket.name
    write(backend, "a")
    backend.close()
    assert not served.storage.closed
    assert read(backend, "a") == b"red"
    with pytest.raises(ValueError, match="leave out profile"):
        keg.StorageProfile(bucket, "prod")


def test_a_closed_backend_opens_again(backend: keg.StorageProfile):
    write(backend, "a")
    backend.close()
    assert read(backend, "a") == b"red"


def test_a_missing_bucket_is_no_missing_file(served: Served):
    backend = keg.StorageProfile("keg-no-such-bucket", config=served.config)
    with pytest.raises(storage_core.BucketNotFoundError):
        backend.open("a", "r")
    backend.close()
