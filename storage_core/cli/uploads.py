"""``storage uploads``: ls and abort."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import Parameter

from storage_core.cli.address import Address, parse_bucket, parse_within_bucket
from storage_core.cli.formats import parse_duration, time_text
from storage_core.cli.output import record
from storage_core.cli.session import Session, This
from storage_core.cli.status import UsageError


def ls(address: str, /, *, session: This) -> None:
    """List multipart uploads that are neither completed nor aborted.

    Each line is the time of its beginning, its key and its id, separated by tabs where the
    output is no terminal.

    Args:
        address: PROFILE:BUCKET/PREFIX.
    """
    where = parse_within_bucket(address)
    out = session.out
    for item in session.bucket(where).list_uploads(where.key):
        if out.json:
            out.record({"bucket": where.bucket, **record(item)})
        else:
            out.columns((time_text(item.created), item.key, item.id), (19, 32, 0))


def abort(
    address: str,
    /,
    *ids: Annotated[str, Parameter(name="ID")],
    older_than: str | None = None,
    session: This,
) -> None:
    """Abort multipart uploads and drop their parts.

    Args:
        address: PROFILE:BUCKET; with --older-than also a prefix.
        ids: The uploads, as "storage uploads ls" shows them.
        older_than: All uploads that began longer ago than this: 900, 15m, 2h, 7d.
    """
    if bool(ids) == (older_than is not None):
        raise UsageError("name the uploads to abort, or give --older-than")
    where = parse_bucket(address) if ids else parse_within_bucket(address)
    bucket = session.bucket(where)
    for upload_id in ids or _older(session, where, older_than or ""):
        with session.attempt():
            upload = bucket.resume_upload(upload_id)
            upload.abort()
            session.out.done(
                {"bucket": where.bucket, "key": upload.key, "id": upload.id},
                f"aborted {where.at(upload.key)}",
            )
    session.check()


def _older(session: Session, where: Address, age: str) -> list[str]:
    before = datetime.now(UTC) - timedelta(seconds=parse_duration(age))
    uploads = session.bucket(where).list_uploads(where.key)
    return [item.id for item in uploads if item.created is not None and item.created < before]
