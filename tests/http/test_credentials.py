"""Credentials that are renewed before they expire, by one caller for all."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections import deque

import pytest

from storage_core.errors import AuthenticationError, UnavailableError
from storage_core.http.credentials import EARLY, PAUSE, Credentials, Fetched
from storage_core.runtime import drive

WAIT = 120


class Source:
    """Hands out ``Fetched`` or raises, in order; counts, and can be made to wait."""

    def __init__(self, *found: Fetched[str] | Exception) -> None:
        self.found = deque(found)
        self.calls = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self.begun = threading.Event()
        self.threads: set[int] = set()

    def __call__(self) -> Fetched[str]:
        self.calls += 1
        self.threads.add(threading.get_ident())
        self.begun.set()
        assert self.go_on.wait(WAIT)
        found = self.found.popleft()
        if isinstance(found, Exception):
            raise found
        return found


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_static_ones_are_fetched_once(clock: Clock):
    source = Source(Fetched("a"))
    credentials = Credentials(source, "blocking", clock)
    assert credentials.current is None
    assert source.calls == 0
    for _ in range(3):
        assert drive(credentials.get()) == "a"
        assert credentials.current == "a"
        clock.now += 1e9
    assert source.calls == 1


def test_renewed_early(clock: Clock):
    credentials = Credentials(
        Source(Fetched("a", clock.now + 3600), Fetched("b", clock.now + 7200)), "blocking", clock
    )
    assert drive(credentials.get()) == "a"
    clock.now += 3600 - EARLY - 1
    assert drive(credentials.get()) == "a"
    clock.now += 1
    assert credentials.current is None
    assert drive(credentials.get()) == "b"


def test_short_lived_ones_are_not_fetched_for_every_request(clock: Clock):
    """Some metadata services hand out what has less than `EARLY` left."""
    source = Source(*(Fetched(str(number), clock.now + 60) for number in range(3)))
    credentials = Credentials(source, "blocking", clock)
    assert {drive(credentials.get()) for _ in range(5)} == {"0"}
    clock.now += PAUSE
    assert {drive(credentials.get()) for _ in range(5)} == {"1"}
    clock.now += 50
    assert drive(credentials.get()) == "2"


def test_a_failed_renewal_is_forgiven_while_the_old_are_good(clock: Clock):
    source = Source(
        Fetched("a", clock.now + 3600),
        *[UnavailableError("down")] * 3,
        Fetched("b", clock.now + 9e9),
    )
    credentials = Credentials(source, "blocking", clock)
    drive(credentials.get())
    clock.now += 3600 - EARLY
    assert [drive(credentials.get()) for _ in range(5)] == ["a"] * 5
    assert source.calls == 2  # not for every request
    clock.now += PAUSE
    assert drive(credentials.get()) == "a"
    assert source.calls == 3
    clock.now += EARLY - PAUSE  # the end
    with pytest.raises(UnavailableError, match="down"):
        drive(credentials.get())
    assert drive(credentials.get()) == "b"


def test_failure_without_old_ones(clock: Clock):
    credentials = Credentials(Source(AuthenticationError("no")), "blocking", clock)
    with pytest.raises(AuthenticationError, match="no"):
        drive(credentials.get())


def test_refused_ones_are_fetched_anew(clock: Clock):
    credentials = Credentials(Source(Fetched("a"), Fetched("b")), "blocking", clock)
    assert drive(credentials.get()) == "a"
    credentials.refused()
    assert drive(credentials.get()) == "b"


def test_threads_wait_for_one_fetch(clock: Clock):
    source = Source(Fetched("a"))
    source.go_on.clear()
    credentials = Credentials(source, "blocking", clock)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(drive(credentials.get()))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert source.begun.wait(WAIT)
    source.go_on.set()
    for thread in threads:
        thread.join(WAIT)
    assert found == ["a"] * 8
    assert source.calls == 1


def test_nobody_waits_for_a_renewal_while_the_old_are_good(clock: Clock):
    source = Source(Fetched("a", clock.now + 3600), Fetched("b", clock.now + 7200))
    credentials = Credentials(source, "blocking", clock)
    drive(credentials.get())
    clock.now += 3600 - EARLY
    source.begun.clear()
    source.go_on.clear()
    found: list[str] = []
    renewing = threading.Thread(target=lambda: found.append(drive(credentials.get())))
    renewing.start()
    assert source.begun.wait(WAIT)
    assert drive(credentials.get()) == "a"
    source.go_on.set()
    renewing.join(WAIT)
    assert found == ["b"]
    assert source.calls == 2


def test_the_loop_is_not_blocked(clock: Clock):
    source = Source(Fetched("a"))
    credentials = Credentials(source, "asyncio", clock)

    async def main() -> list[str]:
        source.go_on.clear()
        tasks = [asyncio.create_task(credentials.get()) for _ in range(3)]
        assert await asyncio.to_thread(source.begun.wait, WAIT)
        source.go_on.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == ["a"] * 3
    assert source.calls == 1
    assert threading.get_ident() not in source.threads


def test_a_fork_in_the_middle_of_a_fetch(clock: Clock):
    """The child has the lock in the state it was in, but not the thread that holds it."""
    source = Source(Fetched("a"), Fetched("b"))
    source.go_on.clear()
    credentials = Credentials(source, "blocking", clock)
    thread = threading.Thread(target=lambda: drive(credentials.get()))
    thread.start()
    assert source.begun.wait(WAIT)
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        signal.alarm(WAIT)
        source.go_on = threading.Event()
        source.go_on.set()
        try:
            os._exit(0 if drive(credentials.get()) == "a" else 1)
        finally:
            os._exit(2)
    source.go_on.set()
    thread.join(WAIT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
