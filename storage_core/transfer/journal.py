"""Journals: what an interrupted transfer of one large object has done, for another process to go
on with.

A journal is a file of JSON lines, the header first and then one line for each part that is
finished. It is locked (``flock``) as long as a transfer uses it, and the lock goes with the
process. A line that was torn by the end of its process does not count.

Nothing here is believed without a look: a header must be that of the very same transfer, and
what a line says of a part is compared with the bytes.

Journals of uploads lie in `state_folder`. Those of downloads lie beside their targets, and a
pointer in `state_folder` tells where, so that `journals` finds them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, cast

from storage_core.runtime.strands import Stopped

FORMAT: Final = 1
STATE: Final = "STORAGE_STATE_DIR"
"""The environment variable with a folder to use instead of the user's state directory."""
JOURNAL: Final = ".journal"
_POINTER: Final = ".pointer"
_LONGEST: Final = 64 * 1024**2
"""Bytes of a journal that are read: far above what a transfer of 10,000 parts writes."""


class Journal:
    """The journal of a transfer under way, locked. Parts may be added from several threads.

    Attributes:
        place: The file.
        header: As it was stored; empty until `begin` in a new one.
        parts: What an earlier run of the same transfer finished: number of the part to its
            record.
        stale: The header of another transfer that was interrupted here before, if any; `begin`
            forgets it.
    """

    def __init__(self, place: Path, descriptor: int) -> None:
        self.place = place
        self.header: Mapping[str, object] = {}
        self.parts: dict[int, Mapping[str, object]] = {}
        self.stale: Mapping[str, object] | None = None
        self._descriptor = descriptor
        self._lock = threading.Lock()

    @classmethod
    def open(cls, place: Path, header: Mapping[str, object]) -> Journal | None:
        """Lock a journal, which is made if there is none, and read what it knows.

        Args:
            place: The file; its folder exists.
            header: What makes it the same transfer. A stored header may have more names.

        Returns:
            None if another transfer that is alive holds it, or the file system has no locks.

        Raises:
            OSError: the file can not be made or read.
        """
        descriptor = _locked(place)
        if descriptor is None:
            return None
        journal = cls(place, descriptor)
        try:
            journal._load(header)
        except BaseException:
            os.close(descriptor)
            raise
        return journal

    def _load(self, header: Mapping[str, object]) -> None:
        data = _read(self._descriptor)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.ftruncate(self._descriptor, whole)  # else the next line would go on with it
        found, parts = _parsed(data[:whole])
        if found is None:
            return
        wanted = json.loads(json.dumps(header))  # as it looks once stored
        if found.get("journal") == FORMAT and wanted == {name: found.get(name) for name in wanted}:
            self.header, self.parts = found, parts
        else:
            self.stale = found

    def begin(self, header: Mapping[str, object]) -> None:
        """Start anew: forget what is there, and store a header."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.header = {"journal": FORMAT, "started": now, **header}
        self.parts, self.stale = {}, None
        os.ftruncate(self._descriptor, 0)
        self._write(self.header)

    def add(self, number: int, record: Mapping[str, object]) -> None:
        """A part is finished: all that the record tells is true on disk or at the service."""
        self._write({"part": number, **record})

    def _write(self, line: Mapping[str, object]) -> None:
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if self._descriptor < 0:
                raise Stopped  # a thread that was given up, at its end nevertheless
            try:
                size = os.write(self._descriptor, data)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.place)) from None
            if size < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.place))

    def close(self) -> None:
        """Leave it for a resume; may be called twice, and after `remove`."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def remove(self) -> None:
        """The transfer has ended: delete the journal, and the pointer to it."""
        if self._descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                self.place.unlink()
            with contextlib.suppress(OSError):
                _pointer(self.place).unlink()
            self.close()


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A journal that `journals` found, and the transfer it is of.

    Attributes:
        kind: Which way.
        source: Text for people: a file, or the place of an object.
        target: As the source.
        size: Bytes of the object; None if they are not known.
        done: Bytes of finished parts.
        started: When; None if the journal does not tell.
        place: The journal.
        partial: The incomplete file of a download.
        in_use: Whether a transfer is using it now.
        header: All that is stored of the transfer.
    """

    kind: Literal["upload", "download"]
    source: str
    target: str
    size: int | None
    done: int
    started: datetime | None
    place: Path
    partial: Path | None
    in_use: bool
    header: Mapping[str, object]

    def remove(self) -> bool:
        """Delete the journal, the pointer to it and the incomplete file. What an upload has at
        its service stays there. False, and nothing is done, while a transfer uses it."""
        descriptor = _locked(self.place, create=False)
        if descriptor is None:
            return not self.place.exists()
        journal = Journal(self.place, descriptor)
        try:
            if self.partial is not None:
                self.partial.unlink(missing_ok=True)
            journal.remove()
        finally:
            journal.close()
        return True


def journals() -> list[Interrupted]:
    """All journals of this user that are known, the oldest first. Pointers to journals that
    are gone are removed on the way."""
    found = [item for place in _known() if (item := _interrupted(place)) is not None]
    return sorted(found, key=lambda item: (item.started or datetime.now(UTC), str(item.place)))


def state_folder() -> Path:
    """Where journals of uploads lie: a folder of the user's state directory, or of the one that
    the environment names."""
    given = os.environ.get(STATE)
    if given:
        return Path(given) / "transfers"
    import platformdirs

    return platformdirs.user_state_path("storage-core") / "transfers"


def point_to(place: Path) -> None:
    """Let `journals` find a journal outside of `state_folder`. That it can not, where the
    folder can not be written, does not hurt the transfer."""
    place = place.absolute()
    with contextlib.suppress(OSError):
        pointer = _pointer(place)
        pointer.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        pointer.write_bytes(os.fsencode(place))


def _pointer(place: Path) -> Path:
    name = hashlib.sha256(os.fsencode(place.absolute())).hexdigest()[:32]
    return state_folder() / (name + _POINTER)


def _known() -> Iterator[Path]:
    """The journals of the state folder and those that are pointed to."""
    try:
        entries = sorted(state_folder().iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.suffix == JOURNAL:
            yield entry
        elif entry.suffix == _POINTER:
            with contextlib.suppress(OSError):
                place = Path(os.fsdecode(entry.read_bytes()))
                if place.exists():
                    yield place
                else:
                    entry.unlink()


def _interrupted(place: Path) -> Interrupted | None:
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        header, parts = _parsed(_read(descriptor))
        in_use = not _lock(descriptor)
    finally:
        os.close(descriptor)
    if header is None or header.get("kind") not in {"upload", "download"}:
        return None
    size, started = header.get("size"), header.get("started")
    moment = None
    with contextlib.suppress(ValueError, TypeError):
        moment = datetime.fromisoformat(cast("str", started))
    kind = cast("Literal['upload', 'download']", header["kind"])
    partial = place.with_name(place.name.removesuffix(JOURNAL)) if kind == "download" else None
    sizes = [record.get("size") for record in parts.values()]
    return Interrupted(
        kind=kind,
        source=str(header.get("source", "")),
        target=str(header.get("target", "")),
        size=size if isinstance(size, int) else None,
        done=sum(number for number in sizes if isinstance(number, int)),
        started=moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC),
        place=place,
        partial=partial,
        in_use=in_use,
        header=header,
    )


def _locked(place: Path, *, create: bool = True) -> int | None:
    """Open and lock a journal; None if another one has it, or there is none."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        try:
            descriptor = os.open(place, flags | (os.O_CREAT if create else 0), 0o600)
        except FileNotFoundError:
            if create:
                raise
            return None
        try:
            status = os.fstat(descriptor)
            ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
            if not ours or not _lock(descriptor):
                os.close(descriptor)
                return None
            # Who held it before may have removed it since it was opened here.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(place, follow_symlinks=False), os.fstat(descriptor)):
                    return descriptor
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    data = bytearray()
    while len(data) < min(size, _LONGEST):
        if not (piece := os.pread(descriptor, 1024**2, len(data))):
            break
        data += piece
    return bytes(data)


def _parsed(data: bytes) -> tuple[dict[str, object] | None, dict[int, Mapping[str, object]]]:
    """Header and parts; lines that make no sense are left out."""
    lines = [_line(text) for text in data.split(b"\n")]
    header = lines[0]
    parts: dict[int, Mapping[str, object]] = {}
    for line in lines[1:]:
        if line is not None and isinstance(number := line.get("part"), int):
            parts[number] = line
    return header, parts


def _line(text: bytes) -> dict[str, object] | None:
    try:
        found: Any = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
