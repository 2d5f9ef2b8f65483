"""keg-storage's SFTP backend: a directory of another host. Needs the extra ``sftp``."""

from __future__ import annotations

import contextlib
import errno
import io
import posixpath
import re
import secrets
import stat
import threading
from datetime import UTC, datetime
from typing import Any, Final

from storage_core.compat.keg.backends.base import (
    ExtraArgs,
    FileNotFoundInStorageError,
    InternalLinksStorageBackend,
    ListEntry,
)
from storage_core.compat.keg.backends.files import FileMode, RemoteFile, WriteOnce, single_mode
from storage_core.compat.keg.utils import missing
from storage_core.model import Buffer

_UNSUPPORTED: Final = re.compile(
    r"unsupported|not supported|unimplemented|not implemented|unknown", re.IGNORECASE
)
"""How servers say that they lack an extension."""


class SFTPReader(RemoteFile):
    """A file being read, on a channel of its own."""

    def __init__(self, sftp: Any, path: str) -> None:
        super().__init__(FileMode.read)
        self._sftp = sftp
        self._file = sftp.open(path, "rb")
        self.size = self._file.stat().st_size

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size if size >= 0 else None)
        return data

    def write(self, data: Buffer) -> object:
        raise io.UnsupportedOperation("File not opened for writing")

    def close(self) -> None:
        if hasattr(self, "_sftp"):
            self._sftp.close()  # and with it the file


class SFTPWriter(WriteOnce):
    """A file written beside its path, which takes its place when it is closed."""

    def __init__(self, sftp: Any, path: str) -> None:
        self._sftp = sftp
        beside = posixpath.join(posixpath.dirname(path), f".~{secrets.token_hex(8)}")
        self._temporary = f"{beside}.part"
        self._old = f"{beside}.old"
        self._file = sftp.open(self._temporary, "wbx")
        self._file.set_pipelined(True)
        super().__init__(path)

    def write(self, data: Buffer) -> None:
        self._file.write(bytes(data))

    def _publish(self) -> None:
        try:
            self._file.close()  # tells of writes that failed
            self._take_place()
        except BaseException:
            self._discard()
            raise
        self._sftp.close()

    def _take_place(self) -> None:
        try:
            self._sftp.posix_rename(self._temporary, self.path)
        except OSError as error:
            # paramiko keeps no status but these two; of all others it leaves the text.
            if error.errno is not None or not _UNSUPPORTED.search(str(error)):
                raise
            self._take_place_by_steps()

    def _take_place_by_steps(self) -> None:
        """For servers without OpenSSH's extension: SFTP's own rename replaces nothing, so what
        is there is moved aside, and back where the rest fails."""
        try:
            if stat.S_ISDIR(self._sftp.lstat(self.path).st_mode):
                raise IsADirectoryError(errno.EISDIR, "a folder is there", self.path)
            self._sftp.rename(self.path, self._old)
        except FileNotFoundError:
            self._sftp.rename(self._temporary, self.path)
            return
        try:
            self._sftp.rename(self._temporary, self.path)
        except BaseException as error:
            try:
                self._sftp.rename(self._old, self.path)
            except Exception:  # noqa: BLE001 - the first error is the one to tell
                error.add_note(f"what was at {self.path!r} is at {self._old!r}")
            raise
        with contextlib.suppress(OSError):  # the new file is in its place
            self._sftp.remove(self._old)

    def _discard(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._sftp.remove(self._temporary)
        self._sftp.close()


class SFTPStorage(InternalLinksStorageBackend):
    """Files of a host by SFTP. The host has to be known: one whose key is not in
    ``known_hosts_fpath`` is refused.

    One connection is kept, which threads share, and made again after it was lost.

    Args:
        host: Its name or address.
        username: Who signs in.
        key_filename: File of the private key.
        known_hosts_fpath: File of the keys of hosts; None takes the user's own.
        port: Its port.
        allow_agent: Whether keys of a running agent are tried.
        look_for_keys: Whether keys in ``~/.ssh`` are.
        linked_endpoint: As `InternalLinksStorageBackend`.
        secret_key: Likewise.
        name: What the application calls the backend.
    """

    def __init__(
        self,
        host: str,
        username: str,
        key_filename: str | None,
        known_hosts_fpath: str | None,
        port: int = 22,
        allow_agent: bool = False,
        look_for_keys: bool = False,
        linked_endpoint: str | None = None,
        secret_key: bytes | str | None = None,
        name: str = "sftp",
    ) -> None:
        super().__init__(linked_endpoint=linked_endpoint, secret_key=secret_key, name=name)
        self.host = host
        self.username = username
        self.key_filename = key_filename
        self.known_hosts_fpath = known_hosts_fpath
        self.port = port
        self.allow_agent = allow_agent
        self.look_for_keys = look_for_keys
        self._lock = threading.Lock()
        self._client: Any = None

    def create_client(self) -> Any:
        """A connected `paramiko.SSHClient`.

        Raises:
            ConfigError: paramiko is not installed.
        """
        try:
            import paramiko  # type: ignore[import-untyped]
        except ImportError as error:
            raise missing(error, "SFTPStorage", "sftp") from error
        client = paramiko.SSHClient()
        client.load_system_host_keys(self.known_hosts_fpath)
        client.connect(
            self.host,
            port=self.port,
            username=self.username,
            key_filename=self.key_filename,
            allow_agent=self.allow_agent,
            look_for_keys=self.look_for_keys,
        )
        return client

    def _sftp(self) -> Any:
        """A channel of its own: a file's transfer waits for no other."""
        with self._lock:
            transport = self._client and self._client.get_transport()
            if not transport or not transport.is_active():
                self._drop()
                self._client = self.create_client()
            return self._client.open_sftp()

    def list(self, path: str) -> list[ListEntry]:
        """The files and folders of a folder by their bare names, sorted."""
        with self._sftp() as sftp:
            try:
                found = sftp.listdir_attr(path)
            except FileNotFoundError as error:
                raise FileNotFoundInStorageError(self, path) from error
        return [
            ListEntry(one.filename, datetime.fromtimestamp(one.st_mtime, UTC), one.st_size)
            for one in sorted(found, key=lambda one: one.filename)
            if not one.filename.startswith(".~")  # being written
        ]

    def open(self, path: str, mode: FileMode | str, extra_args: ExtraArgs = None) -> RemoteFile:
        wanted = single_mode(mode, self)
        sftp = self._sftp()
        try:
            if wanted is FileMode.write:
                _make_folders(sftp, posixpath.dirname(path))
                return SFTPWriter(sftp, path)
            return SFTPReader(sftp, path)
        except FileNotFoundError as error:
            sftp.close()
            raise FileNotFoundInStorageError(self, path) from error
        except BaseException:
            sftp.close()
            raise

    def delete(self, path: str) -> None:
        with self._sftp() as sftp, contextlib.suppress(FileNotFoundError):
            sftp.remove(path)

    def copy(self, path: str, new_path: str) -> None:
        """As `StorageBackend.copy`; the bytes pass through here."""
        with self.open(path, FileMode.read) as source, self.open(new_path, "w") as target:
            for chunk in source:
                target.write(chunk)

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _make_folders(sftp: Any, folder: str) -> None:
    """Make a folder and those above it, as far as they are not there."""
    if not folder or folder == "/":
        return
    try:
        if stat.S_ISDIR(sftp.stat(folder).st_mode):
            return
    except FileNotFoundError:
        _make_folders(sftp, posixpath.dirname(folder))
    with contextlib.suppress(OSError):  # somebody else made it
        sftp.mkdir(folder)
