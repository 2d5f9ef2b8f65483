"""Category P: what networks and overloaded services do, through a proxy that does it on request.

One failure costs one policy: each case counts the requests that the failure led to. Nothing
that may have happened is repeated blindly, and nothing that did happen is reported as failed.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pytest

from storage_conformance import proxy as faults
from storage_conformance.cases import case, unsupported
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, part_bytes, read
from storage_conformance.needs import MULTIPART, condition
from storage_conformance.profiles import Openings, innermost
from storage_conformance.proxy import Fault, FaultyProxy
from storage_core import (
    Bucket,
    IntegrityError,
    ObjectChangedError,
    OperationTimeoutError,
    OutcomeUnknownError,
    PermissionDeniedError,
    PreconditionFailedError,
    PutResult,
    RateLimitedError,
    RetryPolicy,
    Storage,
    StorageError,
    TransientError,
    UnavailableError,
)
from storage_core.model import Capabilities

QUICK = RetryPolicy(attempts=4, base=0.01, cap=0.02)
BODY = bytes(range(256)) * 8
LARGE = bytes(range(251)) * 8000  # about 2 MB: more than sockets between two processes hold

PASSING: dict[str, Fault] = {
    "500": faults.answer(500),
    "502": faults.answer(502),
    "503": faults.answer(503),
    "504": faults.answer(504),
    "429": faults.answer(429),
    "reset": faults.reset(),
    "lost": faults.lost(),
    "garbage": faults.garbage(),
}
"""Faults that pass: a repeated request goes well."""


@dataclass(frozen=True)
class Through:
    """The case's bucket, seen through the proxy."""

    proxy: FaultyProxy
    bucket: Bucket
    open: Callable[[RetryPolicy], Bucket]

    def cost(self, action: Callable[[], object], *injected: Fault) -> int:
        """How many requests more an action makes when these faults are injected."""
        plain = self.proxy.cost(action)
        self.proxy.inject(*injected)
        found = self.proxy.cost(action)
        assert not self.proxy.pending, "not all faults were met"
        return found - plain


