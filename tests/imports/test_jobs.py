"""Files and jobs as the state has them."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from storage_core import imports
from storage_core.access import buckets
from storage_core.imports import ImportJob
from storage_core.state.tables import import_jobs
from tests.imports.world import World
from tests.waiting import PATIENCE


def stage(world: World, file, job=None, *, uploaded=False) -> str:
    return imports.stage(file, job, uploaded=uploaded, now=world.state.now())


def test_a_registered_file_is_found_by_id_and_path(world):
    file = world.register(
        folder="/in/2024/",
        tags=["a"],
        metadata={"k": [1]},
        workspace_id="w",
        category="c",
        description="d",
    )
    assert file.key == f"in/2024/{file.id}/people.txt"
    assert file.path == f"//people/{file.key}"
    assert file.action_id
    for found in (
        imports.find_file(world.state, world.project.id, file.id),
        imports.find_path(world.state, world.project.id, file.path),
    ):
        assert found is not None
        assert (found.key, found.metadata, list(found.tags)) == (file.key, {"k": [1]}, ["a"])
        assert (found.created, found.link_expires) == (file.created, file.link_expires)
        assert found.bucket == world.bucket


@pytest.mark.parametrize("path", ["", "//", "people/x", "/people/x", "//other/x", "//people/"])
def test_paths_of_nothing(world, path):
    assert imports.find_path(world.state, world.project.id, path) is None


def test_files_of_one_name_do_not_collide(world):
    assert world.register().key != world.register().key


def test_a_file_is_unseen_by_other_projects(world):
    file = world.register()
    assert imports.find_file(world.state, "another", file.id) is None
    assert imports.find_path(world.state, "another", file.path) is None


def test_a_file_goes_with_its_bucket(world):
    other = buckets.create(world.state, world.storage, world.project.id, "gone")
    file = imports.register(
        world.state, other, "credential", imports.Registration(name="people.txt"), 900
    )
    buckets.delete(world.state, world.storage, other)
    assert imports.find_file(world.state, world.project.id, file.id) is None


def test_stages(world, clock):
    with clock.standing():
        file = world.register()
        assert stage(world, file) == "Created"
        assert stage(world, file, uploaded=True) == "Uploaded"
        clock.ahead = timedelta(seconds=899)
        assert stage(world, file) == "Created"
        clock.ahead = timedelta(seconds=901)
        assert stage(world, file) == "Expired"
        assert stage(world, file, uploaded=True) == "Uploaded"
    job = submit(world, file)
    assert stage(world, file, job, uploaded=True) == "Queued"


def submit(world: World, file, action="action") -> ImportJob:
    return submitted(world, file, action)[0]


def submitted(world: World, file, action="action") -> tuple[ImportJob, bool]:
    return imports.submit(
        world.state,
        file,
        action_id=action,
        description="",
        file_type="plain",
        etag="etag",
        size=3,
        lease_seconds=60,
    )


def end(world: World, job: ImportJob) -> None:
    with world.state.write() as connection:
        connection.execute(
            import_jobs.update().where(import_jobs.c.id == job.id).values(state="failed")
        )


def test_a_second_order_of_one_action_is_the_first(world):
    file = world.register()
    first, new = submitted(world, file)
    assert new
    again, new = submitted(world, file)
    assert (again, new) == (first, False)
    other, new = submitted(world, file, "another action")
    assert new
    assert other.id != first.id


def test_after_the_end_it_is_a_new_one(world):
    file = world.register()
    first = submit(world, file)
    end(world, first)
    second = submit(world, file)
    assert second.id != first.id
    assert imports.latest_job(world.state, file) == second


def test_of_many_orders_at_once_one_counts(world):
    file = world.register()
    found: list[tuple[ImportJob, bool]] = []
    gate = threading.Barrier(6)

    def order() -> None:
        gate.wait(PATIENCE)
        found.append(submitted(world, file))

    threads = [threading.Thread(target=order) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len({job.id for job, _ in found}) == 1
    assert sorted(new for _, new in found) == [False] * 5 + [True]


def test_jobs_of_a_project_are_listed_newest_first(world):
    files = [world.register(name=name) for name in ("a", "b", "c")]
    jobs = [submit(world, file) for file in files]
    end(world, jobs[1])
    found = imports.list_jobs(world.state, world.project.id)
    assert [name for _, name in found] == ["c", "b", "a"]
    found = imports.list_jobs(world.state, world.project.id, active=True, limit=1)
    assert [job.id for job, _ in found] == [jobs[2].id]
    assert imports.list_jobs(world.state, "another") == []
