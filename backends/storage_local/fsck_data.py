"""The part of fsck that looks at data files, temporaries and upload sessions."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from storage_core.errors import IntegrityError, UploadNotFoundError
from storage_local import sessions, syscalls
from storage_local.bucket import Bucket
from storage_local.fsck import Check, set_aside, temporaries
from storage_local.fsck_records import Seen
from storage_local.handles import Handle
from storage_local.listing import iterate, record_reader
from storage_local.names import TEMPORARY


def check_data(run: Check, bucket: Bucket, seen: Seen) -> None:
    """Data files that no record names, and data files in the making that nobody makes."""
    for name in temporaries(bucket.tmp.fd, all_names=True):

        def remove(name: str = name) -> None:
            with contextlib.suppress(FileNotFoundError):
                syscalls.unlink(name, dir_fd=bucket.tmp.fd)

        run.leftover("temporary", bucket, f"tmp/{name}", remove)
    orphans = _data_files(bucket) - seen.data if seen.complete else set()
    if not orphans:
        return
    # Under the lock nobody publishes, moves or promotes, so this second look is final.
    with bucket.lock(fcntl.LOCK_EX):
        orphans -= _named_data(bucket)
        for name in sorted(orphans & _data_files(bucket)):
            _orphan(run, bucket, name, keep=seen.damaged)


def _data_files(bucket: Bucket) -> set[str]:
    found: set[str] = set()
    for shard in os.listdir(bucket.data.fd):
        handle = Handle(os.open(shard, syscalls.DIRECTORY, dir_fd=bucket.data.fd))
        found.update(os.listdir(handle.fd))
    return found


def _named_data(bucket: Bucket) -> set[str]:
    named: set[str] = set()
    for tree in (bucket.objects, bucket.versions):
        for sort, leaf in iterate(tree, "", "\x7f"):
            with contextlib.suppress(IntegrityError):
                record = record_reader(tree, leaf)(sort)
                if record is not None and record.data_name is not None:
                    named.add(record.data_name)
    return named


def _orphan(run: Check, bucket: Bucket, name: str, *, keep: bool) -> None:
    shard = Handle(os.open(name[:2], syscalls.DIRECTORY, dir_fd=bucket.data.fd))

    def remove() -> None:
        if keep:  # it may belong to a record that can not be read any more
            set_aside(bucket, name, shard.fd)
        else:
            with contextlib.suppress(FileNotFoundError):
                syscalls.unlink(name, dir_fd=shard.fd)

    run.leftover("orphan-data", bucket, f"data/{name[:2]}/{name}", remove)


def check_uploads(run: Check, bucket: Bucket) -> None:
    """Sessions half made or half removed, expired ones, and parts in the making."""
    uploads = bucket.uploads.fd
    with bucket.bare_lock():  # no session is being made
        for name in temporaries(uploads):

            def remove(name: str = name) -> None:
                syscalls.remove_tree(name, uploads)

            run.leftover("temporary", bucket, f"uploads/{name}", remove)
    for name in sorted(os.listdir(uploads)):
        if not name.startswith(TEMPORARY):  # begun or ended since
            _check_session(run, bucket, name)


def _check_session(run: Check, bucket: Bucket, name: str) -> None:
    try:
        session = sessions.open_session(bucket, name)
    except UploadNotFoundError:
        if os.access(name, os.F_OK, dir_fd=bucket.uploads.fd):
            run.damage(
                "damaged-upload",
                bucket,
                f"uploads/{name} has no session record",
                mend=lambda: set_aside(bucket, name, bucket.uploads.fd),
            )
        return
    except IntegrityError as error:
        run.damage(
            "damaged-upload",
            bucket,
            f"uploads/{name}: {error}",
            mend=lambda: set_aside(bucket, name, bucket.uploads.fd),
        )
        return
    directory = session.dir.fd
    touched = max(session.created, os.fstat(directory).st_mtime_ns)
    if time.time_ns() - touched > bucket.options.upload_expiry * 1e9:

        def expire() -> None:
            with contextlib.suppress(UploadNotFoundError):
                sessions.end_session(bucket, session)

        run.leftover("expired-upload", bucket, f"uploads/{name} of {session.key!r}", expire)
        return
    for part in temporaries(directory):

        def remove(part: str = part) -> None:
            with contextlib.suppress(FileNotFoundError):
                syscalls.unlink(part, dir_fd=directory)

        run.leftover("temporary", bucket, f"uploads/{name}/{part}", remove)
