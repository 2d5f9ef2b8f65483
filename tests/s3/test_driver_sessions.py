"""Copies and multipart sessions, which fail in ways of their own: inside an answer of success, with
the answer lost, beside others who write."""

from __future__ import annotations

import base64
import hashlib

import pytest

from storage_core import (
    Attributes,
    ObjectChangedError,
    OutcomeUnknownError,
    PartTooSmallError,
    PermissionDeniedError,
    PreconditionFailedError,
    UploadNotFoundError,
)
from storage_core.checksum import digest
from storage_core.core.upload import public_upload_id
from storage_core.model import Part
from tests.s3.scripted import Answer, Script, error, of_object, scripted

BODY = b"some bytes"
CRC = base64.b64encode(digest("crc32c", BODY)).decode()


# --- copies ---------------------------------------------------------------------------

COPIED = b"<CopyObjectResult><ETag>&quot;n&quot;</ETag></CopyObjectResult>"


def test_a_copy_is_of_the_object_that_was_looked_at() -> None:
    look = Answer(body=BODY, headers=of_object("old"))
    script = Script(look, look, Answer(body=b"\n \n" + COPIED))
    with scripted(script) as storage:
        result = storage.bucket("b").copy("a b", "c")
    assert (result.etag, result.size) == ("n", len(BODY))
    sent = script.asked[-1].headers
    assert sent["x-amz-copy-source"] == "/b/a%20b"
    assert sent["x-amz-copy-source-if-match"] == '"old"'
    assert sent["x-amz-checksum-algorithm"] == "CRC32C"
    assert "x-amz-metadata-directive" not in sent


def test_a_failure_inside_a_copys_success_is_one() -> None:
    look = Answer(body=BODY, headers=of_object())
    failed = error(200, "InternalError")
    script = Script(look, look, failed, look, Answer(body=COPIED))
    with scripted(script) as storage:
        assert storage.bucket("b").copy("a", "c").etag == "n"
    script = Script(look, look, error(200, "AccessDenied"))
    with scripted(script) as storage, pytest.raises(PermissionDeniedError):
        storage.bucket("b").copy("a", "c")


def test_a_source_that_is_replaced_meanwhile_is_copied_anew() -> None:
    def look(etag: str) -> Answer:
        return Answer(body=BODY, headers=of_object(etag))

    changed = error(412, "PreconditionFailed")
    script = Script(look("1"), look("1"), changed, look("2"), look("2"), Answer(body=COPIED))
    with scripted(script) as storage:
        assert storage.bucket("b").copy("a", "c").etag == "n"
    assert script.asked[-1].headers["x-amz-copy-source-if-match"] == '"2"'
    turns = [reply for n in range(5) for reply in (look(f"{n}"), changed, look(f"{n}x"))]
    with (
        scripted(Script(look("0"), *turns)) as storage,
        pytest.raises((ObjectChangedError, PreconditionFailedError)),
    ):
        storage.bucket("b").copy("a", "c")


def test_new_metadata_keeps_the_digests_that_are_metadata() -> None:
    own = {"x_amz_meta_storage_core_md5": "0" * 32, "x_amz_meta_old": "1"}
    look = Answer(body=BODY, headers=of_object(**own))
    script = Script(look, look, Answer(body=COPIED))
    with scripted(script) as storage:
        storage.bucket("b").update_metadata("a", metadata={"new": "2"})
    sent = script.asked[-1].headers
    assert sent["x-amz-metadata-directive"] == "REPLACE"
    assert sent["x-amz-meta-storage-core-md5"] == "0" * 32
    assert (sent.get("x-amz-meta-old"), sent["x-amz-meta-new"]) == (None, "2")


# --- sessions -------------------------------------------------------------------------

COMPLETE = (
    b"<CompleteMultipartUploadResult><ETag>&quot;n-1&quot;</ETag></CompleteMultipartUploadResult>"
)
PART_ETAG = hashlib.md5(BODY).hexdigest()
PARTS = [Part(1, PART_ETAG, len(BODY), {"crc32c": digest("crc32c", BODY).hex()})]
WHOLE_ETAG = hashlib.md5(bytes.fromhex(PART_ETAG)).hexdigest() + "-1"
LISTED = Answer(body=b"<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>")
GONE = error(404, "NoSuchUpload")
LOST = Answer(lost=True)
ID = public_upload_id("a", "u")


