"""`Client`: one opened driver with all that core needs to call it.

`Client.call` is the one place where a request meets retry, deadline and error context.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from storage_core.core.retry import Budget, Deadline, wait_before
from storage_core.core.settings import LinkSettings, RetryPolicy
from storage_core.errors import (
    ClosedError,
    StorageError,
    UnsupportedError,
)
from storage_core.model import NO_CONDITIONS, Capabilities, Conditions, Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage_core.driver import Driver
    from storage_core.runtime import Runtime

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class _Placed(Protocol):
    """What requests about one object have in common."""

    @property
    def bucket(self) -> str: ...

    @property
    def key(self) -> str: ...


Placed = TypeVar("Placed", bound=_Placed)


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


class Client:
    """An opened driver, its runtime, and the profile's settings for core.

    Attributes:
        profile: Name of the profile, for messages.
        now: The clock for links and expiry; tests inject their own.
    """

    __slots__ = (
        "budget",
        "capabilities",
        "closed",
        "driver",
        "links",
        "now",
        "overrides",
        "profile",
        "retry",
        "runtime",
    )

    def __init__(
        self,
        driver: Driver,
        runtime: Runtime,
        *,
        profile: str,
        retry: RetryPolicy,
        links: LinkSettings,
        overrides: Mapping[str, Any],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.driver = driver
        self.runtime = runtime
        self.capabilities = Capabilities()
        self.overrides = overrides
        self.profile = profile
        self.retry = retry
        self.budget = Budget(retry)
        self.links = links
        self.now = now
        self.closed = True

    async def open(self) -> None:
        """Open the driver; its capabilities may only be known now."""
        await self.guard("open", None, None, self.driver.open(self.runtime.io))
        self.capabilities = self.driver.capabilities.overridden(self.overrides)
        self.closed = False

    async def close(self) -> None:
        self.closed = True
        await self.guard("close", None, None, self.driver.close())

    # --- gates ------------------------------------------------------------------------

    def require(self, declared: object, what: str) -> None:
        """Refuse, before any I/O, what the profile does not declare.

        Raises:
            UnsupportedError: ``declared`` is false.
            ClosedError: the storage is closed.
        """
        if self.closed:
            raise self.closed_error()
        if not declared:
            raise UnsupportedError(
                f"profile {self.profile!r} (driver {self.driver.name}) does not support {what}"
            )

    def require_conditions(self, operation: Operation, conditions: Conditions) -> None:
        """Refuse conditions the profile does not honour on this operation."""
        if conditions is not NO_CONDITIONS:
            for name in conditions.names():
                self.require(self.capabilities.allows(operation, name), f"{name} on {operation}")

    def deadline(self, seconds: float | None) -> Deadline | None:
        """The deadline of a call that begins now; None without any."""
        if seconds is None:
            seconds = self.retry.deadline
        return None if seconds is None else Deadline(seconds)

    def closed_error(self) -> ClosedError:
        return ClosedError("the storage is closed; open it again")

    # --- calls ------------------------------------------------------------------------

    async def call(
        self,
        operation: str,
        method: Callable[[Placed], Awaitable[Answer]],
        request: Placed,
        deadline: Deadline | None = None,
    ) -> Answer:
        """One request about an object, repeated as the policy says when it failed for a
        passing reason. Only for requests that may be repeated."""
        if self.closed:
            raise self.closed_error()
        try:
            if deadline is None:
                return await method(request)
            return await self.runtime.within(deadline.left(), method(request))
        except Exception as error:  # noqa: BLE001 - every driver error is classified
            failure = error
        return await self.recover(
            operation, request.bucket, request.key, method, request, failure, deadline
        )

    async def call_bucket(
        self,
        operation: str,
        bucket: str | None,
        method: Callable[[Request], Awaitable[Answer]],
        request: Request,
        deadline: Deadline | None = None,
    ) -> Answer:
        """As `call`, for a request about a bucket or a listing."""
        if self.closed:
            raise self.closed_error()
        try:
            if deadline is None:
                return await method(request)
            return await self.runtime.within(deadline.left(), method(request))
        except Exception as error:  # noqa: BLE001
            failure = error
        return await self.recover(operation, bucket, None, method, request, failure, deadline)

    async def recover(
        self,
        operation: str,
        bucket: str | None,
        key: str | None,
        method: Callable[[Request], Awaitable[Answer]],
        request: Request,
        failure: Exception,
        deadline: Deadline | None = None,
    ) -> Answer:
        """Go on after a first failure: repeat, or raise the classified error."""
        deadline = deadline or Deadline(self.retry.deadline)
        attempt = 1
        while True:
            error = self.classified(failure, operation, bucket, key, attempt)
            if not await self.may_repeat(error, attempt, deadline):
                raise error from failure if error is not failure else error.__cause__
            attempt += 1
            try:
                answer = await self.runtime.within(deadline.left(), method(request))
            except Exception as again:  # noqa: BLE001
                failure = again
            else:
                self.budget.success()
                return answer

    async def may_repeat(self, error: StorageError, attempt: int, deadline: Deadline) -> bool:
        """Whether another try is allowed; if so, the wait before it has passed."""
        if not error.retryable or attempt >= self.retry.attempts or self.closed:
            return False
        wait = wait_before(self.retry, attempt, error.retry_after)
        left = deadline.left()
        if (left is not None and wait >= left) or not self.budget.take():
            return False
        await self.runtime.sleep(wait)
        return True

    async def guard(
        self, operation: str, bucket: str | None, key: str | None, work: Awaitable[Answer]
    ) -> Answer:
        """One try, with error context."""
        try:
            return await work
        except Exception as failure:  # noqa: BLE001
            error = self.classified(failure, operation, bucket, key, 1)
            raise error from failure if error is not failure else error.__cause__

    def classified(
        self,
        failure: Exception,
        operation: str,
        bucket: str | None,
        key: str | None,
        attempts: int,
    ) -> StorageError:
        """The library's error for a driver's, with context; an unknown one is raised
        unchanged, because hiding a bug behind an error of ours would only delay it."""
        error = failure if isinstance(failure, StorageError) else self.driver.classify(failure)
        if error is None:
            raise failure
        error.attempts = attempts
        return error.with_context(operation, bucket, key)
