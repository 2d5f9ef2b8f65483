"""Sending a body: repeated only while it can be read again, and only where that is safe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from storage_core.core.retry import Deadline
from storage_core.errors import StorageError

if TYPE_CHECKING:
    from storage_core.core.client import Client
    from storage_core.streams import Body


class _Carrying(Protocol):
    """A request with a body."""

    @property
    def bucket(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def body(self) -> Body: ...


Request = TypeVar("Request", bound=_Carrying)
Answer = TypeVar("Answer")


async def send(
    client: Client,
    operation: str,
    method: Callable[[Request], Awaitable[Answer]],
    request: Request,
    deadline: Deadline | None,
    settle: Callable[[StorageError], Awaitable[Answer | None]] | None = None,
) -> Answer:
    """Send a request with a body.

    Args:
        client: Of the storage.
        operation: Public name of the operation, for errors.
        method: The driver's method.
        request: What it takes.
        deadline: None without any.
        settle: For conditional writes. Asked after each passing failure whether the write
            happened all the same: its answer if so, None if it did not.
    """
    if client.closed:
        raise client.closed_error()
    body = request.body
    attempt = 0
    while True:
        attempt += 1
        try:
            if deadline is None:
                return await method(request)
            return await client.runtime.within(deadline.left(), method(request))
        except Exception as failure:  # noqa: BLE001 - classified like every driver error
            error = client.classified(failure, operation, request.bucket, request.key, attempt)
            if error.retryable and settle is not None:
                answer = await settle(error)
                if answer is not None:
                    return answer
            again = body.rewindable or body.count == 0
            limit = deadline or Deadline(client.retry.deadline)
            if not again or not await client.may_repeat(error, attempt, limit):
                raise error from failure if error is not failure else error.__cause__
            await body.rewind()
