"""Thousands of killed writers. ``SOAK_KILLS`` sets how many, 2000 for each setting."""

from __future__ import annotations

import os

import pytest

from tests.local.crash.kill import campaign

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

KILLS = int(os.environ.get("SOAK_KILLS", "2000"))
ROUND = 100


@pytest.mark.parametrize("versions", [False, True])
def test_kill_thousands_of_times(tmp_path, versions):
    acts = 0
    # A new root now and then, so that histories do not grow without end.
    for number in range(0, KILLS, ROUND):
        kills = min(ROUND, KILLS - number)
        acts += campaign(tmp_path / f"root{number}", kills, versions=versions)
    assert acts > KILLS // 10
