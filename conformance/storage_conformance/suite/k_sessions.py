"""Category K, continued: the life of multipart sessions, here and in other processes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable

import pytest

from storage_conformance import workers
from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import part_bytes, read, together
from storage_conformance.needs import MULTIPART
from storage_conformance.workers import Spec, Worker
from storage_core import (
    Bucket,
    BucketNotEmptyError,
    BucketNotFoundError,
    InvalidRequestError,
    PutResult,
    Storage,
    Upload,
    UploadNotFoundError,
)
from storage_core.model import Capabilities


def refuses_all(upload: Upload, part: object) -> None:
    """Every operation of a session that ended says so."""
    calls: tuple[Callable[[], object], ...] = (
        lambda: upload.put_part(1, b"late"),
        lambda: list(upload.list_parts()),
        lambda: upload.complete([part]),  # type: ignore[list-item]
        upload.abort,
    )
    for call in calls:
        with pytest.raises(UploadNotFoundError):
            call()


class Sessions(Suite):
    """Cases K30 and on."""

    @case(
        "K30",
        "a completed session is gone: complete, abort and the rest say so",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k30_complete_twice(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("a")
        part = upload.put_part(1, b"x")
        upload.complete([part])
        refuses_all(upload, part)
        refuses_all(bucket.resume_upload(upload.id), part)
        assert read(bucket, "a") == b"x"

    @case(
        "K31",
        "an aborted session is gone, and was never an object",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k31_abort(self, bucket: Bucket) -> None:
        bucket.put("a", b"old")
        upload = bucket.create_upload("a")
        part = upload.put_part(1, b"x")
        upload.abort()
        refuses_all(upload, part)
        assert read(bucket, "a") == b"old"
        assert list(bucket.list_uploads()) == []

    @case("K32", "a session is taken up by its id alone", clause="Multipart", needs=MULTIPART)
    def test_k32_resume(
        self, bucket: Bucket, opener: Callable[..., Storage], capabilities: Capabilities
    ) -> None:
        first = part_bytes(capabilities, "1")
        upload = bucket.create_upload("a b/ü", content_type="text/csv", metadata={"k": "v"})
        upload.put_part(1, first)
        again = opener().bucket(bucket.name).resume_upload(upload.id)
        assert (again.id, again.key) == (upload.id, "a b/ü")
        again.put_part(2, b"2")
        assert [part.number for part in again.list_parts()] == [1, 2]
        again.complete()
        assert read(bucket, "a b/ü") == first + b"2"
        info = bucket.head("a b/ü")
        assert (info.content_type, info.metadata) == ("text/csv", {"k": "v"})

    @case(
        "K33",
        "an id is plain text that survives JSON, pickle and a command line",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k33_id(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("käse 🧀/" + "x" * 200)
        assert isinstance(upload.id, str)
        assert upload.id.isascii()
        assert upload.id.isprintable()
        assert " " not in upload.id
        for copy in (json.loads(json.dumps(upload.id)), pickle.loads(pickle.dumps(upload.id))):
            assert list(bucket.resume_upload(copy).list_parts()) == []

    @case(
        "K34",
        "open sessions are listed by key, with ids that take them up",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k34_list_uploads(self, bucket: Bucket) -> None:
        assert list(bucket.list_uploads()) == []
        uploads = [bucket.create_upload(key) for key in ("b/1", "a", "b/2", "b/1", "c?ü")]
        listed = list(bucket.list_uploads())
        assert sorted(info.id for info in listed) == sorted(upload.id for upload in uploads)
        assert [info.key for info in listed] == ["a", "b/1", "b/1", "b/2", "c?ü"]
        assert [info.key for info in bucket.list_uploads("b/")] == ["b/1", "b/1", "b/2"]
        assert list(bucket.list_uploads("d")) == []
        for info in listed:
            upload = bucket.resume_upload(info.id)
            assert upload.key == info.key
            upload.put_part(1, b"x")
            upload.complete()
        assert list(bucket.list_uploads()) == []

    @case("K35", "pages of sessions neither skip nor repeat", clause="Multipart", needs=MULTIPART)
    def test_k35_pages(self, bucket: Bucket) -> None:
        ids = [bucket.create_upload(f"k{n // 2}").id for n in range(9)]
        for size in (1, 2, 4, 9, 100):
            found = [info.id for info in bucket.list_uploads(page_size=size)]
            assert sorted(found) == sorted(ids), f"pages of {size}"
        token, found = None, []
        for _ in range(20):
            page = next(iter(bucket.list_uploads(page_size=2).pages(token)))
            found += [info.id for info in page.items]
            if (token := page.next_token) is None:
                break
        assert sorted(found) == sorted(ids), "pages taken up by their token"

    @case("K36", "a session belongs to its bucket", clause="Multipart", needs=MULTIPART)
    def test_k36_other_bucket(self, bucket: Bucket, make_bucket: Callable[[], Bucket]) -> None:
        upload = bucket.create_upload("a")
        part = upload.put_part(1, b"x")
        refuses_all(make_bucket().resume_upload(upload.id), part)
        assert [p.number for p in upload.list_parts()] == [1]

    @case(
        "K37",
        "a session of another key is not to be had by a mended id",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k37_mixed_ids(self, bucket: Bucket) -> None:
        one, other = bucket.create_upload("a"), bucket.create_upload("b")
        part = one.put_part(1, b"x")
        half = len(one.id) // 2
        dot = one.id.find(".") + 1
        for cut in {half, dot, dot - 1}:
            mixed = other.id[:cut] + one.id[cut:]
            with pytest.raises((UploadNotFoundError, InvalidRequestError)):
                bucket.resume_upload(mixed).complete([part])
        one.complete([part])
        assert read(bucket, "a") == b"x"
        assert not bucket.exists("b")

    @case(
        "K38",
        "an id that never was is refused or unknown, never an object",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k38_made_up_ids(self, bucket: Bucket) -> None:
        real = bucket.create_upload("a").id
        for made_up in ("", "x", ".", "a.b", real[:-3], real + "x", real.upper(), "../../a", "\0"):
            if made_up == real:
                continue
            with pytest.raises((UploadNotFoundError, InvalidRequestError)):
                bucket.resume_upload(made_up).put_part(1, b"x")
        assert list(bucket.resume_upload(real).list_parts()) == []

    @case(
        "K39",
        "a session in a missing bucket is BucketNotFoundError",
        clause="Buckets",
        needs=MULTIPART,
    )
    def test_k39_missing_bucket(self, storage: Storage, bucket: Bucket) -> None:
        missing = storage.bucket(f"{bucket.name[:50]}-none")
        upload = bucket.create_upload("a")
        for call in (
            lambda: missing.create_upload("a"),
            lambda: list(missing.list_uploads()),
            lambda: missing.resume_upload(upload.id).put_part(1, b"x"),
            lambda: missing.resume_upload(upload.id).abort(),
        ):
            with pytest.raises(BucketNotFoundError):
                call()

    @case(
        "K40",
        "two sessions on one key: each completes whole, the last one counts",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k40_two_sessions(self, bucket: Bucket, capabilities: Capabilities) -> None:
        bodies = [(part_bytes(capabilities, mark), mark.encode() * 9) for mark in "ab"]
        uploads = [bucket.create_upload("k") for _ in bodies]
        for upload, (first, last) in zip(uploads, bodies, strict=True):
            upload.put_part(1, first)
            upload.put_part(2, last)
        uploads[1].complete()
        assert read(bucket, "k") == b"".join(bodies[1])
        uploads[0].complete()
        assert read(bucket, "k") == b"".join(bodies[0])

    @case(
        "K41", "two completions of one key at once never mix", clause="Multipart", needs=MULTIPART
    )
    def test_k41_racing_sessions(self, bucket: Bucket) -> None:
        for _ in range(5):
            uploads = [bucket.create_upload("k") for _ in range(4)]
            for number, upload in enumerate(uploads):
                upload.put_part(1, b"%d" % number * 1000)
            outcomes = together(*(upload.complete for upload in uploads))
            assert all(isinstance(outcome, PutResult) for outcome in outcomes), outcomes
            found = read(bucket, "k")
            assert found in [b"%d" % number * 1000 for number in range(4)]

    @case(
        "K42",
        "of two completions of one session at once, one does it",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k42_one_session_twice(self, bucket: Bucket) -> None:
        for turn in range(5):
            upload = bucket.create_upload(f"k{turn}")
            part = upload.put_part(1, b"once")
            outcomes = together(*([lambda: upload.complete([part])] * 3))  # noqa: B023
            won = [outcome for outcome in outcomes if isinstance(outcome, PutResult)]
            lost = [outcome for outcome in outcomes if not isinstance(outcome, PutResult)]
            assert len(won) == 1, outcomes
            assert all(isinstance(error, UploadNotFoundError) for error in lost), lost
            assert read(bucket, f"k{turn}") == b"once"

    @case(
        "K43",
        "a bucket with an open session is not empty; force aborts it",
        clause="Buckets",
        needs=MULTIPART,
    )
    def test_k43_bucket_not_empty(
        self, storage: Storage, make_bucket: Callable[[], Bucket]
    ) -> None:
        bucket = make_bucket()
        upload = bucket.create_upload("a")
        upload.put_part(1, b"x")
        with pytest.raises(BucketNotEmptyError):
            storage.delete_bucket(bucket.name)
        assert [part.number for part in upload.list_parts()] == [1]
        storage.delete_bucket(bucket.name, force=True)
        assert not storage.bucket_exists(bucket.name)

    @case(
        "K44",
        "deleting and replacing the object leaves an open session on its key alone",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k44_object_and_session(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        upload = bucket.create_upload("a")
        part = upload.put_part(1, b"session")
        bucket.put("a", b"2")
        bucket.delete("a")
        upload.complete([part])
        assert read(bucket, "a") == b"session"

    @case(
        "K45",
        "a session of a process killed with kill -9 is finished by another one",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k45_killed(
        self, bucket: Bucket, profile_spec: Spec, capabilities: Capabilities
    ) -> None:
        size = part_bytes(capabilities, "1")
        with Worker(profile_spec, bucket, workers.upload_until_killed, "a", len(size)) as worker:
            worker.ready()
            worker.go()
            upload_id = worker.say().decode()
            assert worker.say() == b"sending"
            worker.process.kill()
            worker.process.wait(workers.TIMEOUT)
        assert not bucket.exists("a")
        assert [info.id for info in bucket.list_uploads()] == [upload_id]
        outcome = workers.run(profile_spec, bucket, workers.finish_upload, upload_id, b"the rest")
        assert isinstance(outcome, PutResult), outcome
        assert read(bucket, "a") == b"1" * len(size) + b"the rest"
        assert bucket.head("a").metadata == {"from": "the killed one"}

    @case(
        "K46",
        "a session is created, filled and completed by three processes",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k46_three_processes(
        self, bucket: Bucket, profile_spec: Spec, capabilities: Capabilities
    ) -> None:
        upload = bucket.create_upload("a")
        body = part_bytes(capabilities, "x")
        part = workers.run(profile_spec, bucket, workers.send_part, upload.id, 1, body)
        assert [(p.number, p.etag) for p in upload.list_parts()] == [(1, part.etag)]  # type: ignore[union-attr]
        outcome = workers.run(profile_spec, bucket, workers.finish_upload, upload.id, b"end")
        assert isinstance(outcome, PutResult), outcome
        assert read(bucket, "a") == body + b"end"
        with pytest.raises(UploadNotFoundError):
            upload.complete()
