"""Imports of one project are none of another's: every statement is looked at."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from storage_core import imports
from storage_core.imports import jobs, leases
from storage_core.imports.rows import Counts
from tests.access.test_isolation import statements, unscoped
from tests.imports.world import World

# Workers are the service's own: the queue and the leases lead them to jobs of all projects.
BY_ID = frozenset((jobs.get_job, leases.claim, leases.requeue_lapsed))

ORDER: dict[str, Any] = {
    "action_id": "a",
    "description": "",
    "file_type": "plain",
    "etag": "e",
    "size": 1,
}


def calls(world: World) -> dict[Callable[..., Any], Callable[[], Any]]:
    """A call of each function, in the order of their running."""
    state, project = world.state, world.project.id
    file = world.register()
    job, _ = imports.submit(state, file, lease_seconds=60, **ORDER)
    mine = leases.claim(state, job.id, "worker", 60)
    assert mine is not None
    return {
        jobs.register: world.register,
        jobs.find_file: lambda: imports.find_file(state, project, file.id),
        jobs.find_path: lambda: imports.find_path(state, project, file.path),
        jobs.submit: lambda: imports.submit(state, file, lease_seconds=60, **ORDER),
        jobs.active_job: lambda: imports.active_job(state, file, "a"),
        jobs.latest_job: lambda: imports.latest_job(state, file),
        jobs.list_jobs: lambda: imports.list_jobs(state, project, active=True),
        leases.renew: lambda: leases.renew(state, mine, 60, 1, 1),
        leases.finish: lambda: leases.finish(state, mine, Counts()),
        leases.fail: lambda: leases.fail(state, mine, "Code", "reason"),
        leases.give_back: lambda: leases.give_back(state, mine, after=0, counted=False),
    }


def test_every_function_stays_in_its_project(world):
    found = calls(world)
    for function, call in found.items():
        with statements(world.state) as sent:
            call()
        assert [statement for statement in sent if unscoped(statement)] == [], function
    known = {
        function
        for module in (jobs, leases)
        for _, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not function.__name__.startswith("_")
        and next(iter(inspect.signature(function).parameters)) == "state"
    }
    assert known == found.keys() | BY_ID
