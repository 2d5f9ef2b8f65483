"""``storage admin bucket``: create, list, delete: the buckets of a project."""

from contextlib import suppress
from typing import TYPE_CHECKING

from storage_core.cli.admin import WITHIN, Within, audited, inside
from storage_core.cli.formats import time_text
from storage_core.cli.output import record
from storage_core.cli.session import This
from storage_core.errors import ProfileNotFoundError

if TYPE_CHECKING:
    from storage_core.access.buckets import LogicalBucket
    from storage_core.config.gateway import GatewaySettings


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
    if made.profile not in _served(session, settings):
        session.out.note(
            f"the configuration's gateway does not serve {made.profile!r} and answers 503 for the"
            " bucket; add it to gateway.profiles"
        )


def list_(*, within: Within = WITHIN, session: This) -> None:
    """List the buckets of a project and where their objects are.

    One whose making or deletion was not ended is "creating" or "deleting", and no bucket to
    clients: to make or delete it again ends it.
    """
    from storage_core.access import buckets

    with inside(session, within) as (state, project):
        found = buckets.list_stages(state, project.id)
    if session.out.json:
        for bucket, stage in found:
            session.out.record({**record(bucket), "state": stage})
        return
    session.out.table(
        ("bucket", "", "created", "objects are in"),
        [
            (bucket.name, stage, time_text(bucket.created), _place(bucket))
            for bucket, stage in found
        ],
    )


def delete(name: str, /, *, within: Within = WITHIN, session: This) -> None:
    """Delete a bucket of a project, which must be empty; also one that was never quite made.

    Args:
        name: The bucket.
    """
    from storage_core.access import buckets

    with inside(session, within) as (state, project):
        bucket = buckets.deletable(state, project.id, name)
        buckets.delete(state, session.storage(bucket.profile), bucket)
        audited(state, project.id, "bucket.delete", name)
    session.out.done({"deleted": name, "id": bucket.id}, f"deleted the bucket {name}")


def _served(session: This, settings: "GatewaySettings") -> tuple[str, ...]:
    """The profiles that the configuration's gateway serves; none where it says too little."""
    with suppress(ProfileNotFoundError):
        return settings.profiles or (session.config.default_profile,)
    return ()


def _place(bucket: "LogicalBucket") -> str:
    return f"{bucket.profile}:{bucket.physical}/{bucket.prefix}"
