"""What the driver sends, and what it makes of answers that no well-behaved server gives."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path

import pytest

from storage_core import (
    BucketNotEmptyError,
    BucketNotFoundError,
    ConfigError,
    IntegrityError,
    ObjectNotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    UnavailableError,
)
from storage_core.checksum import digest
from storage_core.core.upload import public_upload_id
from storage_core.requests import ListBucketsRequest
from storage_core.runtime import drive
from tests.s3.scripted import Answer, Asked, Script, error, of_object, scripted

BODY = b"some bytes"
CRC = base64.b64encode(digest("crc32c", BODY)).decode()
STORED = Answer(headers=of_object())
COPIED = b"<CopyObjectResult><ETag>&quot;n&quot;</ETag></CopyObjectResult>"


def unframed(body: bytes) -> tuple[bytes, dict[str, str]]:
    """Payload and trailers of an aws-chunked body."""
    payload, rest = b"", body
    while True:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if not size:
            break
        payload, rest = payload + rest[:size], rest[size + 2 :]
    lines = rest.decode().split("\r\n")
    assert lines[-2:] == ["", ""]
    return payload, dict(line.split(":", 1) for line in lines[:-2])


# --- put ------------------------------------------------------------------------------


def test_bytes_go_with_their_checksum_and_hash() -> None:
    script = Script(STORED)
    with scripted(script) as storage:
        result = storage.bucket("b").put("a/ä b", BODY, content_type="text/plain", tags={"t": "1 "})
    (asked,) = script.asked
    assert (asked.method, asked.target, asked.body) == ("PUT", "/b/a/%C3%A4%20b", BODY)
    assert asked.headers["x-amz-checksum-crc32c"] == CRC
    assert asked.headers["x-amz-content-sha256"] == hashlib.sha256(BODY).hexdigest()
    assert asked.headers["content-type"] == "text/plain"
    assert asked.headers["x-amz-tagging"] == "t=1%20"
    assert (result.etag, result.checksums["crc32c"]) == ("e", digest("crc32c", BODY).hex())


def test_a_streamed_body_has_its_checksum_behind_it() -> None:
    script = Script(STORED)
    body = bytes(range(256)) * 2048
    with scripted(script) as storage:
        pieces = iter([body[:100], b"", body[100:]])
        storage.bucket("b").put("a", pieces, size=len(body), content_encoding="br")
    (asked,) = script.asked
    assert asked.headers["x-amz-content-sha256"] == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    assert asked.headers["content-encoding"] == "aws-chunked,br"
    assert asked.headers["x-amz-decoded-content-length"] == str(len(body))
    payload, trailers = unframed(asked.body)
    assert payload == body
    value = base64.b64encode(digest("crc32c", body)).decode()
    assert trailers["x-amz-checksum-crc32c"] == value
    assert len(trailers["x-amz-trailer-signature"]) == 64


def test_without_signed_payload_the_chunks_are_bare() -> None:
    script = Script(STORED, STORED)
    with scripted(script, payload="unsigned") as storage:
        storage.bucket("b").put("a", io.BytesIO(BODY))
        storage.bucket("b").put("a", BODY)
    framed, whole = script.asked
    assert framed.headers["x-amz-content-sha256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert unframed(framed.body) == (BODY, {"x-amz-checksum-crc32c": CRC})
    assert whole.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"


def test_an_anonymous_profile_signs_and_frames_nothing() -> None:
    script = Script(STORED)
    anonymous = {"anonymous": True, "access_key_id": None, "secret_access_key": None}
    with scripted(script, **anonymous) as storage:
        storage.bucket("b").put("a", io.BytesIO(BODY))
    (asked,) = script.asked
    assert asked.body == BODY
    assert asked.headers["x-amz-checksum-crc32c"] == CRC
    assert not {"authorization", "x-amz-date", "content-encoding"} & set(asked.headers)


def test_digests_the_service_does_not_keep_are_metadata() -> None:
    script = Script(STORED, STORED, STORED)
    with scripted(script, preset="generic") as storage:
        bucket = storage.bucket("b")
        bucket.put("a", BODY)
        bucket.put("a", io.BytesIO(BODY), compute=["sha256"])
        bucket.put("a", iter([BODY]), size=len(BODY), compute=["md5"])
    in_memory, read_twice, collected = (asked.headers for asked in script.asked)
    assert in_memory["x-amz-meta-storage-core-crc32c"] == digest("crc32c", BODY).hex()
    assert read_twice["x-amz-meta-storage-core-sha256"] == digest("sha256", BODY).hex()
    assert collected["x-amz-meta-storage-core-md5"] == digest("md5", BODY).hex()
    assert not [
        name for headers in (in_memory, read_twice) for name in headers if "checksum" in name
    ]


class Changing(io.BytesIO):
    """A file that somebody writes to after it was read once."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            self.getbuffer()[:4] = b"SOME"
        return data


