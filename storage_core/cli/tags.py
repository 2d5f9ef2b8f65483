"""``storage tags``: get, set and rm."""

from typing import Annotated

from cyclopts import Parameter

from storage_core.cli.address import Address, parse_object
from storage_core.cli.formats import count, parse_pairs
from storage_core.cli.session import Session, This
from storage_core.cli.status import UsageError


def get(address: str, /, *, version_id: str | None = None, session: This) -> None:
    """Show the tags of an object.

    Args:
        address: PROFILE:BUCKET/KEY.
        version_id: An older version of the object.
    """
    where = parse_object(address)
    tags = session.bucket(where).get_tags(where.key, version=version_id)
    if session.out.json:
        session.out.record({"bucket": where.bucket, "key": where.key, "tags": tags})
        return
    for name, value in sorted(tags.items()):
        session.out.line(f"{name}={value}")


def set(  # noqa: A001 - the command's name
    address: str,
    /,
    *pairs: Annotated[str, Parameter(name="NAME=VALUE", required=True)],
    replace: bool = False,
    version_id: str | None = None,
    session: This,
) -> None:
    """Set tags of an object; others stay.

    Args:
        address: PROFILE:BUCKET/KEY.
        pairs: Tags to set.
        replace: Remove all other tags.
        version_id: An older version of the object.
    """
    where = parse_object(address)
    tags = parse_pairs(list(pairs), "tag")
    if not replace:
        tags = {**session.bucket(where).get_tags(where.key, version=version_id), **tags}
    _write(session, where, tags, version_id)


def rm(
    address: str,
    /,
    *names: Annotated[str, Parameter(name="NAME")],
    all: bool = False,  # noqa: A002 - the option's name
    version_id: str | None = None,
    session: This,
) -> None:
    """Remove tags of an object. A tag it does not have is no failure.

    Args:
        address: PROFILE:BUCKET/KEY.
        names: Tags to remove.
        all: Remove all tags.
        version_id: An older version of the object.
    """
    where = parse_object(address)
    if bool(names) == all:
        raise UsageError("name the tags to remove, or give --all")
    found = {} if all else session.bucket(where).get_tags(where.key, version=version_id)
    tags = {name: value for name, value in found.items() if name not in names}
    _write(session, where, tags, version_id)


def _write(session: Session, where: Address, tags: dict[str, str], version: str | None) -> None:
    session.bucket(where).put_tags(where.key, tags, version=version)
    session.out.done(
        {"bucket": where.bucket, "key": where.key, "tags": tags},
        f"{where}: {count(len(tags), 'tag')}",
    )
