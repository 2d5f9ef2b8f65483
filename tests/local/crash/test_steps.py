"""A stop at every step: the process dies before the first, second, … last change of the disk
that an operation makes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from storage_local import syscalls
from tests.local.crash.world import CASES, SCENARIOS, Act, between, examine, fill, look, open_world

STEPS = (
    "create",
    "write",
    "fsync",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "rmdir",
    "ftruncate",
    "fallocate",
    "copy_file_range",
)


def stop_at(step: int) -> None:
    """Make the process kill itself before the given step, counted from 1."""
    left = step

    def wrap(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        return call

    for name in STEPS:
        setattr(syscalls, name, wrap(getattr(syscalls, name)))


def run_until(place: Path, act: Act, step: int, *, versions: bool, split: bool) -> bool:
    """Do it in a child that dies at a step; whether it was acknowledged before."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with open_world(place, versions=versions, split=split) as storage:
                stop_at(step)
                act(storage)
                status = 0
        finally:
            os._exit(status)
    _, result = os.waitpid(child, 0)
    if os.WIFSIGNALED(result):
        assert os.WTERMSIG(result) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(result) == 0
    return True


def world_before(tmp_path: Path, *, versions: bool) -> Path:
    base = tmp_path / "base"
    with open_world(base, versions=versions, fsync=False) as storage:
        fill(storage)
    return base


@pytest.mark.parametrize(("name", "versions"), CASES)
def test_stop_at_every_step(tmp_path, name, versions):
    scenario = SCENARIOS[name]
    base = world_before(tmp_path, versions=versions)
    with open_world(base, versions=versions) as storage:
        before = look(storage)
    done = tmp_path / "done"
    shutil.copytree(base, done)
    with open_world(done, versions=versions, split=scenario.split) as storage:
        scenario.act(storage)
        after = look(storage)
    step = 0
    acknowledged = False
    while not acknowledged:
        step += 1
        place = tmp_path / f"step{step}"
        shutil.copytree(base, place)
        acknowledged = run_until(place, scenario.act, step, versions=versions, split=scenario.split)
        state = examine(place, versions=versions)
        if acknowledged:
            assert state == after, f"acknowledged, {step - 1} steps"
        else:
            assert between(name)(state, before, after), f"stopped before step {step}"
        shutil.rmtree(place)
    assert step > 2