def test_a_file_that_changes_between_two_readings_is_not_stored() -> None:
    script = Script(STORED)
    with scripted(script, preset="generic") as storage, pytest.raises(IntegrityError) as caught:
        storage.bucket("b").put("a", Changing(BODY), compute=["md5"])
    assert "changed" in str(caught.value)
    assert all(len(asked.body) < len(BODY) for asked in script.asked)


def test_a_part_of_unknown_length_is_collected(tmp_path: Path) -> None:
    script = Script(STORED, STORED)
    large = [bytes([number]) * 1024**2 for number in range(10)]
    with scripted(script) as storage:
        upload = storage.bucket("b").resume_upload(public_upload_id("a", "u"))
        upload.put_part(1, iter([b"ab", b"c"]))
        part = upload.put_part(2, iter(large))
    small, framed = script.asked
    assert (small.body, small.target) == (b"abc", "/b/a?partNumber=1&uploadId=u")
    assert part.size == 10 * 1024**2
    assert unframed(framed.body)[0] == b"".join(large)
    assert not list(tmp_path.iterdir())


def test_if_match_on_a_missing_object_does_not_hold() -> None:
    script = Script(error(404, "NoSuchKey"))
    with scripted(script) as storage, pytest.raises(PreconditionFailedError) as caught:
        storage.bucket("b").put("a", BODY, if_match="e")
    assert (caught.value.status, caught.value.code) == (404, "NoSuchKey")
    assert script.asked[0].headers["if-match"] == '"e"'


def test_ceph_wants_etags_bare_and_has_an_answer_for_lost_races() -> None:
    script = Script(error(500, "UnknownError"), error(412, "PreconditionFailed"))
    with scripted(script, preset="ceph") as storage, pytest.raises(PreconditionFailedError):
        storage.bucket("b").put("a", BODY, if_match="e")
    assert [asked.headers["if-match"] for asked in script.asked] == ["e", "e"]


# --- get and head ---------------------------------------------------------------------


def test_a_whole_read_is_verified() -> None:
    right = Answer(body=BODY, headers=of_object(x_amz_checksum_crc32c=CRC))
    script = Script(right, right._replace(body=BODY[:-1] + b"S"))
    with scripted(script) as storage:
        with storage.bucket("b").get("a") as reader:
            assert reader.read() == BODY
        with storage.bucket("b").get("a") as reader, pytest.raises(IntegrityError):
            reader.read()
    assert script.asked[0].headers["x-amz-checksum-mode"] == "ENABLED"


def test_a_checksum_of_parts_verifies_nothing() -> None:
    script = Script(Answer(body=BODY, headers=of_object(x_amz_checksum_crc32c=f"{CRC}-3")))
    with scripted(script) as storage, storage.bucket("b").get("a") as reader:
        assert reader.read() == BODY
        assert reader.info.checksums == {}


def test_the_last_bytes_of_an_empty_object_are_none() -> None:
    empty = Answer(headers=of_object())
    script = Script(error(416, "InvalidRange"), empty)
    with scripted(script) as storage, storage.bucket("b").get("a", range=(-5, None)) as reader:
        assert reader.read() == b""
    assert script.lines == ["GET /b/a", "HEAD /b/a"]