def test_a_completion_tells_the_checksum_of_the_whole() -> None:
    script = Script(Answer(body=b" \n " + COMPLETE))
    with scripted(script) as storage:
        result = storage.bucket("b").resume_upload(ID).complete(PARTS)
    (asked,) = script.asked
    assert asked.target == "/b/a?uploadId=u"
    assert asked.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert asked.headers["x-amz-checksum-crc32c"] == CRC
    assert (result.etag, result.size) == ("n-1", len(BODY))


def test_a_completion_that_fails_after_its_success() -> None:
    script = Script(
        error(200, "EntityTooSmall"), error(200, "InternalError"), LISTED, Answer(body=COMPLETE)
    )
    with scripted(script) as storage:
        upload = storage.bucket("b").resume_upload(ID)
        with pytest.raises(PartTooSmallError):
            upload.complete(PARTS)
        assert upload.complete(PARTS).etag == "n-1"


def test_a_lost_completion_is_looked_up() -> None:
    ours = Answer(body=BODY, headers=of_object(WHOLE_ETAG))
    script = Script(LOST, GONE, ours)
    with scripted(script) as storage:
        result = storage.bucket("b").resume_upload(ID).complete(PARTS, if_absent=True)
    assert result.etag == WHOLE_ETAG
    assert script.lines == ["POST /b/a?uploadId=u", "GET /b/a?max-parts=1&uploadId=u", "HEAD /b/a"]


def test_a_lost_completion_that_did_not_happen_is_repeated() -> None:
    script = Script(LOST, LISTED, Answer(body=COMPLETE))
    with scripted(script) as storage:
        upload = storage.bucket("b").resume_upload(ID)
        assert upload.complete(PARTS, if_absent=True).etag == "n-1"


def test_a_lost_completion_beside_anothers_object_is_unknown() -> None:
    others = Answer(body=BODY, headers=of_object("other"))
    with (
        scripted(Script(LOST, GONE, others, others)) as storage,
        pytest.raises(OutcomeUnknownError),
    ):
        storage.bucket("b").resume_upload(ID).complete(PARTS, if_absent=True)


def test_attributes_given_late_cost_a_copy_only_where_they_differ() -> None:
    same = Answer(body=BODY, headers=of_object("n-1", Content_Type="text/plain"))
    tags = Answer(body=b"<Tagging><TagSet/></Tagging>")
    done = Answer(body=COMPLETE)
    script = Script(done, same, tags, done, same, tags, Answer(body=COPIED))
    with scripted(script) as storage:
        for kind, etag in (("text/plain", "n-1"), ("text/csv", "n")):
            upload = storage.bucket("b").resume_upload(ID)
            result = upload.complete(PARTS, attributes=Attributes(content_type=kind))
            assert result.etag == etag
    assert script.asked[-1].headers["content-type"] == "text/csv"
    assert script.asked[-1].headers["x-amz-tagging-directive"] == "REPLACE"


def test_an_id_no_service_gives_out_is_not_sent() -> None:
    script = Script()
    with scripted(script) as storage, pytest.raises(UploadNotFoundError):
        storage.bucket("b").resume_upload(public_upload_id("a", "x" * 5000)).put_part(1, b"")
    assert script.asked == []


def test_ceph_forgets_tags_of_sessions_so_their_id_knows_them() -> None:
    created = Answer(body=b"<R><UploadId>2~u</UploadId></R>")
    script = Script(created, LISTED, Answer(body=COMPLETE), Answer())
    with scripted(script, preset="ceph") as storage:
        bucket = storage.bucket("b")
        upload_id = bucket.create_upload("a", tags={"a b": "1"}).id
        bucket.resume_upload(upload_id).complete(PARTS)
    assert script.lines[1:] == [
        "GET /b/a?max-parts=1&uploadId=2~u",
        "POST /b/a?uploadId=2~u",
        "PUT /b/a?tagging=",
    ]
    assert b"<Key>a b</Key>" in script.asked[-1].body
