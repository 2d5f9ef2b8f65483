"""A plain directory: files under their own names, readable by anything else."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import string
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

from storage_core.compat.keg.backends.base import (
    ExtraArgs,
    FileNotFoundInStorageError,
    InternalLinksStorageBackend,
    ListEntry,
)
from storage_core.compat.keg.backends.files import FileMode, RemoteFile, WriteOnce
from storage_core.compat.keg.backends.replacing import ReplacedFile
from storage_core.errors import InvalidKeyError, StorageError
from storage_core.model import Buffer

_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_MISSING: Final = (FileNotFoundError, NotADirectoryError)
_NO_FILE: Final = "it is no regular file"
_REASONS: Final[Mapping[int | None, str]] = MappingProxyType(
    {
        errno.ENAMETOOLONG: "it has a name that is too long",
        errno.ENOTDIR: "one of its folders is a file",
        errno.EEXIST: "one of its folders is a file",
        errno.EISDIR: _NO_FILE,
        errno.ELOOP: _NO_FILE,
    }
)
"""What is wrong with a path, by what the system says of it."""


class LocalFSError(StorageError):
    """The path leads out of the root, to something that is no regular file or folder, or to
    where none can be."""


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if reason := _REASONS.get(error.errno):
            raise LocalFSError(f"Invalid path {path!r}: {reason}") from error
        raise


class LocalFSFile(RemoteFile):
    """A file that is read, or changed in place."""

    def __init__(self, path: Path, mode: FileMode) -> None:
        super().__init__(mode)
        self.path = path
        # The path was resolved: a link that has taken its place since may lead anywhere.
        self.fp: BinaryIO = open(  # noqa: SIM115 - closed by `close`
            path,
            "r+b" if FileMode.write in mode else "rb",
            opener=lambda name, flags: os.open(name, flags | _NO_LINK),
        )
        self.size = os.fstat(self.fp.fileno()).st_size

    def read(self, size: int = -1) -> bytes:
        return self.fp.read(size)

    def write(self, data: Buffer) -> int:
        return self.fp.write(data)

    def close(self) -> None:
        if hasattr(self, "fp"):  # not when opening failed
            self.fp.close()


class LocalFSWriter(WriteOnce):
    """A file that appears when it is closed."""

    def __init__(self, place: Path, path: str) -> None:
        self._file = ReplacedFile(place, resolved=True)
        self.fp = self._file.file
        super().__init__(path)

    def write(self, data: Buffer) -> int:
        return self.fp.write(data)

    def _publish(self) -> None:
        with _naming(self.path):
            self._file.commit()

    def _discard(self) -> None:
        self._file.abort()


class LocalFSStorage(InternalLinksStorageBackend):
    """The files below a directory.

    No path leads out of it, by symbolic links neither. That holds against whoever sends paths,
    not against programs that exchange folders for links within the root at the same moment.

    Args:
        root: An existing directory.
        linked_endpoint: As `InternalLinksStorageBackend`.
        secret_key: Likewise.
        name: ``fs-`` and the directory's name if None.

    Raises:
        LocalFSError: the root is no directory.
    """

    disallowed_path_chars = frozenset("~?*\0" + string.whitespace) - {" "}

    def __init__(
        self,
        root: str | os.PathLike[str],
        linked_endpoint: str | None = None,
        secret_key: bytes | str | None = None,
        name: str | None = None,
    ) -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise LocalFSError("Storage root does not exist or is not a directory")
        super().__init__(
            linked_endpoint=linked_endpoint,
            secret_key=secret_key,
            name=f"fs-{Path(root).name}" if name is None else name,
        )

    def list(self, path: str) -> list[ListEntry]:
        """The files in a folder and those below it, sorted by name; names begin at the root.
        Symbolic links and what is neither file nor folder are left out.

        Raises:
            LocalFSError: there is no such folder.
        """
        folder = self.root if path == "/" else self._resolve(path)
        with _naming(path):
            if not folder.is_dir():
                raise LocalFSError(f"{path} does not exist or is not a directory")
        found = []
        for place, _, names in os.walk(folder):
            for name in names:
                full = Path(place, name)
                # A name that can not be asked for is that of a file being written.
                if not self.disallowed_path_chars.isdisjoint(name):
                    continue
                try:
                    status = os.lstat(full)
                except FileNotFoundError:
                    continue  # deleted in the meantime
                if stat.S_ISREG(status.st_mode):
                    modified = datetime.fromtimestamp(status.st_mtime, UTC)
                    relative = str(full.relative_to(self.root))
                    found.append(ListEntry(relative, modified, status.st_size))
        return sorted(found, key=attrgetter("name"))

    def open(
        self, path: str, mode: FileMode | str, extra_args: ExtraArgs = None
    ) -> LocalFSFile | LocalFSWriter:
        """As `StorageBackend.open`; ``"rw"`` changes a file in place. ``extra_args`` have no
        place in a plain file."""
        place = self._file(path)
        found = FileMode.as_mode(mode)
        if not found:
            raise ValueError("Unsupported mode. Accepted modes are FileMode.read or FileMode.write")
        if found == FileMode.write:
            with _naming(path):
                place.parent.mkdir(parents=True, exist_ok=True)
                return LocalFSWriter(place, path)
        with _naming(path):
            try:
                return LocalFSFile(place, found)
            except _MISSING as error:
                raise FileNotFoundInStorageError(self, path) from error

    def delete(self, path: str) -> None:
        """As `StorageBackend.delete`; of a symbolic link, the link."""
        place = self._file(path)
        folder, name = os.path.split(self.root.joinpath(path))
        link = os.path.join(os.path.realpath(folder), name)
        with _naming(path), contextlib.suppress(*_MISSING):
            os.unlink(link if os.path.islink(link) else place)

    def copy(self, path: str, new_path: str) -> None:
        self._file(new_path)  # before anything is read
        with self.open(path, FileMode.read) as source, self.open(new_path, "w") as target:
            for chunk in source:
                target.write(chunk)

    def _resolve(self, path: str) -> Path:
        if not self.disallowed_path_chars.isdisjoint(path):
            raise InvalidKeyError(f"Unsupported characters in path {path!r}")
        try:
            place = Path(os.path.realpath(self.root.joinpath(path)))
        except UnicodeEncodeError as error:
            raise InvalidKeyError(f"Unsupported characters in path {path!r}") from error
        if not place.is_relative_to(self.root):
            raise LocalFSError(f"Invalid path {path!r}: it leads out of the root")
        return place

    def _file(self, path: str) -> Path:
        """The place of a file, which need not exist."""
        place = self._resolve(path)
        with _naming(path), contextlib.suppress(*_MISSING):
            if place == self.root or not stat.S_ISREG(os.lstat(place).st_mode):
                raise LocalFSError(f"Invalid path {path!r}: {_NO_FILE}")
        return place