class Faults(Suite):
    """Cases P.

    Attributes:
        endpoint: The driver's setting that says where the service is; the proxy's URL takes
            its place.
    """

    endpoint: ClassVar[str] = "endpoint_url"

    @pytest.fixture
    def proxy(self, storage: Storage) -> Iterator[FaultyProxy]:
        url = getattr(innermost(storage.driver).settings, self.endpoint, None)
        if not url:
            unsupported(f"the profile has no {self.endpoint} that the faulty proxy could stand at")
        if not str(url).startswith("http://"):
            unsupported("the service is reached by TLS, which the faulty proxy can not look into")
        with FaultyProxy(str(url)) as proxy:
            yield proxy

    @pytest.fixture
    def through(self, bucket: Bucket, proxy: FaultyProxy, openings: Openings) -> Through:
        def opened(policy: RetryPolicy) -> Bucket:
            storage = openings.open(retry=policy, endpoint=(self.endpoint, proxy.url))
            return storage.bucket(bucket.name)

        return Through(proxy, opened(QUICK), opened)

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
                assert through.proxy.cost(partial(_fails, call)) == QUICK.attempts
        assert read(bucket, "a") == BODY

    @case("P06", "a failure is told with its status and the number of tries", clause="Errors")
    def test_p06_told(self, bucket: Bucket, through: Through) -> None:
        with through.proxy.always(faults.answer(503)):
            error = _fails(lambda: through.bucket.put("a", BODY))
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
                    cost = through.proxy.cost(partial(_fails, call))
                    assert cost == 1, f"{cost} requests for a {status}"
        with through.proxy.always(faults.answer(403)):
            assert isinstance(_fails(lambda: through.bucket.get("a")), PermissionDeniedError)

    @case("P09", "an outage costs a bounded number of requests", clause="Retry and time")
    def test_p09_budget(self, bucket: Bucket, through: Through) -> None:
        thrifty = through.open(RetryPolicy(attempts=4, base=0.01, cap=0.02, budget=5))
        with through.proxy.always(faults.answer(503)):
            cost = through.proxy.cost(lambda: [_fails(lambda: thrifty.head("a")) for _ in range(8)])
        assert cost == 8 + 5

    @case("P10", "a deadline ends the tries", clause="Retry and time")
    def test_p10_deadline(self, bucket: Bucket, through: Through) -> None:
        patient = through.open(RetryPolicy(attempts=100, base=0.2, cap=0.2, budget=1000))
        begun = time.monotonic()
        with through.proxy.always(faults.answer(503)):
            error = _fails(lambda: patient.get("a", deadline=1.0))
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
            assert isinstance(_fails(call), OperationTimeoutError)
            assert read(through.bucket, "a") == BODY

    @case("P12", "where nobody listens, the error says so", clause="Errors")
    def test_p12_refused(self, bucket: Bucket, through: Through) -> None:
        through.proxy.close()
        for call in (
            lambda: through.bucket.get("a"),
            lambda: through.bucket.put("a", BODY, if_absent=_if_absent(through)),
        ):
            error = _fails(call)
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
            assert isinstance(_fails(lambda: read(through.bucket, "a")), IntegrityError)
            assert read(through.bucket, "a") == body

    @case("P17", "a body that stalls is left at the deadline", clause="Retry and time")
    def test_p17_stalled_body(self, bucket: Bucket, through: Through) -> None:
        bucket.put("a", LARGE)
        through.proxy.inject(faults.stall_body(1_000_000))

        def stalled() -> None:
            with through.bucket.get("a", deadline=1.0) as reader:
                reader.read()

        assert isinstance(_fails(stalled), OperationTimeoutError)
        assert read(through.bucket, "a") == LARGE

    # --- writing ----------------------------------------------------------------------

    @case(
        "P18",
        "a body that can not be read again is not sent again once begun",
        clause="Retry and time",
    )
    def test_p18_once(self, bucket: Bucket, through: Through) -> None:
        given: list[int] = []

        def pieces() -> Iterator[bytes]:
            for number in range(8):
                given.append(number)
                yield LARGE[:100_000]

        through.proxy.inject(faults.reset())
        error = _fails(lambda: through.bucket.put("a", pieces(), size=800_000))
        assert isinstance(error, TransientError)
        assert len(given) <= 8
        assert not bucket.exists("a")

    @case("P19", "a file is sent again from where it stood", clause="Retry and time")
    def test_p19_file(self, bucket: Bucket, through: Through) -> None:
        for fault in (faults.reset(), faults.answer(503), faults.lost()):
            file = io.BytesIO(b"skipped" + LARGE)
            file.seek(7)
            through.proxy.inject(fault)
            through.bucket.put("a", file)
            assert read(bucket, "a") == LARGE
            assert not through.proxy.pending

    @case("P20", "an error answered in the middle of an upload is understood", clause="Errors")
    def test_p20_early(self, bucket: Bucket, through: Through) -> None:
        through.proxy.inject(faults.early(503))
        through.bucket.put("a", LARGE)
        assert read(bucket, "a") == LARGE
        through.proxy.inject(faults.early(403))
        error = _fails(lambda: through.bucket.put("a", LARGE[::-1]))
        assert isinstance(error, PermissionDeniedError), repr(error)
        assert read(bucket, "a") == LARGE

    @case(
        "P21",
        "a create-only put whose answer is lost succeeded, and says so",
        clause="Retry and time",
        needs=condition("put", "if_absent"),
    )
    def test_p21_lost(self, bucket: Bucket, through: Through, capabilities: Capabilities) -> None:
        through.proxy.inject(faults.lost())
        if not capabilities.write_ids:
            error = _fails(lambda: through.bucket.put("a", BODY, if_absent=True))
            assert isinstance(error, OutcomeUnknownError)
        else:
            result = through.bucket.put("a", BODY, if_absent=True)
            assert result.etag == bucket.head("a").etag
        assert read(bucket, "a") == BODY
        passed = [seen for seen in through.proxy.seen if seen.method != "HEAD" and seen.passed]
        assert sum(seen.method in {"PUT", "POST"} for seen in passed) == 1, "it was sent again"

    @case(
        "P22",
        "a create-only put whose request was lost is refused when another writer won, also with"
        " the same bytes",
        clause="Retry and time",
        needs=condition("put", "if_absent"),
    )
    def test_p22_other_won(
        self, bucket: Bucket, through: Through, capabilities: Capabilities
    ) -> None:
        expected = PreconditionFailedError if capabilities.write_ids else OutcomeUnknownError
        for number, other in enumerate((BODY, b"other")):
            key = f"key-{number}"
            through.proxy.inject(faults.reset(partial(bucket.put, key, other)))
            error = _fails(partial(through.bucket.put, key, BODY, if_absent=True))
            assert isinstance(error, expected), repr(error)
            assert read(bucket, key) == other

    @case(
        "P23",
        "a conditional put whose answer is lost succeeded, and says so",
        clause="Retry and time",
        needs=condition("put", "if_match"),
    )
    def test_p23_lost_update(
        self, bucket: Bucket, through: Through, capabilities: Capabilities
    ) -> None:
        etag = bucket.put("a", b"old").etag
        through.proxy.inject(faults.lost())
        if capabilities.write_ids:
            assert through.bucket.put("a", BODY, if_match=etag).etag == bucket.head("a").etag
        else:
            assert isinstance(
                _fails(lambda: through.bucket.put("a", BODY, if_match=etag)), OutcomeUnknownError
            )
        assert read(bucket, "a") == BODY

    @case(
        "P24",
        "a conditional put whose request was lost is made again",
        clause="Retry and time",
        needs=condition("put", "if_match"),
    )
    def test_p24_not_sent(
        self, bucket: Bucket, through: Through, capabilities: Capabilities
    ) -> None:
        if not capabilities.write_ids:
            unsupported("the profile keeps no write ids")
        etag = bucket.put("a", b"old").etag
        through.proxy.inject(faults.reset())
        through.bucket.put("a", BODY, if_match=etag)
        assert read(bucket, "a") == BODY

    @case("P25", "a copy whose answer is lost is there, and says so", clause="Retry and time")
    def test_p25_copy(self, bucket: Bucket, through: Through) -> None:
        bucket.put("a", BODY, content_type="text/x-odd")
        for number in range(through.proxy.cost(partial(through.bucket.copy, "a", "b"))):
            for fault in (faults.lost(), faults.answer(503), faults.reset()):
                bucket.delete("b")
                through.proxy.inject(*[None] * number, fault)
                through.bucket.copy("a", "b")
                assert not through.proxy.pending
                assert read(bucket, "b") == BODY
                assert bucket.head("b").content_type == "text/x-odd"

    # --- sessions ---------------------------------------------------------------------

    @case(
        "P26",
        "a part whose request or answer is lost is sent again, and counts once",
        clause="Multipart sessions",
        needs=MULTIPART,
    )
    def test_p26_parts(self, bucket: Bucket, through: Through, capabilities: Capabilities) -> None:
        upload = through.bucket.create_upload("a")
        body = part_bytes(capabilities, "p")
        for number, fault in enumerate(
            (faults.lost(), faults.reset(), faults.answer(500), faults.early(503)), 1
        ):
            through.proxy.inject(fault)
            upload.put_part(number, body)
        assert [part.number for part in upload.list_parts()] == [1, 2, 3, 4]
        upload.complete()
        assert read(bucket, "a") == body * 4

    @case(
        "P27",
        "a completion whose answer is lost succeeded, and says so",
        clause="Multipart sessions",
        needs=MULTIPART,
    )
    def test_p27_complete(self, bucket: Bucket, through: Through) -> None:
        def completed(*injected: Fault | None) -> int:
            upload = through.bucket.create_upload("a", content_type="text/x-odd")
            parts = [upload.put_part(1, BODY)]
            through.proxy.inject(*injected)
            cost = through.proxy.cost(lambda: results.append(upload.complete(parts)))
            assert not through.proxy.pending
            info = bucket.head("a")
            assert results[-1].etag == info.etag, f"{results[-1].etag!r} is not {info.etag!r}"
            assert info.content_type == "text/x-odd"
            assert read(bucket, "a") == BODY
            bucket.delete("a")
            return cost

        results: list[PutResult] = []
        # A completion may be several requests; each of them in turn meets each fault.
        for number in range(completed()):
            for fault in (faults.answer(503), faults.reset(), faults.lost()):
                completed(*[None] * number, fault)
        assert list(bucket.list_uploads()) == []

    @case("P28", "a session is not left behind by a writer that fails", clause="Multipart sessions")
    def test_p28_writer(self, bucket: Bucket, through: Through, capabilities: Capabilities) -> None:
        if not capabilities.multipart:
            unsupported("the profile has no sessions to leave behind")
        writer = through.bucket.writer("a")
        body = part_bytes(capabilities, "p")
        while not list(bucket.list_uploads()):
            writer.write(body)
        with through.proxy.always(faults.answer(403)):
            assert isinstance(
                _fails(lambda: [writer.write(body) for _ in range(4)]), PermissionDeniedError
            )
        writer.abort()
        assert list(bucket.list_uploads()) == []
        assert not bucket.exists("a")

    # --- many keys --------------------------------------------------------------------

    @case("P29", "a failure in deleting many hides no key", clause="Objects")
    def test_p29_delete_many(self, bucket: Bucket, through: Through) -> None:
        for name, fault in PASSING.items():
            for key in "abc":
                bucket.put(key, b"")
            through.proxy.inject(fault)
            results = list(through.bucket.delete_many(["a", "b", "c", "none"]))
            assert [(result.key, result.error) for result in results] == [
                (key, None) for key in ("a", "b", "c", "none")
            ], name
            assert keys_of(bucket.list()) == []

    @case("P30", "links are signed without a request", clause="Links")
    def test_p30_offline(
        self, bucket: Bucket, through: Through, capabilities: Capabilities
    ) -> None:
        if not capabilities.presign:
            unsupported("the profile's links are the gateway's")
        through.bucket.presign("a")  # what is fetched once, such as a delegation key, is there
        with through.proxy.always(faults.answer(500)):
            for method in sorted(capabilities.presign):
                assert through.proxy.cost(partial(through.bucket.presign, "a", method=method)) == 0


def _fails(call: Callable[[], object]) -> StorageError:
    with pytest.raises(StorageError) as caught:
        call()
    return caught.value


def _if_absent(through: Through) -> bool:
    return through.bucket.storage.capabilities.allows("put", "if_absent")
