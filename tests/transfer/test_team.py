"""Jobs at a time: all of them, as wide as asked, stopped by the first failure."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time

import pytest

from storage_core.runtime import team as team_module
from storage_core.runtime.strands import Stopped
from storage_core.runtime.task_team import TaskTeam
from storage_core.runtime.team import Team, ThreadTeam
from storage_core.transfer.gate import Gate
from storage_core.transfer.jobs import each
from tests.transfer.teams import KINDS, run, stream
from tests.waiting import PATIENCE, wait_until

kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
@pytest.mark.parametrize("width", [1, 3, 16])
def test_every_item_is_done_once_and_no_more_than_width_at_a_time(kind: str, width: int) -> None:
    done: list[int] = []
    inside, most = [0], [0]
    guard = threading.Lock()

    async def main(team: Team) -> None:
        async def work(item: int) -> None:
            with guard:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            await team.sleep(0.001)
            with guard:
                inside[0] -= 1
            done.append(item)

        await each(team, stream(range(50)), work, width)

    run(kind, main)
    assert sorted(done) == list(range(50))
    assert most[0] <= width


@kinds
def test_the_first_failure_stops_the_others_and_is_raised(kind: str) -> None:
    begun: list[int] = []

    async def main(team: Team) -> None:
        async def work(item: int) -> None:
            begun.append(item)
            if item == 3:
                raise ValueError("three")
            await team.sleep(60 if item < 3 else 0)

        await each(team, stream(range(1000)), work, 4)

    with pytest.raises(ValueError, match="three"):
        run(kind, main)
    assert len(begun) < 1000


@kinds
def test_a_nested_team_fails_alone(kind: str) -> None:
    heard: list[str] = []

    async def main(team: Team) -> None:
        async def inner(item: int) -> None:
            raise ValueError(str(item))

        async def work(item: int) -> None:
            with pytest.raises(ValueError, match=r"\d"):
                await each(team.nested(), stream(range(3)), inner, 3)
            heard.append(str(item))

        await each(team, stream(range(4)), work, 2)

    run(kind, main)
    assert sorted(heard) == ["0", "1", "2", "3"]


@kinds
@pytest.mark.parametrize("way_out", [asyncio.CancelledError, Stopped])
def test_a_job_that_is_called_off_alone_is_never_taken_for_done(
    kind: str, way_out: type[BaseException]
) -> None:
    """As when what a caller's iterator waits for is cancelled."""

    async def main(team: Team) -> None:
        async def work(item: int) -> None:
            if item == 3:
                raise way_out
            await team.sleep(60 if item < 3 else 0)

        await each(team, stream(range(10)), work, 4)

    with pytest.raises(way_out):
        run(kind, main)


def test_an_outer_failure_reaches_a_nested_team() -> None:
    waiting = threading.Event()

    async def main(team: Team) -> None:
        inner = team.nested()

        async def endless(_: int) -> None:
            waiting.set()
            await inner.sleep(60)

        async def work(item: int) -> None:
            if item == 0:
                await each(inner, stream([0]), endless, 2)
            else:
                wait_until(waiting.is_set)
                raise ValueError("outer")

        await each(team, stream(range(2)), work, 2)

    with pytest.raises(ValueError, match="outer"):
        run("threads", main)


def test_a_cancelled_caller_takes_its_tasks_along() -> None:
    ended: list[int] = []

    async def main() -> None:
        team = TaskTeam()
        begun = asyncio.Semaphore(0)

        async def work(item: int) -> None:
            begun.release()
            try:
                await team.sleep(60)
            finally:
                ended.append(item)

        whole = asyncio.ensure_future(each(team, stream(range(3)), work, 3))
        for _ in range(3):
            await begun.acquire()
        whole.cancel()
        with pytest.raises(asyncio.CancelledError):
            await whole
        assert sorted(ended) == [0, 1, 2]

    asyncio.run(main(), debug=True)


