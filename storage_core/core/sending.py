"""Sending what changes something: repeated only while the body can be read again, and only
where a repeat can not do harm."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from storage_core.core.retry import Deadline
from storage_core.errors import ConflictError, NotFoundError, StorageError

if TYPE_CHECKING:
    from storage_core.core.client import Client
    from storage_core.streams import Body


class _Placed(Protocol):
    """What requests about one object have in common."""

    @property
    def bucket(self) -> str: ...

    @property
    def key(self) -> str: ...


Request = TypeVar("Request", bound=_Placed)
Answer = TypeVar("Answer")
Settle: TypeAlias = Callable[[StorageError, StorageError], Coroutine[Any, Any, Answer | None]]
"""Told the failure that lost an answer and the latest one, finds out what became of the
request: its answer if it was carried out, None if it was not, `OutcomeUnknownError` if that
can not be told."""


async def send(
    client: Client,
    operation: str,
    method: Callable[[Request], Coroutine[Any, Any, Answer]],
    request: Request,
    deadline: Deadline | None,
    *,
    body: Body | None = None,
    settle: Settle[Answer] | None = None,
) -> Answer:
    """Send a request that changes something.

    Args:
        client: Of the storage.
        operation: Public name of the operation, for errors.
        method: The driver's method.
        request: What it takes.
        deadline: None without any.
        body: The request's, if it has one.
        settle: For requests that must not be carried out twice. Asked before each repeat,
            and when a repeat fails over what an earlier try may have done.
    """
    client.check_open()
    try:
        if deadline is None:
            return await method(request)
        return await client.runtime.within(deadline.left(), method(request))
    except Exception as failure:  # noqa: BLE001 - classified like every driver error
        return await send_again(
            client, operation, method, request, failure, deadline, body=body, settle=settle
        )


async def send_again(
    client: Client,
    operation: str,
    method: Callable[[Request], Coroutine[Any, Any, Answer]],
    request: Request,
    failure: Exception,
    deadline: Deadline | None,
    *,
    body: Body | None = None,
    settle: Settle[Answer] | None = None,
) -> Answer:
    """Go on after a first ``failure``, as `send` does; arguments as there."""
    attempt = 1
    lost: StorageError | None = None
    try:
        while True:
            answer, lost = await _after(
                client, operation, request, failure, attempt, deadline, body, settle, lost
            )
            if answer is not None:
                return answer
            attempt += 1
            try:
                if deadline is None:
                    return await method(request)
                return await client.runtime.within(deadline.left(), method(request))
            except Exception as again:  # noqa: BLE001 - classified like every driver error
                failure = again
    finally:
        del failure, lost  # as in `Client.recover`: no cycle with the frame in its traceback


async def _after(
    client: Client,
    operation: str,
    request: Request,
    failure: Exception,
    attempt: int,
    deadline: Deadline | None,
    body: Body | None,
    settle: Settle[Answer] | None,
    lost: StorageError | None,
) -> tuple[Answer | None, StorageError | None]:
    """What to do after a failed try: its answer if there is one all the same, raise, or
    return for another try, with the failure that lost an answer."""
    error: Exception | None = None
    try:
        if body is not None and (error := body.take_failure()) is not None:
            if isinstance(error, StorageError):
                error.with_context(operation, request.bucket, request.key)
            raise error  # the source's own, and nothing was published
        error = client.classified(failure, operation, request.bucket, request.key, attempt)
        if settle is not None and isinstance(error, StorageError):
            if error.retryable and not error.unsent:
                lost = error
            if lost is error or (lost and isinstance(error, ConflictError | NotFoundError)):
                answer = await settle(lost, error)
                if answer is not None:
                    return answer, None
        again = body is None or body.rewindable or not body.begun
        limit = deadline or Deadline(client.retry.deadline)
        if not again or not await client.may_repeat(error, attempt, limit):
            raise error
        if body is not None:
            await body.rewind()
        return None, lost
    finally:
        del failure, error, lost
