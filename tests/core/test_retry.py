"""What is repeated, how often, how long, and what a caller hears of it."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_conformance.memory import MemoryDriver
from storage_core import Bucket, RetryPolicy
from storage_core.core.retry import Budget, Deadline, wait_before
from storage_core.errors import (
    InvalidRequestError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PermissionDeniedError,
    RateLimitedError,
    StorageError,
    UnavailableError,
)
from tests.core.conftest import Opener, client_of, without_waiting
from tests.core.drivers import Before, Scripted


def down() -> UnavailableError:
    return UnavailableError("the service is down", status=503)


def made(inline: Opener, driver: Scripted | None = None, **options: Any) -> tuple[Scripted, Bucket]:
    driver = driver or Scripted()
    bucket = inline(driver, **options).create_bucket("fruit")
    driver.calls.clear()
    return driver, bucket


def stored(driver: Scripted, key: str) -> bytes:
    return driver._state.bucket("fruit").find(key).data


# --- waits, budget, deadline ---------------------------------------------------------


@given(st.integers(1, 60), st.floats(0.001, 10), st.floats(1, 3600))
def test_waits_grow_up_to_the_cap(attempt: int, base: float, factor: float):
    policy = RetryPolicy(base=base, cap=base * factor)
    wait = wait_before(policy, attempt, None)
    assert 0 <= wait <= min(policy.cap, base * 2 ** (attempt - 1))
    assert wait_before(policy, attempt, 1e6) == 1e6  # the service knows best


def test_waits_are_spread():
    policy = RetryPolicy(base=1.0, cap=64.0)
    waits = {wait_before(policy, 4, None) for _ in range(50)}
    assert len(waits) > 25
    assert max(waits) - min(waits) > 1


def test_the_budget_is_bounded_and_comes_back():
    budget = Budget(RetryPolicy(budget=2))
    assert not budget.used
    assert [budget.take() for _ in range(3)] == [True, True, False]
    for _ in range(10):
        assert budget.used
        budget.success()
    assert [budget.take(), budget.take()] == [True, False]
    for _ in range(100):
        budget.success()
    assert not budget.used
    assert [budget.take() for _ in range(3)] == [True, True, False]


def test_the_budget_is_shared_between_threads():
    budget = Budget(RetryPolicy(budget=500))
    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(lambda _: budget.take(), range(1000)))
    assert taken == 500


def test_a_deadline():
    assert Deadline(None).left() is None
    assert not Deadline(None).passed()
    ahead = Deadline(1000).left()
    assert ahead is not None
    assert 900 < ahead <= 1000
    assert Deadline(-1).left() == 0
    assert Deadline(-1).passed()


# --- calls that may be repeated ------------------------------------------------------


def test_a_passing_failure_is_repeated(opened: Opener):
    driver = Scripted()
    storage = opened(driver)
    waits = without_waiting(storage)
    bucket = storage.create_bucket("fruit")
    bucket.put("a", b"x")
    for method, call in (
        ("head", lambda: bucket.head("a")),
        ("get", lambda: bucket.get("a").__enter__()),
        ("delete", lambda: bucket.delete("b")),
        ("list_page", lambda: list(bucket.list())),
        ("head_bucket", bucket.info),
        ("put_tags", lambda: bucket.put_tags("a", {"a": "b"})),
        ("delete_many", lambda: bucket.delete_many(["c"])),
        ("list_buckets_page", lambda: list(storage.list_buckets())),
        ("put", lambda: bucket.put("a", b"y")),
        ("copy", lambda: bucket.copy("a", "d")),
    ):
        driver.calls.clear()
        waits.clear()
        driver.script[method] = [down(), RateLimitedError("slow down"), down()]
        call()
        assert driver.names().count(method) == 4, method
        assert len(waits) == 3


def test_a_lasting_failure_is_not_repeated(inline: Opener):
    driver, bucket = made(inline)
    driver.script["head"] = [PermissionDeniedError("no", status=403)]
    with pytest.raises(PermissionDeniedError) as caught:
        bucket.exists("a")
    assert driver.names() == ["head"]
    assert caught.value.attempts == 1


def test_tries_are_counted_and_told(opened: Opener):
    driver = Scripted()
    bucket = opened(driver, retry=RetryPolicy(attempts=3)).create_bucket("fruit")
    driver.script["head"] = [down() for _ in range(9)]
    with pytest.raises(UnavailableError) as caught:
        bucket.head("a")
    assert driver.names().count("head") == 3
    assert caught.value.attempts == 3
    assert str(caught.value) == "head fruit/a: the service is down (status 503, 3 attempts)"


def test_one_attempt_never_repeats(inline: Opener):
    driver, bucket = made(inline, retry=RetryPolicy(attempts=1))
    driver.script["head"] = [down()]
    with pytest.raises(UnavailableError):
        bucket.head("a")
    assert driver.names() == ["head"]


def test_the_services_wish_is_honoured(opened: Opener):
    driver = Scripted()
    storage = opened(driver)
    waits = without_waiting(storage)
    bucket = storage.create_bucket("fruit")
    driver.script["list_page"] = [RateLimitedError("slow down", retry_after=7.5)]
    list(bucket.list())
    assert waits == [7.5]


def test_an_outage_costs_a_bounded_number_of_requests(inline: Opener):
    driver, bucket = made(inline, retry=RetryPolicy(attempts=5, budget=6))
    driver.script["head"] = [down() for _ in range(1000)]
    for _ in range(50):
        with pytest.raises(UnavailableError):
            bucket.head("a")
    assert len(driver.calls) == 50 + 6


def test_success_brings_repeats_back(inline: Opener):
    driver, bucket = made(inline, retry=RetryPolicy(attempts=5, budget=1))
    driver.script["head"] = [down() for _ in range(4)]
    for _ in range(3):
        with pytest.raises(UnavailableError):
            bucket.head("a")
    bucket.put("a", b"x")
    for _ in range(20):  # each gives back a tenth, also without trouble of its own
        bucket.head("a")
    driver.script["head"] = [down()]
    bucket.head("a")


def test_no_wait_goes_beyond_the_deadline(opened: Opener):
    driver = Scripted()
    storage = opened(driver)
    waits = without_waiting(storage)
    bucket = storage.create_bucket("fruit")
    driver.script["head"] = [RateLimitedError("slow down", retry_after=60)]
    with pytest.raises(RateLimitedError):
        bucket.head("a", deadline=30)
    assert waits == []


def test_the_profiles_deadline_holds_where_a_call_has_none(inline: Opener):
    driver, bucket = made(inline, retry=RetryPolicy(deadline=30))
    driver.script["list_page"] = [RateLimitedError("slow down", retry_after=60)]
    with pytest.raises(RateLimitedError):
        list(bucket.list())
    driver.script["head"] = [RateLimitedError("slow down", retry_after=60)]
    with pytest.raises(ObjectNotFoundError):
        bucket.head("a", deadline=90)


@pytest.mark.parametrize("deadline", [0, -1, "5", float("nan"), [1]])
def test_what_is_no_deadline(opened: Opener, deadline):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    driver.calls.clear()
    with pytest.raises(InvalidRequestError, match="positive number of seconds"):
        bucket.head("a", deadline=deadline)
    with pytest.raises(InvalidRequestError, match="positive number of seconds"):
        bucket.put("a", b"x", deadline=deadline)
    assert driver.calls == []


def test_a_storage_closed_meanwhile_is_not_asked_again(inline: Opener):
    driver, bucket = made(inline)

    def close(_: Any) -> None:
        bucket.storage.close()
        raise down()

    driver.script["head"] = [Before(close)]
    with pytest.raises(UnavailableError):
        bucket.head("a")
    assert driver.names() == ["head"]


# --- errors of drivers ---------------------------------------------------------------


class RawError(Exception):
    pass


class Classifying(Scripted):
    def classify(self, error: Exception) -> StorageError | None:
        return UnavailableError(f"was {error}") if isinstance(error, RawError) else None


def test_a_drivers_own_error_is_classified_and_kept_as_cause(opened: Opener):
    driver = Classifying()
    bucket = opened(driver, retry=RetryPolicy(attempts=1)).create_bucket("fruit")
    for method, call in (("head", lambda: bucket.head("a")), ("put", lambda: bucket.put("a", b""))):
        driver.script[method] = [RawError("raw")]
        with pytest.raises(UnavailableError, match=f"{method} fruit/a: was raw") as caught:
            call()
        assert isinstance(caught.value.__cause__, RawError)
    driver.script["head"] = [RawError("raw")]
    assert not bucket.storage.closed


def test_an_error_nobody_knows_passes_as_the_bug_it_is(opened: Opener):
    driver = Classifying()
    bucket = opened(driver).create_bucket("fruit")
    for method, call in (("head", lambda: bucket.head("a")), ("put", lambda: bucket.put("a", b""))):
        driver.calls.clear()
        error = ZeroDivisionError("bug")
        driver.script[method] = [error]
        with pytest.raises(ZeroDivisionError) as caught:
            call()
        assert caught.value is error
        assert driver.names() == [method]


def test_the_cause_a_driver_gave_stays(inline: Opener):
    driver, bucket = made(inline)
    error = PermissionDeniedError("no")
    error.__cause__ = RawError("raw")
    driver.script["head"] = [error]
    with pytest.raises(PermissionDeniedError) as caught:
        bucket.head("a")
    assert isinstance(caught.value.__cause__, RawError)


@pytest.mark.parametrize("lasting", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        lambda bucket: bucket.head("a"),
        lambda bucket: bucket.put("a", b"x"),
        lambda bucket: bucket.put("a", iter([b"x"])),
        lambda bucket: bucket.put("a", b"x", if_absent=True),
        lambda bucket: bucket.info(),
        lambda bucket: bucket.move("a", "b"),
    ],
)
def test_a_failure_keeps_nothing_alive(
    inline: Opener, call: Callable[[Bucket], Any], lasting: bool
):
    """No cycle between an error and the frames of its traceback: without one, the body and
    all the driver's frames hold go with the error, not with the next garbage collection."""

    class Held:
        pass

    gone: list[weakref.ref[Held]] = []

    class Holding(MemoryDriver):
        async def _fail(self, request: Any) -> Any:
            held = Held()
            gone.append(weakref.ref(held))
            raise PermissionDeniedError("no") if lasting else down()

        head = put = move = head_bucket = _fail  # type: ignore[assignment]

    from storage_conformance.memory_settings import MemorySettings

    bucket = inline(Holding(MemorySettings()), retry=RetryPolicy(attempts=2)).bucket("fruit")
    gc.collect()
    gc.disable()
    try:
        with suppress(StorageError):
            call(bucket)
        assert gone
        assert [one for one in gone if one() is not None] == []
    finally:
        gc.enable()


