"""Category P: what networks and overloaded services do, through a proxy that does it on request.

One failure costs one policy: each case counts the requests that the failure led to. Nothing
that may have happened is repeated blindly, and nothing that did happen is reported as failed.
"""

from __future__ import annotations

import time
from functools import partial

from storage_conformance import proxy as faults
from storage_conformance.cases import case, unsupported
from storage_conformance.helpers import keys_of, read
from storage_conformance.through import BODY, LARGE, PASSING, QUICK, Through, ThroughProxy, fails
from storage_core import (
    Bucket,
    IntegrityError,
    ObjectChangedError,
    OperationTimeoutError,
    PermissionDeniedError,
    RateLimitedError,
    RetryPolicy,
    TransientError,
    UnavailableError,
)
from storage_core.model import Capabilities


class Faults(ThroughProxy):
    """Cases P01 to P17: what is repeated, and reading."""

    # --- what is repeated -------------------------------------------------------------

    @case("P01", "a failure that passes costs a read one request more", clause="Retry and time")
    def test_p01_read(self, bucket: Bucket, through: Through) -> None:
        bucket.put("a", BODY)
        for name, fault in PASSING.items():
            assert through.cost(lambda: read(through.bucket, "a"), fault) == 1, name
            assert through.cost(lambda: through.bucket.head("a"), fault) == 1, name
        assert read(through.bucket, "a") == BODY

    @case("P02", "a failure that passes costs a put one request more", clause="Retry and time")
    def test_p02_put(self, bucket: Bucket, through: Through) -> None:
        for name, fault in PASSING.items():
            body = name.encode() * 100
            assert through.cost(partial(through.bucket.put, "a", body), fault) == 1, name
            assert read(bucket, "a") == body

    @case("P03", "a failure that passes costs a delete one request more", clause="Retry and time")
    def test_p03_delete(self, bucket: Bucket, through: Through) -> None:
        for name, fault in PASSING.items():
            bucket.put("a", BODY)
            assert through.cost(lambda: through.bucket.delete("a"), fault) == 1, name
            assert not bucket.exists("a")

    @case(
        "P04",
        "a failure in the middle of a listing neither skips nor repeats a key",
        clause="Listing",
    )
    def test_p04_list(self, bucket: Bucket, through: Through) -> None:
        wanted = {f"{number:02}" for number in range(25)}
        for key in wanted:
            bucket.put(key, b"")
        for name, fault in PASSING.items():
            found = []
            for number, page in enumerate(through.bucket.list(page_size=10).pages()):
                if number == 0:
                    through.proxy.inject(fault)
                found += keys_of(page.items)
            assert sorted(found) == sorted(wanted), name
            assert not through.proxy.pending, name

    @case("P05", "a failure that stays costs one policy and no more", clause="Retry and time")
    def test_p05_stays(self, bucket: Bucket, through: Through) -> None:
        bucket.put("a", BODY)
        with through.proxy.always(faults.answer(503)):
            for call in (
                lambda: read(through.bucket, "a"),
                lambda: through.bucket.put("a", b"new"),
                lambda: list(through.bucket.list()),
                lambda: through.bucket.delete("a"),
            ):
                assert through.proxy.cost(partial(fails, call)) == QUICK.attempts
        assert read(bucket, "a") == BODY

    @case("P06", "a failure is told with its status and the number of tries", clause="Errors")
    def test_p06_told(self, bucket: Bucket, through: Through) -> None:
        with through.proxy.always(faults.answer(503)):
            error = fails(lambda: through.bucket.put("a", BODY))
        assert isinstance(error, UnavailableError | RateLimitedError), type(error)
        assert (error.operation, error.bucket, error.key) == ("put", bucket.name, "a")
        assert (error.status, error.attempts) == (503, QUICK.attempts)

    @case("P07", "Retry-After is waited for", clause="Retry and time")
    def test_p07_retry_after(self, bucket: Bucket, through: Through) -> None:
        bucket.put("a", BODY)
        for status in (429, 503):
            through.proxy.inject(faults.answer(status, retry_after=1))
            begun = time.monotonic()
            assert read(through.bucket, "a") == BODY
            assert time.monotonic() - begun >= 1, status

    @case("P08", "an error that does not pass is not repeated", clause="Retry and time")
    def test_p08_final(self, bucket: Bucket, through: Through) -> None:
        bucket.put("a", BODY)
        for status in (400, 401, 403, 405):
            with through.proxy.always(faults.answer(status)):
                for call in (
                    lambda: through.bucket.get("a"),
                    lambda: through.bucket.put("a", b"new"),
                ):
                    cost = through.proxy.cost(partial(fails, call))
                    assert cost == 1, f"{cost} requests for a {status}"
        with through.proxy.always(faults.answer(403)):
            assert isinstance(fails(lambda: through.bucket.get("a")), PermissionDeniedError)

    @case("P09", "an outage costs a bounded number of requests", clause="Retry and time")
    def test_p09_budget(self, bucket: Bucket, through: Through) -> None:
        thrifty = through.open(RetryPolicy(attempts=4, base=0.01, cap=0.02, budget=5))
        with through.proxy.always(faults.answer(503)):
            cost = through.proxy.cost(lambda: [fails(lambda: thrifty.head("a")) for _ in range(8)])
        assert cost == 8 + 5

    @case("P10", "a deadline ends the tries", clause="Retry and time")
    def test_p10_deadline(self, bucket: Bucket, through: Through) -> None:
        patient = through.open(RetryPolicy(attempts=100, base=0.2, cap=0.2, budget=1000))
        begun = time.monotonic()
        with through.proxy.always(faults.answer(503)):
            error = fails(lambda: patient.get("a", deadline=1.0))
        assert isinstance(error, TransientError)
        assert time.monotonic() - begun < 10

    @case(
        "P11",
        "a service that never answers is left at the deadline, and the storage goes on",
        clause="Retry and time",
    )
    def test_p11_stall(self, bucket: Bucket, through: Through) -> None:
        bucket.put("a", BODY)
        for call in (
            lambda: through.bucket.get("a", deadline=0.5),
            lambda: through.bucket.head("a", deadline=0.5),
        ):
            through.proxy.inject(faults.stall())
            assert isinstance(fails(call), OperationTimeoutError)
            assert read(through.bucket, "a") == BODY

    @case("P12", "where nobody listens, the error says so", clause="Errors")
    def test_p12_refused(self, bucket: Bucket, through: Through) -> None:
        through.proxy.close()
        for call in (
            lambda: through.bucket.get("a"),
            lambda: through.bucket.put("a", BODY, if_absent=through.creates),
        ):
            error = fails(call)
            assert isinstance(error, UnavailableError), type(error)
            assert error.unsent, "nothing was sent"
            assert error.attempts == QUICK.attempts

    # --- reading ----------------------------------------------------------------------

    @case("P13", "a read that breaks off goes on where it was", clause="Objects")
    def test_p13_resumed(self, bucket: Bucket, through: Through) -> None:
        bucket.put("a", LARGE)
        for fault in (faults.cut, faults.reset_body):
            for after in (0, 1, 1000, len(LARGE) - 1):
                assert through.cost(lambda: read(through.bucket, "a"), fault(after)) == 1
                through.proxy.inject(fault(after))
                assert read(through.bucket, "a") == LARGE

    @case("P14", "a ranged read that breaks off goes on where it was", clause="Objects")
    def test_p14_resumed_range(self, bucket: Bucket, through: Through) -> None:
        bucket.put("a", LARGE)
        through.proxy.inject(faults.reset_body(500_000), faults.cut(300_000))
        with through.bucket.get("a", range=(1000, 1_500_000)) as reader:
            assert reader.read() == LARGE[1000:1_500_000]
        assert not through.proxy.pending

    @case("P15", "an object replaced while its read broke off is not mixed", clause="Objects")
    def test_p15_replaced(
        self, bucket: Bucket, through: Through, capabilities: Capabilities
    ) -> None:
        bucket.put("a", LARGE)
        through.proxy.inject(faults.reset_body(1_000_000))
        with through.bucket.get("a") as reader:
            begun = reader.read(1000)
            bucket.put("a", LARGE[::-1])
            assert begun == LARGE[:1000]
            try:
                rest = reader.read()
            except ObjectChangedError:
                return
        assert capabilities.versions, "the old bytes are not kept"
        assert rest == LARGE[1000:]

    @case("P16", "a corrupted body is never given as good", clause="Objects")
    def test_p16_corrupt(
        self, bucket: Bucket, through: Through, capabilities: Capabilities
    ) -> None:
        if capabilities.default_checksum is None:
            unsupported("the profile keeps no checksum of every object")
        for body in (BODY, LARGE):
            bucket.put("a", body)
            through.proxy.inject(faults.corrupt(len(body) // 2))
            assert isinstance(fails(lambda: read(through.bucket, "a")), IntegrityError)
            assert read(through.bucket, "a") == body

    @case("P17", "a body that stalls is left at the deadline", clause="Retry and time")
    def test_p17_stalled_body(self, bucket: Bucket, through: Through) -> None:
        bucket.put("a", LARGE)
        through.proxy.inject(faults.stall_body(1_000_000))

        def stalled() -> None:
            with through.bucket.get("a", deadline=1.0) as reader:
                reader.read()

        assert isinstance(fails(stalled), OperationTimeoutError)
        assert read(through.bucket, "a") == LARGE
