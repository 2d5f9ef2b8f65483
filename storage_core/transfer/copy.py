"""Objects copied between two storages, verified on both sides; and inside one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from storage_core.checksum import ALGORITHMS
from storage_core.core.attributes import write_conditions
from storage_core.core.between import check_apart, copy_between
from storage_core.core.copying import remove_moved
from storage_core.errors import (
    IntegrityError,
    ObjectChangedError,
    PreconditionFailedError,
    StorageError,
    UnsupportedError,
)
from storage_core.model import (
    EMPTY,
    NO_CONDITIONS,
    Attributes,
    Conditions,
    ObjectInfo,
    Operation,
    PutResult,
)
from storage_core.transfer.jobs import each
from storage_core.transfer.memory import MEMORY
from storage_core.transfer.parts import MemoryBody
from storage_core.transfer.plan import Plan, plan_upload
from storage_core.transfer.rules import LeftOut
from storage_core.transfer.session import CRC, Order, Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storage_core.core.between import End
    from storage_core.core.bucket import BucketCore
    from storage_core.transfer.context import Context

ALONE: Final = 1024**2
"""An object up to this size is copied in one step each of reading and writing."""


class Fetched(NamedTuple):
    """A whole object in memory.

    Attributes:
        info: What is known of it.
        data: Its bytes, verified.
        attributes: What the copy is to have.
    """

    info: ObjectInfo
    data: bytes
    attributes: Attributes


async def copy_object(
    context: Context,
    source: End,
    key: str,
    target: End,
    target_key: str,
    *,
    version: str | None = None,
    if_absent: bool = False,
    leave_out: Collection[LeftOut] = (),
    expected: bool = False,
    read: Callable[[str], object] | None = None,
) -> PutResult:
    """Copy an object: inside the service where both buckets are of one storage, else through
    this process, a large one in parts that are read and written side by side.

    Args:
        context: Of the transfer.
        source: Bucket of the object.
        key: Its key.
        target: Bucket of the copy.
        target_key: Key of the copy.
        version: Of the source; the current one without it.
        if_absent: Only if there is no such object.
        leave_out: What does not go along.
        expected: Whether the caller counts the object in the context's meter.
        read: Told the etag of the object that was copied.

    Raises:
        ObjectNotFoundError: there is no such source.
        ObjectChangedError: the source was replaced while it was read.
        PreconditionFailedError: there is such an object, and ``if_absent``.
        UnsupportedError: the target can not keep an attribute; ``leave_out`` does without it.
        IntegrityError: the copy differs from its source.
    """
    core, meter = source.core, context.meter
    info = await source.run(core.head(key, version, NO_CONDITIONS, None))
    if not expected:
        meter.expect(1, info.size)
    meter.begin(key)
    failed = True
    conditions = write_conditions(if_absent, None)
    try:
        if core.client is target.core.client:
            attributes = None
            if leave_out:
                attributes = await source.run(kept(core, info, version, leave_out))
            result = await source.run(
                core.copy(
                    key, target_key, target.core, version, attributes, conditions,
                    _still(source, info, "copy_source"), None,
                )
            )  # fmt: skip
            meter.moved(info.size)
        else:
            attributes = await source.run(kept(core, info, version, leave_out))
            copy = _Copy(context, source, info, version, target, target_key)
            result = await copy.run(attributes, conditions)
        if read is not None:
            read(info.etag)
        failed = False
    finally:
        if not expected:
            meter.end(failed)
    return result


async def move_object(
    context: Context,
    source: End,
    key: str,
    target: End,
    target_key: str,
    *,
    if_absent: bool = False,
    leave_out: Collection[LeftOut] = (),
) -> PutResult:
    """Copy an object to another storage and delete its source, if that is still what was
    copied; arguments and errors as for `copy_object`.

    Raises:
        ObjectChangedError: the source is another one by now, and stays.
        ConflictError: source and target are one object, and it stays.
    """
    etags: list[str] = []
    result = await copy_object(
        context, source, key, target, target_key,
        if_absent=if_absent, leave_out=leave_out, read=etags.append,
    )  # fmt: skip
    await check_apart(source, key, target, target_key)
    await source.run(remove_moved(source.core, key, etags[0], None))
    return result


async def kept(
    core: BucketCore, info: ObjectInfo, version: str | None, leave_out: Collection[LeftOut]
) -> Attributes:
    """What a copy takes over from its source, tags included where there are some."""
    tags = EMPTY
    if core.client.capabilities.tags and "tags" not in leave_out:
        tags = await core.get_tags(info.key, version)
    found = info.attributes(tags)
    if "headers" in leave_out:
        found = Attributes(
            found.content_type, metadata=found.metadata, tags=tags, expires_at=found.expires_at
        )
    if "metadata" in leave_out:
        found = replace(found, metadata=EMPTY)
    if "expiry" in leave_out:
        found = replace(found, expires_at=None)
    return found


async def fetch(
    core: BucketCore, key: str, verify: bool, leave_out: Collection[LeftOut], most: int
) -> Fetched | None:
    """Get a small object with all that its copy is to have; None if it is larger than that."""
    reader = await core.get(key, None, None, NO_CONDITIONS, verify, None)
    try:
        if reader.length > most:
            return None
        data = reader.read_memory(-1)
        if data is None:
            data = await reader.read(-1)
        info = reader.info
    finally:
        if not reader.close_now():
            await reader.close()
    return Fetched(info, data, await kept(core, info, None, leave_out))


async def store(target: BucketCore, key: str, found: Fetched, conditions: Conditions) -> PutResult:
    """Write a small object that was fetched from another storage."""
    info = found.info
    declared = {name: hexa for name, hexa in info.checksums.items() if name in ALGORITHMS}
    try:
        put = target.put(
            key, found.data, len(found.data), found.attributes, conditions, declared, (), None
        )
        result = await put
    except UnsupportedError as error:
        raise _leave_it_out(error) from error
    check_copy(info, result, target)
    return result


def check_copy(info: ObjectInfo, result: PutResult, target: BucketCore) -> None:
    """Hold what the target says it stored against what the source has.

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
        raise error.with_context("copy", target.name, result.key)


