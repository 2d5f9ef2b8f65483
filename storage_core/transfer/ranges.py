"""The ranges of a large object, gotten side by side into one file."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from storage_core import checksum
from storage_core.errors import (
    IntegrityError,
    InvalidRangeError,
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
)
from storage_core.model import NO_CONDITIONS, Conditions, ObjectInfo
from storage_core.transfer.jobs import each
from storage_core.transfer.journal import Journal, point_to
from storage_core.transfer.target import Target

if TYPE_CHECKING:
    from storage_core.core.reader import ReaderCore
    from storage_core.streams import FileSlice
    from storage_core.transfer.download import Download
    from storage_core.transfer.plan import Plan

_CHEAPEST: Final = ("crc32c", "sha1", "sha256", "md5")
"""Digests of an object to hold the file against; one is enough."""
_FINAL: Final = (
    FileExistsError,
    IntegrityError,
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
"""Failures by which the object is not what it was, or the place."""


class Ranges:
    """The parts of a large object.

    Args:
        download: What it is of.
        info: The object.
        plan: How it is cut.
        reader: Of the whole object, of which nothing was read; None where there is none yet.
        size: Bytes of a buffer.
    """

    def __init__(
        self,
        download: Download,
        info: ObjectInfo,
        plan: Plan,
        reader: ReaderCore | None,
        size: int,
    ) -> None:
        self._download = download
        self._context = download.context.nested()
        self._info = info
        self._plan = plan
        self._first = reader
        self._file = None if reader is None else reader.file
        self._size = size
        self._buffers: list[memoryview] = []
        self._journal: Journal | None = None
        self._target: Target | None = None
        self._cloned = False
        self._crcs: dict[int, int] = {}
        self._hashes = self._context.options.verify or self._context.options.resume

    async def run(self) -> None:
        """Get what is missing and publish the file."""
        team = self._context.team
        try:
            target = await team.blocking(self._begin)
            await self._get_all(target)
            if self._context.options.verify:
                await self._verify(target)
            await team.blocking(target.publish)
        except BaseException as failure:
            self._fail(failure)
            raise
        finally:
            await self._end_first()
        if self._journal is not None:
            await team.blocking(self._journal.remove)

    # --- begin and end ----------------------------------------------------------------

    def _begin(self) -> Target:
        """Open the incomplete file of an earlier run, or a new one."""
        place = self._download.place
        if self._context.options.resume:
            try:
                self._journal = Journal.open(Path(place.journal), self._identity())
            except OSError as error:
                raise place.error(error) from None
        journal = self._journal
        if journal is None:
            return self._created(None)
        if journal.parts:
            self._target = Target.resume(place, self._info.size)
            if self._target is not None:
                return self._target
        journal.begin({**self._identity(), **self._names()})
        Path(place.partial).unlink(missing_ok=True)
        target = self._created(place.partial)
        point_to(journal.place)
        return target

    def _created(self, partial: str | None) -> Target:
        self._target = target = Target.create(self._download.place, partial)
        file, size = self._file, self._info.size
        if file is not None and file.offset == 0 and file.length == size:
            self._cloned = target.clone(file.fd, size)
        if not self._cloned:
            target.allocate(size)
        return target

    def _identity(self) -> dict[str, object]:
        """What has to be the same for a resume."""
        core, info = self._download.end.core, self._info
        return {
            "kind": "download",
            "describe": core.client.driver.describe(),
            "bucket": core.name,
            "key": info.key,
            "version": info.version,
            "etag": info.etag,
            "size": info.size,
            "part_size": self._plan.part_size,
            "target": os.path.abspath(self._download.place.path),
        }

    def _names(self) -> dict[str, object]:
        """What is stored besides, for people."""
        core = self._download.end.core
        where = core.client.driver.describe()
        return {
            "profile": core.client.profile,
            "source": f"{where} {core.name}/{self._info.key}",
        }

    def _fail(self, failure: BaseException) -> None:
        """Keep what another run can go on with, or nothing."""
        journal, target = self._journal, self._target
        known = set() if journal is None else {*journal.parts}
        if not self._cloned:  # what came by a clone is noted nowhere
            known |= self._crcs.keys()
        kept = [number for number in known if 1 <= number <= self._plan.parts]
        if journal is not None and kept and not _is_final(failure):
            if target is not None:
                target.leave()
            journal.close()
            done = sum(map(self._length, kept))
            failure.add_note(
                f"{done} of {self._info.size} bytes are kept: the same download to"
                f" {self._download.place.shown} goes on with them"
            )
            return
        if target is not None:
            target.discard()
        if journal is not None:
            journal.remove()

    async def _end_first(self) -> None:
        first, self._first = self._first, None
        if first is not None:
            await self._download.close(first)

    def _length(self, number: int) -> int:
        start, stop = self._plan.span(number, self._info.size)
        return stop - start

    # --- parts ------------------------------------------------------------------------

    async def _get_all(self, target: Target) -> None:
        context, plan = self._context, self._plan

        async def numbers() -> AsyncIterator[int]:
            for number in range(1, plan.parts + 1):
                yield number

        async def part(number: int) -> None:
            await self._part(target, number)

        gate = context.gate(plan.width, self._download.end)
        await each(context.team, numbers(), part, plan.width, gate)

    async def _part(self, target: Target, number: int) -> None:
        """Make sure of one part."""
        start, stop = self._plan.span(number, self._info.size)
        buffer = self._buffers.pop() if self._buffers else memoryview(bytearray(self._size))
        try:
            if await self._is_there(target, number, buffer):
                return
            if self._file is not None:
                crc = await self._copied(target, self._file, start, stop, buffer)
            else:
                crc = await self._received(target, number, start, stop, buffer)
            self._crcs[number] = crc or 0
            if self._journal is not None:
                record = {"size": stop - start, "crc32c": f"{crc:08x}"}
                await self._context.team.blocking(self._journal.add, number, record)
        finally:
            self._buffers.append(buffer)

    async def _is_there(self, target: Target, number: int, buffer: memoryview) -> bool:
        """Whether the file has a part already, by an earlier run or all of them by a clone."""
        record = None if self._journal is None else self._journal.parts.get(number)
        if record is None and not self._cloned:
            return False
        start, stop = self._plan.span(number, self._info.size)
        crc = 0
        if self._hashes:
            blocking = self._context.team.blocking
            crc = await blocking(_crc_of_file, target.descriptor, start, stop, buffer)
        if record is not None and record.get("crc32c") != f"{crc:08x}":
            return False
        self._crcs[number] = crc
        self._context.meter.moved(stop - start, earlier=not self._cloned)
        return True

    async def _copied(
        self, target: Target, source: FileSlice, start: int, stop: int, buffer: memoryview
    ) -> int | None:
        """Copy a part from an open file."""
        context = self._context
        crc = 0 if self._hashes else None
        moved = 0
        try:
            for at in range(start, stop, len(buffer)):
                context.team.checkpoint()
                view = buffer[: min(len(buffer), stop - at)]
                await context.bandwidth.take(context.team, len(view))
                crc = await context.team.blocking(_copy, source, target, at, view, crc)
                context.meter.moved(len(view))
                moved += len(view)
        except BaseException:
            context.meter.moved(-moved)
            raise
        return crc

    async def _received(
        self, target: Target, number: int, start: int, stop: int, buffer: memoryview
    ) -> int | None:
        """Get a part: from the stream that is open already, if it is the first one."""
        context, download = self._context, self._download
        reader = None
        if number == 1:
            reader, self._first = self._first, None
        if reader is None:
            reader = await self._ranged(start, stop)
        crc = 0 if self._hashes else None
        at = start
        try:
            found, wanted = reader.info, self._info
            if (found.etag, found.size) != (wanted.etag, wanted.size):
                raise self._changed()
            if reader.start != start or reader.start + reader.length < stop:
                raise self._changed()  # what came is not what was asked for
            while at < stop:
                count, crc = await download.filled(reader, buffer[: stop - at], crc)
                await context.team.blocking(target.write, buffer[:count], at)
                context.meter.moved(count)
                at += count
        except BaseException:
            context.meter.moved(start - at)
            raise
        finally:
            await download.close(reader)
        return crc

    async def _ranged(self, start: int, stop: int) -> ReaderCore:
        """Ask for a range of the very same object."""
        download, info = self._download, self._info
        core = download.end.core
        allows = core.client.capabilities.allows("get", "if_match")
        conditions = Conditions(if_match=info.etag) if allows else NO_CONDITIONS
        version = download.version or info.version
        request = core.get(download.key, (start, stop), version, conditions, False, None)
        try:
            return await download.end.run(request)
        except (PreconditionFailedError, ObjectNotFoundError, InvalidRangeError) as error:
            raise self._changed() from error

    def _changed(self) -> StorageError:
        error = ObjectChangedError(
            "the object was replaced while it was being downloaded; download again"
        )
        return error.with_context("get", self._download.end.core.name, self._download.key)

    # --- the end ----------------------------------------------------------------------

    async def _verify(self, target: Target) -> None:
        """Hold the file against what is known of the object.

        Raises:
            IntegrityError: it differs.
        """
        known = self._info.checksums
        name = next((name for name in _CHEAPEST if name in known), None)
        if name is None:
            return
        if name == "crc32c":
            crc = 0
            for number in range(1, self._plan.parts + 1):
                crc = checksum.crc32c_combine(crc, self._crcs[number], self._length(number))
            found = f"{crc:08x}"
        else:
            blocking = self._context.team.blocking
            size = self._info.size
            found = await blocking(_digest_of_file, name, target.descriptor, size, self._size)
        if found != known[name]:
            error = IntegrityError(
                f"the bytes do not have the object's {name}; nothing was kept of them"
            )
            raise error.with_context("get", self._download.end.core.name, self._download.key)


def _is_final(failure: BaseException) -> bool:
    """Whether the same download can never be gone on with."""
    cut_off = isinstance(failure, IntegrityError) and failure.retryable
    return isinstance(failure, _FINAL) and not cut_off


def _copy(
    source: FileSlice, target: Target, at: int, buffer: memoryview, crc: int | None
) -> int | None:
    """Copy as many bytes as a buffer takes; the CRC32C gone on with."""
    _read_exactly(source.fd, source.offset + at, buffer)
    if crc is not None:
        crc = checksum.crc32c(buffer, crc)
    target.write(buffer, at)
    return crc


def _crc_of_file(descriptor: int, start: int, stop: int, buffer: memoryview) -> int:
    crc = 0
    buffer = buffer[: checksum.PIECE]
    for at in range(start, stop, len(buffer)):
        view = buffer[: stop - at]
        _read_exactly(descriptor, at, view)
        crc = checksum.crc32c(view, crc)
    return crc


def _digest_of_file(algorithm: str, descriptor: int, size: int, piece: int) -> str:
    hasher = checksum.new(algorithm)
    with memoryview(bytearray(piece)) as buffer:
        for at in range(0, size, piece):
            view = buffer[: size - at]
            _read_exactly(descriptor, at, view)
            hasher.update(view)
    return hasher.digest().hex()


def _read_exactly(descriptor: int, at: int, buffer: memoryview) -> None:
    """Fill a buffer from a file.

    Raises:
        IntegrityError: the file is shorter than it was.
    """
    while buffer:
        if not (size := os.preadv(descriptor, [buffer], at)):
            raise IntegrityError(f"the file ends at byte {at}, early; try again")
        buffer, at = buffer[size:], at + size
