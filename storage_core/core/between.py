"""Copy and move between two storages: streamed through this process, verified on both sides.

The two storages may be carried differently, one by worker threads and the other by the
caller's loop; each call goes to the runtime of the storage it is made on.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from storage_core import keys
from storage_core.checksum import ALGORITHMS
from storage_core.core.copying import remove_moved, source_attributes
from storage_core.core.retry import Deadline
from storage_core.errors import (
    ConflictError,
    IntegrityError,
    NotModifiedError,
    PreconditionFailedError,
    StorageError,
    UnsupportedError,
)
from storage_core.model import NO_CONDITIONS, Attributes, Conditions, ObjectInfo, PutResult

if TYPE_CHECKING:
    from storage_core.core.bucket import BucketCore
    from storage_core.core.reader import ReaderCore
    from storage_core.runtime import AsyncRuntime, BlockingRuntime

T = TypeVar("T")

PIECE = 1024**2
"""Bytes read at a time."""


class End(NamedTuple):
    """A bucket and what carries the calls on it."""

    core: BucketCore
    runtime: BlockingRuntime | AsyncRuntime

    async def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Make a call."""
        return await self.runtime.carry(call)


async def copy_between(
    source: End,
    key: str,
    target: End,
    target_key: str,
    version: str | None,
    attributes: Attributes | None,
    conditions: Conditions,
    source_conditions: Conditions,
    seconds: float | None,
) -> PutResult:
    """As `storage_core.Bucket.copy` with a target of another storage."""
    deadline = source.core.client.deadline(seconds)
    result, _ = await _copy(
        source,
        key,
        target,
        target_key,
        version,
        attributes,
        conditions,
        source_conditions,
        deadline,
    )
    return result


async def move_between(
    source: End,
    key: str,
    target: End,
    target_key: str,
    conditions: Conditions,
    seconds: float | None,
) -> PutResult:
    """As `storage_core.Bucket.move` with a target of another storage: the source goes when
    the target is there, and only if it is still what was copied, where the profile can say so."""
    deadline = source.core.client.deadline(seconds)
    result, info = await _copy(
        source, key, target, target_key, None, None, conditions, NO_CONDITIONS, deadline
    )
    await check_apart(source, key, target, target_key)
    await source.run(remove_moved(source.core, key, info.etag, deadline))
    return result


async def check_apart(source: End, key: str, target: End, target_key: str) -> None:
    """Refuse to go on with a move whose copy is its own source: two profiles may lead to one
    place, by other names of a machine even.

    Raises:
        ConflictError: both sides are the same object, as far as can be told.
    """
    names = ((source.core.name, target.core.name), (key, target_key))
    if not all(one.endswith(other) or other.endswith(one) for one, other in names):
        return  # a profile may put something in front of names, but changes nothing else
    one = await source.run(source.core.head(key, None, NO_CONDITIONS, None))
    other = await target.run(target.core.head(target_key, None, NO_CONDITIONS, None))
    if (one.etag, one.size, one.modified) == (other.etag, other.size, other.modified):
        raise ConflictError(
            "source and target can not be told apart: two profiles seem to lead to one place, or"
            " both were written in the same second; nothing was deleted",
            operation="move",
            bucket=source.core.name,
            key=key,
        )


async def _copy(
    source: End,
    key: str,
    target: End,
    target_key: str,
    version: str | None,
    attributes: Attributes | None,
    conditions: Conditions,
    source_conditions: Conditions,
    deadline: Deadline | None,
) -> tuple[PutResult, ObjectInfo]:
    client = target.core.client
    client.check_open()
    keys.check_key(target_key, client.capabilities.max_key_bytes)
    client.require_conditions("put", conditions)
    try:
        reader = await source.run(
            source.core.get(key, None, version, source_conditions, True, deadline)
        )
    except NotModifiedError as error:
        raise PreconditionFailedError(
            "a condition on the source of the copy does not hold",
            operation="copy",
            bucket=source.core.name,
            key=key,
            status=error.status,
        ) from error
    try:
        info = reader.info
        if attributes is None:
            attributes = await source.run(source_attributes(source.core, key, version, info))
        result = await _write(source, reader, target, target_key, attributes, conditions, deadline)
    finally:
        await source.run(reader.close())
    _compare(info, result, target)
    return result, info


async def _write(
    source: End,
    reader: ReaderCore,
    target: End,
    key: str,
    attributes: Attributes,
    conditions: Conditions,
    deadline: Deadline | None,
) -> PutResult:
    """Write what a reader gives; its end has verified all bytes before they are published."""
    # The target checks the bytes against the digests that the source keeps of them.
    declared = {name: hexa for name, hexa in reader.info.checksums.items() if name in ALGORITHMS}
    try:
        writer = target.core.writer(key, attributes, conditions, declared, (), deadline)
    except UnsupportedError as error:
        raise UnsupportedError(
            f"{error.message}; copy with attributes= that leave it out"
        ).with_context("copy", target.core.name, key) from error
    try:
        while piece := await source.run(reader.read(PIECE)):
            await target.run(writer.write(piece))
        return await target.run(writer.commit())
    except BaseException as failure:
        await target.run(writer.discard(failure))
        raise


def _compare(info: ObjectInfo, result: PutResult, target: End) -> None:
    """Hold what the target says it stored against what the source had.

    Raises:
        IntegrityError: size or a digest differs. The copy exists and is not to be used.
    """
    wrong = [
        name
        for name, digest in result.checksums.items()
        if info.checksums.get(name, digest) != digest
    ]
    if result.size != info.size or wrong:
        what = "size" if result.size != info.size else wrong[0]
        error: StorageError = IntegrityError(
            f"the {what} of the copy differs from that of its source; delete it and copy again"
        )
        raise error.with_context("copy", target.core.name, result.key)
