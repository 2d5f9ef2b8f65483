"""``storage cp`` and ``mv``: objects to another place, in the same profile or another."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage_core.cli.address import (
    Address,
    parse_group,
    parse_object,
    parse_within_bucket,
    target_for,
)
from storage_core.cli.formats import size_text
from storage_core.cli.get import fetch_group, fetch_one
from storage_core.cli.many import AGAIN, GO_ON, MOVE_ON, Many, batches, in_parallel, shown
from storage_core.cli.objects import DELETIONS
from storage_core.cli.operands import is_local, parse_operand, parse_side
from storage_core.cli.options import (
    CLUSTER,
    TRANSFER,
    Cluster,
    LeaveOut,
    NoClobber,
    Recursive,
    Transfer,
)
from storage_core.cli.put import PutOptions, Sender
from storage_core.cli.session import Session, This
from storage_core.cli.status import UsageError
from storage_core.cli.telling import tell_stored
from storage_core.errors import ObjectChangedError, UnsupportedError
from storage_core.model import ObjectSummary
from storage_core.transfer.plan import TREE_WIDTH
from storage_core.transfer.progress import Meter

if TYPE_CHECKING:
    from storage_core import Bucket
    from storage_core.cluster.engine import Engine
    from storage_core.model import Prefix, PutResult
    from storage_core.transfer.progress import OnProgress
    from storage_core.transfer.report import OnOutcome, Outcome, TransferReport

_WITHOUT = "--leave-out does without it"
_REPLACED = (
    "the object was replaced while it was being moved: the target has the old one, the new one"
    " stays"
)


def cp(
    source: str,
    target: str,
    /,
    *,
    recursive: Recursive = False,
    no_clobber: NoClobber = False,
    version_id: str | None = None,
    leave_out: LeaveOut = None,
    transfer: Transfer = TRANSFER,
    cluster: Cluster = CLUSTER,
    session: This,
) -> None:
    """Copy objects, with headers, metadata and tags.

    Within a profile the service copies by itself; between profiles the bytes pass through here
    and are verified on both sides. What the other profile can not keep is refused, unless
    --leave-out says to do without it.

    One of the operands may be a local file or folder, which begins with "./", "../", "/" or
    "~/"; the command is then as "put" or "get".

    Args:
        source: PROFILE:BUCKET/KEY; with -r a bucket or a prefix ending with "/".
        target: PROFILE:BUCKET/KEY, or a bucket or a prefix ending with "/".
        recursive: Copy all objects of a bucket or a prefix.
        no_clobber: Fail if there is such an object.
        version_id: An older version of the source.
        leave_out: What is not to come along to another profile.
    """
    if recursive and version_id is not None:
        raise UsageError("--version-id goes with one object, not with -r")
    read = parse_side if recursive else parse_operand
    origin, goal = read(source), read(target)
    local = isinstance(origin, Path) or isinstance(goal, Path)
    if local and leave_out:
        raise UsageError("--leave-out goes with copies between profiles")
    if cluster.engine is not None and (local or no_clobber or not recursive):
        raise UsageError("--engine goes with -r between buckets, without -n; 'sync' takes folders")
    if isinstance(origin, Path):
        if isinstance(goal, Path) or version_id is not None:
            raise UsageError(f"{source!r} is a local file; the target is an object, of no version")
        send = Sender(session, PutOptions(no_clobber=no_clobber), transfer)
        if recursive:
            send.folders([origin], goal)
        else:
            send.file(origin, target_for(goal, origin.name))
    elif isinstance(goal, Path):
        if recursive:
            fetch_group(session, origin, goal, not no_clobber, transfer)
        else:
            origin, place = parse_object(source), os.path.expanduser(target)
            fetch_one(session, origin, place, not no_clobber, version_id, transfer)
    elif recursive:
        way = _Way(session, origin, goal, no_clobber, leave_out, transfer)
        with cluster.opened() as engine, Many(session, "copying", remedy=AGAIN) as many:
            way.copy_tree(many, many.tell(goal), engine)
    else:
        origin = parse_object(source)
        goal = target_for(goal, origin.last_segment)
        way = _Way(session, origin, goal, no_clobber, leave_out, transfer)
        tell_stored(session, goal, way.copy(version_id), "copied to")


def mv(
    source: str,
    target: str,
    /,
    *,
    recursive: Recursive = False,
    no_clobber: NoClobber = False,
    leave_out: LeaveOut = None,
    transfer: Transfer = TRANSFER,
    session: This,
) -> None:
    """Move or rename objects.

    Where the service can not rename, and between profiles, this is a copy and then a deletion
    of what was copied, if it is still the same.

    Args:
        source: PROFILE:BUCKET/KEY; with -r a bucket or a prefix ending with "/".
        target: PROFILE:BUCKET/KEY, or a bucket or a prefix ending with "/".
        recursive: Move all objects of a bucket or a prefix.
        no_clobber: Fail if there is such an object.
        leave_out: What is not to come along to another profile.
    """
    for text in (source, target):
        if is_local(text):
            raise UsageError(f"{text!r} is a local place; 'put' and 'get' copy from and to it")
    if not recursive:
        origin = parse_object(source)
        goal = target_for(parse_within_bucket(target), origin.last_segment)
        way = _Way(session, origin, goal, no_clobber, leave_out, transfer)
        tell_stored(session, goal, way.move(), "moved to")
        return
    origin, goal = parse_group(source), parse_group(target)
    way = _Way(session, origin, goal, no_clobber, leave_out, transfer)
    with Many(session, "moving", remedy=MOVE_ON) as many:
        if way.renames:
            way.refuse_leaving_out()
            way.rename_tree(many)
        else:
            copied: list[Outcome] = []
            way.copy_tree(many, copied.append)
            _Remover(way, many).remove(copied)


@dataclass(frozen=True)
class _Way:
    """From where to where, and how. Both are objects, or both are roots of trees."""

    session: Session
    origin: Address
    goal: Address
    no_clobber: bool
    leave_out: LeaveOut
    transfer: Transfer

    @property
    def source(self) -> Bucket:
        return self.session.bucket(self.origin)

    @property
    def target(self) -> Bucket:
        return self.session.bucket(self.goal)

    @property
    def one_profile(self) -> bool:
        """Whether both ends are of the same profile."""
        name = self.session.profile_name
        return name(self.origin.profile) == name(self.goal.profile)

    @property
    def renames(self) -> bool:
        """Whether the service moves objects in one step."""
        return self.one_profile and self.source.storage.capabilities.atomic_move

    def copy(self, version: str | None) -> PutResult:
        """Copy the object."""
        from storage_core.transfer.copy import copy_object

        return self._carried_out(partial(copy_object, version=version))

    def move(self) -> PutResult:
        """Move the object."""
        from storage_core.transfer.copy import move_object

        if not self.one_profile:
            return self._carried_out(move_object)
        self.refuse_leaving_out()
        origin, goal = self.origin.key, self.goal.key
        return self.source.move(origin, goal, target=self.target, if_absent=self.no_clobber)

    def refuse_leaving_out(self) -> None:
        """Refuse to leave out what a service that moves by itself takes along.

        Raises:
            UsageError: something is to be left out.
        """
        if self.leave_out:
            raise UsageError("--leave-out goes with moves between profiles; within one use cp")

    def _carried_out(self, transfer: Callable[..., Coroutine[Any, Any, PutResult]]) -> PutResult:
        """Do what is done to one object, and show it."""
        from storage_core.blocking.transfers import end_of, make_context
        from storage_core.runtime import drive

        with shown(self.session, self.origin.last_segment, GO_ON) as bars:
            context = make_context(self.transfer.options(), bars.progress)
            work = transfer(
                context,
                end_of(self.source),
                self.origin.key,
                end_of(self.target),
                self.goal.key,
                if_absent=self.no_clobber,
                leave_out=self.leave_out or (),
            )
            try:
                return drive(context.told(work))
            except UnsupportedError as error:
                error.add_note(_WITHOUT)
                raise

    def copy_tree(self, many: Many, succeeded: OnOutcome, engine: Engine | None = None) -> None:
        """Copy all objects, here or by the workers of an engine."""
        options, leave_out = self.transfer.options(), self.leave_out or ()
        source, target = self.source, self.target
        origin, goal = self.origin, self.goal

        def copy(progress: OnProgress, on_outcome: OnOutcome) -> TransferReport:
            def noted(outcome: Outcome) -> None:
                if isinstance(outcome.error, UnsupportedError):
                    outcome.error.add_note(_WITHOUT)
                on_outcome(outcome)

            if engine is not None:
                from storage_core import cluster

                return cluster.copy_tree(
                    source.tree(origin.key),
                    target.tree(goal.key),
                    engine=engine,
                    leave_out=leave_out,
                    options=options,
                    progress=progress,
                    on_outcome=noted,
                )
            return source.copy_tree(
                origin.key,
                target,
                goal.key,
                if_absent=self.no_clobber,
                leave_out=leave_out,
                options=options,
                progress=progress,
                on_outcome=noted,
            )

        many.run(str(origin), copy, succeeded, lambda key: str(origin.at(origin.key + key)))

    def rename_tree(self, many: Many) -> None:
        """Have the service move all objects, several at a time."""
        origin, goal = self.origin, self.goal
        overlap = goal.key.startswith(origin.key) or origin.key.startswith(goal.key)
        if overlap and origin.bucket == goal.bucket:
            raise UsageError(f"{origin} and {goal} overlap, so what was moved would be moved again")
        source, target = self.source, self.target
        meter = Meter(many.bars.progress)

        def rename(item: ObjectSummary | Prefix) -> None:
            assert isinstance(item, ObjectSummary)  # there is no delimiter
            place = goal.at(goal.key + item.key[len(origin.key) :])
            meter.expect(1, None)
            meter.begin(item.key)
            with many.attempt(str(origin.at(item.key))):
                source.move(item.key, place.key, target=target, if_absent=self.no_clobber)
                _tell_moved(many, place, item.size)
            meter.end()

        with many.attempt(str(origin)):
            width = self.transfer.concurrency or TREE_WIDTH
            in_parallel(source.list(origin.key), rename, width)
        meter.finish()


class _Remover:
    """Deletes the sources of what was copied, and that alone.

    Args:
        way: Of the move.
        many: Tells of each.
    """

    def __init__(self, way: _Way, many: Many) -> None:
        self._many = many
        self._origin = way.origin
        self._goal = way.goal
        self._bucket = way.source
        self._target = way.target
        self._meter = Meter(many.bars.progress)

    def remove(self, copied: list[Outcome]) -> None:
        """Delete them."""
        if not copied:
            return
        self._meter.expect(len(copied), None)
        with self._many.attempt(str(self._origin)):
            self._check_apart(copied[0])
            if self._bucket.storage.capabilities.allows("delete", "if_match"):
                in_parallel(copied, self._one, TREE_WIDTH)
            else:
                in_parallel(batches(self._still_there(copied)), self._batch, DELETIONS)
        self._meter.finish()

    def _check_apart(self, outcome: Outcome) -> None:
        """The two trees are not one: then nothing is deleted."""
        from storage_core.blocking.transfers import end_of
        from storage_core.core.between import check_apart
        from storage_core.runtime import drive

        key, place = self._origin.key + outcome.key, self._goal.key + outcome.key
        drive(check_apart(end_of(self._bucket), key, end_of(self._target), place))

    def _one(self, outcome: Outcome) -> None:
        from storage_core.blocking.transfers import end_of
        from storage_core.core.copying import remove_moved
        from storage_core.runtime import drive

        key = self._origin.key + outcome.key
        end = end_of(self._bucket)
        self._meter.begin(key)
        with self._many.attempt(str(self._origin.at(key))):
            drive(end.run(remove_moved(end.core, key, outcome.etag or "", None)))
            self._tell(outcome)
        self._meter.end()

    def _still_there(self, copied: list[Outcome]) -> Iterator[Outcome]:
        """Those whose sources are still what was copied, by a listing just before they go: the
        service can not be asked to look by itself."""
        left = {self._origin.key + outcome.key: outcome for outcome in copied}
        for item in self._bucket.list(self._origin.key):
            assert isinstance(item, ObjectSummary)  # there is no delimiter
            outcome = left.pop(item.key, None)
            if outcome is None:
                continue
            if item.etag in {None, outcome.etag}:
                yield outcome
            else:
                self._meter.end(failed=True)
                self._many.failed(str(self._origin.at(item.key)), ObjectChangedError(_REPLACED))
        for outcome in left.values():  # gone already
            self._meter.end()
            self._tell(outcome)

    def _batch(self, copied: list[Outcome]) -> None:
        by_key = {self._origin.key + outcome.key: outcome for outcome in copied}
        self._meter.begin(next(iter(by_key)))
        with self._many.attempt(str(self._origin)):
            for result in self._bucket.delete_many(by_key):
                self._meter.end(failed=result.error is not None)
                if result.error is None:
                    self._tell(by_key[result.key])
                else:
                    self._many.failed(str(self._origin.at(result.key)), result.error)

    def _tell(self, outcome: Outcome) -> None:
        _tell_moved(self._many, self._goal.at(self._goal.key + outcome.key), outcome.size)


def _tell_moved(many: Many, place: Address, size: int) -> None:
    value = {"action": "move", "bucket": place.bucket, "key": place.key, "size": size}
    many.done("move", size, value, f"moved to {place} ({size_text(size)})")
