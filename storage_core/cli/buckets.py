"""``storage mb`` and ``storage rb``: make and remove buckets."""

from typing import Annotated

from cyclopts import Parameter

from storage_core.cli.address import parse_bucket
from storage_core.cli.session import This
from storage_core.errors import BucketNotEmptyError


def mb(
    *addresses: Annotated[str, Parameter(name="BUCKET", required=True)],
    exist_ok: bool = False,
    session: This,
) -> None:
    """Make buckets.

    Args:
        addresses: PROFILE:BUCKET, one or more. Names are 3 to 63 of a-z, 0-9 and single "-".
        exist_ok: One that exists already is no failure.
    """
    for where in [parse_bucket(address) for address in addresses]:
        with session.attempt():
            session.storage(where.profile).create_bucket(where.bucket, exist_ok=exist_ok)
            session.out.done({"created": where.bucket}, f"made {where}")
    session.check()


def rb(
    *addresses: Annotated[str, Parameter(name="BUCKET", required=True)],
    force: bool = False,
    session: This,
) -> None:
    """Remove buckets, which must be empty.

    Args:
        addresses: PROFILE:BUCKET, one or more.
        force: Delete objects, versions and open uploads first. There is no way back.
    """
    for where in [parse_bucket(address) for address in addresses]:
        with session.attempt():
            try:
                session.storage(where.profile).delete_bucket(where.bucket, force=force)
            except BucketNotEmptyError as error:
                error.message = "the bucket is not empty; empty it first, or give --force"
                raise
            session.out.done({"deleted": where.bucket}, f"removed {where}")
    session.check()
