"""``storage get`` and ``cat``: objects become local files, or go to standard output."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from storage_core.cli.address import STANDARD_STREAM, Address, parse_group, parse_object
from storage_core.cli.formats import size_text
from storage_core.cli.many import AGAIN, GO_ON, Many, shown
from storage_core.cli.options import TRANSFER, NoClobber, Recursive, Transfer
from storage_core.cli.output import record
from storage_core.cli.progress import Counter
from storage_core.cli.session import Session, This
from storage_core.cli.status import UsageError

if TYPE_CHECKING:
    from storage_core import Bucket

PIECE = 1024**2
"""Bytes read from an object at a time."""


def get(
    source: str,
    target: str = ".",
    /,
    *,
    recursive: Recursive = False,
    no_clobber: NoClobber = False,
    version_id: str | None = None,
    transfer: Transfer = TRANSFER,
    session: This,
) -> None:
    """Fetch objects into local files.

    A file appears when all its bytes have come and their checksum holds; until then it has a
    temporary name beside its place. With -r all objects of a bucket or prefix are fetched, each
    into its place below the target.

    A large object comes by ranges, several at a time. Interrupted, the same command goes on
    where it stopped.

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
        fetch_group(session, parse_group(source), Path(target), not no_clobber, transfer)
        return
    where = parse_object(source)
    if target == STANDARD_STREAM:
        _get_to_standard_output(session, where, None, version_id)
        return
    fetch_one(session, where, target, not no_clobber, version_id, transfer)


def fetch_group(
    session: Session, where: Address, folder: Path, replace: bool, transfer: Transfer
) -> None:
    """Fetch all objects below a prefix into a folder."""
    bucket, options = session.bucket(where), transfer.options()
    with Many(session, "fetching", remedy=AGAIN) as many:
        many.run(
            str(where),
            lambda progress, on_outcome: bucket.download_tree(
                where.key,
                folder,
                replace=replace,
                options=options,
                progress=progress,
                on_outcome=on_outcome,
            ),
            many.tell(folder),
            lambda relative: str(where.at(where.key + relative)),
        )


def fetch_one(
    session: Session,
    where: Address,
    target: str,
    replace: bool,
    version: str | None,
    transfer: Transfer,
) -> None:
    """Fetch an object into a file, or below a folder under its own name."""
    place = Path(target)
    if target.endswith(("/", os.sep)) or place.is_dir():
        if not where.last_segment:
            raise UsageError(f"{str(where)!r} ends without a name; write the name of the file")
        from storage_core.transfer.folder import check_place

        check_place(where.last_segment)
        place /= where.last_segment
    with shown(session, where.last_segment, GO_ON) as bars:
        info = session.bucket(where).download_file(
            where.key,
            place,
            version=version,
            replace=replace,
            options=transfer.options(),
            progress=bars.progress,
        )
    session.out.done(
        {"bucket": where.bucket, **record(info), "file": str(place)},
        f"fetched {place} ({size_text(info.size)})",
    )


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
    with (
        bucket.get(where.key, range=span, version=version) as reader,
        shown(session, where.last_segment, "") as bars,
    ):
        counter = Counter(bars, reader.length)
        while data := reader.read(PIECE):
            sys.stdout.buffer.write(data)
            counter.advance(len(data))
        counter.finish()
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
