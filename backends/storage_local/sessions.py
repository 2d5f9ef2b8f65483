"""Upload sessions: a directory each, good for any process and across crashes.

    uploads/<id>/session      JSON: key, attributes, digests to keep, when it began
    uploads/<id>/<number>     a part; see `storage_local.multipart`
    uploads/<id>/#<random>    a part in the making, locked by its writer
    uploads/#<id>             a session in the making, or being removed

Putting a part and ending the session exclude each other by a lock on the directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import Any, NamedTuple

from storage_core.errors import IntegrityError, InvalidRequestError, UploadNotFoundError
from storage_core.model import Attributes, Page, UploadInfo
from storage_core.requests import CreateUploadRequest, ListUploadsRequest, UploadRequest
from storage_local import syscalls
from storage_local.bucket import Bucket
from storage_local.handles import FileLock, Handle
from storage_local.listing import check_token
from storage_local.names import TEMPORARY
from storage_local.record import describe, expiry, new_id, to_datetime

SESSION = "session"


class Session(NamedTuple):
    """An open session: its directory and what was said at its creation."""

    id: str
    dir: Handle
    key: str
    created: int
    attributes: Attributes
    keep: tuple[str, ...]

    def info(self) -> UploadInfo:
        """The session as callers know it."""
        return UploadInfo(self.id, self.key, to_datetime(self.created))


def gone() -> UploadNotFoundError:
    """The error for a session that is not there."""
    return UploadNotFoundError(
        "there is no such upload: it was completed or aborted, or has expired"
    )


# --- sessions -------------------------------------------------------------------------


def create(bucket: Bucket, request: CreateUploadRequest) -> UploadInfo:
    """Begin a session; see `Driver.create_upload`."""
    identity = new_id().hex()
    now = time.time_ns()
    attributes = request.attributes
    text = json.dumps(
        {
            "key": request.key,
            "created": now,
            "keep": list(request.keep),
            "expires": expiry(attributes.expires_at) or None,
            "attributes": describe("", attributes),
        },
        ensure_ascii=False,
    ).encode()
    durable = bucket.options.durable
    uploads = bucket.uploads.fd
    temporary = TEMPORARY + identity
    with bucket.lock():
        bucket.check_present()
        syscalls.mkdir(temporary, dir_fd=uploads)
        made = Handle(os.open(temporary, syscalls.DIRECTORY, dir_fd=uploads))
        fd = syscalls.create(SESSION, syscalls.CREATE, 0o666, dir_fd=made.fd)
        try:
            syscalls.write_all(fd, text)
            if durable:
                syscalls.fsync(fd)
        finally:
            os.close(fd)
        if durable:
            syscalls.fsync(made.fd)
        syscalls.rename(temporary, identity, src_dir_fd=uploads, dst_dir_fd=uploads)
        if durable:
            syscalls.fsync(uploads)
    return UploadInfo(identity, request.key, to_datetime(now))


def open_session(bucket: Bucket, upload_id: str, key: str | None = None) -> Session:
    """An open session, of that key if one is given.

    Raises:
        UploadNotFoundError: there is none.
    """
    if len(upload_id) != 24 or not upload_id.isalnum() or not upload_id.isascii():
        raise gone()
    try:
        directory = Handle(os.open(upload_id, syscalls.DIRECTORY, dir_fd=bucket.uploads.fd))
        with open(os.open(SESSION, syscalls.READ, dir_fd=directory.fd), "rb") as file:
            found: dict[str, Any] = json.loads(file.read())
    except FileNotFoundError:
        bucket.check_present()
        raise gone() from None
    except ValueError as error:
        raise IntegrityError("the record of the upload is damaged; run fsck") from error
    if key is not None and found["key"] != key:
        raise gone()
    expires = found["expires"]
    attributes = Attributes(
        **found["attributes"], expires_at=None if expires is None else to_datetime(expires)
    )
    return Session(
        upload_id, directory, found["key"], found["created"], attributes, tuple(found["keep"])
    )


def abort(bucket: Bucket, request: UploadRequest) -> None:
    """Drop a session; see `Driver.abort_upload`."""
    end_session(bucket, open_session(bucket, request.upload_id, request.key))


def end_session(bucket: Bucket, session: Session) -> None:
    """Drop a session and its parts.

    Raises:
        UploadNotFoundError: it has ended.
    """
    with SessionLock(session, fcntl.LOCK_EX):
        remove(bucket, session.id)


def remove(bucket: Bucket, upload_id: str) -> None:
    """Take a session away in one step, then remove its files; under its lock.

    What can not be removed is left to fsck.
    """
    uploads = bucket.uploads.fd
    dead = TEMPORARY + upload_id
    try:
        syscalls.rename(upload_id, dead, src_dir_fd=uploads, dst_dir_fd=uploads)
    except FileNotFoundError:
        raise gone() from None
    if bucket.options.durable:
        syscalls.fsync(uploads)
    with contextlib.suppress(OSError):
        syscalls.remove_tree(dead, uploads)


class SessionLock(FileLock):
    """Lock of a session, held shared to put a part and exclusively to end it.

    Raises:
        UploadNotFoundError: at entry, when the session has ended.
    """

    __slots__ = ("_session",)

    def __init__(self, session: Session, kind: int) -> None:
        super().__init__(".", session.dir.fd, kind)
        self._session = session

    def __enter__(self) -> None:
        try:
            super().__enter__()
        except FileNotFoundError:
            raise gone() from None
        try:
            os.stat(SESSION, dir_fd=self._session.dir.fd)
        except FileNotFoundError:
            self.__exit__(None, None, None)
            raise gone() from None


def list_uploads(bucket: Bucket, request: ListUploadsRequest) -> Page[UploadInfo]:
    """Open sessions by key, then id; see `Driver.list_uploads_page`."""
    bucket.check_present()
    found: list[UploadInfo] = []
    for name in os.listdir(bucket.uploads.fd):
        with contextlib.suppress(UploadNotFoundError, IntegrityError):
            found.append(open_session(bucket, name).info())
    found = [one for one in found if one.key.startswith(request.prefix)]
    found.sort(key=_place)
    if request.token is not None:
        found = [one for one in found if _place(one) > _from_token(request.token)]
    items = found[: request.limit]
    more = len(found) > len(items) and items
    return Page(items, f"{items[-1].id}.{items[-1].key.encode().hex()}" if more else None)


def _place(upload: UploadInfo) -> tuple[str, str]:
    return upload.key, upload.id


def _from_token(token: str) -> tuple[str, str]:
    identity, _, key = check_token(token).partition(".")
    try:
        return bytes.fromhex(key).decode(), identity
    except ValueError:
        raise InvalidRequestError("the page token was not made by this backend") from None
