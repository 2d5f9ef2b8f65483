"""``storage rm``, ``cp``, ``mv`` and ``presign``: on objects, where they are."""

import sys
from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from storage_core.checksum import ALGORITHMS
from storage_core.cli.address import (
    Address,
    parse_group,
    parse_object,
    parse_within_bucket,
    target_for,
)
from storage_core.cli.formats import parse_duration, parse_pairs
from storage_core.cli.options import LeaveOut, LeftOut, NoClobber, Recursive
from storage_core.cli.output import record
from storage_core.cli.progress import Counted, Progress
from storage_core.cli.session import Session, This
from storage_core.cli.status import UsageError
from storage_core.cli.transfer import tell_stored
from storage_core.errors import UnsupportedError
from storage_core.model import Attributes, DeleteResult, Link, Method, ObjectInfo, PutResult


def rm(
    *addresses: Annotated[str, Parameter(name="ADDRESS", required=True)],
    recursive: Recursive = False,
    dry_run: bool = False,
    version_id: str | None = None,
    if_match: str | None = None,
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
    """
    single = version_id is not None or if_match is not None
    if single and (recursive or len(addresses) > 1):
        raise UsageError("--version-id and --if-match go with one object")
    read = parse_group if recursive else parse_object
    for where in [read(address) for address in addresses]:
        with session.attempt():
            if recursive:
                _remove_group(session, where, dry_run)
            elif dry_run:
                session.out.result({"bucket": where.bucket, "key": where.key}, str(where))
            else:
                bucket = session.bucket(where)
                result = bucket.delete(where.key, version=version_id, if_match=if_match)
                _tell_deleted(session, where, result)
    session.check()


def _remove_group(session: Session, where: Address, dry_run: bool) -> None:
    bucket = session.bucket(where)
    for page in bucket.list(where.key).pages():
        keys = [item.key for item in page.items]
        if dry_run:
            for key in keys:
                session.out.result({"bucket": where.bucket, "key": key}, str(where.at(key)))
        elif keys:
            for result in bucket.delete_many(keys):
                if result.error is not None:
                    session.failed(result.error)
                else:
                    _tell_deleted(session, where.at(result.key), result)


def _tell_deleted(session: Session, where: Address, result: DeleteResult) -> None:
    session.out.done({"bucket": where.bucket, **record(result)}, f"deleted {where}")


def cp(
    source: str,
    target: str,
    /,
    *,
    recursive: Recursive = False,
    no_clobber: NoClobber = False,
    version_id: str | None = None,
    leave_out: LeaveOut = None,
    session: This,
) -> None:
    """Copy objects, with headers, metadata and tags.

    Within a profile the service copies by itself; between profiles the bytes pass through here
    and are verified on both sides. What the other profile can not keep is refused, unless
    --leave-out says to do without it.

    Args:
        source: PROFILE:BUCKET/KEY; with -r a bucket or a prefix ending with "/".
        target: PROFILE:BUCKET/KEY, or a bucket or a prefix ending with "/".
        recursive: Copy all objects of a bucket or a prefix.
        no_clobber: Fail if there is such an object.
        version_id: An older version of the source.
        leave_out: What is not to come along to another profile.
    """
    if recursive and version_id is not None:
        raise UsageError("--version-id goes with one object, not with -r")
    for origin, goal in _pairs(session, source, target, recursive):
        with session.attempt(str(origin) if recursive else ""):
            if _same_profile(session, origin, goal):
                result = session.bucket(origin).copy(
                    origin.key,
                    goal.key,
                    target=session.bucket(goal),
                    version=version_id,
                    if_absent=no_clobber,
                )
            else:
                result = _stream(session, origin, goal, no_clobber, leave_out, version=version_id)
            tell_stored(session, goal, result, "copied to")
    session.check()


def mv(
    source: str,
    target: str,
    /,
    *,
    recursive: Recursive = False,
    no_clobber: NoClobber = False,
    leave_out: LeaveOut = None,
    session: This,
) -> None:
    """Move or rename objects.

    Where the service can not rename, and between profiles, this is a copy and then a deletion.

    Args:
        source: PROFILE:BUCKET/KEY; with -r a bucket or a prefix ending with "/".
        target: PROFILE:BUCKET/KEY, or a bucket or a prefix ending with "/".
        recursive: Move all objects of a bucket or a prefix.
        no_clobber: Fail if there is such an object.
        leave_out: What is not to come along to another profile.
    """
    for origin, goal in _pairs(session, source, target, recursive):
        with session.attempt(str(origin) if recursive else ""):
            if _same_profile(session, origin, goal):
                result = session.bucket(origin).move(
                    origin.key, goal.key, target=session.bucket(goal), if_absent=no_clobber
                )
            else:
                result = _stream(session, origin, goal, no_clobber, leave_out, remove=True)
            tell_stored(session, goal, result, "moved to")
    session.check()


def _pairs(
    session: Session, source: str, target: str, recursive: bool
) -> Iterator[tuple[Address, Address]]:
    """Each object with where it goes."""
    if not recursive:
        origin = parse_object(source)
        yield origin, target_for(parse_within_bucket(target), origin.last_segment)
        return
    origin, goal = parse_group(source), parse_group(target)
    overlap = goal.key.startswith(origin.key) or origin.key.startswith(goal.key)
    if overlap and origin.bucket == goal.bucket and _same_profile(session, origin, goal):
        raise UsageError(f"{source!r} and {target!r} overlap, so copies would be copied again")
    for item in session.bucket(origin).list(origin.key):
        yield origin.at(item.key), goal.at(goal.key + item.key[len(origin.key) :])


def _same_profile(session: Session, one: Address, other: Address) -> bool:
    return session.profile_name(one.profile) == session.profile_name(other.profile)


def _stream(
    session: Session,
    origin: Address,
    goal: Address,
    no_clobber: bool,
    leave_out: list[LeftOut] | None,
    *,
    version: str | None = None,
    remove: bool = False,
) -> PutResult:
    """Copy from one profile to another, showing how far it is, and delete the source if it is
    still the same."""
    source, target = session.bucket(origin), session.bucket(goal)
    capabilities = source.storage.capabilities
    without = set(leave_out or ())
    with source.get(origin.key, version=version) as reader:
        info = reader.info
        kept = info.attributes() if "headers" not in without else Attributes(info.content_type)
        tags = capabilities.tags and "tags" not in without
        with Progress(session.out, origin.last_segment, reader.length) as progress:
            try:
                result = target.put(
                    goal.key,
                    Counted(reader, progress),
                    size=reader.length,
                    content_type=kept.content_type,
                    content_encoding=kept.content_encoding,
                    content_disposition=kept.content_disposition,
                    content_language=kept.content_language,
                    cache_control=kept.cache_control,
                    metadata=None if "metadata" in without else info.metadata,
                    tags=source.get_tags(origin.key, version=version) if tags else None,
                    expires_at=None if "expiry" in without else info.expires_at,
                    if_absent=no_clobber,
                    checksums=_declared(info),
                )
            except UnsupportedError as error:
                raise UnsupportedError(f"{error.message}; --leave-out does without it") from error
    if remove:
        guarded = capabilities.allows("delete", "if_match")
        source.delete(origin.key, if_match=info.etag if guarded else None)
    return result


def _declared(info: ObjectInfo) -> dict[str, str]:
    """Digests the source keeps, for the target to check the bytes against."""
    return {name: digest for name, digest in info.checksums.items() if name in ALGORITHMS}


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