class _Copy:
    """One object on its way from one storage to another."""

    def __init__(
        self,
        context: Context,
        source: End,
        info: ObjectInfo,
        version: str | None,
        target: End,
        target_key: str,
    ) -> None:
        self._context = context
        self._source, self._target = source, target
        self._info, self._version = info, version
        self._key = target_key

    async def run(self, attributes: Attributes, conditions: Conditions) -> PutResult:
        context, info, source = self._context, self._info, self._source
        capabilities = self._target.core.client.capabilities
        plan = plan_upload(info.size, capabilities, context.options)
        known = info.checksums.keys() & ALGORITHMS.keys()
        # Only CRC32C can be composed of parts; against another digest all has to be read in order.
        in_order = not source.core.client.capabilities.allows("get", "if_match") or (
            context.options.verify and bool(known) and CRC not in known
        )
        if plan.parts == 1 or in_order:
            result = await copy_between(
                source, info.key, self._target, self._key, self._version, attributes,
                conditions, _still(source, info, "get"), None,
            )  # fmt: skip
            context.meter.moved(result.size)
            return result
        try:
            return await self._in_parts(plan, Order(self._key, attributes, conditions, {}, ()))
        except UnsupportedError as error:
            raise _leave_it_out(error) from error

    async def _in_parts(self, plan: Plan, order: Order) -> PutResult:
        context, info, size = self._context.nested(), self._info, plan.part_size
        most = plan.width * size
        if context.options.max_memory is not None:
            most = max(size, min(most, int(context.options.max_memory)))
        granted = await MEMORY.reserve(context.team, size, most)
        try:
            session = await Session.create(self._target, order)

            async def part(number: int) -> None:
                data = await self._read(plan.span(number, info.size))
                await session.put(number, MemoryBody(context, self._target, [data], (CRC,)))

            try:
                width = granted // size
                gate = context.gate(width, self._source, self._target)
                await each(context.team, _numbers(plan.parts), part, width, gate)
                crc = info.checksums.get(CRC)
                result = await session.complete({} if crc is None else {CRC: crc})
            except BaseException as failure:
                await session.discard(failure)
                raise
        finally:
            MEMORY.release(granted)
        check_copy(info, result, self._target.core)
        return result

    async def _read(self, span: tuple[int, int]) -> bytes:
        source, info = self._source, self._info
        same = Conditions(if_match=info.etag)
        version = self._version or info.version
        get = source.core.get(info.key, span, version, same, False, None)
        try:
            reader = await source.run(get)
        except PreconditionFailedError as error:
            text = "the object was replaced while it was being copied; copy again"
            changed = ObjectChangedError(text)
            raise changed.with_context("copy", source.core.name, info.key) from error
        try:
            return await source.run(reader.read(-1))
        finally:
            await source.run(reader.close())


def _still(source: End, info: ObjectInfo, operation: Operation) -> Conditions:
    """The source is the one that was looked at, where the profile can hold it to that."""
    allows = source.core.client.capabilities.allows
    return Conditions(if_match=info.etag) if allows(operation, "if_match") else NO_CONDITIONS


async def _numbers(parts: int) -> AsyncIterator[int]:
    for number in range(1, parts + 1):
        yield number


def _leave_it_out(error: UnsupportedError) -> UnsupportedError:
    again = UnsupportedError(f"{error.message}; copy with leave_out= what it can not keep")
    again.operation, again.bucket, again.key = "copy", error.bucket, error.key
    return again