# --- deadlines -----------------------------------------------------------------------


def test_the_deadline_of_a_put_counts_for_its_parts_too(opened: Opener):
    driver = Scripted(unsized_put=False)
    storage = opened(driver, capabilities={"max_part_size": 10})
    bucket = storage.create_bucket("fruit")
    seen: list[float] = []
    runtime = client_of(storage).runtime
    within = runtime.within

    async def watched(seconds: float | None, work: Any) -> Any:
        assert seconds is not None
        seen.append(seconds)
        return await within(seconds, work)

    runtime.within = watched  # type: ignore[method-assign]
    bucket.put("a", iter([b"x" * 25]), deadline=100)
    assert len(seen) == len(driver.calls) - 1
    assert seen == sorted(seen, reverse=True)
    assert all(0 < one <= 100 for one in seen)


def test_an_asyncio_driver_is_interrupted_at_the_deadline(opened: Opener, carrier: str):
    if carrier in {"inline", "threaded"}:
        # Plain calls can not be interrupted: the deadline shows before the next try.
        driver = Scripted()
        caught = begun_before_its_deadline(opened(driver).create_bucket("fruit"), driver)
        assert isinstance(caught, ObjectNotFoundError)
        return

    class Stalled(Scripted):
        async def head(self, request: Any) -> Any:
            import asyncio

            self.calls.append(("head", request))
            await asyncio.sleep(1000)

    stalled = Stalled()
    caught = begun_before_its_deadline(opened(stalled).create_bucket("fruit"), stalled)
    assert isinstance(caught, OperationTimeoutError)
    assert "no answer within" in str(caught)
    assert caught.attempts == 1


def begun_before_its_deadline(bucket: Bucket, driver: Scripted) -> StorageError:
    """How a call ends whose request takes longer than its deadline; on a busy machine that passes
    before the request, and another one follows with more time."""
    for seconds in (0.01, 0.1, 1.0, 10.0):
        driver.script["head"] = [Before(partial(sleep, 2 * seconds)), None]
        with pytest.raises(StorageError) as caught:
            bucket.head("a", deadline=seconds)
        if "head" in driver.names():
            break
    return caught.value


def sleep(seconds: float, _: object) -> None:
    time.sleep(seconds)
