"""Small objects of a tree, some to a job: each in one request, its file in one go.

All of a job that touches one storage is one call on its runtime, so that the async face changes
threads once for dozens of files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from storage_core.core.attributes import write_conditions
from storage_core.errors import ObjectChangedError, PreconditionFailedError, StorageError
from storage_core.model import NO_CONDITIONS, Attributes, Conditions
from storage_core.transfer.copy import Fetched, fetch, kept, store
from storage_core.transfer.entries import microseconds, time_for_file
from storage_core.transfer.folder_writing import NewFile, write_files

if TYPE_CHECKING:
    from storage_core.core.bucket import BucketCore
    from storage_core.transfer.context import Context
    from storage_core.transfer.folder import FolderSide
    from storage_core.transfer.planning import Decision
    from storage_core.transfer.prefix import BucketSide
    from storage_core.transfer.rules import Rules
    from storage_core.transfer.tally import Tally

FAILURES: Final = (StorageError, OSError)
"""What befalls one object alone."""
_TRIES: Final = 3
_READ: Final = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


class SmallUploads:
    """Files of a folder into a bucket.

    Args:
        context: Of the transfer.
        source: The folder.
        target: The bucket.
        rules: What is said of the objects.
        tally: Told of each.
        grown: Called with a file that is too large by now, or has changed while it was sent.
        most: Bytes of a small object at most.
    """

    def __init__(
        self,
        context: Context,
        source: FolderSide,
        target: BucketSide,
        rules: Rules,
        tally: Tally,
        grown: Callable[[Decision], None],
        most: int,
    ) -> None:
        self._context = context
        self._source, self._target = source, target
        self._rules, self._tally = rules, tally
        self._grown, self._most = grown, most
        self._conditions = write_conditions(rules.if_absent, None)

    def attributes(self, key: str) -> Attributes:
        """What is said of the object of a file."""
        rules = self._rules
        if rules.content_type is None:
            return rules.attributes
        return replace(rules.attributes, content_type=rules.content_type(key))

    async def run(self, batch: Sequence[Decision]) -> None:
        """Upload some files."""
        target = self._target
        await target.end.run(self._put(target.end.core, batch))

    async def _put(self, core: BucketCore, batch: Sequence[Decision]) -> None:
        context, tally, meter = self._context, self._tally, self._context.meter
        runtime, prefix = core.client.runtime, self._target.prefix
        root = self._source.root
        read = await runtime.blocking(read_files, root, batch, self._most)
        read.reverse()  # each is let go of when it was sent
        stored: list[tuple[Decision, FileRead, str]] = []
        for decision in batch:
            data = read.pop()
            runtime.checkpoint()
            context.team.checkpoint()
            key = decision.key
            meter.begin(key)
            if data is None:
                self._grown(decision)
                continue
            if not isinstance(data, FileRead):
                tally.failed(decision, data)
                continue
            attributes = self.attributes(key)
            try:
                result = await core.put(
                    prefix + key, data.data, None, attributes, self._conditions, None, (), None
                )
            except FAILURES as error:
                tally.failed(decision, error)
            else:
                stored.append((decision, data._replace(data=b""), result.etag))
        changed = await runtime.blocking(changed_since, root, stored)
        for (decision, data, etag), again in zip(stored, changed, strict=True):
            if again and not self._rules.if_absent:
                self._grown(decision)
            else:
                tally.done(decision, data.size, etag)


class FileRead(NamedTuple):
    """What a file had when it was read.

    Attributes:
        data: Its bytes.
        size: Their number.
        modified: Its time, nanoseconds since the epoch.
    """

    data: bytes
    size: int
    modified: int


def changed_since(root: str, stored: Sequence[tuple[Decision, FileRead, str]]) -> list[bool]:
    """Which files have other bytes now than were stored, though not more or fewer of them.

    Their times are before those of their objects, so no later comparison by time would see it.
    """
    return [
        is_changed(f"{root}/{decision.key}", read.size, read.modified)
        for decision, read, _ in stored
    ]


def is_changed(path: str, size: int, modified: int) -> bool:
    """Whether a file of this size has another time by now."""
    try:
        now = os.lstat(path)
    except OSError:
        return False
    return now.st_size == size and now.st_mtime_ns != modified


def read_files(
    root: str, batch: Sequence[Decision], most: int
) -> list[FileRead | StorageError | OSError | None]:
    """The bytes of files, or why there are none; None for one that has grown too large."""
    found: list[FileRead | StorageError | OSError | None] = []
    for decision in batch:
        try:
            found.append(_read(f"{root}/{decision.key}", decision, most))
        except FAILURES as error:
            found.append(error.with_traceback(None))
    return found


def _read(path: str, decision: Decision, most: int) -> FileRead | None:
    descriptor = os.open(path, _READ)
    try:
        size, modified = decision.size, decision.modified
        for _ in range(_TRIES):
            data = os.read(descriptor, size + 1)
            now = os.fstat(descriptor)
            # The same before and after is the same throughout.
            if len(data) == size == now.st_size and now.st_mtime_ns // 1000 == modified:
                return FileRead(data, size, now.st_mtime_ns)
            if not stat.S_ISREG(now.st_mode):
                raise ObjectChangedError(f"{path} is no regular file any more")
            size, modified = now.st_size, now.st_mtime_ns // 1000
            if size > most:
                return None
            os.lseek(descriptor, 0, os.SEEK_SET)
        raise ObjectChangedError(f"{path} keeps changing while it is read")
    finally:
        os.close(descriptor)


class SmallDownloads:
    """Objects of a bucket into a folder; arguments as for `SmallUploads`."""

    def __init__(
        self,
        context: Context,
        source: BucketSide,
        target: FolderSide,
        rules: Rules,
        tally: Tally,
        grown: Callable[[Decision], None],
        failed: Callable[[Decision, StorageError | OSError], None],
        most: int,
    ) -> None:
        self._context = context
        self._source, self._target = source, target
        self._rules, self._tally = rules, tally
        self._grown, self._failed, self._most = grown, failed, most

    async def run(self, batch: Sequence[Decision]) -> None:
        """Download some objects."""
        source = self._source
        await source.end.run(self._get(source.end.core, batch))

    async def _get(self, core: BucketCore, batch: Sequence[Decision]) -> None:
        context, meter, runtime = self._context, self._context.meter, core.client.runtime
        verify, prefix = context.options.verify, self._source.prefix
        got: list[tuple[Decision, str]] = []
        files: list[NewFile] = []
        for decision in batch:
            runtime.checkpoint()
            context.team.checkpoint()
            key = decision.key
            meter.begin(key)
            try:
                reader = await core.get(prefix + key, None, None, NO_CONDITIONS, verify, None)
                try:
                    if reader.length > self._most:
                        self._grown(decision)
                        continue
                    data = reader.read_memory(-1)
                    if data is None:
                        data = await reader.read(-1)
                    info = reader.info
                finally:
                    if not reader.close_now():
                        await reader.close()
            except FAILURES as error:
                self._failed(decision, error)
                continue
            # The listing's time, which may be finer, as long as it is the same object.
            same = info.etag == decision.etag
            modified = decision.modified if same else microseconds(info.modified)
            got.append((decision, info.etag))
            files.append(NewFile(key, data, time_for_file(modified)))
        if not files:
            return
        replaces = not self._rules.if_absent
        results = await runtime.blocking(write_files, self._target.root, files, replaces)
        for (decision, etag), file, problem in zip(got, files, results, strict=True):
            if problem is None:
                self._tally.done(decision, len(file.data), etag)
            else:
                self._failed(decision, problem)


class SmallCopies:
    """Objects of a bucket into another; arguments as for `SmallUploads`."""

    def __init__(
        self,
        context: Context,
        source: BucketSide,
        target: BucketSide,
        rules: Rules,
        tally: Tally,
        grown: Callable[[Decision], None],
        most: int,
    ) -> None:
        self._context = context
        self._source, self._target = source, target
        self._rules, self._tally = rules, tally
        self._grown, self._most = grown, most
        self._inside = source.end.core.client is target.end.core.client
        self._conditions = write_conditions(rules.if_absent, None)
        core = source.end.core
        self._guarded = core.client.capabilities.allows("copy_source", "if_match")

    async def run(self, batch: Sequence[Decision]) -> None:
        """Copy some objects."""
        source, target = self._source.end, self._target.end
        if self._inside:
            await source.run(self._copy(source.core, target.core, batch))
            return
        found = await source.run(self._fetch(source.core, batch))
        await target.run(self._store(target.core, found))

    async def _copy(self, core: BucketCore, target: BucketCore, batch: Sequence[Decision]) -> None:
        for decision in batch:
            core.client.runtime.checkpoint()
            self._context.team.checkpoint()
            self._context.meter.begin(decision.key)
            try:
                try:
                    etag = await self._copy_one(core, target, decision, decision.etag)
                except PreconditionFailedError:
                    if self._rules.if_absent:
                        raise
                    # Another object since the listing: that one, then.
                    etag = await self._copy_one(core, target, decision, None)
            except FAILURES as error:
                self._tally.failed(decision, error)
            else:
                self._tally.done(decision, decision.size, etag)

    async def _copy_one(
        self, core: BucketCore, target: BucketCore, decision: Decision, etag: str | None
    ) -> str:
        """Copy one and tell the etag of what was copied."""
        key, goal = self._source.prefix + decision.key, self._target.prefix + decision.key
        attributes, leave_out = None, self._rules.leave_out
        if etag is None or leave_out:
            info = await core.head(key, None, NO_CONDITIONS, None)
            etag = info.etag
            if leave_out:
                attributes = await kept(core, info, None, leave_out)
        same = Conditions(if_match=etag) if self._guarded else NO_CONDITIONS
        await core.copy(key, goal, target, None, attributes, self._conditions, same, None)
        return etag

    async def _fetch(
        self, core: BucketCore, batch: Sequence[Decision]
    ) -> list[tuple[Decision, Fetched]]:
        found: list[tuple[Decision, Fetched]] = []
        verify, leave_out = self._context.options.verify, self._rules.leave_out
        for decision in batch:
            core.client.runtime.checkpoint()
            self._context.team.checkpoint()
            self._context.meter.begin(decision.key)
            key = self._source.prefix + decision.key
            try:
                got = await fetch(core, key, verify, leave_out, self._most)
            except FAILURES as error:
                self._tally.failed(decision, error)
                continue
            if got is None:
                self._grown(decision)
            else:
                found.append((decision, got))
        return found

    async def _store(self, core: BucketCore, found: list[tuple[Decision, Fetched]]) -> None:
        for decision, got in found:
            core.client.runtime.checkpoint()
            self._context.team.checkpoint()
            key = self._target.prefix + decision.key
            try:
                await store(core, key, got, self._conditions)
            except FAILURES as error:
                self._tally.failed(decision, error)
            else:
                self._tally.done(decision, got.info.size, got.info.etag)
