"""Progress of long transfers: a bar on standard error, on a terminal only."""

from __future__ import annotations

import sys
import time
from typing import IO, TYPE_CHECKING, Protocol

from storage_core.cli.formats import clean
from storage_core.cli.output import Output

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as Bar
    from rich.progress import TaskID

LONG = 8 * 1024**2
"""Bytes from which on a transfer is worth a bar."""
SOON = 1.0
"""Seconds after which a bar appears, however few the bytes."""


class Progress:
    """Counts bytes, and shows a bar as soon as that is worth it.

    Args:
        out: Says whether progress is wanted.
        what: Text before the bar.
        total: Bytes to come, None if unknown.
    """

    def __init__(self, out: Output, what: str, total: int | None = None) -> None:
        self._wanted = not (out.quiet or out.json) and sys.stderr.isatty()
        self._what = what
        self._total = total
        self._began = time.monotonic()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self.done = 0

    @property
    def wanted(self) -> bool:
        """Whether there will be a bar if it takes long; if not, nobody need count."""
        return self._wanted

    def advance(self, size: int) -> None:
        """So many bytes more."""
        self.reach(self.done + size)

    def reach(self, done: int, what: str | None = None) -> None:
        """So many bytes in all, and what is under way now."""
        self.done = done
        if what is not None:
            self._what = what
        if self._wanted:
            if self._bar is None:
                self._start_if_long()
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, completed=done, description=clean(self._what))

    def _start_if_long(self) -> None:
        expected = self._total or self.done
        if expected < LONG and time.monotonic() - self._began < SOON:
            return
        from rich import progress
        from rich.console import Console
        from rich.table import Column

        self._bar = progress.Progress(
            progress.TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            progress.BarColumn(bar_width=24),
            progress.DownloadColumn(binary_units=True),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            expand=True,
            # Lines of results go above the bar, unless they go elsewhere.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._bar.add_task(clean(self._what), total=self._total)
        self._bar.start()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class _Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes: ...


class Counted:
    """A source of bytes whose reading is counted.

    Args:
        source: Gives bytes.
        progress: Counts.
    """

    def __init__(self, source: _Readable, progress: Progress) -> None:
        self._source = source
        self._progress = progress
        self._before = progress.done
        self._read = 0

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._read += len(data)
        self._progress.reach(self._before + self._read)
        return data


class CountedFile(Counted):
    """As `Counted`, for a file that may be able to seek."""

    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        super().__init__(file, progress)
        self._file = file

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        # A body is rewound to be sent again: what was counted counts no more.
        self._read = 0
        return self._file.seek(offset, whence)
