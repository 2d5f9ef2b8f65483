"""`Client`: one opened driver with all that core needs to call it.

`Client.call` is the one place where a request meets retry, deadline and error context.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from storage_core.core.retry import Budget, Deadline, wait_before
from storage_core.core.settings import LinkSettings, RetryPolicy
from storage_core.errors import (
    ClosedError,
    InvalidRequestError,
    RateLimitedError,
    StorageError,
    UnsupportedError,
)
from storage_core.model import NO_CONDITIONS, Capabilities, Condition, Conditions, Operation

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


def _effective(declared: Capabilities) -> Capabilities:
    """What holds with core's own part: a copy that core streams is a get and a put, and
    honours their conditions."""
    if declared.server_side_copy:
        return declared
    conditions = dict(declared.conditions)
    none: frozenset[Condition] = frozenset()
    conditions["copy"] = conditions.get("put", none)
    conditions["copy_source"] = conditions.get("get", none)
    return replace(declared, conditions=conditions)


class Client:
    """An opened driver, its runtime, and the profile's settings for core.

    Attributes:
        profile: Name of the profile, for messages.
        now: The clock for links and expiry; tests inject their own.
        always: What is computed of every body.
        one_put: Bytes of a body up to which one request surely takes it.
        throttled: How often the service said to slow down so far, or was too busy to answer.
    """

    __slots__ = (
        "always",
        "budget",
        "capabilities",
        "closed",
        "driver",
        "links",
        "now",
        "one_put",
        "overrides",
        "profile",
        "retry",
        "runtime",
        "throttled",
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
        self.throttled = 0
        self.always: tuple[str, ...] = ()
        self.one_put = -1

    async def open(self) -> None:
        """Open the driver; its capabilities may only be known now."""
        await self.guard("open", None, None, self.driver.open(self.runtime.io))
        try:
            self.capabilities = _effective(self.driver.capabilities.overridden(self.overrides))
        except StorageError:
            await self.driver.close()
            raise
        capabilities = self.capabilities
        default = capabilities.default_checksum
        self.always = (default,) if default else ()
        self.one_put = min(capabilities.max_put_size, capabilities.max_object_size)
        self.closed = False

    async def close(self) -> None:
        """Close the driver; calls from now on are refused."""
        self.closed = True
        await self.guard("close", None, None, self.driver.close())

    # --- gates ------------------------------------------------------------------------

    def check_open(self) -> None:
        """Refuse a call after `close`.

        Raises:
            ClosedError: the storage is closed.
        """
        if self.closed:
            raise ClosedError("the storage is closed; open it again")

    def require(self, declared: object, what: str) -> None:
        """Refuse, before any I/O, what the profile does not declare.

        Raises:
            UnsupportedError: ``declared`` is false.
            ClosedError: the storage is closed.
        """
        if self.closed:
            self.check_open()
        if not declared:
            raise UnsupportedError(
                f"profile {self.profile!r} (driver {self.driver.name}) does not support {what}"
            )

    def require_conditions(self, operation: Operation, conditions: Conditions) -> None:
        """Refuse conditions the profile does not honour on this operation."""
        if conditions is not NO_CONDITIONS:
            for name in conditions.names():
                self.require(self.capabilities.allows(operation, name), f"{name} on {operation}")

    def deadline(self, seconds: float | Deadline | None) -> Deadline | None:
        """The deadline of a call that begins now, or of one it is part of; None without any.

        Raises:
            InvalidRequestError: ``seconds`` is not a positive number.
        """
        if seconds is None:
            seconds = self.retry.deadline
            return None if seconds is None else Deadline(seconds)
        if isinstance(seconds, Deadline):
            return seconds
        if not isinstance(seconds, int | float) or not seconds > 0:
            raise InvalidRequestError(f"deadline {seconds!r} is not a positive number of seconds")
        return Deadline(seconds)

    # --- calls ------------------------------------------------------------------------

    async def call(
        self,
        operation: str,
        method: Callable[[Placed], Coroutine[Any, Any, Answer]],
        request: Placed,
        deadline: Deadline | None = None,
    ) -> Answer:
        """One request about an object, repeated as the policy says when it failed for a
        passing reason. Only for requests that may be repeated."""
        if self.closed:
            self.check_open()
        try:
            if deadline is None:
                answer = await method(request)
            else:
                answer = await self.runtime.within(deadline.left(), method(request))
        except Exception as failure:  # noqa: BLE001 - every driver error is classified
            return await self.recover(
                operation, request.bucket, request.key, method, request, failure, deadline
            )
        if self.budget.used:
            self.budget.success()
        return answer

    async def call_bucket(
        self,
        operation: str,
        bucket: str | None,
        method: Callable[[Request], Coroutine[Any, Any, Answer]],
        request: Request,
        deadline: Deadline | None = None,
    ) -> Answer:
        """As `call`, for a request about a bucket or a listing."""
        if self.closed:
            self.check_open()
        try:
            if deadline is None:
                answer = await method(request)
            else:
                answer = await self.runtime.within(deadline.left(), method(request))
        except Exception as failure:  # noqa: BLE001 - every driver error is classified
            return await self.recover(operation, bucket, None, method, request, failure, deadline)
        if self.budget.used:
            self.budget.success()
        return answer

    async def recover(
        self,
        operation: str,
        bucket: str | None,
        key: str | None,
        method: Callable[[Request], Coroutine[Any, Any, Answer]],
        request: Request,
        failure: Exception,
        deadline: Deadline | None = None,
    ) -> Answer:
        """Go on after a first failure: repeat, or raise the classified error."""
        deadline = deadline or Deadline(self.retry.deadline)
        attempt = 1
        error: Exception | None = None
        try:
            while True:
                error = self.classified(failure, operation, bucket, key, attempt)
                if not await self.may_repeat(error, attempt, deadline):
                    raise error
                attempt += 1
                try:
                    answer = await self.runtime.within(deadline.left(), method(request))
                except Exception as again:  # noqa: BLE001
                    failure = again
                else:
                    self.budget.success()
                    return answer
        finally:
            # The error's traceback keeps this frame: as a cycle the two, and all that the
            # driver's frames hold, would live on until the next garbage collection.
            del failure, error

    async def may_repeat(self, error: Exception, attempt: int, deadline: Deadline) -> bool:
        """Whether another try is allowed; if so, the wait before it has passed."""
        if not isinstance(error, StorageError) or not error.retryable:
            return False
        if attempt >= self.retry.attempts or self.closed:
            return False
        wait = wait_before(self.retry, attempt, error.retry_after)
        left = deadline.left()
        if (left is not None and wait >= left) or not self.budget.take():
            return False
        await self.runtime.sleep(wait)
        return True

    async def guard(
        self, operation: str, bucket: str | None, key: str | None, work: Coroutine[Any, Any, Answer]
    ) -> Answer:
        """One try, with error context."""
        try:
            return await work
        except Exception as failure:  # noqa: BLE001
            raise self.classified(failure, operation, bucket, key, 1)  # noqa: B904 - it is set

    def classified(
        self,
        failure: Exception,
        operation: str,
        bucket: str | None,
        key: str | None,
        attempts: int,
    ) -> Exception:
        """The library's error for a driver's, with context; an unknown one unchanged, because
        hiding a bug behind an error of ours would only delay it."""
        error = failure if isinstance(failure, StorageError) else self.driver.classify(failure)
        if error is None:
            return failure
        if error is not failure:
            error.__cause__ = failure
        error.attempts = attempts
        if isinstance(error, RateLimitedError) or error.status == 503:
            self.throttled += 1
        return error.with_context(operation, bucket, key)
