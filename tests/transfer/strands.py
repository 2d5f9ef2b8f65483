"""Jobs of a team by turns in its threads, for tests."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import pytest

from storage_core.runtime import drive
from storage_core.runtime import team as team_module
from storage_core.runtime.team import Team, ThreadTeam
from storage_core.transfer.jobs import each
from tests.transfer.teams import stream
from tests.waiting import wait_until

Job: TypeAlias = Callable[[Team], Coroutine[Any, Any, None]]

by_turns = pytest.mark.skipif(
    not team_module._BY_TURNS, reason="this system has no epoll, eventfd or clocks of threads"
)


def carry(*jobs: Job, few: int = 1, team: ThreadTeam | None = None) -> None:
    """Do jobs in ``few`` threads at first, the next one begun when all before it wait."""
    drive(carried(*jobs, few=few, team=team or ThreadTeam()))


async def carried(*jobs: Job, few: int = 1, team: Team) -> None:
    """As `carry`, as a coroutine."""
    width = max(len(jobs), few + 1)
    await each(team, stream(jobs), lambda job: job(team), width, few=few)


async def meet(team: Team, came: list[object], count: int) -> None:
    """Wait until so many jobs of one thread have come here, round after round."""
    came.append(None)
    whole = -(-len(came) // count) * count
    while len(came) < whole:
        await team.sleep(0)


async def acquired(team: Team, semaphore: threading.Semaphore, times: int) -> None:
    """Wait for what another thread releases, while the jobs of this one go on."""
    for _ in range(times):
        while not semaphore.acquire(blocking=False):
            await team.sleep(0.001)


def thread() -> str:
    """Name of the calling thread."""
    return threading.current_thread().name


def carriers() -> list[threading.Thread]:
    """Threads of teams."""
    return [
        found for found in threading.enumerate() if found.name.startswith("storage-core-transfer")
    ]


def watches() -> Counter[str]:
    """What this process has open to wait with: epoll instances and eventfds."""
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            found[os.readlink(f"/proc/self/fd/{name}")] += 1
    return Counter({kind: found[kind] for kind in found if kind.startswith("anon_inode")})


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread, no epoll and no eventfd is left behind."""
    before = watches()
    yield
    wait_until(lambda: not carriers())
    assert not watches() - before  # other tests' may be closed meanwhile


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long jobs wait, no thread joins those there are at first."""
    monkeypatch.setattr(team_module._Load, "missing", lambda self, begun: 0)