def test_a_service_that_ignores_ranges_gives_no_false_bytes() -> None:
    whole = Answer(body=BODY, headers=of_object())
    large = Answer(body=BODY * 100_000, headers=of_object())
    script = Script(whole, large, large)
    with scripted(script) as storage:
        with storage.bucket("b").get("a", range=(5, 7)) as reader:
            assert reader.read() == BODY[5:7]
            assert reader.info.size == len(BODY)
        with pytest.raises(UnavailableError, match="ignores ranges"):
            storage.bucket("b").get("a", range=(5, 7))


def test_a_range_that_contradicts_its_length_is_refused() -> None:
    answer = Answer(206, BODY, of_object(Content_Range="bytes 0-3/100"))
    with scripted(Script(answer, answer)) as storage, pytest.raises(UnavailableError):
        storage.bucket("b").get("a", range=(0, 10))


def test_a_bare_404_asks_for_the_bucket() -> None:
    script = Script(Answer(404), Answer(404), Answer(404), Answer(200), Answer(404), Answer(403))
    with scripted(script) as storage:
        bucket = storage.bucket("b")
        with pytest.raises(BucketNotFoundError):
            bucket.head("a")
        for _ in range(2):  # who may not look at the bucket may still know the object is missing
            with pytest.raises(ObjectNotFoundError):
                bucket.head("a")
    assert script.lines == ["HEAD /b/a", "HEAD /b"] * 2 + [
        "HEAD /b/a",
        "HEAD /b",
        "GET /b?list-type=2&max-keys=0",
    ]


def test_a_bare_403_asks_what_is_the_matter() -> None:
    script = Script(Answer(403), error(403, "AccessDenied"))
    with scripted(script) as storage, pytest.raises(PermissionDeniedError):
        storage.bucket("b").head("a")
    assert script.lines == ["HEAD /b/a", "GET /b?list-type=2&max-keys=0"]


def test_a_bucket_of_another_region_says_so() -> None:
    elsewhere = Answer(301, headers={"x-amz-bucket-region": "us-west-2"})
    with scripted(Script(elsewhere, elsewhere)) as storage:
        for call in (storage.bucket("b").head, storage.bucket("b").get):
            with pytest.raises(ConfigError, match="us-west-2"):
                call("a")


# --- deletes and buckets --------------------------------------------------------------


def test_keys_that_xml_can_not_carry_are_deleted_one_by_one() -> None:
    failed = b"<Error><Key>c</Key><Code>AccessDenied</Code><Message/></Error>"
    script = Script(Answer(body=b"<DeleteResult>%s</DeleteResult>" % failed), Answer(204))
    with scripted(script) as storage:
        results = storage.bucket("b").delete_many(["a", "\x01", "c", "d"])
    assert script.lines == ["POST /b?delete=", "DELETE /b/%01"]
    assert [result.key for result in results] == ["a", "\x01", "c", "d"]
    assert [type(result.error).__name__ for result in results] == [
        "NoneType",
        "NoneType",
        "PermissionDeniedError",
        "NoneType",
    ]


@pytest.mark.parametrize("named", [b"<VersionId>null</VersionId>", b""])
def test_a_failed_delete_is_never_a_success(named: bytes) -> None:
    failed = b"<Error><Key>a</Key>%s<Code>AccessDenied</Code></Error>" % named
    script = Script(Answer(body=b"<DeleteResult>%s</DeleteResult>" % failed))
    with scripted(script) as storage:
        results = storage.bucket("b").delete_many(["a", "b"])
    errors = [type(result.error).__name__ for result in results]
    assert errors == ["PermissionDeniedError", "NoneType"]


def test_a_failed_delete_of_nobodys_key_is_an_error() -> None:
    failed = b"<Error><Key>z</Key><Code>AccessDenied</Code></Error>"
    script = Script(Answer(body=b"<DeleteResult>%s</DeleteResult>" % failed))
    with scripted(script, retry={"attempts": 1}) as storage:
        results = storage.bucket("b").delete_many(["a", "b"])
    assert all(isinstance(result.error, UnavailableError) for result in results)


