"""Files and trees of files in and out of an `AsyncBucket`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, cast

from storage_core.aio.tree import AsyncTree
from storage_core.core.attributes import make_attributes, read_conditions, write_conditions
from storage_core.core.between import End
from storage_core.model import ObjectInfo, PutResult
from storage_core.transfer.options import DEFAULTS, TransferOptions

if TYPE_CHECKING:
    from os import PathLike

    from storage_core.aio.bucket import AsyncBucket
    from storage_core.core.bucket import BucketCore
    from storage_core.runtime import AsyncRuntime
    from storage_core.transfer.context import Context
    from storage_core.transfer.progress import OnProgress
    from storage_core.transfer.report import OnOutcome, TransferReport
    from storage_core.transfer.rules import LeftOut
    from storage_core.transfer.source import Uploadable


class AsyncTransfers:
    """What a bucket of this face does with files and trees of files."""

    __slots__ = ()

    _core: BucketCore
    _runtime: AsyncRuntime

    async def upload_file(
        self,
        source: Uploadable,
        key: str,
        *,
        content_type: str | None = None,
        content_encoding: str | None = None,
        content_disposition: str | None = None,
        content_language: str | None = None,
        cache_control: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        expires_at: datetime | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
        checksums: Mapping[str, str] | None = None,
        compute: Iterable[str] = (),
        options: TransferOptions = DEFAULTS,
        progress: OnProgress | None = None,
    ) -> PutResult:
        """As `storage_core.Bucket.upload_file`."""
        from storage_core.transfer.upload import upload_file

        attributes = make_attributes(
            content_type,
            content_encoding,
            content_disposition,
            content_language,
            cache_control,
            metadata,
            tags,
            expires_at,
        )
        conditions = write_conditions(if_absent, if_match)
        context = make_context(options, progress)
        work = upload_file(
            context,
            end_of(self),
            source,
            key,
            attributes,
            conditions,
            checksums,
            compute=tuple(compute),
        )
        return await context.told(work)

    async def download_file(
        self,
        key: str,
        path: str | PathLike[str],
        *,
        version: str | None = None,
        if_match: str | None = None,
        replace: bool = True,
        options: TransferOptions = DEFAULTS,
        progress: OnProgress | None = None,
    ) -> ObjectInfo:
        """As `storage_core.Bucket.download_file`."""
        from storage_core.transfer.download import download_file

        conditions = read_conditions(if_match, None, None, None)
        context = make_context(options, progress)
        work = download_file(context, end_of(self), key, path, version, conditions, replace)
        return await context.told(work)

    async def upload_tree(
        self,
        folder: str | PathLike[str],
        prefix: str = "",
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        content_type: Callable[[str], str | None] | None = None,
        content_encoding: str | None = None,
        content_disposition: str | None = None,
        content_language: str | None = None,
        cache_control: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        expires_at: datetime | None = None,
        if_absent: bool = False,
        options: TransferOptions = DEFAULTS,
        progress: OnProgress | None = None,
        on_outcome: OnOutcome | None = None,
    ) -> TransferReport:
        """As `storage_core.Bucket.upload_tree`."""
        from storage_core.transfer.folder import FolderSide
        from storage_core.transfer.prefix import BucketSide
        from storage_core.transfer.rules import make_rules
        from storage_core.transfer.sync import transfer

        attributes = make_attributes(
            None,
            content_encoding,
            content_disposition,
            content_language,
            cache_control,
            metadata,
            tags,
            expires_at,
        )
        rules = make_rules(
            include=include,
            exclude=exclude,
            content_type=content_type,
            attributes=attributes,
            if_absent=if_absent,
        )
        context = make_context(options, progress)
        target = BucketSide(end_of(self), prefix)
        work = transfer(context, FolderSide(folder), target, rules, on_outcome)
        return await context.told(work)

    async def download_tree(
        self,
        prefix: str,
        folder: str | PathLike[str],
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        replace: bool = True,
        options: TransferOptions = DEFAULTS,
        progress: OnProgress | None = None,
        on_outcome: OnOutcome | None = None,
    ) -> TransferReport:
        """As `storage_core.Bucket.download_tree`."""
        from storage_core.transfer.folder import FolderSide
        from storage_core.transfer.prefix import BucketSide
        from storage_core.transfer.rules import make_rules
        from storage_core.transfer.sync import transfer

        rules = make_rules(include=include, exclude=exclude, if_absent=not replace)
        context = make_context(options, progress)
        source = BucketSide(end_of(self), prefix)
        work = transfer(context, source, FolderSide(folder), rules, on_outcome)
        return await context.told(work)

    async def copy_tree(
        self,
        prefix: str,
        target_bucket: AsyncBucket,
        target_prefix: str = "",
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        if_absent: bool = False,
        leave_out: Iterable[LeftOut] = (),
        options: TransferOptions = DEFAULTS,
        progress: OnProgress | None = None,
        on_outcome: OnOutcome | None = None,
    ) -> TransferReport:
        """As `storage_core.Bucket.copy_tree`."""
        from storage_core.transfer.prefix import BucketSide
        from storage_core.transfer.rules import make_rules
        from storage_core.transfer.sync import transfer

        rules = make_rules(
            include=include, exclude=exclude, if_absent=if_absent, leave_out=leave_out
        )
        context = make_context(options, progress)
        source = BucketSide(end_of(self), prefix)
        target = BucketSide(end_of(target_bucket), target_prefix)
        return await context.told(transfer(context, source, target, rules, on_outcome))

    def tree(self, prefix: str = "") -> AsyncTree:
        """As `storage_core.Bucket.tree`."""
        return AsyncTree(cast("AsyncBucket", self), prefix)


def end_of(bucket: AsyncTransfers) -> End:
    """A bucket of this face as the engine of transfers takes it."""
    return End(bucket._core, bucket._runtime)


def make_context(options: TransferOptions, progress: OnProgress | None) -> Context:
    """The context of one transfer of this face."""
    from storage_core.runtime.task_team import TaskTeam
    from storage_core.transfer.context import Context

    return Context(TaskTeam(), options, progress)
