"""``storage rm`` and ``presign``: on objects, where they are."""

import sys
from typing import Annotated

from cyclopts import Parameter

from storage_core.cli.address import (
    Address,
    parse_group,
    parse_object,
    parse_within_bucket,
)
from storage_core.cli.formats import parse_duration, parse_pairs
from storage_core.cli.many import Many, batches, in_parallel
from storage_core.cli.options import NoClobber, Recursive
from storage_core.cli.session import Session, This
from storage_core.cli.status import UsageError
from storage_core.cli.telling import tell_deleted
from storage_core.model import Link, Method
from storage_core.transfer.progress import Meter

DELETIONS = 4
"""Calls for many deletions at a time."""


def rm(
    *addresses: Annotated[str, Parameter(name="ADDRESS", required=True)],
    recursive: Recursive = False,
    dry_run: bool = False,
    version_id: str | None = None,
    if_match: str | None = None,
    concurrency: int = DELETIONS,
    session: This,
) -> None:
    """Delete objects. One that does not exist is no failure.

    Where the profile keeps versions, older ones stay: see "storage versions".

    Args:
        addresses: PROFILE:BUCKET/KEY, one or more; with -r a bucket or a prefix ending with "/".
        recursive: Delete all objects of a bucket or a prefix.
        dry_run: Only show what would be deleted.
        version_id: Delete this version of the object for good.
        if_match: Only delete the object with this etag.
        concurrency: With -r, requests at a time at most.
    """
    single = version_id is not None or if_match is not None
    if single and (recursive or len(addresses) > 1):
        raise UsageError("--version-id and --if-match go with one object")
    if concurrency < 1:
        raise UsageError("--concurrency is 1 or more")
    read = parse_group if recursive else parse_object
    places = [read(address) for address in addresses]
    if recursive:
        with Many(session, "deleting", dry_run=dry_run) as many:
            for where in places:
                _remove_group(session, many, where, concurrency, dry_run)
        return
    for where in places:
        with session.attempt():
            if dry_run:
                session.out.result({"bucket": where.bucket, "key": where.key}, str(where))
            else:
                bucket = session.bucket(where)
                result = bucket.delete(where.key, version=version_id, if_match=if_match)
                tell_deleted(session, where, result)
    session.check()


def _remove_group(
    session: Session, many: Many, where: Address, concurrency: int, dry_run: bool
) -> None:
    bucket = session.bucket(where)
    meter = Meter(many.bars.progress)

    def told(key: str) -> None:
        place = where.at(key)
        value = {"action": "delete", "bucket": place.bucket, "key": key}
        many.done("delete", 0, value, str(place) if dry_run else f"deleted {place}")

    def remove(keys: list[str]) -> None:
        with many.attempt(str(where)):
            meter.expect(len(keys), None)
            meter.begin(keys[0])
            if dry_run:
                for key in keys:
                    told(key)
                return
            for result in bucket.delete_many(keys):
                meter.end(failed=result.error is not None)
                if result.error is None:
                    told(result.key)
                else:
                    many.failed(str(where.at(result.key)), result.error)

    keys = (item.key for item in bucket.list(where.key))
    with many.attempt(str(where)):
        in_parallel(batches(keys), remove, 1 if dry_run else concurrency)
    meter.finish()


def presign(
    address: str,
    /,
    *,
    method: Annotated[Method, Parameter(name=["--method", "-X"])] = "GET",
    expires_in: str = "15m",
    content_type: str | None = None,
    content_length: int | None = None,
    checksum: str | None = None,
    filename: str | None = None,
    version_id: str | None = None,
    no_clobber: NoClobber = False,
    upload: str | None = None,
    part: int | None = None,
    session: This,
) -> None:
    """Make a link by which somebody without credentials can do one thing to one object.

    The link goes to standard output. Headers that must be sent along are shown beside it, and
    are part of the result with --json. Whoever has the link can use it: keep it like a password.

    Args:
        address: PROFILE:BUCKET/KEY; with --upload the bucket alone.
        method: What the link is good for.
        expires_in: How long it is good: 900, 15m, 2h, 7d.
        content_type: Content type a PUT must send, or that a GET is answered with.
        content_length: Number of bytes a PUT must send.
        checksum: Digest a PUT must have, ALGORITHM=HEX.
        filename: Name under which a browser saves what it gets.
        version_id: An older version of the object.
        no_clobber: A PUT fails if there is such an object.
        upload: Id of a multipart upload; the link PUTs one part of it.
        part: Number of the part.
    """
    if (upload is None) != (part is None):
        raise UsageError("--upload and --part go together")
    seconds = parse_duration(expires_in)
    digest = next(iter(parse_pairs([checksum] if checksum else None, "checksum").items()), None)
    if upload is not None and part is not None:
        bound = (content_type, filename, version_id, no_clobber or None)
        if method != "GET" or any(option is not None for option in bound):
            raise UsageError("a link for a part is a PUT with --content-length and --checksum only")
        session_of_parts = session.bucket(parse_within_bucket(address)).resume_upload(upload)
        link = session_of_parts.presign_part(
            part, expires_in=seconds, content_length=content_length, checksum=digest
        )
    else:
        where = parse_object(address)
        link = session.bucket(where).presign(
            where.key,
            method=method,
            expires_in=seconds,
            version=version_id,
            content_type=content_type,
            content_length=content_length,
            checksum=digest,
            filename=filename,
            if_absent=no_clobber,
        )
    _tell_link(session, link)


def _tell_link(session: Session, link: Link) -> None:
    session.out.result(link, link.url)
    if link.headers and not session.out.json:
        sys.stdout.flush()
        for name, value in link.headers.items():
            session.out.note(f"send along: {name}: {value}")