def test_a_bucket_with_open_sessions_is_not_deleted() -> None:
    upload = b"<R><Upload><Key>a</Key><UploadId>u</UploadId></Upload></R>"
    script = Script(Answer(body=upload))
    with scripted(script) as storage, pytest.raises(BucketNotEmptyError):
        storage.delete_bucket("b-1")


def test_a_bucket_that_can_not_keep_versions_is_not_left_behind() -> None:
    script = Script(Answer(404), Answer(), error(501, "NotImplemented"), Answer(204))
    with scripted(script, versions=True) as storage, pytest.raises(NotImplementedError):
        storage.create_bucket("b-1")
    assert script.lines == [
        "HEAD /b-1",
        "PUT /b-1",
        "PUT /b-1?versioning=",
        "DELETE /b-1",
    ]
    assert b"<LocationConstraint>eu-central-1<" in script.asked[1].body


def test_buckets_are_paged_where_the_service_does_not() -> None:
    def listed(*names: str) -> bytes:
        buckets = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in names)
        return f"<R><Buckets>{buckets}</Buckets></R>".encode()

    every = Answer(body=listed("c", "a", "b", "x"))
    script = Script(every, every)
    with scripted(script) as storage:
        first = drive(storage.driver.list_buckets_page(ListBucketsRequest(limit=2)))
        assert [info.name for info in first.items] == ["a", "b"]
        token = first.next_token
        rest = drive(storage.driver.list_buckets_page(ListBucketsRequest(token=token, limit=2)))
    assert [info.name for info in rest.items] == ["c", "x"]
    assert rest.next_token is None
    assert script.asked[0].target == "/?max-buckets=2"


def test_the_services_own_pages_of_buckets_are_used() -> None:
    page = b"<R><Buckets><Bucket><Name>%s</Name></Bucket></Buckets>%s</R>"
    more = b"<ContinuationToken>t/1</ContinuationToken>"
    script = Script(Answer(body=page % (b"a", more)), Answer(body=page % (b"b", b"")))
    with scripted(script) as storage:
        assert [info.name for info in storage.list_buckets()] == ["a", "b"]
    assert script.asked[1].target == "/?continuation-token=t%2F1&max-buckets=1000"


def test_renewed_settings_of_new_objects_go_with_every_way_to_write_one() -> None:
    created = Answer(body=b"<R><UploadId>u</UploadId></R>")
    look = Answer(body=BODY, headers=of_object())
    script = Script(STORED, created, look, look, Answer(body=COPIED), look)
    own = {"storage_class": "STANDARD_IA", "sse": "aws:kms", "kms_key_id": "k"}
    with scripted(script, **own, requester_pays=True) as storage:
        bucket = storage.bucket("b")
        bucket.put("a", BODY)
        bucket.create_upload("a")
        bucket.copy("a", "c")
        bucket.head("a")
        link = bucket.presign("a", method="PUT")
    put, create, _, _, copy, head = script.asked
    for asked in (put, create, copy):
        assert asked.headers["x-amz-storage-class"] == "STANDARD_IA"
        assert asked.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "k"
    assert "x-amz-storage-class" not in head.headers
    assert all(asked.headers["x-amz-request-payer"] == "requester" for asked in script.asked)
    assert link.headers["x-amz-storage-class"] == "STANDARD_IA"
    assert "x-amz-request-payer=requester" in link.url


def test_answers_are_read_to_their_end_so_that_connections_are_kept() -> None:
    def noted(asked: Asked) -> Answer:
        return Answer(body=b"x" * 70_000, headers=of_object())

    script = Script(noted, error(404, "NoSuchKey", "m" * 70_000), noted)
    with scripted(script) as storage:
        storage.bucket("b").put("a", BODY)
        with pytest.raises(ObjectNotFoundError):
            storage.bucket("b").get("a")
        with storage.bucket("b").get("a") as reader:
            assert len(reader.read()) == 70_000
