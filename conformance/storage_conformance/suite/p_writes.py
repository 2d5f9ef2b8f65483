"""Category P, writing: what may have happened is not repeated blindly, and what did happen is not
reported as failed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial

from storage_conformance import proxy as faults
from storage_conformance.cases import case, unsupported
from storage_conformance.helpers import keys_of, part_bytes, read
from storage_conformance.needs import MULTIPART, condition
from storage_conformance.proxy import Fault
from storage_conformance.through import BODY, LARGE, PASSING, Through, ThroughProxy, fails
from storage_core import (
    Bucket,
    OutcomeUnknownError,
    PermissionDeniedError,
    PreconditionFailedError,
    PutResult,
    TransientError,
)
from storage_core.model import Capabilities


class WriteFaults(ThroughProxy):
    """Cases P18 to P30: writing, sessions, many keys, links."""

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
        error = fails(lambda: through.bucket.put("a", pieces(), size=800_000))
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
        error = fails(lambda: through.bucket.put("a", LARGE[::-1]))
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
            error = fails(lambda: through.bucket.put("a", BODY, if_absent=True))
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
            error = fails(partial(through.bucket.put, key, BODY, if_absent=True))
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
                fails(lambda: through.bucket.put("a", BODY, if_match=etag)), OutcomeUnknownError
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
        clause="Multipart",
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
        clause="Multipart",
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

    @case("P28", "a session is not left behind by a writer that fails", clause="Multipart")
    def test_p28_writer(self, bucket: Bucket, through: Through, capabilities: Capabilities) -> None:
        if not capabilities.multipart:
            unsupported("the profile has no sessions to leave behind")
        writer = through.bucket.writer("a")
        body = part_bytes(capabilities, "p")
        while not list(bucket.list_uploads()):
            writer.write(body)
        with through.proxy.always(faults.answer(403)):
            assert isinstance(
                fails(lambda: [writer.write(body) for _ in range(4)]), PermissionDeniedError
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
