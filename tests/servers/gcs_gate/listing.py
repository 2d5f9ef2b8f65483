"""One page of a bucket's objects, for both APIs (json: objects/list, xml: get-bucket-list)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.servers.gcs_gate.state import Bucket, ObjectVersion

LARGEST_PAGE = 1000


@dataclass(frozen=True)
class Query:
    """What to list.

    Attributes:
        prefix: Names begin with it.
        delimiter: What is after it is left out, and the rest is a prefix.
        start: Names from here on.
        end: Names before this, "" for all.
        after: Only what comes after this entry: a name or a common prefix, and a generation.
        beyond: Only names after this one, and not this common prefix.
        versions: Noncurrent ones too.
        trailing: Objects that end in the delimiter are items too.
        limit: Items and prefixes together.
    """

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    end: str = ""
    after: tuple[str, int] | None = None
    beyond: str = ""
    versions: bool = False
    trailing: bool = False
    limit: int = LARGEST_PAGE


@dataclass
class Page:
    """Items and prefixes; `last` is the entry to go on after, None at the end."""

    items: list[ObjectVersion] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    last: tuple[str, int] | None = None


def page(bucket: Bucket, query: Query) -> Page:
    """The first page after `query.after`."""
    made = Page()
    count = 0
    last: tuple[str, int] | None = None
    for entry in _entries(bucket, query):
        if query.after is not None and not _is_after(entry, query):
            continue
        if count == query.limit:
            made.last = last
            return made
        if isinstance(entry, str):
            made.prefixes.append(entry)
            last = (entry, 0)
        else:
            made.items.append(entry)
            last = (entry.name, entry.generation)
        count += 1
    return made


def _entries(bucket: Bucket, query: Query) -> Iterator[str | ObjectVersion]:
    """Items and common prefixes in order."""
    start = max(query.prefix.encode(), query.start.encode(), query.beyond.encode())
    if query.after is not None:
        start = max(start, query.after[0].encode())
    before: str | None = None
    for name in bucket.names(start):
        if not name.startswith(query.prefix) or (query.end and name.encode() >= query.end.encode()):
            return
        if query.beyond and name == query.beyond:
            continue
        versions = bucket.versions(name) if query.versions else [bucket.live.get(name)]
        found = [version for version in versions if version is not None]
        common = _common(name, query)
        if common is None:
            yield from found
        elif found and common != query.beyond:
            if common != before:
                before = common
                yield common
            if query.trailing and name == common:
                yield from found


def _common(name: str, query: Query) -> str | None:
    """The prefix that stands for a name."""
    if not query.delimiter:
        return None
    at = name.find(query.delimiter, len(query.prefix))
    return None if at < 0 else name[: at + len(query.delimiter)]


def _is_after(entry: str | ObjectVersion, query: Query) -> bool:
    """Whether an entry comes after the last one of the page before. A common prefix comes
    before the object of the same name, and a version before a later one."""
    assert query.after is not None
    name, generation = query.after
    if isinstance(entry, str):
        return entry.encode() > name.encode()
    if entry.name == name:
        return entry.generation > generation
    return entry.name.encode() > name.encode()
