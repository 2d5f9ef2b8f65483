"""Check and repair: `check` looks through a root while it is in use.

Findings are of two sorts. *Left-overs* are what a crash may leave: temporaries, data files
nobody names, half-done splits; they cost space and nothing else. *Damage* is what no crash
of ours explains: a record or data file changed, gone or misplaced behind the store's back.
Repair removes left-overs, mends the structure, and sets unreadable records aside in the
bucket's ``damaged/``; it never removes an object that can still be named.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from storage_core.errors import BucketNotFoundError, ConfigError, IntegrityError
from storage_local import syscalls
from storage_local.bucket import BUCKET_FILE, LOCK, Bucket
from storage_local.handles import Handle
from storage_local.layout import BUCKETS, LINK_KEYS, STAGING, STAMP, Root
from storage_local.names import TEMPORARY

DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        kind: What it is, such as ``"temporary"`` or ``"missing-data"``.
        bucket: Bucket it is in; None for the root.
        key: Object it concerns, where that is known.
        detail: More for people: a name on disk, sizes.
        leftover: Whether a crash explains it and nothing is lost by removing it.
        repaired: Whether it was mended.
    """

    kind: str
    bucket: str | None
    key: str | None
    detail: str
    leftover: bool
    repaired: bool


@dataclass(slots=True)
class Report:
    """What a check found.

    Attributes:
        findings: In the order they were met.
        buckets: Buckets looked at.
        objects: Records looked at, noncurrent versions included.
        bytes: Bytes these objects have.
    """

    findings: list[Finding] = field(default_factory=list)
    buckets: int = 0
    objects: int = 0
    bytes: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing is damaged that was not mended; left-overs do not count."""
        return all(finding.leftover or finding.repaired for finding in self.findings)


class Check:
    """A check under way: what to do, and what was found so far."""

    def __init__(
        self,
        root: Root,
        *,
        repair: bool,
        deep: bool,
        progress: Callable[[Report], None] | None,
    ) -> None:
        self.root = root
        self.repair = repair
        self.deep = deep
        self.report = Report()
        self._progress = progress

    def tick(self, size: int) -> None:
        """Count one object."""
        self.report.objects += 1
        self.report.bytes += size
        if self._progress is not None and self.report.objects % 1000 == 0:
            self._progress(self.report)

    def leftover(
        self, kind: str, bucket: Bucket | None, detail: str, mend: Callable[[], object]
    ) -> None:
        """Note a left-over, and remove it if asked to."""
        self._note(kind, bucket, None, detail, mend, leftover=True)

    def damage(
        self,
        kind: str,
        bucket: Bucket | None,
        detail: str,
        *,
        key: str | None = None,
        mend: Callable[[], object] | None = None,
    ) -> None:
        """Note damage, and mend it if asked to and possible."""
        self._note(kind, bucket, key, detail, mend, leftover=False)

    def _note(
        self,
        kind: str,
        bucket: Bucket | None,
        key: str | None,
        detail: str,
        mend: Callable[[], object] | None,
        *,
        leftover: bool,
    ) -> None:
        repaired = False
        if self.repair and mend is not None:
            # A mend that finds the thing in use after all answers False.
            repaired = mend() is not False
        name = None if bucket is None else bucket.name
        self.report.findings.append(Finding(kind, name, key, detail, leftover, repaired))


def claim(name: str, dir_fd: int) -> Handle | None:
    """The lock of a temporary, to be held while it is removed, so that a writer that has just
    made it sees that it is gone. None if a living process has the lock, or it is gone."""
    try:
        handle = Handle(os.open(name, syscalls.READ, dir_fd=dir_fd))
        fcntl.flock(handle.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a symbolic link or socket is not ours
            return Handle(os.dup(dir_fd))
        raise
    return handle


def temporaries(
    dir_fd: int, names: Iterable[str] | None = None, *, all_names: bool = False
) -> Iterator[str]:
    """Names of the temporaries in a directory, or among ``names`` there, that no living
    process uses, each claimed until the next is asked for."""
    for name in os.listdir(dir_fd) if names is None else names:
        if all_names or name.startswith(TEMPORARY):
            claimed = claim(name, dir_fd)
            if claimed is not None:
                yield name


def set_aside(bucket: Bucket, name: str, dir_fd: int) -> None:
    """Move a damaged thing to the bucket's ``damaged/``."""
    with contextlib.suppress(FileExistsError):
        syscalls.mkdir(DAMAGED, dir_fd=bucket.fd)
    damaged = Handle(os.open(DAMAGED, syscalls.DIRECTORY, dir_fd=bucket.fd))
    syscalls.rename(
        name, f"{name[:200]}.{os.urandom(4).hex()}", src_dir_fd=dir_fd, dst_dir_fd=damaged.fd
    )


