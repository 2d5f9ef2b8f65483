"""The objects below a prefix as a side of a transfer."""

from __future__ import annotations

from collections.abc import AsyncIterator

from storage_core import keys as key_rules
from storage_core.core.between import End
from storage_core.errors import StorageError
from storage_core.model import ObjectSummary
from storage_core.runtime.team import Team
from storage_core.transfer.entries import ALL, BATCH, Entry, KeyRange, Side, microseconds


def tree_prefix(prefix: str) -> str:
    """The prefix of a tree: empty, or with ``/`` at its end.

    Raises:
        InvalidKeyError: it is no text that has a UTF-8 form.
    """
    key_rules.check_prefix(prefix)
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


class BucketSide(Side):
    """Objects of a bucket whose keys begin with a prefix.

    Args:
        end: The bucket.
        prefix: As for `tree_prefix`.
    """

    is_folder = False

    def __init__(self, end: End, prefix: str) -> None:
        self.end = end
        self.prefix = tree_prefix(prefix)

    def describe(self) -> str:
        core = self.end.core
        return f"{core.client.driver.describe()} {core.name}/{self.prefix}"

    async def batches(
        self, team: Team, keys: KeyRange, *, target: bool = False
    ) -> AsyncIterator[list[Entry]]:
        if self.end.core.client.capabilities.ordered_listing:
            async for entries in self._pages(keys, True):
                yield entries
            return
        # In whatever order the service has them: they are sorted here, all in memory.
        every = [
            entry
            async for entries in self._pages(ALL, False)
            for entry in entries
            if keys.holds(entry.key)
        ]
        every.sort(key=lambda entry: entry.key)
        for start in range(0, len(every), BATCH):
            yield every[start : start + BATCH]

    async def _pages(self, keys: KeyRange, ordered: bool) -> AsyncIterator[list[Entry]]:
        core, prefix = self.end.core, self.prefix
        # A range may be short: large pages would go far beyond its end.
        size = None if keys.until is None else BATCH
        pages = core.list(prefix, "", prefix + keys.after if keys.after else "", size)
        token: str | None = None
        last, until = "", keys.until
        while True:
            page = await self.end.run(pages.fetch(token))
            entries = [self._entry(item) for item in page.items if isinstance(item, ObjectSummary)]
            if ordered:
                for entry in entries:
                    if entry.key <= last and entry.key:
                        raise self._unordered(entry.key)
                    last = entry.key
                if until is not None and last > until:
                    yield [entry for entry in entries if entry.key <= until]
                    return
            yield entries
            token = page.next_token
            if token is None:
                return

    def _entry(self, item: ObjectSummary) -> Entry:
        key = item.key[len(self.prefix) :]
        return Entry(key, item.size, microseconds(item.modified), item.etag, item.checksums)

    def _unordered(self, key: str) -> StorageError:
        # Going on would take what is on both sides for missing on one, and delete it.
        error = StorageError("the service lists its keys out of order; nothing was decided by it")
        return error.with_context("list", self.end.core.name, self.prefix + key)
