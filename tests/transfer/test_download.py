"""Downloads on all four carriers, from a driver with a script."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage_core import (
    IntegrityError,
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    Progress,
    TransferOptions,
    UnavailableError,
)
from storage_core.checksum import digest
from storage_core.model import EMPTY
from storage_core.runtime.team import Team
from storage_core.streams import ObjectStream
from storage_core.transfer.journal import journals
from storage_core.transfer.memory import MEMORY
from tests.core.conftest import Opener, scripted
from tests.core.drivers import Before, Scripted, Streamed
from tests.transfer.downloads import OPTIONS, PART, content, left_in

DATA = content(5 * PART + 7)


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 5 * PART + 7])
@pytest.mark.parametrize("kind", [Scripted, Streamed])
def test_a_file_is_what_was_stored(
    opened: Opener, tmp_path: Path, kind: type[Scripted], size: int
) -> None:
    bucket = opened(kind()).create_bucket("fruit")
    bucket.put("a/pear", DATA[:size])
    seen: list[Progress] = []
    info = bucket.download_file("a/pear", tmp_path / "pear", options=OPTIONS, progress=seen.append)
    assert (info.key, info.size) == ("a/pear", size)
    assert (tmp_path / "pear").read_bytes() == DATA[:size]
    assert left_in(tmp_path) == ["pear"], "nothing else is left"
    assert not journals()
    last = seen[-1]
    assert (last.bytes, last.total_bytes) == (size, size)
    assert (last.objects, last.total_objects, last.failed) == (1, 1, 0)
    ranges = [request.range for request in scripted(bucket).requests("get")]
    assert len(ranges) == max(1, -(-size // PART)), "the first stream is used for the first part"


def test_ranges_are_of_the_very_same_object(opened: Opener, tmp_path: Path) -> None:
    bucket = opened(Streamed()).create_bucket("fruit")
    etag = bucket.put("pear", DATA).etag
    bucket.download_file("pear", tmp_path / "pear", options=OPTIONS)
    first, *others = scripted(bucket).requests("get")
    assert first.range is None
    assert {other.conditions.if_match for other in others} == {etag}


@pytest.mark.parametrize("conditional", [True, False])
def test_an_object_replaced_on_the_way_is_never_mixed(
    opened: Opener, tmp_path: Path, conditional: bool
) -> None:
    driver = Streamed()
    if not conditional:
        driver.capabilities = replace(driver.capabilities, conditions={})
    bucket = opened(driver).create_bucket("fruit")
    bucket.put("pear", DATA)
    changed = threading.Event()

    def change(_: object) -> None:
        if not changed.is_set():
            changed.set()
            state = driver._state.bucket("fruit")
            stored = state.find("pear", None)
            state.write("pear", DATA[::-1], stored.info.attributes(), (), None)

    driver.script["get"] = [None, None, Before(change)]
    with pytest.raises(ObjectChangedError, match="download again"):
        bucket.download_file("pear", tmp_path / "pear", options=OPTIONS)
    assert changed.is_set()
    assert left_in(tmp_path) == []
    assert not journals()
    bucket.download_file("pear", tmp_path / "pear", options=OPTIONS)
    assert (tmp_path / "pear").read_bytes() == DATA[::-1]


def failing_at(driver: Scripted, number: int) -> None:
    """Let the service be gone for good from the so many-th get on."""
    gone = [UnavailableError("gone") for _ in range(200)]
    driver.script["get"] = [*[None] * (number - 1), *gone]


ONE_BY_ONE = replace(OPTIONS, concurrency=1)


def test_what_was_interrupted_goes_on(opened: Opener, tmp_path: Path) -> None:
    bucket = opened(Streamed()).create_bucket("fruit")
    bucket.put("pear", DATA)
    driver = scripted(bucket)
    failing_at(driver, 4)
    with pytest.raises(UnavailableError) as failure:
        bucket.download_file("pear", tmp_path / "pear", options=ONE_BY_ONE)
    assert f"{3 * PART} of {len(DATA)} bytes are kept" in failure.value.__notes__[0]
    assert left_in(tmp_path) == [".pear.storage-part", ".pear.storage-part.journal"]
    (found,) = journals()
    assert (found.done, found.size, found.in_use) == (3 * PART, len(DATA), False)
    assert found.partial == tmp_path / ".pear.storage-part"

    failing_at(driver, 1)
    with pytest.raises(UnavailableError, match="gone"):
        bucket.download_file("pear", tmp_path / "pear", options=ONE_BY_ONE)

    driver.script.clear()
    driver.calls.clear()
    seen: list[Progress] = []
    bucket.download_file("pear", tmp_path / "pear", options=ONE_BY_ONE, progress=seen.append)
    assert (tmp_path / "pear").read_bytes() == DATA
    assert [request.range[0] for request in driver.requests("get")] == [
        3 * PART,
        4 * PART,
        5 * PART,
    ]
    assert seen[-1].bytes == len(DATA)
    assert left_in(tmp_path) == ["pear"]


def interrupted(opened: Opener, tmp_path: Path, kind: type[Scripted] = Streamed) -> Any:
    """A bucket after a download that stopped with three parts."""
    bucket = opened(kind()).create_bucket("fruit")
    bucket.put("pear", DATA)
    failing_at(scripted(bucket), 4)
    with pytest.raises(UnavailableError):
        bucket.download_file("pear", tmp_path / "pear", options=ONE_BY_ONE)
    scripted(bucket).script.clear()
    scripted(bucket).calls.clear()
    return bucket


def spoil_a_part(folder: Path) -> None:
    with (folder / ".pear.storage-part").open("r+b") as file:
        file.seek(PART + 100)
        file.write(bytes([DATA[PART + 100] ^ 1]))


def cut_the_file(folder: Path) -> None:
    with (folder / ".pear.storage-part").open("r+b") as file:
        file.truncate(PART)


def tear_the_journal(folder: Path) -> None:
    journal = folder / ".pear.storage-part.journal"
    journal.write_bytes(journal.read_bytes()[:-5])


def spoil_the_journal(folder: Path) -> None:
    (folder / ".pear.storage-part.journal").write_bytes(os.urandom(300))


def lose_the_file(folder: Path) -> None:
    (folder / ".pear.storage-part").unlink()


SPOILED: list[tuple[Callable[[Path], None], list[int]]] = [
    (spoil_a_part, [1, 3, 4, 5]),
    (cut_the_file, [0, 1, 2, 3, 4, 5]),
    (tear_the_journal, [2, 3, 4, 5]),
    (spoil_the_journal, [0, 1, 2, 3, 4, 5]),
    (lose_the_file, [0, 1, 2, 3, 4, 5]),
]


@pytest.mark.parametrize(
    ("spoil", "again"), SPOILED, ids=lambda value: getattr(value, "__name__", "")
)
@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_nothing_that_was_left_is_believed(
    opened: Opener, tmp_path: Path, spoil: Callable[[Path], None], again: list[int]
) -> None:
    bucket = interrupted(opened, tmp_path)
    spoil(tmp_path)
    bucket.download_file("pear", tmp_path / "pear", options=ONE_BY_ONE)
    assert (tmp_path / "pear").read_bytes() == DATA
    assert [request.range[0] // PART for request in scripted(bucket).requests("get")] == again
    assert left_in(tmp_path) == ["pear"]


@pytest.mark.parametrize("carrier", ["inline"], indirect=True)
def test_a_changed_object_is_begun_anew(opened: Opener, tmp_path: Path) -> None:
    bucket = interrupted(opened, tmp_path)
    bucket.put("pear", DATA[::-1])
    bucket.download_file("pear", tmp_path / "pear", options=ONE_BY_ONE)
    assert (tmp_path / "pear").read_bytes() == DATA[::-1]
    assert left_in(tmp_path) == ["pear"]

    bucket = interrupted(opened, tmp_path)
    bucket.put("pear", b"small now")
    bucket.download_file("pear", tmp_path / "pear", options=ONE_BY_ONE)
    assert (tmp_path / "pear").read_bytes() == b"small now"
    assert left_in(tmp_path) == ["pear"], "also what can never be gone on with"


@pytest.mark.parametrize("carrier", ["inline"], indirect=True)
def test_without_resume_nothing_is_left(opened: Opener, tmp_path: Path) -> None:
    bucket = opened(Streamed()).create_bucket("fruit")
    bucket.put("pear", DATA)
    failing_at(scripted(bucket), 4)
    with pytest.raises(UnavailableError):
        bucket.download_file("pear", tmp_path / "pear", options=replace(ONE_BY_ONE, resume=False))
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_two_at_a_time_do_not_meet(opened: Opener, tmp_path: Path) -> None:
    """The second one, which finds the journal in use, does without."""
    driver = Streamed()
    bucket = opened(driver).create_bucket("fruit")
    bucket.put("pear", DATA)
    other = opened(Streamed()).create_bucket("fruit")
    other.put("pear", DATA)

    def meanwhile(_: object) -> None:
        worker = threading.Thread(
            target=other.download_file,
            args=("pear", tmp_path / "pear"),
            kwargs={"options": OPTIONS},
        )
        worker.start()
        worker.join()
        assert (tmp_path / "pear").read_bytes() == DATA
        assert ".pear.storage-part" in left_in(tmp_path), "that of the first one is left alone"
        assert [found.in_use for found in journals()] == [True]

    if bucket.storage.driver.io == "blocking":
        driver.script["get"] = [None, None, None, Before(meanwhile)]
    bucket.download_file("pear", tmp_path / "pear", options=ONE_BY_ONE)
    assert (tmp_path / "pear").read_bytes() == DATA
    assert left_in(tmp_path) == ["pear"]


class Told(Streamed):
    """Tells only some digests of its objects, perhaps wrong ones."""

    told: Mapping[str, str] = EMPTY

    async def get(self, request: Any) -> ObjectStream:
        stream = await super().get(request)
        inner = stream._inner  # type: ignore[attr-defined]
        inner._info = replace(inner.info, checksums=self.told)
        stream.checksum = None
        return stream


@pytest.mark.parametrize("algorithm", ["crc32c", "sha256", "md5"])
@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_whatever_digest_is_known_is_checked(
    opened: Opener, tmp_path: Path, algorithm: str
) -> None:
    driver = Told()
    bucket = opened(driver).create_bucket("fruit")
    bucket.put("pear", DATA)
    driver.told = {algorithm: digest(algorithm, DATA).hex()}
    bucket.download_file("pear", tmp_path / "pear", options=OPTIONS)
    driver.told = {algorithm: digest(algorithm, DATA[1:]).hex()}
    with pytest.raises(IntegrityError, match=algorithm):
        bucket.download_file("pear", tmp_path / "second", options=OPTIONS)
    assert left_in(tmp_path) == ["pear"]
    bucket.download_file("pear", tmp_path / "third", options=replace(OPTIONS, verify=False))


@pytest.mark.parametrize("size", [10, len(DATA)])
def test_what_is_there_is_kept_unless_it_is_to_be_replaced(
    opened: Opener, tmp_path: Path, size: int
) -> None:
    bucket = opened(Streamed()).create_bucket("fruit")
    bucket.put("pear", DATA[:size])
    driver = scripted(bucket)
    place = tmp_path / "pear"
    place.write_text("precious")
    with pytest.raises(FileExistsError) as refused:
        bucket.download_file("pear", place, options=OPTIONS, replace=False)
    assert refused.value.filename == str(place)
    assert not driver.requests("get"), "before anything is asked"
    with pytest.raises(IsADirectoryError):
        bucket.download_file("pear", tmp_path, options=OPTIONS)
    with pytest.raises(FileNotFoundError) as nowhere:
        bucket.download_file("pear", tmp_path / "none" / "pear", options=OPTIONS)
    assert nowhere.value.filename == str(tmp_path / "none" / "pear")

    place.chmod(0o640)
    bucket.download_file("pear", place, options=OPTIONS)
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    place.unlink()

    # Somebody else is quicker.
    driver.script["get"] = [Before(lambda _: place.write_text("precious"))]
    with pytest.raises(FileExistsError):
        bucket.download_file("pear", place, options=OPTIONS, replace=False)
    assert place.read_text() == "precious"
    assert left_in(tmp_path) == ["pear"]


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
@pytest.mark.parametrize("size", [10, len(DATA)])
def test_links_are_followed_and_pipes_written_to(opened: Opener, tmp_path: Path, size: int) -> None:
    bucket = opened(Streamed()).create_bucket("fruit")
    bucket.put("pear", DATA[:size])
    (tmp_path / "inner").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "inner" / "pear")
    bucket.download_file("pear", link, options=OPTIONS)
    assert link.is_symlink()
    assert left_in(tmp_path / "inner") == ["pear"]
    assert link.read_bytes() == DATA[:size]

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    bucket.download_file("pear", pipe, options=OPTIONS)
    reader.join()
    assert read == [DATA[:size]]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert left_in(tmp_path) == ["inner", "link", "pipe"]

    with pytest.raises(OSError, match="No space left") as full:
        bucket.download_file("pear", "/dev/full", options=OPTIONS)
    assert full.value.filename == "/dev/full"


def test_a_new_file_has_the_mode_of_the_umask(opened: Opener, tmp_path: Path) -> None:
    bucket = opened(Streamed()).create_bucket("fruit")
    bucket.put("pear", DATA)
    (tmp_path / "other").touch()
    bucket.download_file("pear", tmp_path / "pear", options=OPTIONS)
    assert (tmp_path / "pear").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("carrier", ["inline"], indirect=True)
def test_conditions_versions_and_what_is_not_there(opened: Opener, tmp_path: Path) -> None:
    bucket = opened(Streamed(versions=True)).create_bucket("fruit")
    old = bucket.put("pear", DATA)
    bucket.put("pear", DATA[::-1])
    with pytest.raises(PreconditionFailedError):
        bucket.download_file("pear", tmp_path / "pear", if_match=old.etag, options=OPTIONS)
    with pytest.raises(ObjectNotFoundError):
        bucket.download_file("plum", tmp_path / "pear", options=OPTIONS)
    assert left_in(tmp_path) == []
    bucket.download_file("pear", tmp_path / "pear", version=old.version, options=OPTIONS)
    assert (tmp_path / "pear").read_bytes() == DATA


def test_a_stream_that_breaks_off_is_taken_up_again(opened: Opener, tmp_path: Path) -> None:
    driver = Streamed()
    bucket = opened(driver).create_bucket("fruit")
    bucket.put("pear", DATA)
    driver.breaks = [(PART // 2, UnavailableError("broken")), (1000, None)]
    bucket.download_file("pear", tmp_path / "pear", options=OPTIONS)
    assert (tmp_path / "pear").read_bytes() == DATA
    assert not driver.breaks
    assert all(stream.closed for stream in driver.streams)


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_limits_are_kept(opened: Opener, tmp_path: Path) -> None:
    """Small buffers and pieces change nothing but how long it takes."""
    bucket = opened(Streamed()).create_bucket("fruit")
    bucket.put("pear", DATA)
    options = TransferOptions(part_size=PART, max_memory=1000, bandwidth=1e9, concurrency=3)
    bucket.download_file("pear", tmp_path / "pear", options=options)
    assert (tmp_path / "pear").read_bytes() == DATA


@pytest.mark.parametrize("carrier", ["inline"], indirect=True)
def test_names_as_long_as_they_can_be(opened: Opener, tmp_path: Path) -> None:
    bucket = opened(Streamed()).create_bucket("fruit")
    bucket.put("pear", DATA)
    place = tmp_path / ("ä" * 127)
    bucket.download_file("pear", place, options=OPTIONS)
    assert place.read_bytes() == DATA


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
@pytest.mark.parametrize("size", [10, len(DATA)])
def test_memory_is_waited_for_without_a_stream_in_hand(
    opened: Opener, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that have the memory may need its connection."""
    driver = Streamed()
    bucket = opened(driver).create_bucket("fruit")
    bucket.put("pear", DATA[:size])
    held = MEMORY.at_once(MEMORY.limit, MEMORY.limit)
    assert held
    reserve = MEMORY.reserve
    waited: list[int] = []

    async def noted(team: Team, least: int, most: int) -> int:
        waited.append(len([stream for stream in driver.streams if not stream.closed]))
        MEMORY.release(held)
        return await reserve(team, least, most)

    monkeypatch.setattr(MEMORY, "reserve", noted)
    bucket.download_file("pear", tmp_path / "pear", options=OPTIONS)
    assert (tmp_path / "pear").read_bytes() == DATA[:size]
    assert waited == [0]
    assert MEMORY.at_once(MEMORY.limit, MEMORY.limit) == MEMORY.limit, "all of it is given back"
    MEMORY.release(MEMORY.limit)
