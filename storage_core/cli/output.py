"""What the command line says: results to standard output, all else to standard error.

Results are lines for people, or with ``--json`` one JSON object a line. Tables are drawn on a
terminal only; elsewhere their cells are separated by tabs, without a heading.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from storage_core.cli.formats import clean, iso_text
from storage_core.cli.status import UsageError, status_of
from storage_core.errors import StorageError

PROGRAM = "storage"


class Output:
    """How and how much is said.

    Args:
        json: Results and errors as JSON objects, one a line.
        quiet: Say nothing of what went well, and show no progress.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet

    def line(self, text: str) -> None:
        """A line of a result, for people."""
        sys.stdout.write(clean(text) + "\n")

    def record(self, value: object) -> None:
        """A result as one line of JSON; see `record` for what becomes of the value."""
        sys.stdout.write(dumps(record(value)) + "\n")

    def result(self, value: object, text: str) -> None:
        """A result that was asked for: always shown."""
        if self.json:
            self.record(value)
        else:
            self.line(text)

    def done(self, value: object, text: str) -> None:
        """What was done: shown unless quiet."""
        if self.json:
            self.record(value)
        elif not self.quiet:
            self.line(text)

    def columns(self, cells: Sequence[str], widths: Sequence[int]) -> None:
        """A line of a long listing: aligned on a terminal, else separated by tabs."""
        if not sys.stdout.isatty():
            sys.stdout.write("\t".join(clean(cell) for cell in cells) + "\n")
            return
        pairs = zip(cells, widths, strict=True)
        self.line("  ".join(f"{cell:<{width}}" for cell, width in pairs).rstrip())

    def table(self, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A short table of results for people."""
        if not sys.stdout.isatty():
            for row in rows:
                sys.stdout.write("\t".join(clean(cell) for cell in row) + "\n")
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*heading, box=None, pad_edge=False)
        for row in rows:
            # Text, not markup: a name may hold brackets.
            table.add_row(*(Text(clean(cell)) for cell in row))
        Console().print(table)

    def note(self, text: str) -> None:
        """Something worth knowing besides the result; not with ``--json`` or when quiet."""
        if not (self.quiet or self.json):
            sys.stdout.flush()
            sys.stderr.write(clean(text) + "\n")

    def error(self, error: Exception, context: str = "") -> int:
        """Tell of a failure, as one message.

        Args:
            error: What was raised.
            context: What it befell, where the error does not say so itself.

        Returns:
            Its exit status.
        """
        status = status_of(error)
        sys.stdout.flush()
        if self.json:
            sys.stderr.write(dumps({"error": _error_record(error, context, status)}) + "\n")
        else:
            text = message_of(error)
            where = f"{clean(context)}: " if context else ""
            notes = getattr(error, "__notes__", ())
            lines = [clean(line) for line in "\n".join((f"{where}{text}", *notes)).split("\n")]
            sys.stderr.write(f"{PROGRAM}: " + "\n  ".join(lines) + "\n")
        return status

    def interrupted(self, text: str, remedy: str) -> None:
        """Tell how far a command came that is ended by a signal, and what to do now."""
        sys.stdout.flush()
        message = f"{text}; {remedy}" if remedy else text
        if self.json:
            sys.stderr.write(dumps({"interrupted": {"message": message}}) + "\n")
        else:
            sys.stderr.write(f"{PROGRAM}: {clean(message)}\n")


def message_of(error: BaseException) -> str:
    """The text of an error without the noise of ``OSError``."""
    if isinstance(error, OSError) and not isinstance(error, StorageError) and error.strerror:
        name = error.filename
        return f"{name}: {error.strerror}" if name is not None else error.strerror
    return str(error) or type(error).__name__


def _error_record(error: Exception, context: str, status: int) -> dict[str, object]:
    found: dict[str, object] = {
        "type": "UsageError" if isinstance(error, UsageError) else type(error).__name__,
        "message": f"{context}: {message_of(error)}" if context else message_of(error),
        "exit_status": status,
    }
    if isinstance(error, StorageError):
        for name in ("operation", "bucket", "key", "status", "code", "request_id"):
            if (value := getattr(error, name)) is not None:
                found[name] = value
        found["retryable"] = error.retryable
    if notes := getattr(error, "__notes__", ()):
        found["notes"] = list(notes)
    return found


def record(value: object) -> dict[str, Any]:
    """A mapping or dataclass as a JSON object: times are RFC 3339 in UTC, sizes are bytes. Of a
    dataclass, fields that are absent or empty are left out."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    assert dataclasses.is_dataclass(value)
    pairs = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return {name: _plain(item) for name, item in pairs if not _is_absent(item)}


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, Mapping) and not value)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return iso_text(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, StorageError):
        return str(value)
    return value


def dumps(value: object) -> str:
    """One line of JSON. Only ASCII, so that it survives every locale."""
    import json

    return json.dumps(value, separators=(", ", ": "))
