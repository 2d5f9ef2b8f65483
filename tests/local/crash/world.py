"""What the crash tests share: a small world, things to do in it, and how to look at it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import storage_core
from storage_core import Bucket, ObjectSummary, Storage
from storage_local.driver import LocalDriver
from storage_local.fsck import Report
from storage_local.tree import Limits
from tests.local.conftest import make_driver

SMALL, LARGE = 20, 300
"""Bytes of bodies below and above the inlining limit of these worlds."""
INLINE = 64

State = dict[str, object]


def body(text: str, size: int) -> bytes:
    return (text.encode() * size)[:size]


def open_world(place: Path, *, versions: bool, fsync: bool = True, split: bool = False) -> Storage:
    """The root, with tiny inlining; with ``split`` every creation counts its leaf."""
    limits = Limits(leaf_size=4, check_every=1) if split else Limits(check_every=10**9)
    driver = make_driver(
        place, limits, fsync=fsync, versions=versions, inline_size=INLINE, min_part_size=1
    )
    return storage_core.open_driver(driver)


def fill(storage: Storage) -> None:
    """The state everything starts from."""
    bucket = storage.create_bucket("fruit")
    storage.create_bucket("other").put("there", body("there", LARGE))
    for number in range(4):
        bucket.put(f"still/{number}", body(f"{number}", SMALL if number % 2 else LARGE))
    bucket.put("small", body("small", SMALL), tags={"a": "1"}, metadata={"m": "1"})
    bucket.put("large", body("large", LARGE))
    bucket.put("twice", body("first", LARGE))
    bucket.put("twice", body("second", LARGE))
    bucket.put("K" * 300, body("long", LARGE))
    storage.create_bucket("spare")
    upload = bucket.create_upload("upload", metadata={"m": "2"})
    upload.put_part(1, body("one", LARGE))
    upload.put_part(2, body("two", SMALL))


def look(storage: Storage) -> State:
    """All that can be seen, each object by listing and by get, which have to agree."""
    state: State = {}
    for found in storage.list_buckets():
        bucket = storage.bucket(found.name)
        state[found.name] = "bucket"
        for item in bucket.list():
            assert isinstance(item, ObjectSummary)
            with bucket.get(item.key) as reader:
                data = reader.read()
            info = bucket.head(item.key)
            assert (info.size, info.etag) == (item.size, item.etag)
            state[f"{found.name}/{item.key}"] = (
                data,
                dict(bucket.get_tags(item.key)),
                dict(info.metadata),
            )
        for upload in bucket.list_uploads():
            parts = bucket.resume_upload(upload.id).list_parts()
            state[f"upload of {found.name}/{upload.key}"] = [
                (part.number, part.size, dict(part.checksums)) for part in parts
            ]
        for key in ("small", "large", "new", "upload"):
            assert bucket.exists(key) == (f"{found.name}/{key}" in state)
        if storage.capabilities.versions:
            for version in bucket.list_versions():
                history = state.setdefault(f"history of {found.name}/{version.key}", [])
                assert isinstance(history, list)
                if version.is_delete_marker:
                    history.append("marker")
                else:
                    with bucket.get(version.key, version=version.version) as reader:
                        history.append(reader.read())
    return state


def fsck(storage: Storage, *, repair: bool) -> Report:
    driver = storage.driver
    assert isinstance(driver, LocalDriver)
    return driver.fsck(repair=repair, deep=True)


def examine(place: Path, *, versions: bool) -> State:
    """Open what a crash left: nothing is damaged, repair leaves nothing behind and changes
    nothing that can be seen. Returns the state."""
    with open_world(place, versions=versions, fsync=False) as storage:
        state = look(storage)
        before = fsck(storage, repair=True)
        assert [one for one in before.findings if not one.leftover] == []
        assert [one for one in before.findings if not one.repaired] == []
        assert fsck(storage, repair=True).findings == []
        assert look(storage) == state
        # The store goes on working.
        probe = storage.bucket("other")
        probe.put("probe", body("probe", LARGE))
        probe.put("probe", body("probe", SMALL))
        probe.delete("probe")
        for found in storage.list_buckets():
            for upload in storage.bucket(found.name).list_uploads():
                storage.bucket(found.name).resume_upload(upload.id).abort()
    return state


# --- things to do ---------------------------------------------------------------------

Act = Callable[[Storage], None]


@dataclass(frozen=True)
class Scenario:
    """Something to do in the world.

    Attributes:
        act: Does it, and returns when it is acknowledged.
        split: Whether leaves are tiny, so that it splits one.
        versions: For which settings of versions it makes sense.
        also: Further states, besides before and after, a crash may leave.
    """

    act: Act
    split: bool = False
    versions: tuple[bool, ...] = (False, True)


def _on(do: Callable[[Bucket], object]) -> Act:
    def act(storage: Storage) -> None:
        do(storage.bucket("fruit"))

    return act


def _complete(bucket: Bucket) -> None:
    upload = next(iter(bucket.list_uploads()))
    session = bucket.resume_upload(upload.id)
    session.complete(list(session.list_parts()))


def _abort(bucket: Bucket) -> None:
    bucket.resume_upload(next(iter(bucket.list_uploads())).id).abort()


def _part(bucket: Bucket) -> None:
    bucket.resume_upload(next(iter(bucket.list_uploads())).id).put_part(1, body("1", LARGE))


def _begin(bucket: Bucket) -> None:
    bucket.create_upload("another")


def _delete_current_version(bucket: Bucket) -> None:
    bucket.put("large", body("second", LARGE))
    newest = next(iter(bucket.list_versions(prefix="large")))
    bucket.delete("large", version=newest.version)


def _create(storage: Storage) -> None:
    storage.create_bucket("brand-new")


def _delete_old_version(bucket: Bucket) -> None:
    oldest = list(bucket.list_versions(prefix="twice"))[-1]
    bucket.delete("twice", version=oldest.version)


def _move_away(storage: Storage) -> None:
    storage.bucket("fruit").move("large", "new", target=storage.bucket("other"))


SCENARIOS: dict[str, Scenario] = {
    "put small new": Scenario(_on(lambda b: b.put("new", body("n", SMALL)))),
    "put small over small": Scenario(_on(lambda b: b.put("small", body("n", SMALL)))),
    "put small over large": Scenario(_on(lambda b: b.put("large", body("n", SMALL)))),
    "put large new": Scenario(_on(lambda b: b.put("new", body("n", LARGE)))),
    "put large over small": Scenario(_on(lambda b: b.put("small", body("n", LARGE)))),
    "put large over large": Scenario(_on(lambda b: b.put("large", body("n", LARGE)))),
    "put a file": Scenario(_on(lambda b: b.put("large", io.BytesIO(body("n", LARGE))))),
    "put long key": Scenario(_on(lambda b: b.put("K" * 300, body("n", LARGE)))),
    "delete small": Scenario(_on(lambda b: b.delete("small"))),
    "delete large": Scenario(_on(lambda b: b.delete("large"))),
    "put tags": Scenario(_on(lambda b: b.put_tags("small", {"b": "2"}))),
    "update metadata": Scenario(_on(lambda b: b.update_metadata("small", metadata={"n": "2"}))),
    "copy": Scenario(_on(lambda b: b.copy("large", "new"))),
    "move": Scenario(_on(lambda b: b.move("large", "new")), versions=(False,)),
    "move over": Scenario(_on(lambda b: b.move("large", "still/0")), versions=(False,)),
    "move long": Scenario(_on(lambda b: b.move("K" * 300, "L" * 300)), versions=(False,)),
    "move to bucket": Scenario(_move_away, versions=(False,)),
    "begin upload": Scenario(_on(_begin)),
    "put part": Scenario(_on(_part)),
    "complete": Scenario(_on(_complete)),
    "abort": Scenario(_on(_abort)),
    "split": Scenario(_on(lambda b: b.put("new", body("n", SMALL))), split=True),
    "create bucket": Scenario(_create),
    "delete bucket": Scenario(lambda storage: storage.delete_bucket("spare")),
    "delete old version": Scenario(_on(_delete_old_version), versions=(True,)),
    "delete version": Scenario(_on(_delete_current_version), versions=(True,)),
}


def between(name: str) -> Callable[[State, State, State], bool]:
    """What a crash during a scenario may leave: the state before or after it, and for two of
    them one between."""

    def allowed(state: State, before: State, after: State) -> bool:
        third = after
        if name == "delete version":  # two writes: the state after the first
            second, large = body("second", LARGE), "fruit/large"
            history = [second, body("large", LARGE)]
            third = {**before, f"history of {large}": history, large: (second, {}, {})}
        elif name == "complete":  # published, and the session not yet removed
            session = "upload of fruit/upload"
            third = {**after, session: before[session]}
        return state in (before, after, third)

    return allowed


CASES = [(name, versions) for name, one in SCENARIOS.items() for versions in one.versions]
