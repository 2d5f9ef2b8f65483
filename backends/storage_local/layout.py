"""The root directory: version stamp, link keys, buckets."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from storage_core.errors import (
    BucketExistsError,
    BucketNotFoundError,
    ConfigError,
    IntegrityError,
    StorageError,
)
from storage_local import syscalls
from storage_local.bucket import BUCKET_FILE, Bucket, create_bucket_in
from storage_local.handles import ForkAware, Handle, Handles
from storage_local.names import TEMPORARY
from storage_local.tree import Limits, TreeGoneError

STAMP = "storage.json"
FORMAT = "storage-core local"
VERSION = 1
BUCKETS = "buckets"
STAGING = "staging"
LINK_KEYS = "link-keys"
OPEN_BUCKETS = 32

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """What a profile chooses; see `storage_local.settings` for the meaning."""

    durable: bool = True
    versions: bool = False
    md5_etags: bool = False
    min_part_size: int = 5 * 1024**2
    upload_expiry: float = 7 * 24 * 3600.0
    inline_size: int = 64 * 1024
    limits: Limits = field(default_factory=Limits)


class Root(ForkAware):
    """An open root directory, shared by threads.

    Args:
        place: The directory; made if it does not exist.
        options: The profile's choices.

    Raises:
        ConfigError: it holds something else, or was written by a newer release.
    """

    def __init__(self, place: str, options: Options) -> None:
        super().__init__()
        self.place = place
        self.options = options
        self.handles = Handles()
        self._mutex = threading.Lock()
        self._buckets: dict[str, Bucket] = {}
        if not os.path.isdir(place):
            try:
                os.makedirs(place, exist_ok=True)
            except FileExistsError:
                raise ConfigError(f"root {place!r} is not a directory") from None
        self._root = Handle(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        self.fd = self._root.fd
        self._check_stamp()
        self.bucket_dir = Handle(os.open(BUCKETS, syscalls.DIRECTORY, dir_fd=self.fd))
        self.buckets_fd = self.bucket_dir.fd

    # --- stamp ------------------------------------------------------------------------

    def _check_stamp(self) -> None:
        try:
            fd = os.open(STAMP, syscalls.READ, dir_fd=self.fd)
        except FileNotFoundError:
            self._create()
            return
        with open(fd, "rb") as file:
            text = file.read(1 << 16)
        try:
            stamp = json.loads(text)
            found, version = stamp["format"], int(stamp["version"])
        except (ValueError, KeyError, TypeError):
            raise ConfigError(
                f"{STAMP} in root {self.place!r} is damaged; restore it from a backup"
            ) from None
        if found != FORMAT or version > VERSION:
            raise ConfigError(
                f"root {self.place!r} has format {found!r} version {version}; this release"
                f" reads {FORMAT!r} up to version {VERSION}. Upgrade storage-core"
            )

    def _create(self) -> None:
        strange = sorted(
            set(os.listdir(self.fd)) - {BUCKETS, STAGING, LINK_KEYS, STAMP, "lost+found"}
        )
        strange = [name for name in strange if not name.startswith(TEMPORARY)]
        if strange:
            raise ConfigError(
                f"root {self.place!r} is not empty and no object store: it holds"
                f" {strange[0]!r}. Name an empty directory; import-tree takes files in"
            )
        for name in (BUCKETS, STAGING):
            with contextlib.suppress(FileExistsError):
                syscalls.mkdir(name, dir_fd=self.fd)
        stamp = {"format": FORMAT, "version": VERSION, "created": int(time.time())}
        self._create_once(STAMP, json.dumps(stamp).encode() + b"\n", 0o666)

    def _create_once(self, name: str, content: bytes, mode: int) -> None:
        """Make a file with its content in one step; whoever is first wins."""
        temporary = f"{TEMPORARY}{secrets.token_hex(8)}"
        fd = syscalls.create_locked(temporary, self.fd, mode)
        try:
            syscalls.write_all(fd, content)
            if self.options.durable:
                syscalls.fsync(fd)
            with contextlib.suppress(FileExistsError):
                syscalls.link(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        finally:
            with contextlib.suppress(FileNotFoundError):
                syscalls.unlink(temporary, dir_fd=self.fd)
            os.close(fd)
        if self.options.durable:
            syscalls.fsync(self.fd)

    # --- link keys --------------------------------------------------------------------

    def link_keys(self) -> dict[str, bytes]:
        """Secrets for gateway links by key id, the newest last; made at the first call."""
        while True:
            try:
                fd = os.open(LINK_KEYS, syscalls.READ, dir_fd=self.fd)
            except FileNotFoundError:
                line = f"{secrets.token_hex(4)} {secrets.token_hex(32)}\n"
                self._create_once(LINK_KEYS, line.encode(), 0o600)
                continue
            with open(fd, "rb") as file:
                if os.fstat(fd).st_mode & 0o077:
                    raise ConfigError(
                        f"{LINK_KEYS} in root {self.place!r} can be read by others;"
                        " chmod 600 it, or remove it to have new keys made"
                    )
                lines = file.read(1 << 16).decode("ascii", "replace").splitlines()
            try:
                return {name: bytes.fromhex(secret) for name, secret in map(str.split, lines)}
            except ValueError:
                raise ConfigError(
                    f"{LINK_KEYS} in root {self.place!r} is damaged: a line is a key id and"
                    " a hexadecimal secret"
                ) from None

    # --- buckets ----------------------------------------------------------------------

    def bucket_at_hand(self, name: str) -> Bucket | None:
        """The bucket, if it is open."""
        return self._buckets.get(name)

    def bucket(self, name: str) -> Bucket:
        """An open bucket.

        Raises:
            BucketNotFoundError: there is none.
            IntegrityError: part of it is missing, or something else stands in its place.
        """
        bucket = self._buckets.get(name)
        if bucket is not None:
            return bucket
        try:
            bucket = Bucket(self, name)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                raise
            # A directory with the file that only buckets have is a damaged one.
            if self._is_directory(name) and self._has_stamp(name):
                raise IntegrityError(
                    f"a directory of the bucket {name!r} is missing, or something else stands"
                    " in its place; put it back"
                ) from None
            raise BucketNotFoundError(f"there is no bucket {name!r}") from None
        with self._mutex:
            bucket = self._buckets.setdefault(name, bucket)
            if len(self._buckets) > OPEN_BUCKETS:
                del self._buckets[next(iter(self._buckets))]
        return bucket

    def run(self, name: str, action: Callable[[Bucket], T]) -> T:
        """Do something with a bucket, once more if the one we knew was deleted and another
        made in its place.

        Raises:
            BucketNotFoundError: there is none.
        """
        try:
            return self._try(name, action)
        except TreeGoneError:
            self.forget(name)
            with self.present():
                return self._try(name, action)

    def _try(self, name: str, action: Callable[[Bucket], T]) -> T:
        bucket = self.bucket(name)
        try:
            return action(bucket)
        except FileNotFoundError as error:
            if not isinstance(error, StorageError):
                bucket.check_present()
            raise

    @contextlib.contextmanager
    def present(self, *buckets: Bucket) -> Iterator[None]:
        """Around work that can not simply be done again in a bucket made anew.

        Args:
            buckets: Those it is done in: a file that is missing there means nothing where
                they were deleted meanwhile.

        Raises:
            BucketNotFoundError: a bucket was deleted meanwhile.
        """
        try:
            try:
                yield
            except FileNotFoundError as error:
                if not isinstance(error, StorageError):
                    for bucket in buckets:
                        bucket.check_present()
                raise
        except TreeGoneError as gone:
            self.forget(gone.bucket)
            raise BucketNotFoundError(f"the bucket {gone.bucket!r} was deleted") from None

    def forget(self, name: str) -> None:
        """Drop what is known of a bucket."""
        with self._mutex:
            self._buckets.pop(name, None)

    def bucket_names(self) -> list[str]:
        """Names of all buckets, ascending."""
        return sorted(os.listdir(self.buckets_fd))

    def _is_directory(self, name: str) -> bool:
        try:
            found = os.stat(name, dir_fd=self.buckets_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(found.st_mode)

    def _has_stamp(self, name: str) -> bool:
        return os.access(f"{name}/{BUCKET_FILE}", os.F_OK, dir_fd=self.buckets_fd)

    def create_bucket(self, name: str) -> Bucket:
        """Make a bucket in one step.

        Raises:
            BucketExistsError: it exists.
        """
        # An early look spares the work; the rename below decides.
        if self._has_stamp(name):
            raise BucketExistsError(f"the bucket {name!r} exists")
        staging = Handle(os.open(STAGING, syscalls.DIRECTORY, dir_fd=self.fd))
        temporary, made = _staged(staging)
        try:
            create_bucket_in(made.fd, durable=self.options.durable)
            syscalls.rename(temporary, name, src_dir_fd=staging.fd, dst_dir_fd=self.buckets_fd)
        except OSError as error:
            syscalls.remove_tree(temporary, staging.fd)
            if error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                raise BucketExistsError(f"the bucket {name!r} exists") from None
            raise
        if self.options.durable:
            syscalls.fsync(self.buckets_fd)
        self.forget(name)
        return self.bucket(name)

    def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket in one step.

        Raises:
            BucketNotFoundError: there is none.
            BucketNotEmptyError: it is not empty.
        """
        self.run(name, self._delete)

    def _delete(self, bucket: Bucket) -> None:
        with bucket.lock(fcntl.LOCK_EX):
            bucket.retire()
            staging = Handle(os.open(STAGING, syscalls.DIRECTORY, dir_fd=self.fd))
            temporary = secrets.token_hex(8)
            syscalls.rename(
                bucket.name, temporary, src_dir_fd=self.buckets_fd, dst_dir_fd=staging.fd
            )
            if self.options.durable:
                # Both ends: emptying it must not come before its going away.
                syscalls.fsync(staging.fd)
                syscalls.fsync(self.buckets_fd)
            self.forget(bucket.name)
            with contextlib.suppress(OSError):  # it is deleted; fsck removes what is left
                syscalls.remove_tree(temporary, staging.fd)

    # --- life -------------------------------------------------------------------------

    def close(self) -> None:
        """Drop all open directories. The root opens them again if it is used again."""
        with self._mutex:
            self._buckets = {}
        self.handles.reset()

    def after_fork(self) -> None:
        """Give up what is shared with the parent."""
        self._mutex = threading.Lock()
        self._buckets = {}
        self.handles.reset()


def _staged(staging: Handle) -> tuple[str, Handle]:
    """A new directory in the staging area, and its lock, which tells fsck that it is in use.

    Before it is locked fsck may take it for a dead process's and remove it; then again.
    """
    while True:
        name = secrets.token_hex(8)
        syscalls.mkdir(name, dir_fd=staging.fd)
        with contextlib.suppress(FileNotFoundError):
            made = Handle(os.open(name, syscalls.DIRECTORY, dir_fd=staging.fd))
            fcntl.flock(made.fd, fcntl.LOCK_EX)
            os.stat(name, dir_fd=staging.fd)
            return name, made
