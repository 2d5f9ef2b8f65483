"""What a multipart session is made of. Pure: names, block ids, and parts out of them.

A session is a hidden blob, named by the key and a random token. It is written empty when the
session begins, with the attributes the object is to have; what is put as parts hangs on it as
blocks that are not committed. The target's own blob can not carry them: whoever writes to a
blob drops the blocks that others have sent for it.

The id of a block tells the part it is of, when it was sent and the checksum of its bytes, since
the service keeps nothing else of a block but its size. A part that is sent by a link, or has no
bytes (which no block may), is a hidden blob of its own, named by the session and the number.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from storage_azure.bodies import block_id
from storage_azure.keys import HIDDEN
from storage_azure.responses import Session
from storage_core.checksum import crc32c_combine
from storage_core.http.metadata import RESERVED
from storage_core.model import EMPTY, Part

KEY_FIELD: Final = f"{RESERVED}key"
"""Metadata of a session that holds its key, where the name has no room for all of it."""
TIME_FIELD: Final = f"{RESERVED}time"
"""Metadata of a part that is a blob: when it was sent, in microseconds of the epoch."""

_PLACE: Final = f"{HIDDEN}uploads/"
_ROOM: Final = 448
"""Bytes of a key that go into a session's name."""
_TOKEN = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(rf"{re.escape(_PLACE)}(?P<key>[0-9a-f]*)(?P<more>\.[0-9a-f]{{16}})?"
                   r"\.(?P<token>[0-9a-f]{32})")  # fmt: skip
_BLOCK = re.compile(r"(\d{5})([0-9a-f]{16})([0-9a-f]{8})(\d{4})([01])([0-9a-f]{8}|-{8})")

MICROSECONDS: Final = 1_000_000


# --- names ----------------------------------------------------------------------------


def is_upload_id(text: str) -> bool:
    """Whether it can be the id of a session."""
    return _TOKEN.fullmatch(text) is not None


def session_name(key: str, upload_id: str) -> str:
    """Name of a session's blob. Names sort as their keys do."""
    raw = key.encode()
    more = ""
    if len(raw) > _ROOM:
        more = "." + hashlib.blake2b(raw, digest_size=8).hexdigest()
    return f"{_PLACE}{raw[:_ROOM].hex()}{more}.{upload_id}"


def sessions_prefix(prefix: str) -> str:
    """What the names of all sessions begin with whose keys have a prefix; others' may too."""
    return _PLACE + prefix.encode()[:_ROOM].hex()


def part_name(session: str, number: int) -> str:
    """Name of the blob of one part."""
    return f"{session}/{number:05}"


def session_of(name: str) -> str:
    """Name of the session a hidden blob is, or is a part of."""
    return _PLACE + name[len(_PLACE) :].partition("/")[0]


def key_fields(key: str) -> dict[str, str]:
    """Metadata that lets the key be told again."""
    raw = key.encode()
    return {} if len(raw) <= _ROOM else {KEY_FIELD: urlsafe_b64encode(raw).decode()}


def split_session(name: str, fields: Mapping[str, str]) -> tuple[str, str] | None:
    """Key and id of a session's blob, None if it is none."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        if found["more"] is None:
            return bytes.fromhex(found["key"]).decode(), found["token"]
        return urlsafe_b64decode(fields["key"]).decode(), found["token"]
    except (KeyError, ValueError, Base64Error):
        return None


# --- parts ----------------------------------------------------------------------------


class Sending(NamedTuple):
    """A part on its way: number, microseconds of the epoch, and a random mark."""

    number: int
    time: int
    mark: str

    @property
    def etag(self) -> str:
        """Etag of the part."""
        return f"{self.time:016x}{self.mark}"

    def block(self, index: int, *, last: bool, crc32c: str | None) -> str:
        """Id of one of its blocks.

        Args:
            index: Blocks of the part before this one.
            last: Whether it is the part's last.
            crc32c: Of its bytes, in hexadecimal; None if it is not known.
        """
        return block_id(
            f"{self.number:05}{self.time:016x}{self.mark}{index:04}{last:d}{crc32c or '-' * 8}"
        )


@dataclass(slots=True)
class Stored:
    """A part as the service has it.

    Attributes:
        number: Of the part.
        time: When it was sent, in microseconds of the epoch.
        etag: See `Sending.etag`, or that of its blob.
        size: Bytes.
        blocks: Ids with size and CRC32C of each, in order; empty for a blob.
        name: Of its blob, if it is one.
    """

    number: int
    time: int
    etag: str
    size: int
    blocks: tuple[tuple[str, int, str | None], ...] = ()
    name: str = ""

    def part(self) -> Part:
        """The same for callers."""
        crc = combined([self])
        return Part(self.number, self.etag, self.size, {"crc32c": crc} if crc else EMPTY)


def stored_parts(blocks: Mapping[str, int], blobs: Iterable[Session]) -> dict[int, Stored]:
    """The parts of a session by number: of each the one that was sent last.

    Args:
        blocks: Id to size of the blocks on the session's blob.
        blobs: Parts that are blobs of their own.
    """
    sent: dict[tuple[int, int, str], dict[int, tuple[str, int, str | None, bool]]] = {}
    for identity, size in blocks.items():
        try:
            found = _BLOCK.fullmatch(b64decode(identity).decode("ascii", "replace"))
        except (ValueError, Base64Error):
            continue
        if found is None:
            continue
        number, time, mark, index, last, crc = found.groups()
        pieces = sent.setdefault((int(number), int(time, 16), mark), {})
        known = None if crc[0] == "-" else crc
        pieces[int(index)] = (identity, size, known, last == "1")
    newest: dict[int, Stored] = {}
    for (number, time, mark), pieces in sorted(sent.items()):
        # A part whose sending broke off lacks its last block.
        ordered = [pieces[index] for index in sorted(pieces)]
        if not ordered[-1][3] or sorted(pieces) != list(range(len(pieces))):
            continue
        newest[number] = Stored(
            number,
            time,
            Sending(number, time, mark).etag,
            sum(size for _, size, _, _ in ordered),
            tuple((identity, size, crc) for identity, size, crc, _ in ordered),
        )
    for blob in blobs:
        number = int(blob.blob.name[-5:])
        # The service tells the second. Whoever sent a part by link did it within that second.
        time = int((blob.blob.modified.timestamp() + 1) * MICROSECONDS) - 1
        if "time" in blob.fields and blob.fields["time"].isdecimal():
            time = int(blob.fields["time"])
        if number not in newest or newest[number].time <= time:
            newest[number] = Stored(
                number, time, blob.blob.etag, blob.blob.size, name=blob.blob.name
            )
    return dict(sorted(newest.items()))


def combined(parts: Iterable[Stored]) -> str | None:
    """CRC32C of parts put together, in hexadecimal; None where that of one is not known."""
    whole = 0
    for part in parts:
        if part.size and not part.blocks:
            return None
        for _, size, crc in part.blocks:
            if crc is None:
                return None
            whole = crc32c_combine(whole, int(crc, 16), size)
    return f"{whole:08x}"
