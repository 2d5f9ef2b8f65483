"""Jobs by turns in one thread: whose turn it is, what they share and what they do not."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from contextvars import ContextVar
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from storage_core.deadline import current, left
from storage_core.errors import OperationTimeoutError
from storage_core.runtime import Inline, drive
from storage_core.runtime.strands import Stopped
from storage_core.runtime.team import Team, ThreadTeam
from storage_core.transfer.memory import Memory
from storage_core.waiting import Wait
from tests.transfer.strands import (  # noqa: F401 - fixtures are found by their names
    Job,
    alone,
    by_turns,
    carried,
    carry,
    meet,
    nothing_left,
    thread,
)
from tests.waiting import PATIENCE, wait_until

pytestmark = [by_turns, pytest.mark.usefixtures("alone"), pytest.mark.timeout(120)]


def parked(turns: list[Any], number: int) -> bool:
    """Whether somebody waits for a turn."""
    return len(turns) > number and turns[number]._wait.carrier is not None


def test_a_turn_is_woken_by_another_of_the_thread() -> None:
    heard: list[str] = []
    turns: list[Any] = []

    async def waits(team: Team) -> None:
        turns.append(team.turn())
        heard.append(thread())
        await turns[0].wait()
        heard.append("woken")

    async def wakes(_: Team) -> None:
        heard.append(thread())
        turns[0].wake()

    carry(waits, wakes)
    assert heard == ["storage-core-transfer-0", "storage-core-transfer-0", "woken"]


def test_a_turn_is_woken_from_another_thread() -> None:
    """While the thread of the jobs sleeps, again and again: a word that is lost is a hang."""
    turns: list[Any] = []

    async def waits(team: Team) -> None:
        for _ in range(50):
            turn = team.turn()
            turns.append(turn)
            await turn.wait()

    def wake() -> None:
        for number in range(50):
            wait_until(partial(parked, turns, number))
            turns[number].wake()

    other = threading.Thread(target=wake)
    other.start()
    carry(waits)
    other.join()


def test_a_word_that_comes_at_any_moment_is_heard() -> None:
    """Before the wait, at its beginning or during it."""
    rounds = 2000

    async def work(team: Team) -> None:
        for _ in range(rounds):
            turn = team.turn()
            given.append(turn)
            await turn.wait()

    def wake() -> None:
        for number in range(rounds):
            while len(given) <= number:
                time.sleep(0)
            given[number].wake()

    given: list[Any] = []
    other = threading.Thread(target=wake)
    other.start()
    carry(work)
    other.join()


def test_those_woken_before_they_wait_leave_the_others_their_turns() -> None:
    over = threading.Event()

    async def restless(team: Team) -> None:
        while not over.is_set():
            turn = team.turn()
            turn.wake()
            await turn.wait()

    async def patient(team: Team) -> None:
        await team.sleep(0.01)
        over.set()

    carry(patient, restless, restless)


def test_one_that_sleeps_holds_nobody_up() -> None:
    slept: list[bool] = []

    async def sleeps(team: Team) -> None:
        await team.sleep(30)
        slept.append(True)

    async def fails(_: Team) -> None:
        raise ValueError("it went on")

    with pytest.raises(ValueError, match="it went on"):
        carry(sleeps, fails)
    assert not slept


@pytest.mark.parametrize("few", [1, 3])
def test_a_lock_is_held_by_one_at_a_time(few: int) -> None:
    order: list[int] = []
    inside: list[int] = []
    arrived: list[int] = []
    team = ThreadTeam()
    lock: Any = team.lock()

    def numbered(number: int) -> Job:
        async def work(team: Team) -> None:
            arrived.append(number)
            for _ in range(20):
                async with lock:
                    assert not inside
                    inside.append(number)
                    await team.sleep(0)
                    while len(arrived) < 8:  # nobody comes a second time before the last one
                        await team.sleep(0)
                    order.append(number)
                    inside.remove(number)

        return work

    carry(*map(numbered, range(8)), few=few, team=team)
    assert sorted(order) == sorted(list(range(8)) * 20)
    if few == 1:
        assert order[:8] == list(range(8)), "in the order of arrival"


def test_a_lock_outlives_those_that_are_stopped() -> None:
    """One that holds it, one that waits, and one that it was just handed to."""
    team = ThreadTeam()
    lock: Any = team.lock()
    heard: list[str] = []

    async def holds(team: Team) -> None:
        await lock.__aenter__()
        await never(team)

    async def waits(_: Team) -> None:
        try:
            async with lock:
                heard.append("got it")
        except Stopped:
            heard.append("stopped")
            raise

    async def fails(_: Team) -> None:
        await lock.__aexit__(None, None, None)  # to the first, whose turn does not come
        raise ValueError("one")

    with pytest.raises(ValueError, match="one"):
        carry(holds, waits, waits, fails, team=team)
    assert heard == ["stopped", "stopped"]
    assert not lock._held
    assert not lock._waiting


async def never(team: Team) -> None:
    await team.turn().wait()


@pytest.mark.parametrize("few", [1, 2])
def test_memory_is_waited_for(few: int) -> None:
    memory = Memory(10)
    used: list[int] = []

    async def work(team: Team) -> None:
        granted = await memory.reserve(team, 4, 4)
        used.append(memory._used)
        await team.sleep(0)
        memory.release(granted)

    carry(*[work] * 24, few=few)
    assert len(used) == 24
    assert max(used) <= 10
    assert not memory._used


def test_memory_is_given_back_from_another_thread() -> None:
    memory = Memory(10)
    memory.at_once(10, 10)
    heard: list[str] = []

    async def waits(team: Team) -> None:
        memory.release(await memory.reserve(team, 10, 10))
        heard.append("reserved")

    async def goes_on(_: Team) -> None:
        heard.append("went on")
        threading.Timer(0, memory.release, [10]).start()

    carry(waits, goes_on)
    assert heard == ["went on", "reserved"]


def test_a_deadline_is_of_one_alone() -> None:
    seen: list[tuple[str, bool]] = []
    came: list[object] = []

    def look(name: str, within: bool) -> None:
        seen.append((name, within))
        assert (current.at is not None) == within

    async def limited(team: Team) -> None:
        async def call() -> None:
            for _ in range(3):
                look("limited", True)
                assert 3000 < left(9999) < 3600
                await meet(team, came, 3)
            look("limited", True)

        await Inline().within(3600, call())
        look("limited", False)
        await team.sleep(0)
        look("limited", False)

    async def free(team: Team) -> None:
        for _ in range(3):
            look("free", False)
            await meet(team, came, 3)

    async def short(team: Team) -> None:
        with pytest.raises(OperationTimeoutError):
            await Inline().within(0, team.sleep(0))
        look("short", False)

    carry(limited, free, limited, short)
    switches = sum(one != other for one, other in pairwise(seen))
    assert switches >= 4, "they take turns"


def test_each_has_the_context_of_the_caller_and_its_own_changes() -> None:
    variable = ContextVar("variable", default="nothing")
    seen: list[str] = []
    came: list[object] = []

    def changed(name: str) -> Job:
        async def work(team: Team) -> None:
            seen.append(variable.get())
            token = variable.set(name)
            for _ in range(3):
                await meet(team, came, 6)
                assert variable.get() == name
            variable.reset(token)
            assert variable.get() == "the caller's"
            variable.set(name)

        return work

    variable.set("the caller's")
    carry(*map(changed, "abcdef"))
    assert seen == ["the caller's"] * 6
    assert variable.get() == "the caller's"


@pytest.mark.parametrize("few", [1, 3])
def test_a_failure_stops_all_others(few: int) -> None:
    stopped: list[str] = []
    begun = threading.Semaphore(0)
    count = max(1, few - 1)

    async def waits(team: Team) -> None:
        begun.release()
        try:
            await never(team)
        except Stopped:
            stopped.append(thread())
            raise

    async def fails(team: Team) -> None:
        for _ in range(count):
            assert begun.acquire(timeout=PATIENCE)
        raise ValueError("one")

    async def late(_: Team) -> None:
        raise AssertionError("it was begun after the failure")

    with pytest.raises(ValueError, match="one"):
        carry(*[waits] * count, fails, *[late] * (40 if few == 1 else 0), few=few)
    assert len(stopped) == count


def test_a_parent_that_gives_up_stops_them() -> None:
    stopped: list[str] = []
    waiting = threading.Semaphore(0)

    async def waits(team: Team) -> None:
        waiting.release()
        try:
            await never(team)
        except Stopped:
            stopped.append("inner")
            raise

    async def inner(team: Team) -> None:
        await carried(waits, waits, team=team.nested())

    async def fails(team: Team) -> None:
        for _ in range(2):
            assert waiting.acquire(timeout=PATIENCE)
        raise ValueError("outer")

    async def main(team: Team) -> None:
        await team.together([inner(team), fails(team)])

    with pytest.raises(ValueError, match="outer"):
        drive(main(ThreadTeam()))
    assert stopped == ["inner", "inner"]


def test_what_is_cleaned_up_may_wait() -> None:
    """One that was stopped still says good-bye, by turns."""
    heard: list[str] = []

    async def waits(team: Team) -> None:
        try:
            await never(team)
        finally:
            await Wait(until=time.monotonic() + 0.001).give_way()
            heard.append("cleaned up")

    async def fails(_: Team) -> None:
        raise ValueError("one")

    with pytest.raises(ValueError, match="one"):
        carry(waits, waits, fails)
    assert heard == ["cleaned up"] * 2


def test_what_suspends_for_something_else_is_told_the_remedy() -> None:
    variable = ContextVar("variable", default=0)
    ended: list[str] = []

    async def foreign(_: Team) -> None:
        token = variable.set(1)
        loop = asyncio.new_event_loop()
        try:
            await loop.create_future()
        finally:
            loop.close()
            await Wait(until=0).give_way()  # as who gives up an upload
            variable.reset(token)
            ended.append("foreign")

    async def waits(team: Team) -> None:
        try:
            await never(team)
        finally:
            ended.append("other")

    with pytest.raises(RuntimeError, match="must not declare 'blocking' in supported_io"):
        carry(waits, foreign)
    assert sorted(ended) == ["foreign", "other"]


def test_what_none_is_needed_for_is_never_begun() -> None:
    begun: list[int] = []

    async def done(number: int) -> None:
        begun.append(number)

    works = [done(number) for number in range(16)]
    drive(ThreadTeam().together(works, few=1))
    assert begun == [0]
    assert {inspect.getcoroutinestate(work) for work in works} == {inspect.CORO_CLOSED}


def test_one_more_is_begun_only_when_all_wait() -> None:
    begun: list[int] = []
    turns: list[Any] = []

    async def three_meet(team: Team, number: int) -> None:
        begun.append(number)
        turns.append(team.turn())
        if len(turns) == 3:
            for turn in turns:
                turn.wake()
        await turns[-1].wait()

    team = ThreadTeam()
    works = [three_meet(team, number) for number in range(32)]
    drive(team.together(works, few=1))
    assert begun == [0, 1, 2]
    assert {inspect.getcoroutinestate(work) for work in works} == {inspect.CORO_CLOSED}
