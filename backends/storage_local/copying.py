"""Copy, move, and changes of a record that leave the bytes alone."""

from __future__ import annotations

import contextlib
import os
import time
from contextlib import ExitStack
from dataclasses import replace

from storage_core.errors import IntegrityError, NotModifiedError, PreconditionFailedError
from storage_core.model import PutResult
from storage_core.requests import CopyRequest, MoveRequest, PutTagsRequest, UpdateMetadataRequest
from storage_local import split, syscalls
from storage_local.bucket import Bucket
from storage_local.commit import WHOLE, change, drop_data, missing, publish
from storage_local.conditions import check_read, check_write
from storage_local.data import NewData, link_data, open_data
from storage_local.handles import Handle, Leaf
from storage_local.layout import Root
from storage_local.names import file_name, sort_key
from storage_local.reader import check_replaced, find
from storage_local.record import Record, describe, expiry, needs_key, new_id, repack
from storage_local.record_file import read_record
from storage_local.tree import Tree
from storage_local.writer import pack_object, publish_data


def copy(root: Root, request: CopyRequest) -> PutResult:
    """Copy an object: its record anew, its data file by a second name; see `Driver.copy`."""
    source = root.run(request.source_bucket, _itself)
    target = root.run(request.bucket, _itself)
    while True:
        record = find(source, request.source_key, request.source_version, WHOLE)
        try:
            check_read(request.source_conditions, record)
        except NotModifiedError as error:
            raise PreconditionFailedError(error.message, status=412) from None
        identity = new_id()
        attributes = request.attributes or record.attributes()
        raw = pack_object(
            identity,
            record.size,
            record.crc,
            request.key,
            attributes,
            {name: text for name, text in record.checksums.items() if name != "crc32c"},
            request.write_id,
            record.details.get("etag"),
            record.data if record.inline else None,
        )
        try:
            if record.inline:
                made = publish(target, request.key, raw, request.conditions)
            else:
                made = _copy_data(source, target, record, identity, raw, request)
        except FileNotFoundError:
            target.check_present()
            check_replaced(source, request.source_key, request.source_version, record)
            continue
        return made.result(request.key, versions=root.options.versions)


def _itself(bucket: Bucket) -> Bucket:
    bucket.check_present()
    return bucket


def _copy_data(
    source: Bucket,
    target: Bucket,
    record: Record,
    identity: bytes,
    raw: bytes,
    request: CopyRequest,
) -> Record:
    origin, name = record.id.hex(), identity.hex()
    with target.lock():
        target.check_present()
        if link_data(source, origin, target, name):
            return publish(target, request.key, raw, request.conditions)
    # The file has all the names its file system allows; make another one.
    fd = open_data(source, origin)
    try:
        with NewData(target, name) as new:
            if not syscalls.clone(fd, new.fd):
                syscalls.copy_range(fd, new.fd, 0, record.size)
            new.sync()
            return publish_data(target, request.key, new, raw, request.conditions)
    finally:
        os.close(fd)


# --- move -----------------------------------------------------------------------------


def move(root: Root, request: MoveRequest) -> PutResult:
    """Give a record another key in one rename; see `Driver.move`.

    Between buckets the data file gets a name in the other bucket first, the same one, while
    the leaf of the source is locked: no other move of the object can come to rely on it.
    """
    source = root.run(request.source_bucket, _itself)
    # One bucket must be one here; looked up again it may be a new object, the old one evicted.
    same = request.source_bucket == request.bucket
    target = source if same else root.run(request.bucket, _itself)
    if same and request.source_key == request.key:
        record = find(source, request.source_key, None)
        check_write(request.conditions, record)
        return record.result(request.key, versions=False)
    with ExitStack() as locks:
        for bucket in sorted({source, target}, key=lambda bucket: bucket.name):
            locks.enter_context(bucket.lock())
            bucket.check_present()
        moved = None
        while moved is None:
            record = find(source, request.source_key, None)
            if "keys" in record.details or needs_key(request.key):
                _note_key(source, request)
            moved = _rename(source, target, request)
        if source is not target:
            drop_data(source, moved)
    split.created(target.objects, sort_key(request.key))
    split.removed(source.objects, sort_key(request.source_key))
    return moved.result(request.key, versions=False)


def _note_key(source: Bucket, request: MoveRequest) -> None:
    """Write the key to come into a record whose name may not tell it."""

    def alter(old: Record) -> bytes:
        keys = [request.source_key, request.key]
        return repack(old, details={**old.details, "keys": keys})

    change(source, request.source_key, None, alter)


