"""What became of a request whose answer was lost.

Each conditional write carries a random write id, which the driver stores with the object.
Looking at the object afterwards tells our own success from another writer's, also when
both wrote the same bytes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from storage_core.errors import ObjectNotFoundError, OutcomeUnknownError, StorageError
from storage_core.model import NO_CONDITIONS, Conditions, ObjectInfo, PutResult
from storage_core.requests import HeadRequest

if TYPE_CHECKING:
    from storage_core.core.bucket import BucketCore
    from storage_core.core.retry import Deadline


def new_write_id() -> str:
    """A random id for one write: 64 bits in hexadecimal."""
    return os.urandom(8).hex()


async def settle_write(
    bucket: BucketCore,
    operation: str,
    key: str,
    write_id: str | None,
    conditions: Conditions,
    lost: StorageError,
    deadline: Deadline | None,
) -> PutResult | None:
    """The result of a write whose answer was lost, None if it was not carried out.

    Raises:
        OutcomeUnknownError: it can not be told: there is no write id, the object can not be
            looked at, or others wrote or deleted it since. Of `if_absent` another's object
            is told apart: that one won.
    """
    if write_id is None:
        if conditions is NO_CONDITIONS:
            return None
        raise unknown(operation, bucket, key, "this profile keeps no write ids") from lost
    info = await look(bucket, operation, key, None, deadline)
    if info is not None and info.write_id == write_id:
        return put_result(info)
    if conditions.if_match is None or (info is not None and info.etag == conditions.if_match):
        return None
    raise unknown(operation, bucket, key, "others changed the object since") from lost


async def look(
    bucket: BucketCore, operation: str, key: str, version: str | None, deadline: Deadline | None
) -> ObjectInfo | None:
    """The object as it is now, None if there is none.

    Raises:
        OutcomeUnknownError: it could not be looked at.
    """
    client = bucket.client
    request = HeadRequest(bucket.name, key, version)
    try:
        return await client.call(operation, client.driver.head, request, deadline)
    except ObjectNotFoundError:
        return None
    except StorageError as unseen:
        why = "the object could not be looked at either"
        raise unknown(operation, bucket, key, why) from unseen


def unknown(operation: str, bucket: BucketCore, key: str, why: str) -> OutcomeUnknownError:
    """The error for an outcome that can not be told."""
    error = OutcomeUnknownError(
        f"the answer was lost and {why}; look at the object before trying again"
    )
    error.with_context(operation, bucket.name, key)
    return error


def put_result(info: ObjectInfo) -> PutResult:
    """What the write that left an object like this returned."""
    return PutResult(info.key, info.etag, info.size, info.version, info.checksums)
