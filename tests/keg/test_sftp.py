"""`SFTPStorage` on a real server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from storage_core.compat import keg
from storage_core.compat.keg import FileNotFoundInStorageError, SFTPStorage, StorageOperations
from tests.keg.sftp import serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sftp")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with serving(folder, tmp_path_factory.mktemp("keys")) as arguments:
        yield arguments


@pytest.fixture
def sftp(server: dict[str, Any]) -> Iterator[SFTPStorage]:
    storage = SFTPStorage(**server)
    yield storage
    storage.close()


def test_files_there_and_back(sftp: SFTPStorage, folder: Path):
    data = bytes(range(256)) * 30_000
    sftp.upload(io.BytesIO(data), "/there/a.bin")
    assert (folder / "there/a.bin").read_bytes() == data
    target = io.BytesIO()
    sftp.download("/there/a.bin", target)
    assert target.getvalue() == data
    with sftp.open("/there/a.bin", "r") as file:
        assert (file.size, file.read(3)) == (len(data), data[:3])
    with sftp.open("/there/a.bin", "w") as file:
        file.write(b"new")
    sftp.copy("/there/a.bin", "/there/b.bin")
    began = datetime.now(UTC) - timedelta(minutes=5)
    entries = sftp.list("/there")
    assert [(entry.name, entry.size) for entry in entries] == [("a.bin", 3), ("b.bin", 3)]
    assert entries[0].last_modified is not None
    assert began < entries[0].last_modified < began + timedelta(minutes=10)
    sftp.delete("/there/a.bin")
    sftp.delete("/there/a.bin")
    assert [entry.name for entry in sftp.list("/there")] == ["b.bin"]


def test_an_exception_leaves_what_was_there(sftp: SFTPStorage, folder: Path):
    with sftp.open("/broken/a", "w") as file:
        file.write(b"old")
    with pytest.raises(KeyError), sftp.open("/broken/a", "w") as file:  # noqa: PT012
        file.write(b"half")
        assert [entry.name for entry in sftp.list("/broken")] == ["a"]
        raise KeyError
    assert [(one.name, one.read_bytes()) for one in (folder / "broken").iterdir()] == [
        ("a", b"old")
    ]


def test_the_longest_name(sftp: SFTPStorage, folder: Path):
    sftp.upload(io.BytesIO(b"red"), f"/long/{'n' * 255}")
    assert [one.read_bytes() for one in (folder / "long").iterdir()] == [b"red"]


def _unsupported(*_: object) -> None:
    raise asyncssh.SFTPOpUnsupported("Unsupported request type: posix-rename@openssh.com")


def _fails(*_: object) -> None:
    raise asyncssh.SFTPFailure("Failure")


def _fails_for_parts(self: Any, old: bytes, new: bytes) -> None:
    if old.endswith(b".part"):
        _fails()
    asyncssh.SFTPServer.rename(self, old, new)


RENAMES: dict[str, tuple[dict[str, Any], bytes]] = {
    "no extension": ({"posix_rename": _unsupported}, b"new"),
    "no extension, rename fails": (
        {"posix_rename": _unsupported, "rename": _fails_for_parts},
        b"old",
    ),
    "the extension fails": ({"posix_rename": _fails}, b"old"),
}


@pytest.mark.parametrize("kind", RENAMES)
def test_a_rename_that_fails_loses_nothing(kind: str, tmp_path: Path):
    methods, expected = RENAMES[kind]
    served = tmp_path / "served"
    (served / "folder").mkdir(parents=True)
    (served / "a").write_bytes(b"old")
    with serving(served, tmp_path, methods) as arguments:
        sftp = SFTPStorage(**arguments)
        for path, fails in (("/a", expected == b"old"), ("/folder", True)):
            with pytest.raises(OSError) if fails else nullcontext():  # noqa: PT011 - any text
                sftp.upload(io.BytesIO(b"new"), path)
        sftp.close()
    assert sorted(one.name for one in served.iterdir()) == ["a", "folder"]
    assert (served / "folder").is_dir()
    assert (served / "a").read_bytes() == expected


def test_what_was_moved_aside_is_named_where_it_can_not_be_moved_back(tmp_path: Path):
    left: list[int] = [1]

    def once(self: Any, old: bytes, new: bytes) -> None:
        if not left:
            _fails()
        left.pop()
        asyncssh.SFTPServer.rename(self, old, new)

    (tmp_path / "served").mkdir()
    (tmp_path / "served/a").write_bytes(b"old")
    methods = {"posix_rename": _unsupported, "rename": once}
    with serving(tmp_path / "served", tmp_path, methods) as arguments:
        sftp = SFTPStorage(**arguments)
        with pytest.raises(OSError, match="Failure") as caught:
            sftp.upload(io.BytesIO(b"new"), "/a")
        sftp.close()
    [left_over] = (tmp_path / "served").iterdir()
    assert left_over.read_bytes() == b"old"
    assert caught.value.__notes__ == [f"what was at '/a' is at '/{left_over.name}'"]


def test_missing(sftp: SFTPStorage):
    for attempt in (
        lambda: sftp.open("/nothing", "r"),
        lambda: sftp.list("/nothing"),
        lambda: sftp.copy("/nothing", "/b"),
    ):
        with pytest.raises(FileNotFoundInStorageError, match="not found in SFTPStorage"):
            attempt()


def test_modes(sftp: SFTPStorage):
    with pytest.raises(NotImplementedError, match="SFTPStorage"):
        sftp.open("/a", "rw")
    with sftp.open("/a", "w") as file, pytest.raises(OSError, match="not opened for reading"):
        file.read()
    with sftp.open("/a", "r") as file, pytest.raises(OSError, match="not opened for writing"):
        file.write(b"")


def test_a_host_that_is_not_known_is_refused(server: dict[str, Any], tmp_path: Path):
    import paramiko  # type: ignore[import-untyped]

    (tmp_path / "known").write_text("")
    with pytest.raises(paramiko.SSHException, match="not found in known_hosts"):
        SFTPStorage(**{**server, "known_hosts_fpath": str(tmp_path / "known")}).list("/")


def test_a_lost_connection_is_made_again(sftp: SFTPStorage):
    with sftp.open("/lost", "w") as file:
        file.write(b"red")
    sftp._client.close()
    with sftp.open("/lost", "r") as file:
        assert file.read() == b"red"


def test_threads(sftp: SFTPStorage):
    def there_and_back(number: int) -> bytes:
        with sftp.open(f"/threads/{number}", "w") as file:
            file.write(b"%d" % number)
        with sftp.open(f"/threads/{number}", "r") as file:
            return file.read()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(there_and_back, range(12))) == [b"%d" % n for n in range(12)]


def test_operations_and_share_links(server: dict[str, Any]):
    sftp = SFTPStorage(**server, linked_endpoint="https://app/x", secret_key=b"0" * 32)
    with keg.Storage(profiles=[sftp]).context():
        name = StorageOperations.storage_upload_file(
            io.BytesIO(b"red"), "a.txt", storage_location="reports"
        )
        copy = StorageOperations.storage_duplicate_file(name, "reports")
        url = StorageOperations.storage_get_download_link(copy, 5, "reports")
        done = keg.redeem(sftp, "GET", url.partition("token=")[2])
        assert done.file is not None
        with done.file as file:
            assert file.read() == b"red"
        assert StorageOperations.storage_delete_file(copy, "reports")
    sftp.close()
