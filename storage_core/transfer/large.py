"""Large objects of a tree, each with all the width of the transfer."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from storage_core.core.attributes import write_conditions
from storage_core.errors import ObjectChangedError
from storage_core.model import NO_CONDITIONS, Attributes
from storage_core.transfer.copy import copy_object
from storage_core.transfer.entries import microseconds, time_for_file
from storage_core.transfer.folder_writing import prepare_place, set_time
from storage_core.transfer.small import is_changed

if TYPE_CHECKING:
    from storage_core.transfer.context import Context
    from storage_core.transfer.folder import FolderSide
    from storage_core.transfer.planning import Decision
    from storage_core.transfer.prefix import BucketSide
    from storage_core.transfer.rules import Rules

_TRIES: Final = 3
"""Uploads of a file that changes meanwhile."""


class Large(ABC):
    """Moves one object at a time."""

    @abstractmethod
    async def move(self, decision: Decision) -> tuple[int, str]:
        """Move it; size and etag of the object that was written or read."""


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

    async def move(self, decision: Decision) -> tuple[int, str]:
        from storage_core.transfer.upload import upload_file

        target, key, path = self._target, decision.key, self._source.path(decision.key)
        blocking = self._context.team.blocking
        for _ in range(_TRIES):
            before = await blocking(os.lstat, path)
            result = await upload_file(
                self._context.nested(),
                target.end,
                path,
                target.prefix + key,
                self._attributes(key),
                self._conditions,
                expected=True,
            )
            changed = await blocking(is_changed, path, result.size, before.st_mtime_ns)
            if not changed or self._conditions.if_none_match is not None:
                return result.size, result.etag
        raise ObjectChangedError(f"{path} keeps changing while it is uploaded")


class LargeDownloads(Large):
    """Objects of a bucket into a folder."""

    def __init__(
        self, context: Context, source: BucketSide, target: FolderSide, rules: Rules
    ) -> None:
        self._context = context
        self._source, self._target = source, target
        self._replace = not rules.if_absent

    async def move(self, decision: Decision) -> tuple[int, str]:
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
        await context.team.blocking(set_time, target.root, key, time_for_file(modified))
        return info.size, info.etag


class LargeCopies(Large):
    """Objects of a bucket into another."""

    def __init__(
        self, context: Context, source: BucketSide, target: BucketSide, rules: Rules
    ) -> None:
        self._context = context
        self._source, self._target = source, target
        self._rules = rules

    async def move(self, decision: Decision) -> tuple[int, str]:
        source, target, rules = self._source, self._target, self._rules
        etag: list[str] = []
        result = await copy_object(
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
        return result.size, etag[0]