def _bring_data(source: Bucket, target: Bucket, record: Record) -> None:
    """Give the data file of a record, whose leaf is locked, its name in another bucket.

    Raises:
        IntegrityError: it has vanished.
    """
    name = record.data_name
    if name is None:
        return
    try:
        if link_data(source, name, target, name):
            return
        # The file has all the names its file system allows; rare enough to wait for a copy.
        file = Handle(open_data(source, name))
    except FileNotFoundError:
        raise IntegrityError("the data file of the object has vanished; run fsck") from None
    with contextlib.suppress(FileNotFoundError):  # left by a crash
        syscalls.unlink(name, dir_fd=target.tmp.fd)
    with NewData(target, name) as new:
        syscalls.copy_range(file.fd, new.fd, 0, record.size)
        new.sync()
        new.publish()


def _rename(source: Bucket, target: Bucket, request: MoveRequest) -> Record | None:
    """The rename under the locks of both leaves; the record as it was moved. None if it does
    not have the new key yet, since it was replaced after that was noted."""
    places = [
        (source.objects, sort_key(request.source_key)),
        (target.objects, sort_key(request.key)),
    ]
    name, new_name = (file_name(sort) for _, sort in places)
    origin, leaf = lock_both(places)
    try:
        moving = read_record(name, origin.fd)
        if moving is None or not moving.live:
            raise missing()
        if needs_key(request.key) and request.key not in moving.details.get("keys", ()):
            return None
        old = read_record(new_name, leaf.fd)
        check_write(request.conditions, old if old is not None and old.live else None)
        if source is not target:
            _bring_data(source, target, moving)
        # Should this fail, what was brought is left to fsck.
        syscalls.rename(name, new_name, src_dir_fd=origin.fd, dst_dir_fd=leaf.fd)
    finally:
        for one in {origin, leaf}:
            one.unlock()
    if target.options.durable:
        syscalls.fsync(leaf.fd)
        if origin is not leaf:
            syscalls.fsync(origin.fd)
    if old is not None:
        drop_data(target, old, moving)
    return moving


def lock_both(places: list[tuple[Tree, str]]) -> list[Leaf]:
    """Lock the leaves of two sort keys, as `Tree.acquire` does for one, in an order that all
    keep to. They may be the same leaf."""
    while True:
        seen = [tree.map for tree, _ in places]
        leaves = [tree.leaf_of(sort) for tree, sort in places]
        # By id: a leaf evicted between the two looks comes as two, whose locks exclude.
        by_id = {leaf.id: leaf for leaf in leaves}
        leaves = [by_id[leaf.id] for leaf in leaves]
        ordered = [by_id[identity] for identity in sorted(by_id)]
        for leaf in ordered:
            leaf.lock()
        settled = all(
            tree.is_current(old)
            and old.ranges[old.index(sort)].leaf == leaf.id
            and old.ranges[old.index(sort)].fallback is None
            for (tree, sort), old, leaf in zip(places, seen, leaves, strict=True)
        )
        if settled:
            return leaves
        for leaf in ordered:
            leaf.unlock()
        for tree, sort in places:
            tree.reload()
            tree.acquire(sort).unlock()  # finishes a move that a crash interrupted


# --- records alone --------------------------------------------------------------------


def update_metadata(bucket: Bucket, request: UpdateMetadataRequest) -> PutResult:
    """Replace headers, metadata and expiry of the current record, in place."""
    attributes = request.attributes

    def alter(old: Record) -> bytes:
        check_write(request.conditions, old)
        details = describe(request.key, replace(attributes, tags=old.tags))
        for name in ("checksums", "write_id", "etag"):
            if name in old.details:
                details[name] = old.details[name]
        expires = expiry(attributes.expires_at)
        return repack(old, details=details, expires=expires, modified=time.time_ns())

    record = change(bucket, request.key, None, alter)
    return record.result(request.key, versions=bucket.options.versions)


def put_tags(bucket: Bucket, request: PutTagsRequest) -> None:
    """Replace the tags of a record, in place."""

    def alter(old: Record) -> bytes:
        details = {name: value for name, value in old.details.items() if name != "tags"}
        if request.tags:
            details["tags"] = dict(request.tags)
        return repack(old, details=details)

    change(bucket, request.key, request.version, alter)
