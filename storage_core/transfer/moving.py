"""What was planned is carried out: small objects side by side, then large ones one after the
other with all the width, then deletions."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from storage_core.errors import StorageError
from storage_core.model import DeleteResult
from storage_core.transfer.context import Context
from storage_core.transfer.entries import Side
from storage_core.transfer.feed import Feed
from storage_core.transfer.folder import FolderSide
from storage_core.transfer.folder_writing import IN_THE_WAY, delete_files
from storage_core.transfer.jobs import each
from storage_core.transfer.large import Large, LargeCopies, LargeDownloads, LargeUploads
from storage_core.transfer.memory import MEMORY, Memory
from storage_core.transfer.plan import PART, TREE_WIDTH
from storage_core.transfer.planning import Decision, Stretch
from storage_core.transfer.prefix import BucketSide
from storage_core.transfer.report import Action, OnOutcome, TransferReport
from storage_core.transfer.rules import Rules
from storage_core.transfer.small import FAILURES, SmallCopies, SmallDownloads, SmallUploads
from storage_core.transfer.spool import Spool
from storage_core.transfer.tally import Tally

TOGETHER: Final = 32
"""Small objects that one job takes at most."""
BATCH_BYTES: Final = 1024**2
"""Their bytes at most, but for a single one."""
FEW: Final = 1
"""Threads at first, where jobs take some, until it is seen whether more of them help."""
AHEAD: Final = 8000
"""Small objects that are waiting for a job, as far as they are planned already."""
ASIDE: Final = 1000
"""Large objects that are put aside until their turn comes."""

BATCH_DELETE: Final = 1000
"""Files deleted at a time."""

Run: TypeAlias = Callable[[Sequence[Decision]], Coroutine[Any, Any, None]]


async def carry_out(
    context: Context,
    source: Side,
    target: Side,
    rules: Rules,
    stretches: AsyncIterator[Stretch],
    on_outcome: OnOutcome | None,
    blocked: list[Decision] | None = None,
) -> TransferReport:
    """Do what was decided. Given twice, it ends the same.

    Deletions come last, and only if nothing failed and they are not too many. What is in the way
    of a file, or a folder that has to be, may be among them: such moves are done after the
    deletions.

    Args:
        context: Of the transfer.
        source: Where the bytes come from.
        target: Where they go.
        rules: Those the plan was made with.
        stretches: The plan; a `Feed` is taken from as far ahead as it has come.
        on_outcome: Told of each outcome, never of two at a time.
        blocked: Gets the moves for which something is in the way, for a caller who deletes by
            himself; they are no failures then.

    Raises:
        StorageError: one after which all others would fail as well.
        OSError: likewise.
    """
    moving: Action = "upload" if source.is_folder else "download" if target.is_folder else "copy"
    tally = Tally(context.meter, on_outcome, moving)
    deletions = Spool()
    in_the_way: list[Decision] = [] if blocked is None else blocked
    wait = rules.delete and target.is_folder
    try:
        if rules.dry_run:
            await _look_only(stretches, tally, deletions)
            if _too_many(deletions, rules):
                tally.withheld(deletions.count)
            return tally.report(dry_run=True)
        work = _Work(context, source, target, rules, tally, in_the_way if wait else None)
        await work.move(stretches, deletions)
        if _too_many(deletions, rules):
            tally.withheld(deletions.count)
        elif deletions.count and not tally.failures:
            await _delete(context, target, deletions, tally)
        if in_the_way and blocked is None:
            last = _Work(context, source, target, rules, tally, None)
            await last.move(_one(in_the_way), deletions)
    finally:
        deletions.close()
    return tally.report(dry_run=False)


def _too_many(deletions: Spool, rules: Rules) -> bool:
    return rules.max_delete is not None and deletions.count > rules.max_delete


async def _one(decisions: list[Decision]) -> AsyncIterator[Stretch]:
    decisions = sorted(decisions, key=lambda decision: decision.key)
    yield Stretch(decisions, 0, decisions[-1].key)


async def _look_only(stretches: AsyncIterator[Stretch], tally: Tally, deletions: Spool) -> None:
    """Tell what would be done: as if it were, deletions last and none after a failure. Those
    over the limit are told of as well, to be looked at before it is raised."""
    async for stretch in stretches:
        tally.unchanged(stretch.unchanged)
        for decision in stretch.decisions:
            if decision.kind == "skip":
                tally.skipped(decision.key)
            elif decision.kind == "delete":
                deletions.add(decision.key)
            elif decision.error is not None:
                tally.failed(decision, decision.error)
            else:
                tally.done(decision, decision.size, counted=True)
    if not tally.failures:
        for keys in deletions.batches(BATCH_DELETE):
            for key in keys:
                tally.done(Decision(key, "delete"), 0, counted=True)


class _Work:
    """All moves of one plan.

    Args:
        in_the_way: Gets what can not be done before deletions; None if that is a failure.
    """

    def __init__(
        self,
        context: Context,
        source: Side,
        target: Side,
        rules: Rules,
        tally: Tally,
        in_the_way: list[Decision] | None,
    ) -> None:
        self._context, self._tally = context, tally
        self._in_the_way = in_the_way
        self._ends = [side.end for side in (source, target) if isinstance(side, BucketSide)]
        options = context.options
        self._width = int(options.concurrency or TREE_WIDTH)
        self._most = int(
            min(options.part_size or PART, options.max_memory or PART, MEMORY.limit // 2)
        )
        self.batch_bytes = min(BATCH_BYTES, self._most)
        # The transfer's own budget, besides that of the process.
        self._own = Memory(int(options.max_memory)) if options.max_memory else None
        self._large: deque[Decision] = deque()
        self._small: Run
        self._alone: Large
        if isinstance(source, FolderSide):
            assert isinstance(target, BucketSide)
            uploads = SmallUploads(context, source, target, rules, tally, self._aside, self._most)
            self._small = uploads.run
            self._alone = LargeUploads(context, source, target, rules, uploads.attributes)
        elif isinstance(target, FolderSide):
            assert isinstance(source, BucketSide)
            downloads = SmallDownloads(
                context, source, target, rules, tally, self._aside, self._failed, self._most
            )
            self._small = downloads.run
            self._alone = LargeDownloads(context, source, target, rules)
        else:
            assert isinstance(source, BucketSide)
            assert isinstance(target, BucketSide)
            copies = SmallCopies(context, source, target, rules, tally, self._aside, self._most)
            self._small = copies.run
            self._alone = LargeCopies(context, source, target, rules)

    def _aside(self, decision: Decision) -> None:
        self._large.append(decision)

    def _failed(self, decision: Decision, error: StorageError | OSError) -> None:
        if self._in_the_way is not None and isinstance(error, IN_THE_WAY):
            self._in_the_way.append(decision)
        else:
            self._tally.failed(decision, error)

    async def move(self, stretches: AsyncIterator[Stretch], deletions: Spool) -> None:
        """Move all; what is to be deleted is only collected."""
        context = self._context
        batches = _Batches(self, stretches, deletions)
        while not batches.ended:
            await batches.fill()  # jobs that have nothing to do yet would look like slow ones
            gate = context.gate(self._width, *self._ends)
            await each(context.team, batches, self._batch, self._width, gate, FEW)
            for decision in sorted(self._large, key=lambda found: found.key):
                await self._move_large(decision)
            self._large.clear()

    async def _batch(self, batch: Sequence[Decision]) -> None:
        context = self._context
        size = sum(decision.size for decision in batch)
        await context.bandwidth.take(context.team, size)
        if self._own is None:
            await self._reserved(batch, size)
            return
        granted = await self._own.reserve(context.team, size, size)
        try:
            await self._reserved(batch, size)
        finally:
            self._own.release(granted)

    async def _reserved(self, batch: Sequence[Decision], size: int) -> None:
        granted = await MEMORY.reserve(self._context.team, size, size)
        try:
            await self._small(batch)
        finally:
            MEMORY.release(granted)

    async def _move_large(self, decision: Decision) -> None:
        self._context.team.checkpoint()
        try:
            size, etag = await self._alone.move(decision)
        except FAILURES as error:
            self._failed(decision, error)
        else:
            self._tally.done(decision, size, etag, counted=True)

    def sort_out(self, stretch: Stretch, deletions: Spool) -> Iterable[Decision]:
        """The small moves of a stretch; all else is put where it belongs."""
        tally, meter = self._tally, self._context.meter
        tally.unchanged(stretch.unchanged)
        moves = [found for found in stretch.decisions if found.kind not in {"delete", "skip"}]
        if moves:
            meter.expect(len(moves), sum(decision.size for decision in moves))
        for decision in stretch.decisions:
            if decision.kind == "delete":
                deletions.add(decision.key)
            elif decision.kind == "skip":
                tally.skipped(decision.key)
            elif decision.error is not None:
                tally.failed(decision, decision.error)
            elif decision.size > self._most:
                self._aside(decision)
            else:
                yield decision

    @property
    def full(self) -> bool:
        """Whether it is time for the large ones."""
        return len(self._large) >= ASIDE

    def share(self, waiting: int) -> int:
        """How many of the small ones a job takes: fewer towards the end, so that all jobs end
        at about the same time; and under a limit one, so that bytes flow evenly."""
        if self._context.bandwidth.rate is not None:
            return 1
        return max(1, min(TOGETHER, waiting // self._width))


class _Batches:
    """Small moves, some at a time, in the order of their keys."""

    def __init__(self, work: _Work, stretches: AsyncIterator[Stretch], deletions: Spool) -> None:
        self._work = work
        self._stretches = stretches
        self._deletions = deletions
        self._waiting: deque[Decision] = deque()
        self._exhausted = False

    @property
    def ended(self) -> bool:
        """Whether nothing is left of the plan."""
        return self._exhausted and not self._waiting

    def __aiter__(self) -> _Batches:
        return self

    async def fill(self) -> None:
        """Wait until there is one, or the end of the plan; take what is there already too."""
        work, waiting = self._work, self._waiting
        while not self._exhausted and not work.full and len(waiting) < AHEAD:
            if waiting and not (isinstance(self._stretches, Feed) and self._stretches.ready):
                break
            try:
                stretch = await anext(self._stretches)
            except StopAsyncIteration:
                self._exhausted = True
            else:
                waiting.extend(work.sort_out(stretch, self._deletions))

    async def __anext__(self) -> list[Decision]:
        await self.fill()
        work, waiting = self._work, self._waiting
        if not waiting:
            raise StopAsyncIteration
        batch = [waiting.popleft()]
        size = batch[0].size
        for _ in range(min(work.share(len(waiting)) - 1, len(waiting))):
            size += waiting[0].size
            if size > work.batch_bytes:
                break
            batch.append(waiting.popleft())
        return batch


async def _delete(context: Context, target: Side, deletions: Spool, tally: Tally) -> None:
    """Delete from the target what was collected."""
    context.meter.expect(deletions.count, 0)
    width = int(context.options.concurrency or TREE_WIDTH)
    if isinstance(target, FolderSide):
        for keys in deletions.batches(BATCH_DELETE):
            context.team.checkpoint()
            errors = await context.team.blocking(delete_files, target.root, keys)
            for key, error in zip(keys, errors, strict=True):
                _deleted(tally, key, error)
        return
    assert isinstance(target, BucketSide)
    end, prefix = target.end, target.prefix
    limit = end.core.client.capabilities.delete_many_limit
    share = limit if limit > 1 else max(1, min(TOGETHER, deletions.count // width))

    async def some(keys: list[str]) -> None:
        results: list[DeleteResult] = await end.run(
            end.core.delete_many([prefix + key for key in keys], None)
        )
        for key, result in zip(keys, results, strict=True):
            _deleted(tally, key, result.error)

    gate = context.gate(width, end)
    width = min(width, -(-deletions.count // share))
    await each(context.team, _from(deletions.batches(share)), some, width, gate)


async def _from(batches: Iterator[list[str]]) -> AsyncIterator[list[str]]:
    for batch in batches:
        yield batch


def _deleted(tally: Tally, key: str, error: StorageError | OSError | None) -> None:
    decision = Decision(key, "delete")
    if error is None:
        tally.done(decision, 0)
    else:
        tally.failed(decision, error)
