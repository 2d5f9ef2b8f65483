"""``storage versions``: ls, restore and rm."""

from typing import Annotated

from cyclopts import Parameter

from storage_core.cli.address import parse_object, parse_within_bucket
from storage_core.cli.formats import time_text
from storage_core.cli.output import record
from storage_core.cli.session import This
from storage_core.cli.telling import tell_stored


def ls(address: str, /, *, session: This) -> None:
    """List versions and delete markers: keys ascending, within a key newest first.

    Each line is the version's id, "latest" for the current one, "deleted" for a delete marker,
    size, time and key, separated by tabs where the output is no terminal.

    Args:
        address: PROFILE:BUCKET/PREFIX.
    """
    where = parse_within_bucket(address)
    out = session.out
    for item in session.bucket(where).list_versions(where.key):
        if out.json:
            out.record({"bucket": where.bucket, **record(item)})
            continue
        latest = "latest" if item.is_latest else ""
        size = "deleted" if item.is_delete_marker else str(item.size)
        time = time_text(item.modified)
        out.columns((item.version, latest, size, time, item.key), (26, 6, 14, 19, 0))


def restore(address: str, version_id: str, /, *, session: This) -> None:
    """Make an older version the current one again, as a new version.

    Args:
        address: PROFILE:BUCKET/KEY.
        version_id: The version.
    """
    where = parse_object(address)
    bucket = session.bucket(where)
    result = bucket.copy(where.key, where.key, version=version_id)
    tell_stored(session, where, result, "restored")


def rm(
    address: str,
    /,
    *version_ids: Annotated[str, Parameter(name="VERSION-ID", required=True)],
    session: This,
) -> None:
    """Delete versions for good. Deleting a delete marker brings the object back.

    Args:
        address: PROFILE:BUCKET/KEY.
        version_ids: One or more versions.
    """
    where = parse_object(address)
    bucket = session.bucket(where)
    for version in version_ids:
        with session.attempt():
            result = bucket.delete(where.key, version=version)
            session.out.done(
                {"bucket": where.bucket, **record(result)}, f"deleted {where} {version}"
            )
    session.check()
