"""``storage admin bucket``: create, list, delete: the buckets of a project."""

from typing import TYPE_CHECKING

from storage_core.cli.admin import WITHIN, Within, audited, inside
from storage_core.cli.formats import time_text
from storage_core.cli.output import record
from storage_core.cli.session import This

if TYPE_CHECKING:
    from storage_core.access.buckets import LogicalBucket


def create(name: str, /, *, within: Within = WITHIN, session: This) -> None:
    """Make a bucket of a project, where the gateway would make it, or in --profile.

    Args:
        name: Its name: letters, digits and . _ -, at most 128.
    """
    from storage_core.access import buckets

    settings = session.config.gateway()
    profile = session.profile or settings.z3.profile or next(iter(settings.profiles), None)
    with inside(session, within) as (state, project):
        storage = session.storage(profile)
        made = buckets.create(state, storage, project.id, name, shared=settings.z3.bucket)
        audited(state, project.id, "bucket.create", name)
    session.out.done(record(made), f"made the bucket {name} in {_place(made)}")


def list_(*, within: Within = WITHIN, session: This) -> None:
    """List the buckets of a project and where their objects are."""
    from storage_core.access import buckets

    with inside(session, within) as (state, project):
        found = buckets.list_buckets(state, project.id)
    if session.out.json:
        for bucket in found:
            session.out.record(bucket)
        return
    session.out.table(
        ("bucket", "created", "objects are in"),
        [(bucket.name, time_text(bucket.created), _place(bucket)) for bucket in found],
    )


def delete(name: str, /, *, within: Within = WITHIN, session: This) -> None:
    """Delete a bucket of a project, which must be empty.

    Args:
        name: The bucket.
    """
    from storage_core.access import buckets

    with inside(session, within) as (state, project):
        bucket = buckets.deletable(state, project.id, name)
        buckets.delete(state, session.storage(bucket.profile), bucket)
        audited(state, project.id, "bucket.delete", name)
    session.out.done({"deleted": name, "id": bucket.id}, f"deleted the bucket {name}")


def _place(bucket: "LogicalBucket") -> str:
    return f"{bucket.profile}:{bucket.physical}/{bucket.prefix}"
