"""``storage ls`` and ``storage stat``."""

from typing import Annotated

from cyclopts import Parameter

from storage_core.cli.address import Address, parse, parse_within_bucket
from storage_core.cli.formats import iso_text, size_text, time_text
from storage_core.cli.options import Recursive
from storage_core.cli.output import record
from storage_core.cli.session import Session, This
from storage_core.cli.status import UsageError
from storage_core.model import BucketInfo, ObjectInfo, ObjectSummary, Prefix

_TIME_WIDTH = len("2000-01-01 00:00:00")


def ls(
    address: str = "",
    /,
    *,
    long: Annotated[bool, Parameter(name=["--long", "-l"])] = False,
    recursive: Recursive = False,
    human: Annotated[bool, Parameter(name=["--human", "-H"])] = False,
    limit: int | None = None,
    session: This,
) -> None:
    """List buckets, or the objects of a bucket.

    Shows the keys that begin with the address's key; what lies behind the next "/" is shown as
    one prefix. Nothing to show is no error.

    Args:
        address: PROFILE:BUCKET/PREFIX, or less of it; without a bucket, the buckets are listed.
        long: Show size and time too.
        recursive: Show all keys instead of prefixes.
        human: Show sizes with units instead of bytes.
        limit: Stop after so many lines.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} is not at least 1")
    where = parse(address) if address else Address(None, "")
    if where.bucket:
        _objects(session, where, "" if recursive else "/", long, human, limit)
    else:
        _buckets(session, where, long, limit)


def _buckets(session: Session, where: Address, long: bool, limit: int | None) -> None:
    out = session.out
    for count, bucket in enumerate(session.storage(where.profile).list_buckets(), 1):
        text = f"{time_text(bucket.created):{_TIME_WIDTH}}  {bucket.name}" if long else bucket.name
        out.result({"type": "bucket", **record(bucket)}, text)
        if count == limit:
            return


def _objects(
    session: Session, where: Address, delimiter: str, long: bool, human: bool, limit: int | None
) -> None:
    out = session.out
    items = session.bucket(where).list(where.key, delimiter=delimiter, page_size=limit)
    for count, item in enumerate(items, 1):
        if out.json:
            kind = "prefix" if item.is_prefix else "object"
            out.record({"type": kind, "bucket": where.bucket, **record(item)})
        else:
            out.line(_long_line(item, human) if long else item.key)
        if count == limit:
            return


def _long_line(item: ObjectSummary | Prefix, human: bool) -> str:
    if item.is_prefix:
        return f"{'':14}  {'':{_TIME_WIDTH}}  {item.key}"
    size = size_text(item.size) if human else str(item.size)
    return f"{size:>14}  {time_text(item.modified)}  {item.key}"


def stat(address: str, /, *, version_id: str | None = None, session: This) -> None:
    """Tell all that is known of an object or a bucket.

    Args:
        address: PROFILE:BUCKET/KEY or PROFILE:BUCKET.
        version_id: An older version of the object.
    """
    where = parse_within_bucket(address)
    if not where.key:
        if version_id is not None:
            raise UsageError("--version-id goes with an object, not with a bucket")
        bucket = session.bucket(where).info()
        _details(session, {"type": "bucket", **record(bucket)}, _bucket_lines(bucket))
        return
    info = session.bucket(where).head(where.key, version=version_id)
    found = {"type": "object", "bucket": where.bucket, **record(info)}
    found.pop("write_id", None)
    _details(session, found, _object_lines(where, info))


def _details(session: Session, found: dict[str, object], lines: list[tuple[str, str]]) -> None:
    if session.out.json:
        session.out.record(found)
        return
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        session.out.line(f"{name:{width}}  {text}")


def _bucket_lines(bucket: BucketInfo) -> list[tuple[str, str]]:
    created = "" if bucket.created is None else iso_text(bucket.created)
    return [("bucket", bucket.name), *([("created", created)] if created else [])]


def _object_lines(where: Address, info: ObjectInfo) -> list[tuple[str, str]]:
    size = str(info.size) if info.size < 1024 else f"{info.size} ({size_text(info.size)})"
    lines: list[tuple[str, str | None]] = [
        ("bucket", where.bucket),
        ("key", info.key),
        ("size", size),
        ("etag", info.etag),
        ("version", info.version),
        ("modified", iso_text(info.modified)),
        ("expires", None if info.expires_at is None else iso_text(info.expires_at)),
        ("content type", info.content_type),
        ("content encoding", info.content_encoding),
        ("content disposition", info.content_disposition),
        ("content language", info.content_language),
        ("cache control", info.cache_control),
        *sorted(info.checksums.items()),
        *((f"metadata {name}", value) for name, value in sorted(info.metadata.items())),
    ]
    return [(name, text) for name, text in lines if text is not None]