def check(
    root: Root,
    *,
    bucket: str | None = None,
    repair: bool = False,
    deep: bool = False,
    progress: Callable[[Report], None] | None = None,
) -> Report:
    """Look through a root, or one bucket of it.

    Args:
        root: The open root directory.
        bucket: Name of the only bucket to look at.
        repair: Whether to mend what is found.
        deep: Whether to read all bytes and compare their CRC32C.
        progress: Called now and then with the report so far.

    Raises:
        BucketNotFoundError: there is no such bucket.
    """
    from storage_local import fsck_data, fsck_tree

    run = Check(root, repair=repair, deep=deep, progress=progress)
    if bucket is None:
        _check_root(run)
        names = root.bucket_names()
    else:
        root.run(bucket, Bucket.check_present)
        names = [bucket]
    for name in names:
        try:
            opened = root.bucket(name)
        except (BucketNotFoundError, IntegrityError) as error:
            if os.access(name, os.F_OK, dir_fd=root.buckets_fd):
                damaged = isinstance(error, IntegrityError)
                kind = "damaged-bucket" if damaged else "not-a-bucket"
                run.damage(kind, None, f"{BUCKETS}/{name}: {error.message}")
            continue
        with contextlib.suppress(BucketNotFoundError), root.present(opened):  # deleted meanwhile
            if _check_bucket_files(run, opened):
                seen = fsck_tree.check_trees(run, opened)
                fsck_data.check_data(run, opened, seen)
                fsck_data.check_uploads(run, opened)
            run.report.buckets += 1
    return run.report


def _check_root(run: Check) -> None:
    root = run.root
    known = {STAMP, BUCKETS, STAGING, LINK_KEYS, "lost+found"}
    for name in sorted(set(os.listdir(root.fd)) - known):
        if not name.startswith(TEMPORARY):
            run.damage("stranger", None, f"{name!r} is not the store's")
    for name in temporaries(root.fd):
        run.leftover("temporary", None, name, lambda name=name: _unlink(name, root.fd))  # type: ignore[misc]
    staging = Handle(os.open(STAGING, syscalls.DIRECTORY, dir_fd=root.fd))
    for name in temporaries(staging.fd, all_names=True):
        run.leftover(
            "temporary",
            None,
            f"{STAGING}/{name}",
            lambda name=name: syscalls.remove_tree(name, staging.fd),  # type: ignore[misc]
        )
    if os.access(LINK_KEYS, os.F_OK, dir_fd=root.fd):
        try:
            root.link_keys()
        except (ConfigError, OSError) as error:
            run.damage("link-keys", None, str(error))


def _check_bucket_files(run: Check, bucket: Bucket) -> bool:
    """Whether the files every bucket has are there."""
    for name in (LOCK, BUCKET_FILE):
        if not os.access(name, os.F_OK, dir_fd=bucket.fd):
            bucket.check_present()
            run.damage("missing-file", bucket, name, mend=partial(_make, bucket, name))
            if not run.repair:
                return False
    try:
        bucket.info()
    except IntegrityError as error:

        def make_anew() -> None:
            with contextlib.suppress(FileNotFoundError):
                set_aside(bucket, BUCKET_FILE, bucket.fd)
            _make(bucket, BUCKET_FILE)

        run.damage("damaged-file", bucket, error.message, mend=make_anew)
    return True


def _make(bucket: Bucket, name: str) -> None:
    text = b"" if name == LOCK else b'{"created": 0}\n'
    fd = syscalls.create(name, syscalls.CREATE, 0o666, dir_fd=bucket.fd)
    try:
        syscalls.write_all(fd, text)
    finally:
        os.close(fd)


def _unlink(name: str, dir_fd: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        syscalls.unlink(name, dir_fd=dir_fd)
