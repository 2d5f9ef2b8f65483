"""The budget for buffers: never exceeded, first come first served, nothing lost."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from storage_core.errors import InvalidRequestError
from storage_core.runtime.team import Team
from storage_core.transfer import memory
from storage_core.transfer.jobs import each
from storage_core.transfer.memory import MEMORY, Memory, set_max_memory
from tests.transfer.teams import KINDS, run, stream

kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_no_more_is_reserved_than_there_is_and_all_get_their_turn(kind: str) -> None:
    budget = Memory(100)
    guard = threading.Lock()
    used, most, served = [0], [0], [0]

    async def main(team: Team) -> None:
        async def work(item: int) -> None:
            granted = await budget.reserve(team, 10 + item % 30, 60)
            with guard:
                used[0] += granted
                most[0] = max(most[0], used[0])
                served[0] += 1
            await team.sleep(0.001)
            with guard:
                used[0] -= granted
            budget.release(granted)

        await each(team, stream(range(80)), work, 12)

    run(kind, main)
    assert served[0] == 80
    assert 0 < most[0] <= 100


@kinds
def test_as_much_is_granted_as_is_free_between_the_bounds(kind: str) -> None:
    budget = Memory(100)

    async def main(team: Team) -> None:
        assert await budget.reserve(team, 10, 70) == 70
        assert await budget.reserve(team, 10, 70) == 30
        budget.release(70)
        assert await budget.reserve(team, 10, 20) == 20

    run(kind, main)


@kinds
def test_who_gives_up_waiting_holds_up_nobody(kind: str) -> None:
    budget = Memory(10)

    async def main(team: Team) -> None:
        held = await budget.reserve(team, 10, 10)
        inner = team.nested()

        async def work(item: int) -> None:
            if item:
                raise ValueError("gives up")
            await budget.reserve(inner, 5, 5)

        with pytest.raises(ValueError, match="gives up"):
            await each(inner, stream(range(2)), work, 2)
        budget.release(held)
        assert await budget.reserve(team, 10, 10) == 10

    run(kind, main)


@kinds
def test_a_budget_that_is_lowered_refuses_who_waits_for_more_and_nobody_else(kind: str) -> None:
    budget = Memory(10)

    async def main(team: Team) -> None:
        held = await budget.reserve(team, 10, 10)

        async def work(item: int) -> None:
            if item == 0:
                with pytest.raises(InvalidRequestError, match="raise max_memory"):
                    await budget.reserve(team, 8, 8)
            elif item == 1:
                budget.release(await budget.reserve(team, 3, 3))
            else:
                while len(budget._waiting) < 2:
                    await team.sleep(0.001)
                budget.resize(5)
                budget.release(held)

        await each(team, stream(range(3)), work, 3)
        assert await budget.reserve(team, 5, 5) == 5

    run(kind, main)


@kinds
def test_more_than_the_whole_budget_is_refused(kind: str) -> None:
    async def main(team: Team) -> None:
        with pytest.raises(InvalidRequestError, match="raise max_memory or lower part_size"):
            await Memory(10).reserve(team, 11, 20)

    run(kind, main)


def test_the_budget_of_the_process_can_be_set() -> None:
    code = "from storage_core.transfer.memory import MEMORY; print(MEMORY.limit)"
    found = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert int(found) == memory.DEFAULT == 256 * 1024**2
    try:
        set_max_memory(3 * 1024**2)
        assert MEMORY.limit == 3 * 1024**2
        with pytest.raises(InvalidRequestError, match="below 1 MiB"):
            set_max_memory(100)
    finally:
        set_max_memory(memory.DEFAULT)


def test_a_forked_child_has_a_budget_of_its_own() -> None:
    code = (
        "import os; from storage_core.transfer.memory import MEMORY\n"
        "MEMORY.at_once(MEMORY.limit, MEMORY.limit)\n"
        "if os.fork() == 0: print(MEMORY.at_once(1, MEMORY.limit) == MEMORY.limit, flush=True)\n"
        "else: os.wait()"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True\n"
