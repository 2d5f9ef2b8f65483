"""The order of the work, without a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from storage_core.cluster import courses
from storage_core.cluster.courses import Transfer
from storage_core.cluster.jobs import Answer, Carried, Carry, Job, Look, Looked
from storage_core.errors import PermissionDeniedError, UnavailableError
from storage_core.transfer.entries import ALL, KeyRange
from storage_core.transfer.planning import Decision, Kind
from storage_core.transfer.progress import Meter, Progress
from storage_core.transfer.report import Outcome, TransferReport
from storage_core.transfer.rules import make_rules
from storage_core.transfer.spool import Spool

THREADS = 4


@pytest.fixture
def spool() -> Iterator[Spool]:
    with closing(Spool()) as made:
        yield made


def transfer(
    spool: Spool, bandwidth: float | None = None, max_delete: int | None = None
) -> Transfer:
    rules = make_rules(delete=True, max_delete=max_delete)
    return Transfer([ALL], True, 256, rules, "copy", bandwidth, Meter(None), None, spool)


def after(course: Transfer, threads: int = THREADS) -> Any:
    """The next job."""
    return course.next(threads)


def take(course: Transfer, job: Job, answer: Answer) -> None:
    course.take(job, answer, 0)


def decisions(kind: Kind, *numbers: int, size: int = 10) -> tuple[Decision, ...]:
    return tuple(Decision(f"{number:06}", kind, size) for number in numbers)


def carried(job: Carry, failed: frozenset[str] = frozenset()) -> Carried:
    done = [decision for decision in job.decisions if decision.key not in failed]
    moved = [decision for decision in done if decision.kind != "delete"]
    return Carried(
        TransferReport(
            len(moved),
            sum(decision.size for decision in moved),
            deleted=len(done) - len(moved),
            failures=tuple(
                Outcome(key, "copy", error=PermissionDeniedError("no")) for key in failed
            ),
        ),
        (),
        (),
    )


def test_of_a_long_listing_little_is_kept(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    """A hundred times what is kept goes through, half of it deletions."""
    monkeypatch.setattr(courses, "_STORE", 400)
    course = transfer(spool)
    looks = 200
    out: deque[Job] = deque()
    most = 0
    while True:
        while len(out) < 2 * THREADS and (job := after(course)):
            out.append(job)
            # The looks are answered first: the cluster moves slower than it lists.
        if not out:
            break
        most = max(most, len(course._ready))
        job = next((job for job in out if isinstance(job, Look)), out[0])
        out.remove(job)
        answer: Answer
        if isinstance(job, Look):
            looks -= 1
            start = looks * 200
            answer = Looked(
                decisions("copy", *range(start, start + 100))
                + decisions("delete", *range(start + 100, start + 200)),
                5,
                KeyRange("x") if looks else None,
            )
        else:
            assert isinstance(job, Carry)
            answer = carried(job)
        take(course, job, answer)

    assert most <= 400 + 100 * THREADS
    report = course.report()
    assert (report.transferred, report.deleted, report.unchanged) == (20_000, 20_000, 1000)
    assert report.bytes == 200_000


def test_deletions_wait_for_all_else(spool: Spool):
    course = transfer(spool)
    look = after(course)
    assert look == Look(ALL, True)
    assert after(course) is None
    take(course, look, Looked(decisions("copy", 1) + decisions("delete", 2), 0, None))
    moves = after(course)
    assert isinstance(moves, Carry)
    assert [decision.kind for decision in moves.decisions] == ["copy"]
    assert after(course) is None
    take(course, moves, carried(moves))
    deletions = after(course)
    assert isinstance(deletions, Carry)
    assert [decision.kind for decision in deletions.decisions] == ["delete"]


def test_nothing_is_deleted_after_a_failure(spool: Spool):
    course = transfer(spool)
    look = after(course)
    take(course, look, Looked(decisions("copy", 1, 3) + decisions("delete", 2), 0, None))
    moves = after(course)
    take(course, moves, carried(moves, frozenset(["000003"])))
    assert after(course) is None
    report = course.report()
    assert (report.transferred, report.deleted, len(report.failures)) == (1, 0, 1)


@pytest.mark.parametrize("max_delete", [1, 2])
def test_more_deletions_than_may_be_are_none(spool: Spool, max_delete: int):
    course = transfer(spool, max_delete=max_delete)
    take(course, after(course), Looked(decisions("copy", 1) + decisions("delete", 2, 3), 0, None))
    moves = after(course)
    take(course, moves, carried(moves))
    if deletions := after(course):
        take(course, deletions, carried(deletions))
    assert after(course) is None
    report = course.report()
    assert report.transferred == 1
    assert (report.deleted, report.withheld) == ((2, 0) if max_delete == 2 else (0, 2))


def test_what_was_in_the_way_goes_first(spool: Spool):
    """What the deletions make room for is done after them, and is then not put off again."""
    course = transfer(spool)
    look = after(course)
    take(course, look, Looked(decisions("copy", 1, 3) + decisions("delete", 2), 0, None))
    moves = after(course)
    assert moves.may_wait
    take(course, moves, Carried(TransferReport(1, 10), (), decisions("copy", 3)))
    deletions = after(course)
    assert deletions.decisions == decisions("delete", 2, size=0)
    take(course, deletions, carried(deletions))
    late = after(course)
    assert (late.decisions, late.may_wait) == (decisions("copy", 3), False)
    take(course, late, carried(late))
    assert after(course) is None
    report = course.report()
    assert (report.transferred, report.bytes, report.deleted) == (2, 20, 1)


def test_what_stays_in_the_way_is_told(spool: Spool):
    """Without the deletions it is tried all the same, and says why it can not be."""
    course = transfer(spool)
    take(course, after(course), Looked(decisions("copy", 1, 3, 4), 0, None))
    moves = after(course)
    failed = (Outcome("000004", "copy", error=PermissionDeniedError("no")),)
    take(course, moves, Carried(TransferReport(1, 10, failures=failed), (), decisions("copy", 3)))
    late = after(course)
    assert (late.decisions, late.may_wait) == (decisions("copy", 3), False)


def test_one_deletion_that_fails_is_not_the_end_of_the_others(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(courses, "_STORE", 16)
    course = transfer(spool)
    take(course, after(course), Looked(decisions("delete", *range(32)), 0, None))
    first = after(course)
    take(course, first, carried(first, frozenset(["000003"])))
    second = after(course)
    take(course, second, carried(second))
    assert after(course) is None
    assert (course.report().deleted, len(course.report().failures)) == (31, 1)


def test_what_is_lost_for_good_fails_key_by_key(spool: Spool):
    course = transfer(spool)
    look = after(course)
    denied = PermissionDeniedError("no")
    take(
        course,
        look,
        Looked(
            (
                *decisions("copy", 1),
                Decision("000002", "fail", error=denied),
                Decision("000003", "skip"),
                *decisions("delete", 4),
            ),
            0,
            None,
        ),
    )
    moves = after(course)
    lost = UnavailableError("lost")
    course.give_up(moves, lost, 0)
    assert after(course) is None
    report = course.report()
    assert report.skipped == ("000003",)
    assert [(found.key, found.action, found.error) for found in report.failures] == [
        ("000001", "copy", lost),
        ("000002", "copy", denied),
    ]


def test_a_listing_that_is_lost_for_good_ends_it(spool: Spool):
    course = transfer(spool)
    look = after(course)
    with pytest.raises(UnavailableError):
        course.give_up(look, UnavailableError("lost"), 0)


def test_jobs_are_cut_by_number_and_bytes(spool: Spool):
    course = transfer(spool, bandwidth=1000)
    look = after(course, 1)
    large = decisions("copy", *range(3), size=200 * 1024**2)
    take(course, look, Looked(large + decisions("copy", *range(10, 600)), 0, None))
    sizes = []
    while job := after(course, 1):
        assert job.bandwidth == 1000
        sizes.append(len(job.decisions))
    assert sizes == [1, 1, 256, 256, 79]


def test_bandwidth_is_shared_out(spool: Spool):
    course = transfer(spool, bandwidth=1000)
    take(course, after(course), Looked(decisions("copy", *range(100)), 0, None))
    jobs = []
    while job := after(course):
        jobs.append(job)
    assert [len(job.decisions) for job in jobs] == [25, 19, 16, 16, 16, 8]
    assert {job.bandwidth for job in jobs} == {250}


def test_bytes_are_told_while_jobs_run_and_counted_once(spool: Spool):
    told: list[Progress] = []
    meter = Meter(told.append)
    course = Transfer([ALL], True, 256, make_rules(), "copy", None, meter, None, spool)
    take(course, after(course), Looked(decisions("copy", 1, 2, size=1000), 0, None))
    job = after(course)
    course.moved(700)
    course.moved(-600)  # its worker was lost, and another has begun
    course.take(job, carried(job), 100)
    meter.finish()
    assert (told[-1].bytes, told[-1].total_bytes, told[-1].objects) == (2000, 2000, 2)
