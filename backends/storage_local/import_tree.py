"""Taking an existing directory tree in as a bucket."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from storage_core import keys
from storage_core.checksum import PIECE, crc32c, new
from storage_core.errors import ConfigError, InvalidKeyError, PreconditionFailedError
from storage_core.model import NO_ATTRIBUTES, NO_CONDITIONS, Conditions
from storage_local import syscalls
from storage_local.bucket import Bucket
from storage_local.commit import publish
from storage_local.data import NewData
from storage_local.handles import Handle
from storage_local.layout import Root
from storage_local.record import MAX_NS, Record, new_id, repack
from storage_local.writer import pack_object, publish_data


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something in the tree that is no object.

    Attributes:
        place: Where it is, relative to the tree.
        reason: Why it was left out.
    """

    place: str
    reason: str


@dataclass(slots=True)
class ImportReport:
    """What was taken in.

    Attributes:
        objects: Number of objects made.
        bytes: Their bytes.
        cloned: Objects that share their blocks with the source's.
        skipped: What was left out, with the reason.
    """

    objects: int = 0
    bytes: int = 0
    cloned: int = 0
    skipped: list[Skipped] = field(default_factory=list)


Progress = Callable[[ImportReport], None]


def import_tree(
    root: Root,
    bucket: str,
    source: str,
    *,
    prefix: str = "",
    overwrite: bool = True,
    progress: Progress | None = None,
) -> ImportReport:
    """Make an object of every regular file below a directory.

    Keys are the prefix and the place relative to the directory, with ``/`` between. Files
    are cloned where the file system can, else copied; their modification time is kept.
    Symbolic links are not followed, and neither they nor sockets, devices and names that can
    not be keys become objects: they are reported. The tree must hold still meanwhile.

    Args:
        root: The open root.
        bucket: Name of an existing bucket.
        source: The directory.
        prefix: Put before every key.
        overwrite: Whether objects that exist are replaced; else they are skipped.
        progress: Called after every object with the report so far.

    Raises:
        BucketNotFoundError: there is no such bucket.
        ConfigError: the source is no directory, or contains the root.
    """
    target = root.run(bucket, _itself)
    place = os.path.realpath(source)
    if not os.path.isdir(place):
        raise ConfigError(f"{source!r} is not a directory")
    inner, outer = os.path.realpath(root.place) + os.sep, place + os.sep
    if inner.startswith(outer) or outer.startswith(inner):
        raise ConfigError(f"{source!r} and the root {root.place!r} contain one another")
    report = ImportReport()
    top = Handle(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    conditions = NO_CONDITIONS if overwrite else Conditions(if_none_match="*")
    for relative, directory, name in _walk(top, "", report):
        key = prefix + relative
        try:
            keys.check_key(key)
        except InvalidKeyError as error:
            report.skipped.append(Skipped(relative, error.message))
            continue
        try:
            file = Handle(os.open(name, syscalls.READ, dir_fd=directory.fd))
        except (FileNotFoundError, PermissionError) as error:
            report.skipped.append(Skipped(relative, error.strerror or str(error)))
            continue
        try:
            with root.present(target):
                _take_in(target, key, file, conditions, report)
        except PreconditionFailedError:
            report.skipped.append(Skipped(relative, "the object exists"))
            continue
        if progress is not None:
            progress(report)
    return report


def _walk(directory: Handle, above: str, report: ImportReport) -> Iterator[tuple[str, Handle, str]]:
    """Regular files below a directory: relative place, open directory, name."""
    for name in sorted(os.listdir(directory.fd)):
        relative = above + name
        inner = None
        try:
            mode = os.stat(name, dir_fd=directory.fd, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                inner = Handle(os.open(name, syscalls.DIRECTORY, dir_fd=directory.fd))
        except (FileNotFoundError, PermissionError) as error:
            report.skipped.append(Skipped(relative, error.strerror or str(error)))
            continue
        if inner is not None:
            yield from _walk(inner, relative + "/", report)
        elif stat.S_ISREG(mode):
            yield relative, directory, name
        else:
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a regular file"
            report.skipped.append(Skipped(relative, kind))


def _itself(bucket: Bucket) -> Bucket:
    bucket.check_present()
    return bucket


def _take_in(
    bucket: Bucket, key: str, file: Handle, conditions: Conditions, report: ImportReport
) -> None:
    found = os.fstat(file.fd)
    md5 = new("md5") if bucket.options.md5_etags else None
    identity = new_id()
    if found.st_size <= bucket.options.inline_size:
        data = os.read(file.fd, bucket.options.inline_size + 1)
        etag = None
        if md5 is not None:
            md5.update(data)
            etag = md5.digest().hex()
        raw = pack_object(
            identity, len(data), crc32c(data), key, NO_ATTRIBUTES, etag=etag, data=data
        )
        publish(bucket, key, _dated(raw, found.st_mtime_ns), conditions)
        report.objects += 1
        report.bytes += len(data)
        return
    with NewData(bucket, identity.hex()) as data_file:
        cloned = syscalls.clone(file.fd, data_file.fd)
        size = crc = 0
        while piece := os.read(file.fd, PIECE):
            crc = crc32c(piece, crc)
            size += len(piece)
            if md5 is not None:
                md5.update(piece)
            if not cloned:
                syscalls.write_all(data_file.fd, piece)
        data_file.sync()
        etag = None if md5 is None else md5.digest().hex()
        raw = pack_object(identity, size, crc, key, NO_ATTRIBUTES, etag=etag)
        publish_data(bucket, key, data_file, _dated(raw, found.st_mtime_ns), conditions)
    report.objects += 1
    report.bytes += size
    report.cloned += cloned


def _dated(raw: bytes, modified: int) -> bytes:
    return repack(Record(raw), modified=min(max(0, modified), MAX_NS))
