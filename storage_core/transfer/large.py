"""Large objects of a tree, each with all the width of the transfer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from storage_core.core.attributes import write_conditions
from storage_core.model import NO_CONDITIONS, Attributes
from storage_core.transfer.copy import copy_object
from storage_core.transfer.entries import microseconds
from storage_core.transfer.folder_writing import prepare_place, set_time

if TYPE_CHECKING:
    from storage_core.transfer.context import Context
    from storage_core.transfer.folder import FolderSide
    from storage_core.transfer.planning import Decision
    from storage_core.transfer.prefix import BucketSide
    from storage_core.transfer.rules import Rules


class Large(ABC):
    """Moves one object at a time."""

    @abstractmethod
    async def move(self, decision: Decision) -> str | None:
        """Move it; the etag of the object that was written or read."""


class LargeUploads(Large):
    """Files of a folder into a bucket."""

    def __init__(
        self,
        context: Context,
        source: FolderSide,
        target: BucketSide,
        rules: Rules,
        attributes: Callable[[str], Attributes],
    ) -> None:
        self._context = context
        self._source, self._target = source, target
        self._conditions = write_conditions(rules.if_absent, None)
        self._attributes = attributes

    async def move(self, decision: Decision) -> str | None:
        from storage_core.transfer.upload import upload_file

        source, target, key = self._source, self._target, decision.key
        result = await upload_file(
            self._context.nested(),
            target.end,
            source.path(key),
            target.prefix + key,
            self._attributes(key),
            self._conditions,
            expected=True,
        )
        return result.etag


class LargeDownloads(Large):
    """Objects of a bucket into a folder."""

    def __init__(
        self, context: Context, source: BucketSide, target: FolderSide, rules: Rules
    ) -> None:
        self._context = context
        self._source, self._target = source, target
        self._replace = not rules.if_absent

    async def move(self, decision: Decision) -> str | None:
        from storage_core.transfer.download import download_file

        context, target, key = self._context.nested(), self._target, decision.key
        await context.team.blocking(prepare_place, target.root, key, self._replace)
        info = await download_file(
            context,
            self._source.end,
            self._source.prefix + key,
            target.path(key),
            None,
            NO_CONDITIONS,
            self._replace,
            expected=True,
        )
        same = info.etag == decision.etag
        modified = decision.modified if same else microseconds(info.modified)
        await context.team.blocking(set_time, target.root, key, modified)
        return info.etag


class LargeCopies(Large):
    """Objects of a bucket into another."""

    def __init__(
        self, context: Context, source: BucketSide, target: BucketSide, rules: Rules
    ) -> None:
        self._context = context
        self._source, self._target = source, target
        self._rules = rules

    async def move(self, decision: Decision) -> str | None:
        source, target, rules = self._source, self._target, self._rules
        etag: list[str] = []
        await copy_object(
            self._context.nested(),
            source.end,
            source.prefix + decision.key,
            target.end,
            target.prefix + decision.key,
            if_absent=rules.if_absent,
            leave_out=rules.leave_out,
            expected=True,
            read=etag.append,
        )
        return etag[0]
