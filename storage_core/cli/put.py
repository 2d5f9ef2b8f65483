"""``storage put``: local files become objects."""

import errno
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cyclopts import Parameter

from storage_core.cli.address import (
    STANDARD_STREAM,
    Address,
    parse_group,
    parse_within_bucket,
    target_for,
)
from storage_core.cli.content_type import guess
from storage_core.cli.formats import parse_duration, parse_pairs
from storage_core.cli.many import AGAIN, GO_ON, NOTHING, Many, shown
from storage_core.cli.options import TRANSFER, NoClobber, Recursive, Transfer
from storage_core.cli.session import Session, This
from storage_core.cli.status import UsageError
from storage_core.cli.telling import tell_stored

if TYPE_CHECKING:
    from storage_core.transfer.progress import OnProgress
    from storage_core.transfer.report import OnOutcome, TransferReport


@Parameter(name="*")
@dataclass(frozen=True)
class PutOptions:
    """What `put` takes besides source and target.

    Attributes:
        content_type: Content type; guessed from the name without it.
        content_encoding: Content encoding, such as gzip.
        content_disposition: Content disposition.
        content_language: Content language.
        cache_control: Cache control.
        metadata: User metadata NAME=VALUE; may be repeated.
        tag: Tag NAME=VALUE; may be repeated.
        expires_in: The object disappears after this: 900, 15m, 2h, 7d.
        checksum: Digest the bytes must have, ALGORITHM=HEX; may be repeated.
        compute: Algorithm whose digest is wanted, such as sha256; may be repeated.
        no_clobber: Fail if there is such an object.
        if_match: Only replace the object with this etag.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    content_disposition: str | None = None
    content_language: str | None = None
    cache_control: str | None = None
    metadata: list[str] | None = None
    tag: list[str] | None = None
    expires_in: str | None = None
    checksum: list[str] | None = None
    compute: list[str] | None = None
    no_clobber: NoClobber = False
    if_match: str | None = None

    def expires_at(self) -> datetime | None:
        if self.expires_in is None:
            return None
        return datetime.now(UTC) + timedelta(seconds=parse_duration(self.expires_in))


_NO_OPTIONS = PutOptions()


def put(
    source: str,
    target: str,
    /,
    *more: str,
    recursive: Recursive = False,
    options: PutOptions = _NO_OPTIONS,
    transfer: Transfer = TRANSFER,
    session: This,
) -> None:
    """Store local files as objects.

    The last operand is the target: an object, or a bucket or a prefix that ends with "/" below
    which each source keeps its name. With -r a source is a folder and its files are stored
    under their places within it; symbolic links are left out.

    A large file goes in parts, several at a time. Interrupted, the same command goes on where
    it stopped.

    Args:
        source: A file; "-" is standard input.
        target: PROFILE:BUCKET/KEY.
        more: Further operands.
        recursive: Store folders.
    """
    operands = (source, target, *more)
    sources, last = operands[:-1], operands[-1]
    where = parse_within_bucket(last)
    if len(sources) > 1 and not where.is_group:
        raise UsageError(f"several sources need a bucket or a prefix that ends with '/': {last!r}")
    send = Sender(session, options, transfer)
    if recursive:
        send.folders([Path(name) for name in sources], parse_group(last))
        return
    for name in sources:
        if name == STANDARD_STREAM:
            send.standard_input(where)
        else:
            with session.attempt():
                send.file(Path(name), target_for(where, Path(name).name))
    session.check()


class Sender:
    """Stores files under the same options.

    Args:
        session: Of the command.
        options: What becomes part of the objects, and on what conditions.
        transfer: How it is done.
    """

    def __init__(self, session: Session, options: PutOptions, transfer: Transfer) -> None:
        self._session = session
        self._given = options
        self._expires_at = options.expires_at()
        self._metadata = parse_pairs(options.metadata, "metadata") or None
        self._tags = parse_pairs(options.tag, "tag") or None
        self._checksums = parse_pairs(options.checksum, "checksum") or None
        self._options = transfer.options()

    def folders(self, folders: list[Path], target: Address) -> None:
        """Store the files of folders below a prefix."""
        given = self._given
        if given.if_match is not None or given.checksum or given.compute:
            raise UsageError("--if-match, --checksum and --compute go with single files, not -r")
        with Many(self._session, "storing", remedy=AGAIN) as many:
            for folder in folders:
                many.run(
                    str(folder),
                    partial(self._folder, folder, target),
                    many.tell(target),
                    lambda place, folder=folder: str(folder / place),  # type: ignore[misc]
                )

    def _folder(
        self, folder: Path, target: Address, progress: "OnProgress", on_outcome: "OnOutcome"
    ) -> "TransferReport":
        given = self._given
        return self._session.bucket(target).upload_tree(
            folder,
            target.key,
            content_type=self._type_of,
            content_encoding=given.content_encoding,
            content_disposition=given.content_disposition,
            content_language=given.content_language,
            cache_control=given.cache_control,
            metadata=self._metadata,
            tags=self._tags,
            expires_at=self._expires_at,
            if_absent=given.no_clobber,
            options=self._options,
            progress=progress,
            on_outcome=on_outcome,
        )

    def file(self, place: Path, target: Address) -> None:
        """Store a file."""
        if place.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder, which -r stores", str(place))
        if place.is_file():
            self._send(place, target, place.name, GO_ON if self._options.resume else NOTHING)
            return
        with place.open("rb") as file:  # a pipe or a device
            self._send(file, target, place.name, NOTHING)

    def standard_input(self, target: Address) -> None:
        """Store what comes from standard input."""
        if target.is_group:
            raise UsageError("standard input has no name; write the whole key")
        # Without a buffer: its lock, held by a thread that waits for input, keeps an interrupted
        # process from ending.
        stdin = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
        self._send(stdin, target, target.last_segment, NOTHING)

    def _send(self, source: Path | IO[bytes], target: Address, name: str, remedy: str) -> None:
        given = self._given
        with shown(self._session, name, remedy) as bars:
            result = self._session.bucket(target).upload_file(
                source,
                target.key,
                content_type=self._type_of(name) or self._type_of(target.key),
                content_encoding=given.content_encoding,
                content_disposition=given.content_disposition,
                content_language=given.content_language,
                cache_control=given.cache_control,
                metadata=self._metadata,
                tags=self._tags,
                expires_at=self._expires_at,
                if_absent=given.no_clobber,
                if_match=given.if_match,
                checksums=self._checksums,
                compute=tuple(given.compute or ()),
                options=self._options,
                progress=bars.progress,
            )
        tell_stored(self._session, target, result)

    def _type_of(self, name: str) -> str | None:
        return self._given.content_type or guess(name)
