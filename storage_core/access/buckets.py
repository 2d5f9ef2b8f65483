"""Logical buckets: a project's own names, each mapped to a place in some storage.

A name is free in what services restrict (1 to 128 of ``A-Z a-z 0-9 . _ -``) and unique in its
project only. The place is a physical bucket named by the row's id, which every service takes,
or the keys that begin with ``id/`` in one that many share.

A row and a place can not change in one step, so a row goes through states:

    creating   the place may be missing; the name is taken by nobody yet
    active     it is a bucket
    deleting   it is none any more; the place may be there still

Whoever stops in between, killed or by a failure, leaves a row that the next `create` or
`delete` of the name carries to its end. Steps can be done twice and by several at once: what
counts is the one change of the row's state.

Every function that touches a storage is one coroutine, carried for `Storage` by the caller's
thread and for `AsyncStorage` by its runtime.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from storage_core.errors import (
    BucketExistsError,
    BucketNotEmptyError,
    BucketNotFoundError,
    ConflictError,
    InvalidBucketNameError,
    UploadNotFoundError,
)
from storage_core.state import new_id, on_conflict
from storage_core.state.tables import buckets as table

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, RowMapping

    from storage_core.aio import AsyncStorage
    from storage_core.blocking.storage import Storage
    from storage_core.core.bucket import BucketCore
    from storage_core.core.storage import StorageCore
    from storage_core.state import State

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_COLUMNS: Final = (
    table.c.id,
    table.c.project_id,
    table.c.name,
    table.c.created,
    table.c.profile,
    table.c.physical,
    table.c.prefix,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalBucket:
    """A bucket as a project knows it.

    Attributes:
        profile: Name of the profile whose storage it is in.
        physical: Name of the bucket there.
        prefix: Of its keys there; empty where the physical bucket is its own.
    """

    id: str
    project_id: str
    name: str
    created: datetime
    profile: str
    physical: str
    prefix: str


def check_name(name: str) -> None:
    """Refuse a name that a logical bucket can not have.

    Raises:
        InvalidBucketNameError: so.
    """
    if not _NAME.fullmatch(name):
        raise InvalidBucketNameError(
            f"bucket name {name!r} is not 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-', beginning"
            " with a letter or digit"
        )


# --- looking ------------------------------------------------------------------------------


def get(state: State, project_id: str, name: str) -> LogicalBucket:
    """The bucket of a name.

    Raises:
        BucketNotFoundError: the project has none of that name.
    """
    found = _find(state, _of_name(project_id, name), table.c.state == "active")
    if found is None:
        raise BucketNotFoundError("the bucket does not exist", bucket=name)
    return found


def by_id(state: State, bucket_id: str) -> LogicalBucket | None:
    """The bucket of an id, of whatever project; None when there is none (any more)."""
    return _find(state, table.c.id == bucket_id, table.c.state == "active")


def list_buckets(state: State, project_id: str) -> list[LogicalBucket]:
    """All buckets of a project, ascending by name."""
    wanted = (table.c.project_id == project_id, table.c.state == "active")
    with state.read() as connection:
        rows = connection.execute(select(*_COLUMNS).where(*wanted).order_by(table.c.name))
        return [_bucket(row) for row in rows.mappings()]


def list_stages(state: State, project_id: str) -> list[tuple[LogicalBucket, str]]:
    """As `list_buckets`, with those whose making or deletion was not ended, and their states."""
    wanted = select(*_COLUMNS, table.c.state).where(table.c.project_id == project_id)
    with state.read() as connection:
        rows = connection.execute(wanted.order_by(table.c.name)).mappings()
        return [(_bucket(row), row[table.c.state]) for row in rows]


def deletable(state: State, project_id: str, name: str) -> LogicalBucket:
    """As `get`, also one whose making or deletion was begun and not ended: what `delete` takes.

    Raises:
        BucketNotFoundError: the project has none of that name.
    """
    found = _find(state, _of_name(project_id, name))
    if found is None:
        raise BucketNotFoundError("the bucket does not exist", bucket=name)
    return found


# --- creating and deleting ----------------------------------------------------------------


def create(
    state: State, storage: Storage, project_id: str, name: str, *, shared: str = ""
) -> LogicalBucket:
    """Create a bucket.

    Args:
        state: Where it is written down.
        storage: What keeps its objects.
        project_id: Whose it is.
        name: Its name in the project.
        shared: Physical bucket to put it in, beside others; made if it is missing. Empty:
            it gets one of its own.

    Raises:
        InvalidBucketNameError: the name can not be.
        BucketExistsError: the project has a bucket of that name.
        ConflictError: one of that name in another profile is only half deleted.
    """
    work = _create(state, storage._core, project_id, name, shared)
    return storage._runtime.run(work)


async def create_async(
    state: State, storage: AsyncStorage, project_id: str, name: str, *, shared: str = ""
) -> LogicalBucket:
    """As `create`."""
    return await storage._runtime.run(_create(state, storage._core, project_id, name, shared))


def delete(state: State, storage: Storage, bucket: LogicalBucket) -> None:
    """Delete a bucket without objects. Its open uploads are aborted, and what a storage with
    versions keeps of deleted objects goes with it.

    From the first step on its links are refused. In a physical bucket of its own an upload
    that ends at that moment either fails, or keeps the bucket from being deleted, wherever
    the service deletes only what is empty (Azure does not); in a shared one it may be lost.

    Args:
        state: Where it is written down.
        storage: That of its profile.
        bucket: As `deletable` gives it.

    Raises:
        BucketNotEmptyError: it has objects.
        ConflictError: another one made it into a bucket again meanwhile.
    """
    storage._runtime.run(_delete(state, storage._core, bucket))


async def delete_async(state: State, storage: AsyncStorage, bucket: LogicalBucket) -> None:
    """As `delete`."""
    await storage._runtime.run(_delete(state, storage._core, bucket))


async def _create(
    state: State, storage: StorageCore, project_id: str, name: str, shared: str
) -> LogicalBucket:
    check_name(name)
    call = storage.client.runtime.blocking
    wanted = _placed(project_id, name, storage.client.profile, shared, state.now())
    bucket, stage = await call(_reserve, state, wanted)
    if stage == "deleting":
        with suppress(BucketNotEmptyError):  # then it is one again
            await _end_deletion(state, storage, bucket)
        bucket, stage = await call(_reserve, state, wanted)
    if stage != "creating":
        raise BucketExistsError("a bucket of that name exists", bucket=name)
    if not shared or not await storage.bucket_exists(bucket.physical):
        await storage.create_bucket(bucket.physical, exist_ok=True)
    if not await call(_change, state, bucket, "creating", "active"):
        # Another one has ended it; when he has deleted it as well, this place is nobody's.
        if not await call(_exists, state, bucket) and not shared:
            with suppress(BucketNotFoundError, BucketNotEmptyError):
                await storage.delete_bucket(bucket.physical, force=False)
        raise BucketExistsError("a bucket of that name was made meanwhile", bucket=name)
    return bucket


async def _delete(state: State, storage: StorageCore, bucket: LogicalBucket) -> None:
    call = storage.client.runtime.blocking
    # A look first: it is the usual refusal, and leaves the bucket in use.
    try:
        await _check_empty(storage.bucket(bucket.physical), bucket)
    except BucketNotFoundError:
        pass
    except BucketNotEmptyError:
        await call(_change, state, bucket, "deleting", "active")
        raise
    for stage in ("active", "creating"):
        await call(_change, state, bucket, stage, "deleting")
    await _end_deletion(state, storage, bucket)


async def _end_deletion(state: State, storage: StorageCore, bucket: LogicalBucket) -> None:
    if bucket.profile != storage.client.profile:
        raise ConflictError(
            f"the bucket's deletion was begun in the profile {bucket.profile!r}; delete it again"
            " to end it",
            bucket=bucket.name,
        )
    call = storage.client.runtime.blocking
    try:
        await _remove_place(storage, bucket)
    except BucketNotEmptyError:
        await call(_change, state, bucket, "deleting", "active")
        raise
    if not await call(_forget, state, bucket) and await call(_exists, state, bucket):
        raise ConflictError("the bucket was changed meanwhile; delete it again", bucket=bucket.name)


async def _remove_place(storage: StorageCore, bucket: LogicalBucket) -> None:
    """Remove the physical bucket, or what is left below the prefix; never an object."""
    with suppress(BucketNotFoundError):
        if not bucket.prefix:
            with suppress(BucketNotEmptyError):
                await storage.delete_bucket(bucket.physical, force=False)
                return
        # Objects, or only uploads and old versions?
        physical = storage.bucket(bucket.physical)
        await _check_empty(physical, bucket)
        await _abort_uploads(physical, bucket.prefix)
        await _remove_versions(physical, bucket)
        if not bucket.prefix:
            await storage.delete_bucket(bucket.physical, force=False)


async def _check_empty(physical: BucketCore, bucket: LogicalBucket) -> None:
    async for page in physical.list(bucket.prefix, "", "", 1):
        if page.items:
            raise _not_empty(bucket)


async def _abort_uploads(physical: BucketCore, prefix: str) -> None:
    if physical.client.capabilities.multipart:
        async for page in physical.list_uploads(prefix, None):
            for upload in page.items:
                with suppress(UploadNotFoundError):
                    await physical.resume_upload(upload.id).abort()


async def _remove_versions(physical: BucketCore, bucket: LogicalBucket) -> None:
    """Remove versions until there are none: between two pages some services leave out the
    rest of a key whose versions on the first are gone when the second is asked for."""
    left = physical.client.capabilities.versions
    while left:
        left = False
        async for page in physical.list_versions(bucket.prefix, None):
            for version in page.items:
                if version.is_latest and not version.is_delete_marker:
                    raise _not_empty(bucket)
            results = await physical.delete_many(
                [(version.key, version.version) for version in page.items], None
            )
            for result in results:
                if result.error is not None:
                    raise result.error
            left = left or bool(results)


def _not_empty(bucket: LogicalBucket) -> BucketNotEmptyError:
    return BucketNotEmptyError("the bucket has objects; delete them first", bucket=bucket.name)


# --- rows ---------------------------------------------------------------------------------


def _placed(
    project_id: str, name: str, profile: str, shared: str, created: datetime
) -> LogicalBucket:
    bucket_id = new_id()
    return LogicalBucket(
        id=bucket_id,
        project_id=project_id,
        name=name,
        created=created,
        profile=profile,
        physical=shared or _own(bucket_id),
        prefix=f"{bucket_id}/" if shared else "",
    )


def _own(bucket_id: str) -> str:
    return f"sc-{bucket_id}"


def _reserve(state: State, wanted: LogicalBucket) -> tuple[LogicalBucket, str]:
    """The row of the name and its state: a new one, or the one there is. One that was never
    made into a bucket moves to the place that is wanted now."""
    taken = BucketExistsError("a bucket of that name is being made", bucket=wanted.name)
    named = _of_name(wanted.project_id, wanted.name)
    with state.write() as connection:
        rows = connection.execute(select(*_COLUMNS, table.c.state).where(named))
        row = rows.mappings().first()
        if row is None:
            with on_conflict(taken):
                connection.execute(table.insert(), {**_values(wanted), "state": "creating"})
            return wanted, "creating"
        found = _bucket(row)
        if row[table.c.state] != "creating":
            return found, row[table.c.state]
        physical = _own(found.id) if not wanted.prefix else wanted.physical
        prefix = f"{found.id}/" if wanted.prefix else ""
        moved = replace(wanted, id=found.id, physical=physical, prefix=prefix)
        done = connection.execute(table.update().where(_is(found, "creating")), _values(moved))
        if done.rowcount == 0:
            raise taken
        return moved, "creating"


def _change(state: State, bucket: LogicalBucket, before: str, after: str) -> bool:
    """Whether this call changed the state of the row."""
    with state.write() as connection:
        change = table.update().where(_is(bucket, before)).values(state=after)
        return connection.execute(change).rowcount == 1


def _forget(state: State, bucket: LogicalBucket) -> bool:
    """Whether this call deleted the row."""
    with state.write() as connection:
        return connection.execute(table.delete().where(_is(bucket, "deleting"))).rowcount == 1


def _exists(state: State, bucket: LogicalBucket) -> bool:
    return (
        _find(state, table.c.project_id == bucket.project_id, table.c.id == bucket.id) is not None
    )


def _find(state: State, *wanted: ColumnElement[bool]) -> LogicalBucket | None:
    with state.read() as connection:
        row = connection.execute(select(*_COLUMNS).where(*wanted)).mappings().first()
        return None if row is None else _bucket(row)


def _of_name(project_id: str, name: str) -> ColumnElement[bool]:
    return (table.c.project_id == project_id) & (table.c.name == name)


def _is(bucket: LogicalBucket, stage: str) -> ColumnElement[bool]:
    """The bucket's row, in a state and still in this place."""
    return (
        (table.c.project_id == bucket.project_id)
        & (table.c.id == bucket.id)
        & (table.c.state == stage)
        & (table.c.profile == bucket.profile)
        & (table.c.physical == bucket.physical)
    )


def _values(bucket: LogicalBucket) -> dict[str, Any]:
    return {column.name: getattr(bucket, column.name) for column in _COLUMNS}


def _bucket(row: RowMapping) -> LogicalBucket:
    return LogicalBucket(**{column.name: row[column] for column in _COLUMNS})
