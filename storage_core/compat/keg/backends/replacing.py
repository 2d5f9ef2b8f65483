"""Writing a local file so that its path holds the old bytes or all of the new ones."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from types import TracebackType
from typing import BinaryIO, Final

_NO_RESERVING: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP})
"""What file systems that can not reserve room say."""


class ReplacedFile:
    """A file written beside a path, which takes its place once it is complete.

    A path that is there already and is no regular file, such as a pipe, is written directly.

    Args:
        path: Where it is to appear; a symbolic link is followed.
        same: A file that is there stays the same one, for whoever has it open, and is
            overwritten at the end, once there is room for all bytes. Only a crash or a failing
            disk in that moment leaves a part of them.
        resolved: The path is that of a regular file or of nothing, as far as is known; whatever
            is there at the end is replaced, never followed.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, same: bool = False, resolved: bool = False
    ) -> None:
        self._target = os.fspath(path) if resolved else os.path.realpath(path)
        self._temporary: str | None = None
        mode = None
        with contextlib.suppress(FileNotFoundError):
            mode = os.lstat(self._target).st_mode
        regular = mode is not None and stat.S_ISREG(mode)
        if mode is not None and not regular and not resolved:
            self.file: BinaryIO = open(self._target, "wb")  # noqa: SIM115 - closed by both ends
            return
        self._same = same and regular
        folder = os.path.dirname(self._target)
        self._temporary = os.path.join(folder, f".~{secrets.token_hex(8)}.part")
        self.file = open(self._temporary, "xb")  # noqa: SIM115
        if mode is not None and regular:
            os.fchmod(self.file.fileno(), stat.S_IMODE(mode))

    def commit(self) -> None:
        """Put the file in place, its bytes being on the disk."""
        try:
            self.file.flush()
            if self._temporary is not None:
                os.fsync(self.file.fileno())
            self.file.close()
            if self._temporary is not None and self._same:
                _overwrite(self._temporary, self._target)
            elif self._temporary is not None:
                os.replace(self._temporary, self._target)
                self._temporary = None
        finally:
            self.abort()

    def abort(self) -> None:
        """Leave the path as it was. After `commit` it does nothing."""
        with contextlib.suppress(OSError):
            self.file.close()
        if self._temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary)
            self._temporary = None

    def __enter__(self) -> BinaryIO:
        return self.file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.commit()
        else:
            self.abort()


def _overwrite(source: str, target: str) -> None:
    """Give a file the bytes of another one; without room for them it stays as it was."""
    with open(source, "rb") as new, open(target, "r+b") as old:
        before, after = os.fstat(old.fileno()).st_size, os.fstat(new.fileno()).st_size
        if after and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(old.fileno(), 0, after)
            except OSError as error:
                os.ftruncate(old.fileno(), before)
                if error.errno not in _NO_RESERVING:
                    raise
        shutil.copyfileobj(new, old)
        old.truncate(after)
