"""Listings of the facade `z3`: all of it in one answer, a page at a time in memory."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from storage_core.access import policy
from storage_core.gateway.facade import Reply
from storage_core.gateway.facades.z3_wire import iso

if TYPE_CHECKING:
    from storage_core.access.buckets import LogicalBucket
    from storage_core.access.policy import Rule
    from storage_core.aio import AsyncBucket
    from storage_core.model import ObjectSummary, Prefix

ACTION: Final = "Z3:ListObjects"
PAGE: Final = 1000
TOGETHER: Final = 16
"""Requests at a time for the dates of folders."""


class Entry(NamedTuple):
    """An object, or a folder, in a listing of the storage."""

    key: str
    modified: datetime


Lines: TypeAlias = list[dict[str, str]]


async def list_objects(
    bucket: LogicalBucket,
    physical: AsyncBucket,
    prefix: str,
    *,
    direct: bool,
    ordered: bool,
    rules: tuple[Rule, ...],
) -> Reply:
    """The objects whose keys begin with a string, ascending by the bytes of their keys.

    Args:
        bucket: Where it looks.
        physical: The storage's bucket of that.
        prefix: A plain string, with or without slashes; empty for all.
        direct: Whether what lies below the next slash is one line, ``folder/``, dated by its
            marker or else by its first object.
        ordered: Whether the storage lists in order.
        rules: Those of who asks; what they hide is left out.
    """
    pages = _pages(physical, bucket.prefix + prefix, direct=direct)
    if not ordered:
        pages = _sorted(pages)
    lines = _lines(pages, bucket, _seen(rules, bucket.name, prefix))
    # A failure of the first requests still gets a status of its own.
    nothing: Lines = []
    first = await anext(lines, nothing)
    second = await anext(lines, None)
    if second is None:
        return Reply(value=first)
    return Reply(stream=_array(first, second, lines))


async def _array(first: Lines, second: Lines, rest: AsyncGenerator[Lines]) -> AsyncIterator[bytes]:
    """A JSON array of pages, none of them empty."""
    async with aclosing(rest):
        yield b"[" + _inner(first)
        yield b"," + _inner(second)
        async for page in rest:
            yield b"," + _inner(page)
        yield b"]"


def _inner(page: Lines) -> bytes:
    return json.dumps(page, ensure_ascii=False)[1:-1].encode()


async def _lines(
    pages: AsyncGenerator[Sequence[Entry]], bucket: LogicalBucket, seen: Callable[[str], bool]
) -> AsyncGenerator[Lines]:
    """What is shown of each page, if anything is."""
    cut = len(bucket.prefix)
    async with aclosing(pages):
        async for page in pages:
            lines = [
                {"key": f"{bucket.name}/{key}", "lastModified": iso(entry.modified)}
                for entry in page
                if seen(key := entry.key[cut:])
            ]
            if lines:
                yield lines


def _seen(rules: tuple[Rule, ...], bucket: str, prefix: str) -> Callable[[str], bool]:
    """Whether a key is shown to who may list at ``prefix``.

    That right is one to what lies at and below the path, not to its neighbours, whose names
    only begin alike: those need a right of their own. Nothing is shown that is denied.
    """
    below = prefix if prefix.endswith("/") or not prefix else prefix + "/"
    denying = tuple(rule for rule in rules if rule.effect == "Deny" and ACTION in rule.actions)

    def seen(key: str) -> bool:
        resource = f"Z3:{bucket}/{key}"
        if key == prefix or key.startswith(below):
            return not denying or not policy.denies(denying, ACTION, resource)
        return policy.allows(rules, ACTION, resource)

    return seen


# --- what the storage has -----------------------------------------------------------------


async def _pages(
    physical: AsyncBucket, prefix: str, *, direct: bool
) -> AsyncGenerator[Sequence[Entry]]:
    async for page in physical.list(prefix, delimiter="/" if direct else "").pages():
        if not direct:
            yield [Entry(item.key, item.modified) for item in page.items if not item.is_prefix]
            continue
        for start in range(0, len(page.items), TOGETHER):
            some = page.items[start : start + TOGETHER]
            dated = await asyncio.gather(*(_dated(physical, item) for item in some))
            yield [entry for entry in dated if entry is not None]


async def _dated(physical: AsyncBucket, item: ObjectSummary | Prefix) -> Entry | None:
    """The entry of an object or a folder; None when the folder is gone meanwhile."""
    if not item.is_prefix:
        return Entry(item.key, item.modified)
    async for first in physical.list(item.key, page_size=1):
        if not first.is_prefix:
            return Entry(item.key, first.modified)
    return None


async def _sorted(pages: AsyncGenerator[Sequence[Entry]]) -> AsyncGenerator[Sequence[Entry]]:
    """The same in order, from services that list in another one (Azure). They are put in
    order by SQLite, in a database without a name, which takes to the disk when it grows."""
    with closing(sqlite3.connect("", check_same_thread=False)) as database:
        database.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, modified REAL) WITHOUT ROWID")

        def add(page: Sequence[Entry]) -> None:
            # The cursor must end in this thread: its end resets a statement that the next
            # call uses again.
            rows = ((entry.key.encode(), entry.modified.timestamp()) for entry in page)
            database.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", rows)

        async with aclosing(pages):
            async for page in pages:
                await asyncio.to_thread(add, page)
        found = database.execute("SELECT key, modified FROM entries ORDER BY key")
        while rows := await asyncio.to_thread(found.fetchmany, PAGE):
            yield [Entry(key.decode(), datetime.fromtimestamp(time, UTC)) for key, time in rows]
