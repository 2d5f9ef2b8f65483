"""Logical buckets: names, places, and what is left when a process is killed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import uuid
from dataclasses import replace

import pytest

import storage_core
from storage_core import aio
from storage_core.access import buckets, projects
from storage_core.access.model import Project
from storage_core.errors import (
    BucketExistsError,
    BucketNotEmptyError,
    BucketNotFoundError,
    ConflictError,
    InvalidBucketNameError,
    StorageError,
)
from storage_core.state import State
from storage_core.state.tables import buckets as table
from tests.z3.conftest import Site

UUID = "0b5a3a2e-7f1c-4a53-9a63-8f6b4a1f9a10"


@pytest.fixture(params=["own", "shared"])
def shared(request: pytest.FixtureRequest) -> str:
    """The physical bucket to share, if any."""
    return "t-shared-z3" if request.param == "shared" else ""


def stages(state: State, project: Project) -> list[str]:
    with state.read() as connection:
        rows = connection.execute(table.select().where(table.c.project_id == project.id))
        return sorted(row.state for row in rows)


def inside(storage: storage_core.Storage, bucket: buckets.LogicalBucket) -> storage_core.Bucket:
    return storage.bucket(bucket.physical)


def create(
    state: State, storage: storage_core.Storage, project: Project, name: str, shared: str = ""
) -> buckets.LogicalBucket:
    return buckets.create(state, storage, project.id, name, shared=shared)


# --- names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["a", "9", "fruit-vegetables", f"{UUID}-patient-docs-custom-folders", f"{UUID}-TelemedRecordings",
     "a.b_c-D", "a..b", "a--b", "x" * 128],
)  # fmt: skip
def test_names_that_are_taken(
    state: State, storage: storage_core.Storage, project: Project, name: str
) -> None:
    made = create(state, storage, project, name)
    assert made.name == name
    assert storage.bucket_exists(made.physical)
    assert buckets.get(state, project.id, name) == made
    assert buckets.by_id(state, made.id) == made


@pytest.mark.parametrize(
    "name",
    ["", "-a", ".a", "_a", "a/b", "a b", "a:b", "a*", "é", "x" * 129, "a\n", "..", "a\x00", "a%2F"],
)
def test_names_that_are_not(
    state: State, storage: storage_core.Storage, project: Project, name: str
) -> None:
    with pytest.raises(InvalidBucketNameError):
        create(state, storage, project, name)
    assert stages(state, project) == []


def test_names_are_a_projects_own(
    state: State, storage: storage_core.Storage, project: Project, shared: str
) -> None:
    other = projects.create(state, "p-" + uuid.uuid4().hex)
    mine = create(state, storage, project, "fruit", shared)
    theirs = create(state, storage, other, "fruit", shared)
    inside(storage, mine).put(mine.prefix + "apple", b"mine")
    assert (mine.id, mine.physical + mine.prefix) != (theirs.id, theirs.physical + theirs.prefix)
    assert list(inside(storage, theirs).list(theirs.prefix)) == []
    assert buckets.list_buckets(state, project.id) == [mine]
    with pytest.raises(BucketNotFoundError):
        buckets.get(state, "another-project", "fruit")


def test_places(state: State, storage: storage_core.Storage, project: Project) -> None:
    own = create(state, storage, project, "Own_Bucket")
    shares = create(state, storage, project, "shares", "t-shared-z3")
    assert own.prefix == ""
    assert own.physical == f"sc-{own.id}"
    assert (shares.physical, shares.prefix) == ("t-shared-z3", f"{shares.id}/")
    assert [bucket.name for bucket in buckets.list_buckets(state, project.id)] == [
        "Own_Bucket",
        "shares",
    ]


# --- making and deleting ------------------------------------------------------------------


def test_a_name_is_given_once(
    state: State, storage: storage_core.Storage, project: Project, shared: str
) -> None:
    first = create(state, storage, project, "fruit", shared)
    with pytest.raises(BucketExistsError):
        create(state, storage, project, "fruit", shared)
    buckets.delete(state, storage, buckets.deletable(state, project.id, "fruit"))
    assert create(state, storage, project, "fruit", shared).id != first.id


def test_deletion_leaves_nothing(
    state: State, storage: storage_core.Storage, project: Project, shared: str
) -> None:
    made = create(state, storage, project, "fruit", shared)
    buckets.delete(state, storage, made)
    assert stages(state, project) == []
    assert storage.bucket_exists(made.physical) is bool(shared)
    assert buckets.by_id(state, made.id) is None
    for look in (buckets.get, buckets.deletable):
        with pytest.raises(BucketNotFoundError):
            look(state, project.id, "fruit")


def test_a_bucket_with_an_object_stays(
    state: State, storage: storage_core.Storage, project: Project, shared: str
) -> None:
    made = create(state, storage, project, "fruit", shared)
    key = made.prefix + "apple"
    inside(storage, made).put(key, b"1")
    with pytest.raises(BucketNotEmptyError):
        buckets.delete(state, storage, made)
    assert buckets.get(state, project.id, "fruit") == made
    assert inside(storage, made).get(key).read() == b"1"
    inside(storage, made).delete(key)
    buckets.delete(state, storage, made)


def test_open_uploads_do_not_keep_a_bucket(
    state: State, storage: storage_core.Storage, project: Project, shared: str
) -> None:
    made = create(state, storage, project, "fruit", shared)
    upload = inside(storage, made).create_upload(made.prefix + "apple")
    upload.put_part(1, b"x")
    buckets.delete(state, storage, made)
    assert stages(state, project) == []
    assert shared == "" or list(inside(storage, made).list_uploads(made.prefix)) == []


def test_old_versions_do_not_keep_a_bucket(
    state: State, site: Site, project: Project, shared: str
) -> None:
    profile = {**site.profile, "versions": True}
    if profile["driver"] == "local":
        profile["root"] += "-versions"
    with storage_core.open(config=profile) as storage:
        made = create(state, storage, project, "fruit", shared and "t-shared-versions")
        for _ in range(2):
            inside(storage, made).put(made.prefix + "apple", b"1")
        inside(storage, made).delete(made.prefix + "apple")
        buckets.delete(state, storage, made)
        assert stages(state, project) == []
        assert not shared or list(inside(storage, made).list_versions(made.prefix)) == []


def test_a_bucket_whose_place_is_gone_can_be_deleted(
    state: State, storage: storage_core.Storage, project: Project
) -> None:
    made = create(state, storage, project, "fruit")
    storage.delete_bucket(made.physical)
    buckets.delete(state, storage, made)
    assert stages(state, project) == []


def test_the_async_face_does_the_same(state: State, site: Site, project: Project) -> None:
    async def main() -> None:
        async with aio.open(config=dict(site.profile)) as storage:
            made = await buckets.create_async(state, storage, project.id, "fruit")
            assert await storage.bucket_exists(made.physical)
            with pytest.raises(BucketExistsError):
                await buckets.create_async(state, storage, project.id, "fruit")
            await storage.bucket(made.physical).put("apple", b"1")
            with pytest.raises(BucketNotEmptyError):
                await buckets.delete_async(state, storage, made)
            await storage.bucket(made.physical).delete("apple")
            await buckets.delete_async(state, storage, made)
            assert not await storage.bucket_exists(made.physical)

    asyncio.run(main())


def test_a_failure_of_the_storage_leaves_the_name_free(
    state: State, storage: storage_core.Storage, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise StorageError("the disk is on fire")

    with monkeypatch.context() as patch:
        patch.setattr(storage._core.__class__, "create_bucket", refuse)
        with pytest.raises(StorageError, match="on fire"):
            create(state, storage, project, "fruit")
    assert buckets.list_buckets(state, project.id) == []
    with pytest.raises(BucketNotFoundError):
        buckets.get(state, project.id, "fruit")
    # Also in another place, as after a change of the settings.
    made = create(state, storage, project, "fruit", "t-shared-z3")
    assert made.physical == "t-shared-z3"
    assert buckets.get(state, project.id, "fruit") == made


def test_of_many_that_make_one_bucket_one_does(
    state: State, storage: storage_core.Storage, project: Project, shared: str
) -> None:
    made: list[buckets.LogicalBucket] = []
    refused: list[BucketExistsError] = []
    together = threading.Barrier(6)

    def one() -> None:
        together.wait(60)
        try:
            made.append(create(state, storage, project, "fruit", shared))
        except BucketExistsError as error:
            refused.append(error)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert (len(made), len(refused)) == (1, 5)
    assert buckets.get(state, project.id, "fruit").id == made[0].id
    assert storage.bucket_exists(made[0].physical)


def test_a_maker_whose_bucket_was_made_and_deleted_meanwhile_leaves_no_place(
    state: State, storage: storage_core.Storage, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow one of two, whom the other has overtaken twice."""
    real = storage._core.__class__.create_bucket
    overtaken: list[buckets.LogicalBucket] = []

    async def slow(core: object, name: str, exist_ok: bool) -> object:
        if not overtaken:
            overtaken.append(replace(buckets_before[0]))
            made = create(state, storage, project, "fruit")
            buckets.delete(state, storage, made)
        return await real(core, name, exist_ok)  # type: ignore[arg-type]

    buckets_before: list[buckets.LogicalBucket] = []
    reserve = buckets._reserve

    def noted(state: State, wanted: buckets.LogicalBucket) -> object:
        found = reserve(state, wanted)
        buckets_before.append(found[0])
        return found

    with monkeypatch.context() as patch:
        patch.setattr(storage._core.__class__, "create_bucket", slow)
        patch.setattr(buckets, "_reserve", noted)
        with pytest.raises(BucketExistsError):
            create(state, storage, project, "fruit")
    assert stages(state, project) == []
    assert not storage.bucket_exists(overtaken[0].physical)


