"""One object into one file: in parallel ranges, verified, to be resumed by another process.

A small object is one request. A large one is cut in parts, which several workers get side by
side and write in place into an incomplete file; a journal beside it tells which parts are done
and their CRC32C. At the end these make the CRC32C of the whole, which is held against the
object's own before the file gets its name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from storage_core import checksum
from storage_core.core.between import End
from storage_core.core.reader import ReaderCore
from storage_core.model import Conditions, ObjectInfo
from storage_core.runtime import Inline
from storage_core.transfer import bandwidth
from storage_core.transfer.context import Context
from storage_core.transfer.journal import Journal
from storage_core.transfer.memory import MEMORY
from storage_core.transfer.plan import Plan, plan_download
from storage_core.transfer.ranges import Ranges
from storage_core.transfer.target import Place, Target

PIECE: Final = 512 * 1024
"""Bytes received and hashed at a time, while they are in the processor's cache."""
BATCH: Final = 2 * PIECE
"""Bytes received and written at a time where that takes another thread, to which the way is
long; else a piece is written while it is in the cache too."""


async def download_file(
    context: Context,
    end: End,
    key: str,
    path: str | os.PathLike[str],
    version: str | None,
    conditions: Conditions,
    replace: bool,
    *,
    expected: bool = False,
) -> ObjectInfo:
    """Download an object; see `storage_core.Bucket.download_file`.

    Args:
        context: Of the transfer.
        end: The bucket.
        key: The object.
        path: The file.
        version: Of the object; the current one without it.
        conditions: Of the read.
        replace: Replace a file that exists.
        expected: Whether the meter knows of the object already, and is told of its end by the
            caller.

    Raises:
        FileExistsError: there is a file, and it is not to be replaced.
        ObjectChangedError: the object was replaced meanwhile.
        IntegrityError: the bytes are not those that were stored.
        OSError: the file can not be written.
    """
    context.meter.begin(key)
    failed = True
    try:
        place, begun = await context.team.blocking(_look, context, path, replace)
        download = Download(context, end, key, place, version, conditions, expected)
        info = await (download.resume() if begun else download.run())
        failed = False
    finally:
        if not expected:
            context.meter.end(failed)
    return info


def _look(context: Context, path: str | os.PathLike[str], replace: bool) -> tuple[Place, bool]:
    """The place, and whether an earlier run may have begun with it."""
    place = Place.of(path, replace)
    return place, context.options.resume and place.regular and os.path.exists(place.journal)


