"""Pages of a listing. A token is the sort key to go on from, so it holds in any process."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import replace

from storage_core.errors import IntegrityError, InvalidRequestError
from storage_core.model import BucketInfo, ObjectSummary, Page, Prefix, VersionSummary
from storage_core.requests import ListBucketsRequest, ListRequest, ListVersionsRequest
from storage_local.bucket import Bucket
from storage_local.handles import Leaf
from storage_local.layout import Root
from storage_local.names import (
    MAX_NAME,
    after,
    file_name,
    key_of,
    keys_of,
    prefix_range,
    sort_key,
)
from storage_local.record import Record
from storage_local.record_file import read_raw, read_record
from storage_local.summary import live_summary
from storage_local.tree import Scan, Tree, TreeGoneError

LEAVES_PER_PAGE = 64
"""Leaves one page looks through at most; past that it comes back short."""


def list_page(bucket: Bucket, request: ListRequest) -> Page[ObjectSummary | Prefix]:
    """One page of objects and prefixes; see `Driver.list_page`."""
    prefix, delimiter, limit = request.prefix, request.delimiter, request.limit
    low, stop = prefix_range(prefix)
    if request.token is not None:
        position = max(low, check_token(request.token))
    elif request.start_after:
        position = max(low, after(sort_key(request.start_after)))
        if delimiter and request.start_after.startswith(prefix):
            position = _past_group(position, request.start_after, prefix, delimiter)
    else:
        position = low
    items: list[ObjectSummary | Prefix] = []
    take = _take_grouped if delimiter else _take_all
    for _ in range(LEAVES_PER_PAGE):
        if position >= stop:
            return Page(items)
        scan = bucket.objects.scan(position)
        found = take(bucket.objects, scan, request, stop, items)
        if found is None:
            if scan.high is None or scan.high >= stop:
                return Page(items)
            found = scan.high
        position = found
        if len(items) >= limit:
            break
    return Page(items, position)


Items = list[ObjectSummary | Prefix]


def _take_all(tree: Tree, scan: Scan, request: ListRequest, stop: str, items: Items) -> str | None:
    """Add the objects of one leaf; where to go on if the page is full, else None."""
    sorts, leaf, _ = scan
    del sorts[bisect_left(sorts, stop) :]
    room = request.limit - len(items)
    add = items.append
    if leaf is None or len(sorts) > room:
        rest = sorts[room] if len(sorts) > room else None
        del sorts[room:]
    else:
        rest = None
    fd = -1 if leaf is None else leaf.fd
    key = ""
    try:
        for sort, key in zip(sorts, keys_of(sorts), strict=True):
            raw = read_raw(sort if len(sort) <= MAX_NAME else file_name(sort), fd) if leaf else None
            if raw is None and (raw := tree.read(sort)) is None:  # moved or deleted
                continue
            summary = live_summary(raw, key)
            if summary is not None:
                add(summary)
    except IntegrityError as error:
        error.key = key
        raise
    return rest


def _take_grouped(
    tree: Tree, scan: Scan, request: ListRequest, stop: str, items: Items
) -> str | None:
    """Add the objects and groups of one leaf; where to go on if that is not the next leaf."""
    sorts, leaf, high = scan
    prefix, delimiter = request.prefix, request.delimiter
    read = record_reader(tree, leaf)
    index, count = 0, bisect_left(sorts, stop)
    while index < count:
        sort = sorts[index]
        if len(items) >= request.limit:
            return sort
        index += 1
        record = read(sort)
        if record is None or not record.live:
            continue
        key = key_of(sort)
        found = key.find(delimiter, len(prefix))
        if found < 0:
            items.append(record.summary(key))
            continue
        group = key[: found + len(delimiter)]
        items.append(Prefix(group))
        position = prefix_range(group)[1]
        if high is not None and position > high:
            return position  # the group goes on in the next leaf
        index = bisect_left(sorts, position, index)
    return None


def _past_group(position: str, start_after: str, prefix: str, delimiter: str) -> str:
    """Where to go on when ``start_after`` lies in a group: past all of it, since the group
    stands in the listing under its own, lesser name."""
    found = start_after.find(delimiter, len(prefix))
    if found < 0:
        return position
    return prefix_range(start_after[: found + len(delimiter)])[1]


def check_token(token: str) -> str:
    """A token of ours, as the sort key to go on from.

    Raises:
        InvalidRequestError: it is none.
    """
    if not token.isascii():
        raise InvalidRequestError("the page token was not made by this backend")
    return token


def record_reader(tree: Tree, leaf: Leaf | None) -> Callable[[str], Record | None]:
    """A function that reads the header of a record by its sort key: in the leaf where the
    scan saw it, else wherever it has moved. Its errors name the key."""

    def read(sort: str) -> Record | None:
        try:
            if leaf is not None:
                record = read_record(file_name(sort), leaf.fd)
                if record is not None:
                    return record
            raw = tree.read(sort)
            return None if raw is None else Record(raw)
        except IntegrityError as error:
            error.key = key_of(sort)
            raise

    return read


def iterate(tree: Tree, start: str, stop: str) -> Iterator[tuple[str, Leaf | None]]:
    """All sort keys of a range, with the leaf where each was seen."""
    while start < stop:
        sorts, leaf, high = tree.scan(start)
        for sort in sorts[: bisect_left(sorts, stop)]:
            yield sort, leaf
        if high is None:
            return
        start = high


def list_versions_page(bucket: Bucket, request: ListVersionsRequest) -> Page[VersionSummary]:
    """One page of versions; see `Driver.list_versions_page`.

    Current records are read before and after the noncurrent ones of the same stretch: a
    version that is replaced meanwhile, or takes the place of a deleted one, is then seen in
    one of them, and listed once.
    """
    limit = request.limit
    low, stop = prefix_range(request.prefix)
    if request.token is not None:
        low = max(low, check_token(request.token))
    found: dict[str, VersionSummary] = {}
    for sort, leaf in iterate(bucket.objects, low, stop):
        if len(found) == limit:
            stop = sort  # the next page goes on with this key
            break
        record = record_reader(bucket.objects, leaf)(sort)
        if record is not None:
            found[sort] = record.version_summary(key_of(sort), latest=True)
    current = {(one.key, one.version) for one in found.values()}
    taken = 0
    for sort, leaf in iterate(bucket.versions, low, stop):
        record = record_reader(bucket.versions, leaf)(sort)
        if record is None or (key_of(sort), record.version) in current:
            continue
        found[sort] = record.version_summary(key_of(sort), latest=False)
        taken += 1
        if taken > limit:
            break
    for sort, leaf in iterate(bucket.objects, low, stop):
        record = record_reader(bucket.objects, leaf)(sort)
        before = found.get(sort)
        if record is None or (before is not None and before.version == record.version):
            continue
        if before is not None:
            found[sort_key(before.key, before.version)] = replace(before, is_latest=False)
        found.pop(sort_key(key_of(sort), record.version), None)
        found[sort] = record.version_summary(key_of(sort), latest=True)
    ordered = sorted(found)
    items = [found[sort] for sort in ordered[:limit]]
    if len(ordered) > limit:
        return Page(items, ordered[limit])
    return Page(items, None if stop == prefix_range(request.prefix)[1] else stop)


def list_buckets_page(root: Root, request: ListBucketsRequest) -> Page[BucketInfo]:
    """One page of buckets; see `Driver.list_buckets_page`."""
    names = [name for name in root.bucket_names() if name.startswith(request.prefix)]
    if request.token is not None:
        names = names[bisect_left(names, check_token(request.token)) :]
    items = []
    for name in names[: request.limit]:
        try:
            items.append(root.run(name, Bucket.info))
        except (TreeGoneError, FileNotFoundError):  # deleted meanwhile
            continue
    rest = names[request.limit :]
    return Page(items, rest[0] if rest else None)
