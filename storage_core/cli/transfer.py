"""``storage put``, ``get`` and ``cat``: between local files and objects."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

from cyclopts import Parameter

from storage_core.cli.address import (
    STANDARD_STREAM,
    Address,
    parse_group,
    parse_object,
    parse_within_bucket,
    target_for,
)
from storage_core.cli.content_type import guess
from storage_core.cli.formats import parse_duration, parse_pairs, size_text
from storage_core.cli.local_files import NewFile, files_below, place_for, write_all
from storage_core.cli.options import NoClobber, Recursive
from storage_core.cli.output import record
from storage_core.cli.progress import CountedFile, Progress
from storage_core.cli.session import Session, This
from storage_core.cli.status import UsageError
from storage_core.model import PutResult

if TYPE_CHECKING:
    from storage_core import Bucket, Reader

PIECE = 1024**2
"""Bytes read from an object at a time."""


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
    session: This,
) -> None:
    """Store local files as objects.

    The last operand is the target: an object, or a bucket or a prefix that ends with "/" below
    which each source keeps its name. With -r a source is a folder and its files are stored
    under their places within it; symbolic links are left out.

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
    if recursive:
        parse_group(last)
    send = _Sender(session, where, options)
    for name in sources:
        if recursive:
            send.folder(Path(name))
        elif name == STANDARD_STREAM:
            send.standard_input()
        else:
            with session.attempt():
                send.file(Path(name), target_for(where, Path(name).name))
    session.check()


class _Sender:
    """Stores files under the same options."""

    def __init__(self, session: Session, target: Address, options: PutOptions) -> None:
        self._session = session
        self._target = target
        self._options = options
        self._metadata = parse_pairs(options.metadata, "metadata")
        self._tags = parse_pairs(options.tag, "tag")
        self._checksums = parse_pairs(options.checksum, "checksum")

    def folder(self, folder: Path) -> None:
        session, target = self._session, self._target

        def skipped(place: Path) -> None:
            session.out.note(f"left out, as it is no regular file: {place}")

        for place, relative in files_below(folder, skipped):
            with session.attempt(str(place)):
                self.file(place, target.at(target.key + relative))

    def file(self, place: Path, where: Address) -> None:
        with place.open("rb") as file:
            size = os.fstat(file.fileno()).st_size if place.is_file() else None
            self._send(file, size, where, place.name)

    def standard_input(self) -> None:
        if self._target.is_group:
            raise UsageError("standard input has no name; write the whole key")
        self._send(sys.stdin.buffer, None, self._target, self._target.last_segment)

    def _send(self, file: IO[bytes], size: int | None, where: Address, name: str) -> None:
        options = self._options
        with Progress(self._session.out, name, size) as progress:
            result = self._session.bucket(where).put(
                where.key,
                CountedFile(file, progress) if progress.wanted else file,
                size=size,
                content_type=options.content_type or guess(name) or guess(where.key),
                content_encoding=options.content_encoding,
                content_disposition=options.content_disposition,
                content_language=options.content_language,
                cache_control=options.cache_control,
                metadata=self._metadata or None,
                tags=self._tags or None,
                expires_at=options.expires_at(),
                if_absent=options.no_clobber,
                if_match=options.if_match,
                checksums=self._checksums or None,
                compute=tuple(options.compute or ()),
            )
        tell_stored(self._session, where, result)


def tell_stored(session: Session, where: Address, result: PutResult, verb: str = "stored") -> None:
    """Say that an object was written."""
    session.out.done(
        {"bucket": where.bucket, **record(result)}, f"{verb} {where} ({size_text(result.size)})"
    )


def get(
    source: str,
    target: str = ".",
    /,
    *,
    recursive: Recursive = False,
    no_clobber: NoClobber = False,
    version_id: str | None = None,
    session: This,
) -> None:
    """Fetch objects into local files.

    A file appears when all its bytes have come and their checksum holds; until then it has a
    temporary name beside its place. With -r all objects of a bucket or prefix are fetched, each
    into its place below the target.

    Args:
        source: PROFILE:BUCKET/KEY.
        target: File or folder; "-" is standard output.
        recursive: Fetch all objects of a bucket or a prefix.
        no_clobber: Fail if there is such a file.
        version_id: An older version of the object.
    """
    if recursive:
        if version_id is not None or target == STANDARD_STREAM:
            raise UsageError("-r goes neither with --version-id nor with standard output")
        _get_group(session, parse_group(source), Path(target), not no_clobber)
        return
    where = parse_object(source)
    if target == STANDARD_STREAM:
        _get_to_standard_output(session, where, None, version_id)
        return
    place = Path(target)
    if target.endswith(("/", os.sep)) or place.is_dir():
        if not where.last_segment:
            raise UsageError(f"{source!r} ends without a name; write the name of the file")
        place = place_for(place, where.last_segment)
    _get_file(session, where, place, not no_clobber, version_id)


def _get_group(session: Session, where: Address, folder: Path, replace: bool) -> None:
    for item in session.bucket(where).list(where.key):
        with session.attempt(str(where.at(item.key))):
            place = place_for(folder, item.key[len(where.key) :])
            place.parent.mkdir(parents=True, exist_ok=True)
            _get_file(session, where.at(item.key), place, replace, None)
    session.check()


def _get_file(
    session: Session, where: Address, place: Path, replace: bool, version: str | None
) -> None:
    with (
        session.bucket(where).get(where.key, version=version) as reader,
        NewFile(place, replace=replace) as file,
    ):
        _pump(session, reader, where.last_segment, lambda data: write_all(file, data))
    session.out.done(
        {"bucket": where.bucket, **record(reader.info), "file": str(place)},
        f"fetched {place} ({size_text(reader.length)})",
    )


def _pump(session: Session, reader: "Reader", what: str, write: Callable[[bytes], object]) -> None:
    with Progress(session.out, what, reader.length) as progress:
        while data := reader.read(PIECE):
            write(data)
            progress.advance(len(data))


def cat(
    *addresses: Annotated[str, Parameter(name="ADDRESS", required=True)],
    range: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,  # noqa: A002
    version_id: str | None = None,
    session: This,
) -> None:
    """Write the bytes of objects to standard output.

    Args:
        addresses: PROFILE:BUCKET/KEY, one or more.
        range: Bytes START:STOP, the stop not included; START: to the end, -N: the last N.
        version_id: An older version of the object.
    """
    span = parse_range(range) if range is not None else None
    if version_id is not None and len(addresses) > 1:
        raise UsageError("--version-id goes with one object")
    for where in [parse_object(address) for address in addresses]:
        _get_to_standard_output(session, where, span, version_id)


def _get_to_standard_output(
    session: Session, where: Address, span: tuple[int, int | None] | None, version: str | None
) -> None:
    bucket: Bucket = session.bucket(where)
    with bucket.get(where.key, range=span, version=version) as reader:
        _pump(session, reader, where.last_segment, sys.stdout.buffer.write)
    sys.stdout.buffer.flush()


def parse_range(text: str) -> tuple[int, int | None]:
    """Read ``START:STOP``, ``START:`` or ``-N:``.

    Raises:
        UsageError: it is none.
    """
    start, colon, stop = text.partition(":")
    digits = start.removeprefix("-") if not stop else start
    valid = colon and digits.isdecimal() and (not stop or stop.isdecimal())
    if not (valid and text.isascii()):
        raise UsageError(f"range {text!r} is not START:STOP, START: or -N:")
    return int(start), int(stop) if stop else None
