"""The limit to bytes per second."""

from __future__ import annotations

import pytest

from storage_core.runtime import drive
from storage_core.runtime.team import ThreadTeam
from storage_core.transfer.bandwidth import Bandwidth


class _Clockwork(ThreadTeam):
    """A team whose sleep moves the clock."""

    now = 50.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_pieces_take_the_time_that_they_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    team = _Clockwork()
    monkeypatch.setattr("storage_core.transfer.bandwidth.time.monotonic", lambda: team.now)
    limit = Bandwidth(1000)
    for _ in range(11):
        drive(limit.take(team, 500))
    assert team.now == pytest.approx(55.0)
    team.now += 100  # a pause earns no credit
    before = team.now
    drive(limit.take(team, 500))
    drive(limit.take(team, 500))
    assert team.now - before == pytest.approx(0.5)


def test_without_a_limit_nothing_waits() -> None:
    team = _Clockwork()
    drive(Bandwidth(None).take(team, 10**12))
    assert team.now == 50.0
