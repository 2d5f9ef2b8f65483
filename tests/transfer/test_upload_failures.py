"""Uploads that go wrong, and what the next one makes of it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from storage_core import (
    Bucket,
    ObjectChangedError,
    PermissionDeniedError,
    PreconditionFailedError,
    Progress,
    QuotaExceededError,
    UnavailableError,
)
from storage_core.checksum import digest
from storage_core.transfer.journal import Journal, journals
from tests.core.conftest import Opener, scripted
from tests.core.drivers import Before, Lost, Scripted
from tests.transfer.downloads import OPTIONS, PART
from tests.transfer.uploads import (
    DATA,
    ONE_BY_ONE,
    by_path,
    clean,
    numbers,
    small_pieces,
    stored,
)


@pytest.fixture
def pear(tmp_path: Path) -> Path:
    path = tmp_path / "pear"
    path.write_bytes(DATA)
    return path


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
@pytest.mark.parametrize(
    ("first", "then", "goes_on"),
    [
        (timedelta(days=7), timedelta(days=7), True),
        (timedelta(days=7), timedelta(hours=1), False),
        (timedelta(days=7), None, False),
        (None, timedelta(days=7), False),
    ],
)
def test_a_lifetime_that_counts_from_now_goes_on(
    opened: Opener,
    pear: Path,
    first: timedelta | None,
    then: timedelta | None,
    goes_on: bool,
) -> None:
    """As `storage put --expires-in` gives it: another moment in each run."""
    bucket = opened().create_bucket("fruit")
    failing_at(bucket, 4)
    begun = None if first is None else datetime.now(UTC) + first
    with pytest.raises(UnavailableError):
        bucket.upload_file(pear, "pear", expires_at=begun, options=ONE_BY_ONE)
    scripted(bucket).script.clear()
    scripted(bucket).calls.clear()
    wanted = None if then is None else datetime.now(UTC) + then
    bucket.upload_file(pear, "pear", expires_at=wanted, options=ONE_BY_ONE)
    assert numbers(bucket) == ([4, 5, 6] if goes_on else ALL)
    expires = bucket.head("pear").expires_at
    assert (expires is None) == (wanted is None)
    if expires is not None and wanted is not None:
        assert abs(expires - wanted) < timedelta(minutes=1)
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


# --- what the next run makes of the end of an earlier one ---------------------------------


class Killed(BaseException):
    """Stands for the end of a process: nothing answers to it."""


def killed_when_completed(opened: Opener, pear: Path, **capabilities: Any) -> Bucket:
    """A bucket after an upload whose process ended when its completion was carried out, without
    hearing of that."""
    bucket = opened(Scripted(**capabilities)).create_bucket("fruit")
    scripted(bucket).script["complete_upload"] = [Lost(Killed())]  # type: ignore[arg-type]
    with pytest.raises(Killed):
        bucket.upload_file(pear, "pear", if_absent=True, compute=["md5"], options=OPTIONS)
    assert stored(bucket) == DATA
    assert len(journals()) == 1
    scripted(bucket).calls.clear()
    return bucket


@pytest.mark.parametrize("carrier", ["inline"], indirect=True)
@pytest.mark.parametrize("if_absent", [True, False])
def test_what_was_published_unheard_is_known_by_its_write_id(
    opened: Opener, pear: Path, if_absent: bool
) -> None:
    bucket = killed_when_completed(opened, pear)
    seen: list[Progress] = []
    result = bucket.upload_file(
        pear, "pear", if_absent=if_absent, compute=["md5"], options=OPTIONS, progress=seen.append
    )
    assert numbers(bucket) == []
    assert result.etag == bucket.head("pear").etag
    assert result.checksums["md5"] == digest("md5", DATA).hex()
    assert (seen[-1].bytes, seen[-1].objects, seen[-1].failed) == (len(DATA), 1, 0)
    assert clean(bucket)


@pytest.mark.parametrize("carrier", ["inline"], indirect=True)
def test_the_same_bytes_of_another_writer_are_not_ours(opened: Opener, pear: Path) -> None:
    bucket = killed_when_completed(opened, pear)
    bucket.put("pear", DATA, if_match=bucket.head("pear").etag)
    with pytest.raises(PreconditionFailedError):
        bucket.upload_file(pear, "pear", if_absent=True, compute=["md5"], options=OPTIONS)
    assert clean(bucket)


@pytest.mark.parametrize("carrier", ["inline"], indirect=True)
def test_other_bytes_than_were_published_are_sent(opened: Opener, pear: Path) -> None:
    bucket = killed_when_completed(opened, pear)
    spoil_a_part_unseen(pear, bucket)
    bucket.upload_file(pear, "pear", compute=["md5"], options=OPTIONS)
    assert stored(bucket) == pear.read_bytes() != DATA
    assert clean(bucket)


@pytest.mark.parametrize("carrier", ["inline"], indirect=True)
def test_without_write_ids_it_is_said_who_probably_wrote_the_object(
    opened: Opener, pear: Path
) -> None:
    bucket = killed_when_completed(opened, pear, write_ids=False)
    with pytest.raises(PreconditionFailedError, match="an earlier run of this upload"):
        bucket.upload_file(pear, "pear", if_absent=True, compute=["md5"], options=OPTIONS)
    assert numbers(bucket) == [], "nothing is sent in vain"
    assert clean(bucket)


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_parts_that_may_not_be_listed_are_sent_again(opened: Opener, pear: Path) -> None:
    bucket = interrupted(opened, pear)
    scripted(bucket).script["list_parts_page"] = [PermissionDeniedError("write only")]
    bucket.upload_file(pear, "pear", options=ONE_BY_ONE)
    assert stored(bucket) == DATA
    assert numbers(bucket) == ALL
    assert clean(bucket)


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
@pytest.mark.parametrize("method", ["begin", "add"])
def test_a_full_disk_of_journals_hurts_nothing(
    opened: Opener, pear: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Journal, method, full)
    bucket = opened().create_bucket("fruit")
    bucket.upload_file(pear, "pear", options=OPTIONS)
    assert stored(bucket) == DATA
    assert clean(bucket)


@pytest.mark.parametrize("carrier", ["direct", "threaded"], indirect=True)
def test_a_stream_whose_maker_is_cancelled_is_never_taken_for_whole(opened: Opener) -> None:
    bucket = opened().create_bucket("fruit")

    async def pieces() -> AsyncIterator[bytes]:
        yield DATA
        raise asyncio.CancelledError  # as what awaits a cancelled task does

    with pytest.raises((asyncio.CancelledError, concurrent.futures.CancelledError)):
        bucket.upload_file(pieces(), "pear", options=OPTIONS)
    assert not bucket.exists("pear")
    assert clean(bucket)
