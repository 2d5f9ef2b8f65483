"""Category J, races: among N writers one wins, in threads and in processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage_conformance import workers
from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, read, together
from storage_conformance.needs import MULTIPART, condition
from storage_conformance.workers import Spec, run_together
from storage_core import (
    Bucket,
    ObjectNotFoundError,
    PreconditionFailedError,
    PutResult,
    StorageError,
)

ROUNDS = 5
WRITERS = 16
PROCESSES = 4


def the_winner(outcomes: list[PutResult | StorageError]) -> int:
    """Number of the one writer that won; the others must have lost properly."""
    won = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, PutResult)]
    lost = [outcome for outcome in outcomes if not isinstance(outcome, PutResult)]
    assert all(isinstance(error, PreconditionFailedError) for error in lost), lost
    assert len(won) == 1, f"{len(won)} writers of {len(outcomes)} were told that they won"
    return won[0]


class Races(Suite):
    """Cases J30 and on."""

    @case(
        "J30",
        "among threads racing to create a key one wins, and its bytes are there",
        clause="Objects",
        needs=condition("put", "if_absent"),
    )
    def test_j30_create_threads(self, bucket: Bucket) -> None:
        for turn in range(ROUNDS):
            key = f"race/{turn}"
            bodies = [b"writer %02d" % number for number in range(WRITERS)]
            outcomes = together(*(_creator(bucket, key, body) for body in bodies))
            assert read(bucket, key) == bodies[the_winner(outcomes)]

    @case(
        "J31",
        "identical bodies do not make two winners",
        clause="Objects",
        needs=condition("put", "if_absent"),
    )
    def test_j31_identical_bodies(self, bucket: Bucket) -> None:
        for turn in range(ROUNDS):
            key = f"race/{turn}"
            the_winner(together(*(_creator(bucket, key, b"same") for _ in range(WRITERS))))
            assert read(bucket, key) == b"same"

    @case(
        "J32",
        "large bodies race as small ones do, and nothing of the losers is left",
        clause="Objects",
        needs=condition("put", "if_absent"),
    )
    def test_j32_large_bodies(self, bucket: Bucket) -> None:
        bodies = [bytes([65 + number]) * 600_000 for number in range(4)]
        outcomes = together(*(_creator(bucket, "a", body) for body in bodies))
        assert read(bucket, "a") == bodies[the_winner(outcomes)]
        assert keys_of(bucket.list()) == ["a"]

    @case(
        "J33",
        "among threads that replace one known object one wins",
        clause="Objects",
        needs=condition("put", "if_match"),
    )
    def test_j33_replace_threads(self, bucket: Bucket) -> None:
        etag = bucket.put("a", b"start").etag
        for turn in range(ROUNDS):
            # Never the bytes of the turn before: their etag may be the same.
            bodies = [b"writer %02d, turn %d" % (number, turn) for number in range(WRITERS)]
            outcomes = together(*(_replacer(bucket, etag, body) for body in bodies))
            winner = the_winner(outcomes)
            assert read(bucket, "a") == bodies[winner]
            etag = outcomes[winner].etag  # type: ignore[union-attr]
            assert bucket.head("a").etag == etag, "the winner was told another etag"

    @case(
        "J34",
        "compare-and-swap in threads loses no update",
        clause="Objects",
        needs=condition("put", "if_match"),
    )
    def test_j34_counter_threads(self, bucket: Bucket) -> None:
        bucket.put("counter", b"0")
        together(*([lambda: workers.count_up(bucket, "counter", 5)] * 6))
        assert read(bucket, "counter") == b"30"

    @case(
        "J35",
        "a delete and a replacement that expect one object: one of them wins",
        clause="Objects",
        needs=(condition("put", "if_match"), condition("delete", "if_match")),
    )
    def test_j35_delete_or_replace(self, bucket: Bucket) -> None:
        for _ in range(ROUNDS):
            etag = bucket.put("a", b"start").etag
            put, deleted = together(_replacer(bucket, etag, b"new"), _deleter(bucket, etag))
            assert isinstance(put, StorageError) != isinstance(deleted, StorageError)
            if isinstance(put, StorageError):
                with pytest.raises(ObjectNotFoundError):
                    bucket.head("a")
            else:
                assert read(bucket, "a") == b"new"

    @case(
        "J36",
        "among sessions racing to create a key one completes",
        clause="Multipart",
        needs=(MULTIPART, condition("complete", "if_absent")),
    )
    def test_j36_complete_race(self, bucket: Bucket) -> None:
        for turn in range(ROUNDS):
            key = f"race/{turn}"
            uploads = [bucket.create_upload(key) for _ in range(4)]
            for number, upload in enumerate(uploads):
                upload.put_part(1, b"session %d" % number)
            outcomes = together(
                *(lambda upload=upload: upload.complete(if_absent=True) for upload in uploads)
            )
            winner = the_winner(outcomes)
            assert read(bucket, key) == b"session %d" % winner
            for number, upload in enumerate(uploads):
                if number != winner:
                    upload.abort()

    @case(
        "J37",
        "a put and a completion racing to create a key: one wins",
        clause="Multipart",
        needs=(MULTIPART, condition("complete", "if_absent"), condition("put", "if_absent")),
    )
    def test_j37_put_or_complete(self, bucket: Bucket) -> None:
        for turn in range(ROUNDS):
            key = f"race/{turn}"
            upload = bucket.create_upload(key)
            upload.put_part(1, b"session")
            winner = the_winner(
                together(
                    _creator(bucket, key, b"put"),
                    lambda upload=upload: upload.complete(if_absent=True),  # type: ignore[misc]
                )
            )
            assert read(bucket, key) == (b"put", b"session")[winner]

    @case(
        "J38",
        "copies racing to create a key: one wins",
        clause="Objects",
        needs=condition("copy", "if_absent"),
    )
    def test_j38_copy_race(self, bucket: Bucket) -> None:
        for number in range(8):
            bucket.put(f"source/{number}", b"%d" % number)
        outcomes = together(
            *(
                lambda number=number: bucket.copy(f"source/{number}", "a", if_absent=True)
                for number in range(8)
            )
        )
        assert read(bucket, "a") == b"%d" % the_winner(outcomes)

    @case(
        "J39",
        "unconditional writers racing on a key: the last one's object, whole",
        clause="Objects",
    )
    def test_j39_unconditional(self, bucket: Bucket) -> None:
        bodies = [bytes([65 + number]) * 100_000 for number in range(8)]
        outcomes = together(*(lambda body=body: bucket.put("a", body) for body in bodies))
        assert all(isinstance(outcome, PutResult) for outcome in outcomes), outcomes
        with bucket.get("a") as reader:
            assert reader.read() in bodies
            etags = [outcome.etag for outcome in outcomes if isinstance(outcome, PutResult)]
            assert reader.info.etag in etags

    @case(
        "J40",
        "among processes racing to create a key one wins",
        clause="Objects",
        needs=condition("put", "if_absent"),
    )
    def test_j40_create_processes(self, bucket: Bucket, profile_spec: Spec) -> None:
        keys = [f"race/{turn}" for turn in range(20)]
        outcomes = run_together(profile_spec, bucket, workers.create_all, PROCESSES, keys)
        for turn, key in enumerate(keys):
            winner = the_winner([outcome[turn] for outcome in outcomes])
            assert read(bucket, key) == b"process %d" % winner

    @case(
        "J41",
        "compare-and-swap in processes loses no update",
        clause="Objects",
        needs=condition("put", "if_match"),
    )
    def test_j41_counter_processes(self, bucket: Bucket, profile_spec: Spec) -> None:
        bucket.put("counter", b"0")
        run_together(profile_spec, bucket, workers.count_up_in_process, PROCESSES, "counter", 10)
        assert read(bucket, "counter") == b"%d" % (PROCESSES * 10)


def _creator(bucket: Bucket, key: str, body: bytes) -> Callable[[], PutResult]:
    return lambda: bucket.put(key, body, if_absent=True)


def _replacer(bucket: Bucket, etag: str, body: bytes) -> Callable[[], PutResult]:
    return lambda: bucket.put("a", body, if_match=etag)


def _deleter(bucket: Bucket, etag: str) -> Callable[[], object]:
    return lambda: bucket.delete("a", if_match=etag)
