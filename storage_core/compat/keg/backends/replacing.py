"""Writing a local file so that its path holds the old bytes or all of the new ones."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from types import TracebackType
from typing import BinaryIO


class ReplacedFile:
    """A file written beside a path, which takes its place once it is complete.

    A path that is there already and is no regular file, such as a pipe, is written directly.

    Args:
        path: Where it is to appear; a symbolic link is followed.
        same: A file that is there stays the same one, for whoever has it open, and is
            overwritten at the end.
    """

    def __init__(self, path: str | os.PathLike[str], *, same: bool = False) -> None:
        self._target = os.path.realpath(path)
        self._temporary: str | None = None
        mode = None
        with contextlib.suppress(FileNotFoundError):
            mode = os.stat(self._target).st_mode
        if mode is not None and not stat.S_ISREG(mode):
            self.file: BinaryIO = open(self._target, "wb")  # noqa: SIM115 - closed by both ends
            return
        self._same = same and mode is not None
        folder = os.path.dirname(self._target)
        self._temporary = os.path.join(folder, f".~{secrets.token_hex(8)}.part")
        self.file = open(self._temporary, "xb")  # noqa: SIM115
        if mode is not None:
            os.fchmod(self.file.fileno(), stat.S_IMODE(mode))

    def commit(self) -> None:
        """Put the file in place, its bytes being on the disk."""
        try:
            self.file.flush()
            if self._temporary is not None:
                os.fsync(self.file.fileno())
            self.file.close()
            if self._temporary is not None and self._same:
                shutil.copyfile(self._temporary, self._target)
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