def test_a_deletion_begun_in_another_profile_is_ended_there(
    state: State, storage: storage_core.Storage, project: Project
) -> None:
    made = create(state, storage, project, "fruit")
    with state.write() as connection:
        mine = table.update().where(table.c.project_id == project.id)
        connection.execute(mine.values(state="deleting", profile="elsewhere"))
    with pytest.raises(ConflictError, match="'elsewhere'"):
        create(state, storage, project, "fruit")
    with state.write() as connection:
        mine = table.update().where(table.c.project_id == project.id)
        connection.execute(mine.values(profile=made.profile))
    buckets.delete(state, storage, buckets.deletable(state, project.id, "fruit"))


def test_a_deletion_that_another_one_undid_is_not_reported_as_done(
    state: State, storage: storage_core.Storage, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(state, storage, project, "fruit")

    async def undone(*_: object) -> None:
        assert buckets._change(state, made, "deleting", "active")

    with monkeypatch.context() as patch:
        patch.setattr(buckets, "_remove_place", undone)
        with pytest.raises(ConflictError, match="delete it again"):
            buckets.delete(state, storage, made)
    assert buckets.get(state, project.id, "fruit") == made
    buckets.delete(state, storage, made)
    buckets.delete(state, storage, made)  # one that another has ended is
    assert stages(state, project) == []


# --- killed -------------------------------------------------------------------------------


def killed(
    site: Site, project: Project, shared: str, operation: str, step: int, name: str = "fruit"
) -> bool:
    """Whether the process was killed; if not, it had done all before the step."""
    profile = json.dumps(dict(site.profile))
    arguments = (site.database, profile, project.id, name, shared, operation, str(step))
    command = (sys.executable, "-m", "tests.z3.stopped", *arguments)
    done = subprocess.run(command, timeout=120, check=False, capture_output=True, text=True)
    if done.returncode == -signal.SIGKILL:
        return True
    assert done.returncode == 0, done.stderr
    return False


OWN, SHARED = "", "t-shared-z3"


@pytest.mark.parametrize(
    ("shared", "step"), [(OWN, 1), (OWN, 2), (OWN, 3), (SHARED, 1), (SHARED, 2)]
)
def test_a_killed_creation_is_ended_by_the_next(
    site: Site,
    state: State,
    storage: storage_core.Storage,
    project: Project,
    shared: str,
    step: int,
) -> None:
    """Its steps: a row, a place of its own, a bucket."""
    if shared:
        storage.create_bucket(shared, exist_ok=True)
    assert killed(site, project, shared, "create", step)
    if step == (2 if shared else 3):
        with pytest.raises(BucketExistsError):
            create(state, storage, project, "fruit", shared)
    else:
        assert buckets.list_buckets(state, project.id) == []
        create(state, storage, project, "fruit", shared)
    made = buckets.get(state, project.id, "fruit")
    inside(storage, made).put(made.prefix + "apple", b"1")
    assert stages(state, project) == ["active"]


@pytest.mark.parametrize(
    ("shared", "step", "next_call"),
    [(OWN, 1, "create"), (OWN, 2, "create"), (OWN, 2, "delete"), (SHARED, 1, "delete")],
)
def test_a_killed_deletion_is_ended_by_the_next_call(
    site: Site,
    state: State,
    storage: storage_core.Storage,
    project: Project,
    shared: str,
    step: int,
    next_call: str,
) -> None:
    """Its steps: a mark, no place of its own any more, no row."""
    before = create(state, storage, project, "fruit", shared)
    assert killed(site, project, shared, "delete", step)
    with pytest.raises(BucketNotFoundError):
        buckets.get(state, project.id, "fruit")
    assert buckets.by_id(state, before.id) is None
    assert stages(state, project) == ["deleting"]
    if next_call == "create":
        assert create(state, storage, project, "fruit", shared).id != before.id
        assert stages(state, project) == ["active"]
    else:
        buckets.delete(state, storage, buckets.deletable(state, project.id, "fruit"))
        assert stages(state, project) == []
    assert shared or not storage.bucket_exists(before.physical)


@pytest.mark.parametrize(("shared", "next_call"), [(OWN, "create"), (SHARED, "delete")])
def test_a_killed_deletion_loses_no_object(
    site: Site,
    state: State,
    storage: storage_core.Storage,
    project: Project,
    shared: str,
    next_call: str,
) -> None:
    """An upload that was on its way when the deletion began, and ended after the kill."""
    made = create(state, storage, project, "fruit", shared)
    assert killed(site, project, shared, "delete", 1)
    inside(storage, made).put(made.prefix + "apple", b"1")
    if next_call == "create":
        with pytest.raises(BucketExistsError):
            create(state, storage, project, "fruit", shared)
    else:
        with pytest.raises(BucketNotEmptyError):
            buckets.delete(state, storage, buckets.deletable(state, project.id, "fruit"))
    again = buckets.get(state, project.id, "fruit")
    assert again == made
    assert inside(storage, again).get(made.prefix + "apple").read() == b"1"