class Download:
    """One download, which knows what it is to get but not of what kind that is."""

    def __init__(
        self,
        context: Context,
        end: End,
        key: str,
        place: Place,
        version: str | None,
        conditions: Conditions,
        expected: bool,
    ) -> None:
        self.context = context
        self.end = end
        self.key = key
        self.place = place
        self.version = version
        self.conditions = conditions
        self._expected = expected
        size = PIECE if isinstance(end.runtime, Inline) else BATCH
        self._buffer = int(min(size, context.options.max_memory or size))

    async def resume(self) -> ObjectInfo:
        """As `run`, when there may be something to go on with: see first what the object is,
        without asking for its first bytes again."""
        core, conditions = self.end.core, self.conditions
        allows = core.client.capabilities.allows
        if not all(allows("head", name) for name in conditions.names()):
            return await self.run()
        info = await self.end.run(core.head(self.key, self.version, conditions, None))
        plan = plan_download(info.size, self.context.options)
        if plan.parts > 1:
            return await self._in_parts(info, plan, None)
        info = await self.run()
        await self.context.team.blocking(_forget, self.place)
        return info

    async def run(self) -> ObjectInfo:
        """Get the object; how large it is comes with its first bytes."""
        context, core = self.context, self.end.core
        verify = context.options.verify
        granted = 0
        try:
            while True:
                request = core.get(self.key, None, self.version, self.conditions, verify, None)
                reader = await self.end.run(request)
                try:
                    plan = plan_download(reader.length, context.options)
                    if plan.parts > 1 and self.place.regular:
                        MEMORY.release(granted)
                        granted = 0
                        return await self._in_parts(reader.info, plan, reader)
                    size = min(self._buffer, max(1, reader.length))
                    if await self._at_once(reader):
                        return reader.info
                    if granted := granted or MEMORY.at_once(size, size):
                        await self._in_order(reader, min(size, granted))
                        return reader.info
                finally:
                    await self.close(reader)
                # Not with a connection in hand, for which those may wait who have the memory.
                granted = await MEMORY.reserve(context.team, size, size)
        finally:
            MEMORY.release(granted)

    async def close(self, reader: ReaderCore) -> None:
        """Let a reader go."""
        if not reader.close_now():
            await self.end.run(reader.close())

    def _expect(self, size: int) -> None:
        if not self._expected:
            self.context.meter.expect(1, size)

    async def _in_parts(
        self, info: ObjectInfo, plan: Plan, reader: ReaderCore | None
    ) -> ObjectInfo:
        context = self.context
        self._expect(info.size)
        size = min(self._buffer, plan.part_size)
        most = min(plan.width * size, context.options.max_memory or MEMORY.limit)
        most = max(size, most)
        if not (granted := MEMORY.at_once(size, most)):
            # As in `run`; a file on this machine is no connection.
            if reader is not None and reader.file is None:
                await self.close(reader)
                reader = None
            granted = await MEMORY.reserve(context.team, size, most)
        try:
            plan = plan._replace(width=granted // size)
            await Ranges(self, info, plan, reader, size).run()
        finally:
            MEMORY.release(granted)
        return info

    async def _at_once(self, reader: ReaderCore) -> bool:
        """Write what is in memory already; false if it is not."""
        context = self.context
        data = reader.read_memory(-1)
        if data is None:
            return False
        self._expect(len(data))
        await context.bandwidth.take(context.team, len(data))
        await context.team.blocking(_write_whole, self.place, data)
        context.meter.moved(len(data))
        return True

    async def _in_order(self, reader: ReaderCore, size: int) -> None:
        """Write what a reader gives, which verifies it, by a buffer of so many bytes. Nothing is
        left of a failure."""
        team, meter = self.context.team, self.context.meter
        self._expect(reader.length)
        target, at = None, 0
        try:
            buffer = memoryview(bytearray(size))
            target = await team.blocking(Target.create, self.place)
            while at < reader.length:
                count, _ = await self.filled(reader, buffer, None)
                await team.blocking(target.write, buffer[:count], at)
                meter.moved(count)
                at += count
            await team.blocking(target.publish)
        except BaseException:
            meter.moved(-at)
            if target is not None:
                target.discard()
            raise

    async def filled(
        self, reader: ReaderCore, buffer: memoryview, crc: int | None
    ) -> tuple[int, int | None]:
        """Fill a buffer as far as there are bytes; their number, and the CRC32C gone on with."""
        context = self.context
        context.team.checkpoint()
        if context.bandwidth.rate is not None:
            buffer = buffer[: bandwidth.PIECE]
            wanted = min(len(buffer), reader.length - reader.position)
            await context.bandwidth.take(context.team, wanted)
        return await self.end.run(_filled(reader, buffer, crc))


async def _filled(
    reader: ReaderCore, buffer: memoryview, crc: int | None
) -> tuple[int, int | None]:
    at = 0
    while at < len(buffer) and (size := await reader.readinto(buffer[at : at + PIECE])):
        if crc is not None:
            crc = checksum.crc32c(buffer[at : at + size], crc)
        at += size
    return at, crc


def _write_whole(place: Place, data: bytes) -> None:
    """Write a small file."""
    target = Target.create(place)
    try:
        target.write(data, 0)
        target.publish()
    except BaseException:
        target.discard()
        raise


def _forget(place: Place) -> None:
    """Remove what is left of a download of another object to this place."""
    journal = Journal.open(Path(place.journal), {})
    if journal is not None:
        Path(place.partial).unlink(missing_ok=True)
        journal.remove()
