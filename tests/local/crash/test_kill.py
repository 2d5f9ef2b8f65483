"""``kill -9`` at random moments: the short form; the long one is in tests/soak."""

from __future__ import annotations

import pytest

from tests.local.crash.kill import campaign


@pytest.mark.parametrize("versions", [False, True])
def test_kill_at_random_moments(tmp_path, versions):
    assert campaign(tmp_path / "root", 20, versions=versions) > 0
