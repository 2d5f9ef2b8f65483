"""A power failure after every step: what was not synced is dropped, in all combinations the
model of `replay` allows."""

from __future__ import annotations

import shutil

import pytest

from tests.local.crash.replay import Recorder, outcomes, write_tree
from tests.local.crash.test_steps import world_before
from tests.local.crash.world import CASES, SCENARIOS, between, examine, look, open_world


@pytest.mark.parametrize(("name", "versions"), CASES)
def test_power_failure_after_every_step(tmp_path, name, versions):
    scenario = SCENARIOS[name]
    base = world_before(tmp_path, versions=versions)
    shutil.copytree(base, tmp_path / "live")
    with open_world(tmp_path / "live", versions=versions, split=scenario.split) as storage:
        before = look(storage)
        recorder = Recorder(tmp_path / "live")
        with recorder.recording():
            scenario.act(storage)
        after = look(storage)
    steps = recorder.steps
    assert len(steps) > 1
    tried = 0
    for count in range(len(steps) + 1):
        for label, mode, tree in outcomes(base, steps[:count]):
            place = tmp_path / "left"
            write_tree(tree, place, mode)
            where = f"after {count} of {len(steps)} steps, {label}"
            try:
                state = examine(place, versions=versions)
            except Exception as error:
                raise AssertionError(where) from error
            if count == len(steps):
                assert state == after, f"acknowledged, {where}"
            else:
                assert between(name)(state, before, after), where
            shutil.rmtree(place)
            tried += 1
    assert tried > len(steps)
