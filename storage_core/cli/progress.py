"""Progress of long transfers: a line with a bar on standard error, on a terminal only."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from storage_core.cli.formats import clean, count, size_pair, size_text
from storage_core.cli.output import Output
from storage_core.transfer.progress import Meter, OnProgress, Progress

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import RenderableType
    from rich.live import Live

LONG = 8 * 1024**2
"""Bytes from which on a transfer is worth a bar."""
SOON = 1.0
"""Seconds after which a bar appears, however few the bytes."""
EVERY = 0.1
"""Seconds between two drawings."""
_BAR = 24
"""Columns of the bar."""
_WIDE = 80
"""Columns of a terminal that has room for it."""


class Bars:
    """Shows how far a transfer has come, as soon as that is worth it.

    Transfers tell of their progress from threads of theirs. One thread here draws it, and
    writes the lines of results above it, all that have come in together: a terminal is slower
    than a transfer of small objects.

    Args:
        out: Says whether progress is wanted.
        what: Text before the bar while nothing is known of what is under way.
    """

    def __init__(self, out: Output, what: str) -> None:
        self._wanted = not (out.quiet or out.json) and sys.stderr.isatty()
        self._what = what
        self._lines: deque[str] = deque()
        self._ended = threading.Event()
        self._drawer: threading.Thread | None = None
        self._began: float | None = None
        self._lost: OSError | None = None
        self.latest: Progress | None = None
        """How far it is, for anybody who asks."""

    @property
    def wanted(self) -> bool:
        """Whether there will be a bar if it takes long."""
        return self._wanted

    @property
    def progress(self) -> OnProgress:
        """What a transfer calls."""
        return self._update

    def line(self, text: str) -> None:
        """A line of a result, for people.

        Raises:
            OSError: standard output took none of those before.
        """
        if self._lost is not None:
            raise self._lost
        self._lines.append(text)

    def _update(self, progress: Progress) -> None:
        self.latest = progress

    def __enter__(self) -> Bars:
        if self._wanted:
            self._drawer = threading.Thread(target=self._draw, name="storage-bars", daemon=True)
            self._drawer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._drawer is not None:
            self._ended.set()
            self._drawer.join()
            self._write_lines(None)  # there are some if it could not draw
            if self._lost is not None and kind is None:
                raise self._lost

    def _draw(self) -> None:
        live: Live | None = None
        try:
            ended = False
            while not ended:
                ended = self._ended.wait(EVERY)
                if live is None and not ended and self._is_long():
                    live = _start()
                self._write_lines(live)
                if live is not None and self.latest is not None:
                    drawn = _drawn(self.latest, self._what, live.console.width)
                    live.update(drawn, refresh=True)
        except OSError as error:
            self._lost = error
        finally:
            if live is not None:
                with suppress(OSError):
                    live.stop()

    def _is_long(self) -> bool:
        now, moment = self.latest, time.monotonic()
        if now is None:
            return False
        if self._began is None:
            self._began = moment
        return (now.total_bytes or now.bytes) >= LONG or moment - self._began > SOON

    def _write_lines(self, live: Live | None) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        text = "\n".join(lines)
        # Above the bar, unless they go elsewhere.
        if live is None or not sys.stdout.isatty():
            _write(text)
        else:
            live.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    if sys.stdout.isatty():
        sys.stdout.flush()


def _start() -> Live:
    from rich.console import Console
    from rich.live import Live

    live = Live(
        console=Console(stderr=True),
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    live.start()
    return live


def _drawn(now: Progress, what: str, width: int) -> RenderableType:
    """One line: what is under way, a bar, bytes, rate, time left, objects, failures."""
    from rich.progress_bar import ProgressBar
    from rich.table import Column, Table
    from rich.text import Text

    by_bytes = bool(now.bytes or now.total_bytes)
    done, total = (now.bytes, now.total_bytes) if by_bytes else (now.objects, now.total_objects)
    bar = ProgressBar(total, min(done, total) if total else 0, width=_BAR, pulse=not total)
    # A narrow terminal has room for the figures only.
    cells: list[tuple[RenderableType, str]] = [(bar, "")] if width >= _WIDE else []
    if by_bytes:
        cells.append((Text(size_pair(now.bytes, now.total_bytes)), "green"))
        cells.append((Text(f"{size_text(int(now.rate))}/s"), "red"))
        cells.append((Text(_left(now)), "cyan"))
    if now.total_objects != 1 or not by_bytes:
        of = "" if now.total_objects is None else f"/{now.total_objects}"
        cells.append(
            (Text(f"{now.objects}{of} {count(now.objects, 'object').split()[1]}"), "green")
        )
    if now.failed:
        cells.append((Text(f"{now.failed} failed"), "red"))
    name = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    rest = [Column(no_wrap=True, style=style) for _, style in cells]
    table = Table.grid(name, *rest, padding=(0, 1), expand=True)
    table.add_row(Text(clean(now.current or what)), *(cell for cell, _ in cells))
    return table


def _left(now: Progress) -> str:
    """Time to the end of what is known of, as hours, minutes and seconds."""
    if now.total_bytes is None or now.rate <= 0:
        return "-:--:--"
    return str(timedelta(seconds=max(0, round((now.total_bytes - now.bytes) / now.rate))))


class Counter:
    """Counts the bytes of what is no transfer of the engine's.

    Args:
        bars: Shows them.
        total: Bytes to come, None if unknown.
    """

    def __init__(self, bars: Bars, total: int | None = None) -> None:
        self._meter = Meter(bars.progress)
        self._meter.expect(1, total)
        self._done = 0

    def advance(self, size: int) -> None:
        """So many bytes more."""
        self._done += size
        self._meter.moved(size)

    def reach(self, done: int) -> None:
        """So many bytes in all."""
        self.advance(done - self._done)

    def finish(self) -> None:
        """It is done."""
        self._meter.end()
        self._meter.finish()
