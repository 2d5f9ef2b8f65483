"""What importers are given and give: files, rows and the error of a broken file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from storage_core.errors import InvalidRequestError

MAX_NAME: Final = 128
"""Most characters of the name of a dataset."""
MAX_KEY_BYTES: Final = 1000
"""Largest key of a row, as JSON text in UTF-8."""

KeyPart: TypeAlias = str | int | float | bool


class ImportFileError(InvalidRequestError):
    """A file is not what its importer takes: none of its rows is imported.

    Attributes:
        line: Line of the file, from 1; None where it is about the whole.
        reason: What is wrong with it.
    """

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.line = line
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.line, self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """What was said of a file when it was registered.

    Attributes:
        entity_type: What its rows are about, empty if that was not said.
        workspace: Workspace it belongs to.
        bucket: Logical bucket it is in.
        metadata: What the caller told besides; an importer may read its options there.
    """

    entity_type: str = ""
    workspace: str = ""
    bucket: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One change: a row that is to be there, or not to be.

    Attributes:
        line: Line of the file it is from, from 1.
        dataset: What the row is one of, such as ``customer``.
        key: What identifies it in its dataset. At least one part.
        values: All of the row, the key included, as JSON values; None deletes the row.
    """

    line: int
    dataset: str
    key: tuple[KeyPart, ...]
    values: Mapping[str, Any] | None


class Importer(Protocol):
    """Reads the rows of one type of file. It is found by the entry-point group
    ``storage_core.importers``; a plain function will do."""

    def __call__(self, source: Iterable[bytes], file: FileInfo, /) -> Iterator[Row]:
        """Give the rows, in their order, without holding more than one of them.

        All rows of a file become visible together once the last one was given; whatever is
        raised before leaves nothing.

        Args:
            source: The file's bytes, in chunks of any length.
            file: What was said of it.

        Raises:
            ImportFileError: the file is broken; the line and reason are what the client is told.
        """
        ...