_INTERRUPTED = """
import os, signal
from storage_core.runtime import drive
from storage_core.runtime.team import ThreadTeam

signal.signal(signal.SIGINT, signal.default_int_handler)
team = ThreadTeam()

async def work(number):
    try:
        os.write(1, b"ready\\n")
        await team.sleep(600)
    finally:
        os.write(1, b"ended\\n")

try:
    drive(team.together([work(n) for n in range(4)]))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_stops_the_threads_at_once() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(4):
            assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    assert said == "ended\n" * 4 + "interrupted\n"


@kinds
def test_a_throttled_gate_narrows_once_and_widens_again(kind: str) -> None:
    throttles = [0]

    async def main(team: Team) -> None:
        gate = Gate(team, 8, lambda: throttles[0])
        together = [await gate.enter() for _ in range(8)]
        throttles[0] += 5
        for entered in together:
            gate.leave(entered)
        assert gate.limit == 4, "one step for all that were under way"
        for _ in range(4 + 5 + 6 + 7):
            gate.leave(await gate.enter())
        assert gate.limit == 8
        for _ in range(100):
            gate.leave(await gate.enter())
        assert gate.limit == 8
        for step in (4, 2, 1, 1):
            entered = await gate.enter()
            throttles[0] += 1
            gate.leave(entered)
            assert gate.limit == step

    run(kind, main)


@kinds
def test_a_gate_lets_no_more_in_than_its_limit(kind: str) -> None:
    inside, most = [0], [0]
    guard = threading.Lock()

    async def main(team: Team) -> None:
        gate = Gate(team, 3, lambda: 0)

        async def work(_: int) -> None:
            with guard:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            await team.sleep(0.001)
            with guard:
                inside[0] -= 1

        await each(team, stream(range(60)), work, 12, gate)

    run(kind, main)
    assert most[0] <= 3


def test_a_thread_team_that_failed_is_spent() -> None:
    from storage_core.runtime import drive

    team = ThreadTeam()

    async def fail() -> None:
        raise ValueError("spent")

    with pytest.raises(ValueError, match="spent"):
        drive(team.together([fail()]))
    with pytest.raises(Stopped):
        team.checkpoint()


@kinds
def test_jobs_that_only_wait_are_joined_by_the_others(kind: str) -> None:
    """All of them have to be there for any to end."""

    async def main(team: Team) -> None:
        turns = [team.turn() for _ in range(5)]
        there: list[int] = []
        guard = threading.Lock()

        async def work(item: int) -> None:
            with guard:
                there.append(item)
                last = len(there) == len(turns)
            if last:
                for turn in turns:
                    turn.wake()
            await turns[item].wait()

        await each(team, stream(range(5)), work, 5, few=1)
        assert sorted(there) == list(range(5))

    run(kind, main)


@kinds
@pytest.mark.parametrize("few", [1, 2])
def test_a_few_jobs_that_do_it_all_are_enough(kind: str, few: int) -> None:
    done: list[int] = []

    async def main(team: Team) -> None:
        async def work(item: int) -> None:
            done.append(item)

        await each(team, stream(range(100)), work, 16, few=few)

    run(kind, main)
    assert sorted(done) == list(range(100))


@kinds
def test_the_failure_of_the_first_job_is_raised_before_the_others_begin(kind: str) -> None:
    async def main(team: Team) -> None:
        async def work(item: int) -> None:
            raise ValueError(f"the failure of {item}")

        await each(team, stream(range(100)), work, 16, few=1)

    with pytest.raises(ValueError, match="the failure of"):
        run(kind, main)


def test_threads_that_compute_are_not_joined_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """With clocks that say so: how much a busy machine lets them is not known."""
    if not hasattr(time, "pthread_getcpuclockid"):
        pytest.skip("this system does not tell how much a thread computed")
    now = [0]
    monkeypatch.setattr(time, "monotonic_ns", lambda: now[0])
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: now[0])
    names: set[str] = set()
    looked = threading.Event()
    missing = team_module._Load.missing

    def told(self: team_module._Load, begun: int) -> int:
        wait_until(lambda: self._used or not begun)  # until the thread is there
        now[0] += 20_000_000
        more = missing(self, begun)
        assert more <= 0
        if begun:
            looked.set()
        return more

    monkeypatch.setattr(team_module._Load, "missing", told)

    async def main(team: Team) -> None:
        async def work(item: int) -> None:
            names.add(threading.current_thread().name)
            assert looked.wait(PATIENCE)

        await each(team, stream(range(40)), work, 16, few=1)

    run("threads", main)
    assert len(names) == 1
