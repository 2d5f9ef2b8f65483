"""What is to be done with each key: two sides compared, nothing changed.

A plan is cut into stretches of keys, and a range of keys can be planned by itself, so that
several machines can share a tree.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Literal, NamedTuple, TypeAlias

from storage_core import keys as key_rules
from storage_core.errors import InvalidKeyError, StorageError
from storage_core.transfer.compare import How, needs_reading, same_bytes
from storage_core.transfer.context import Context
from storage_core.transfer.entries import (
    ALL,
    DOUBT,
    NOT_REGULAR,
    SECOND,
    Entry,
    KeyRange,
    Side,
)
from storage_core.transfer.filters import Filter
from storage_core.transfer.folder import FolderSide
from storage_core.transfer.merging import Meeting, key_of, meetings
from storage_core.transfer.placing import Neighbours
from storage_core.transfer.prefix import BucketSide
from storage_core.transfer.rules import Rules

Kind: TypeAlias = Literal["upload", "download", "copy", "delete", "skip", "fail"]


class Decision(NamedTuple):
    """What is to be done with one key; it can be pickled.

    Attributes:
        key: Relative to the roots of both sides.
        kind: What. A ``"skip"`` has no bytes to transfer, a ``"fail"`` can not be.
        size: Bytes of the source.
        modified: Its time, microseconds since the epoch.
        etag: Its etag, where it is an object whose listing tells it.
        error: Why it fails.
    """

    key: str
    kind: Kind
    size: int = 0
    modified: int = 0
    etag: str | None = None
    error: StorageError | OSError | None = None


class Stretch(NamedTuple):
    """Some consecutive keys.

    Attributes:
        decisions: Ascending by key; there is none where nothing is to be done.
        unchanged: How many are the same on both sides.
        last: The last key that was looked at; `KeyRange` goes on after it.
    """

    decisions: list[Decision]
    unchanged: int
    last: str


async def plan(
    context: Context,
    source: Side,
    target: Side,
    rules: Rules,
    keys: KeyRange = ALL,
    *,
    sources: AsyncIterator[list[Entry]] | None = None,
    targets: AsyncIterator[list[Entry]] | None = None,
) -> AsyncIterator[Stretch]:
    """Decide on all keys of a range, ascending.

    Args:
        context: Of the transfer.
        source: Where the bytes come from.
        target: Where they go.
        rules: Which keys take part, and how they are compared.
        keys: The range.
        sources: The source's batches of this range, where somebody fetches them already.
        targets: The target's, likewise.
    """
    if sources is None:
        sources = source.batches(context.team, keys)
    if targets is None and looks_at_target(rules):
        targets = target.batches(context.team, keys, target=True)
    folders = source.is_folder or target.is_folder
    judge = _Judge(source, target, rules)
    async for met in meetings(sources, targets, Filter(rules), folders=folders):
        if not met:
            continue
        left = _without_same(met, judge.settled_after) if judge.by_time_alone else met
        decided = [judge.of(meeting) for meeting in left]
        asked = [number for number, kind in enumerate(decided) if kind == "compare"]
        if asked:
            pairs = [left[number] for number in asked]
            how: How = "etag" if rules.compare == "etag" else "checksum"
            verdicts = await same_bytes(context, source, target, pairs, how)
            for number, verdict in zip(asked, verdicts, strict=True):
                decided[number] = judge.settled(left[number], verdict)
        decisions = [decision for decision in decided if isinstance(decision, Decision)]
        unchanged = len(met) - len(left) + decided.count("same")
        yield Stretch(decisions, unchanged, key_of(met[-1]))


def _without_same(met: list[Meeting], settled_after: int) -> list[Meeting]:
    """Those that are not the same by size and time: most often few of many."""
    return [
        pair
        for pair in met
        if not (
            pair[0]
            and pair[1]
            and NOT_REGULAR != pair[0][1] == pair[1][1]
            and pair[0][2] + settled_after <= pair[1][2]
        )
    ]


def looks_at_target(rules: Rules) -> bool:
    """Whether a plan depends on what the target has."""
    return rules.compare is not None or rules.delete


class _Judge:
    """Decides on one key after the other."""

    def __init__(self, source: Side, target: Side, rules: Rules) -> None:
        self._source, self._target = source, target
        self._rules = rules
        self._kind: Kind = (
            "upload" if source.is_folder else "download" if target.is_folder else "copy"
        )
        # What is there already under its key need not be looked at: it is the key of a file. Only
        # where a disk folds names it may be that of another.
        self._trusting = True
        self._check: Callable[[str], None]
        if isinstance(target, FolderSide):
            neighbours = Neighbours(target)
            self._check, self._trusting = neighbours.check, not neighbours.folds
        else:
            assert isinstance(target, BucketSide)
            prefix, limit = target.prefix, target.end.core.client.capabilities.max_key_bytes
            self._check = lambda key: key_rules.check_key(prefix + key, limit)
        self.by_time_alone = rules.compare == "time" and self._trusting
        # A copy may be older than what has replaced its source in the same second.
        self.settled_after = SECOND if self._kind == "copy" else 0

    def of(self, meeting: Meeting) -> Decision | Literal["same", "left alone", "compare"]:
        """A decision; or that there is nothing to do, as both are the same or only the target
        has it; or that the bytes have to be looked at."""
        source, target = meeting
        if source is None:
            assert target is not None
            return self._only_target(target)
        key, size = source[:2]
        if size == NOT_REGULAR:
            if source.error is None:
                return Decision(key, "skip")
            return Decision(key, "fail", error=source.error)
        if target is not None and target.error is not None:
            return Decision(key, "fail", error=target.error)
        how = self._rules.compare
        same: bool | None = False
        if target is not None and how is not None and size == target.size:
            if how == "time" and self._in_doubt(source, target):
                same = needs_reading(self._source, self._target, meeting, "checksum")
            elif how == "time":
                same = source.modified <= target.modified
            else:
                same = needs_reading(self._source, self._target, meeting, how)
        if same and self._trusting:
            return "same"
        try:
            self._check(key)
        except InvalidKeyError as error:
            return Decision(key, "fail", error=error.with_traceback(None))
        if same is None:
            return "compare"
        return "same" if same else self._move(source)

    def _in_doubt(self, source: Entry, target: Entry) -> bool:
        """Whether the times tell nothing, as both are of one second and have no finer steps."""
        if self._kind == "download":
            return source.modified - target.modified == DOUBT
        same = source.modified == target.modified
        return self._kind == "copy" and same and source.modified % SECOND == 0

    def settled(
        self, meeting: Meeting, verdict: bool | StorageError | OSError
    ) -> Decision | Literal["same"]:
        """The decision, now that the bytes were looked at."""
        source = meeting[0]
        assert source is not None
        if verdict is True:
            return "same"
        if verdict is False:
            return self._move(source)
        return Decision(source.key, "fail", error=verdict)

    def _move(self, source: Entry) -> Decision:
        return Decision(source.key, self._kind, source.size, source.modified, source.etag)

    def _only_target(self, target: Entry) -> Decision | Literal["left alone"]:
        if target.error is not None:
            return Decision(target.key, "fail", error=target.error)
        if target.size == NOT_REGULAR:
            return Decision(target.key, "skip")
        return Decision(target.key, "delete") if self._rules.delete else "left alone"
