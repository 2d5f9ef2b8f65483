"""Reads that need no wait, for the async face over a driver that blocks: a trip through a
worker thread costs many times what a look at what is in memory does.

Each takes the arguments of its namesake in `BucketCore`, and is None where the driver may have
to wait or fails: the namesake tells then what is the matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from storage_core.core.reader import ReaderCore
from storage_core.model import ByteRange, Conditions, ObjectInfo
from storage_core.requests import GetRequest, HeadRequest

if TYPE_CHECKING:
    from storage_core.core.bucket import BucketCore, Range
    from storage_core.core.client import Client
    from storage_core.core.retry import Deadline

    GetArguments: TypeAlias = tuple[
        str, Range | None, str | None, Conditions, bool, float | Deadline | None
    ]

Request = TypeVar("Request")
Answer = TypeVar("Answer")


def get(
    bucket: BucketCore,
    key: str,
    byte_range: Range | None,
    version: str | None,
    conditions: Conditions,
    verify: bool,
    seconds: float | Deadline | None,
) -> ReaderCore | None:
    """As `BucketCore.get`."""
    client = bucket.client
    if client.closed:
        return None
    bucket.check_read("get", key, version, conditions)
    wanted = None if byte_range is None else ByteRange.of(byte_range)
    request = GetRequest(bucket.name, key, wanted, version, conditions)
    deadline = client.deadline(seconds)
    stream = _asked(client, client.driver.get_now, request, deadline)
    return None if stream is None else ReaderCore(client, request, stream, verify, deadline)


def head(
    bucket: BucketCore,
    key: str,
    version: str | None,
    conditions: Conditions,
    seconds: float | None,
) -> ObjectInfo | None:
    """As `BucketCore.head`."""
    client = bucket.client
    if client.closed:
        return None
    bucket.check_read("head", key, version, conditions)
    request = HeadRequest(bucket.name, key, version, conditions)
    return _asked(client, client.driver.head_now, request, client.deadline(seconds))


def _asked(
    client: Client,
    method: Callable[[Request], Answer | None],
    request: Request,
    deadline: Deadline | None,
) -> Answer | None:
    if deadline is not None and deadline.passed():
        return None
    try:
        answer = method(request)
    except Exception:  # noqa: BLE001 - the long way says what it is, with its context
        return None
    if answer is not None and client.budget.used:
        client.budget.success()
    return answer
