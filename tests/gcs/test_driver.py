"""What the driver sends, and makes of odd answers."""

import base64
import io
import json

import pytest

from storage_core.checksum import digest
from storage_core.errors import (
    AuthenticationError,
    BucketNotFoundError,
    IntegrityError,
    InvalidKeyError,
    NotModifiedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    UnavailableError,
)
from tests.gcs.scripted import Answer, Script, read, refusal, resource, scripted

ETAG = "1700000000000000-1"
CRC = base64.b64encode(digest("crc32c", b"abc")).decode()
OTHER = base64.b64encode(digest("crc32c", b"xyz")).decode()


def parts_of(body):
    """Metadata and bytes of a multipart/related body."""
    mark = body.partition(b"\r\n")[0]
    _, metadata, data, end = body.split(mark)
    assert end == b"--\r\n"
    return json.loads(metadata.partition(b"\r\n\r\n")[2]), data.partition(b"\r\n\r\n")[2][:-2]


def test_put_in_memory_is_one_request_that_carries_its_digests():
    script = Script(resource(crc32c=CRC))
    with scripted(script) as storage:
        result = storage.bucket("b").put(
            "a/ü", b"abc", content_type="text/csv", metadata={"k": "ü"}, if_absent=True
        )
    (asked,) = script.asked
    assert asked.method == "POST"
    path, _, query = asked.target.partition("?")
    assert path == "/upload/storage/v1/b/b/o"
    assert {"uploadType=multipart", "ifGenerationMatch=0"} <= set(query.split("&"))
    assert asked.headers["authorization"] == "Bearer given-token"
    metadata, data = parts_of(asked.body)
    assert data == b"abc"
    assert metadata["name"] == "a/ü"
    assert metadata["crc32c"] == CRC
    assert metadata["contentType"] == "text/csv"
    assert metadata["metadata"]["k"] == "=?UTF-8?B?w7w=?="
    assert len(metadata["metadata"]["storage-core-write-id"]) == 16
    assert result.etag == ETAG
    assert result.version is None


def test_if_match_is_generation_and_metageneration():
    script = Script(resource())
    with scripted(script) as storage:
        storage.bucket("b").put("a", b"abc", if_match="5-7")
    assert "ifGenerationMatch=5&ifMetagenerationMatch=7" in script.asked[0].target


def test_an_etag_of_others_can_not_match():
    script = Script(refusal(412, "conditionNotMet"))
    with scripted(script) as storage, pytest.raises(PreconditionFailedError):
        storage.bucket("b").put("a", b"abc", if_match="CNDj8/yT5e8CEAE=")
    assert "ifGenerationMatch=1&" in script.asked[0].target


@pytest.mark.parametrize("size", [None, 3])
def test_streams_are_compared_with_what_was_stored(size):
    script = Script(resource(crc32c=CRC))
    with scripted(script) as storage:
        result = storage.bucket("b").put("a", iter([b"ab", b"c"]), size=size)
    (asked,) = script.asked
    assert ("content-length" in asked.headers) is (size is not None)
    assert parts_of(asked.body)[1] == b"abc"
    assert result.checksums["crc32c"] == digest("crc32c", b"abc").hex()


def test_a_stream_that_was_stored_wrong_is_deleted():
    script = Script(resource(crc32c=OTHER), Answer(204))
    with scripted(script) as storage, pytest.raises(IntegrityError, match="were deleted"):
        storage.bucket("b").put("a", iter([b"abc"]))
    assert script.lines[1] == "DELETE /storage/v1/b/b/o/a?generation=1700000000000000"


@pytest.mark.parametrize("pieces", [[b"ab", b"cd"], [b"ab"], [b"abc", b""], [b"abc", b"d"]])
def test_a_stream_of_another_length_publishes_nothing(pieces):
    script = Script(resource(crc32c=CRC))
    with scripted(script) as storage:
        if sum(map(len, pieces)) == 3:
            storage.bucket("b").put("a", iter(pieces), size=3)
            assert len(script.asked) == 1
            return
        with pytest.raises(IntegrityError):
            storage.bucket("b").put("a", iter(pieces), size=3)
    assert script.asked == []


def test_digests_of_a_stream_that_gcs_does_not_keep_are_published_with_it():
    done = {"done": True, "resource": json.loads(resource(crc32c=CRC).body)}
    script = Script(
        resource(".storage-core/p/x", crc32c=CRC),
        Answer(200, json.dumps(done).encode()),
        Answer(204),
    )
    sha256 = digest("sha256", b"abc").hex()
    with scripted(script) as storage:
        result = storage.bucket("b").put(
            "a", iter([b"abc"]), checksums={"sha256": sha256}, if_absent=True
        )
    staged, published, deleted = script.asked
    assert parts_of(staged.body)[0]["name"].startswith(".storage-core/p/")
    assert "ifGenerationMatch=0" not in staged.target
    assert "/rewriteTo/b/b/o/a?" in published.target
    assert "ifGenerationMatch=0" in published.target
    assert "sourceGeneration=1700000000000000" in published.target
    assert json.loads(published.body)["metadata"]["storage-core-sha256"] == sha256
    assert deleted.method == "DELETE"
    assert result.checksums["sha256"] == sha256


def test_head_tells_what_was_given_and_nothing_else():
    script = Script(
        resource(
            contentType="application/octet-stream",
            metadata={"a": "=?UTF-8?B?w7w=?=", "storage-core-sha1": "ab" * 20, "Upper": "x"},
            crc32c=CRC,
        ),
        resource(
            contentType="application/octet-stream",
            cacheControl="private, max-age=0",
            metadata={"storage-core-explicit": "content_type cache_control"},
        ),
    )
    with scripted(script) as storage:
        info = storage.bucket("b").head("a")
        assert (info.content_type, info.cache_control, info.version) == (None, None, None)
        assert dict(info.metadata) == {"a": "ü", "upper": "x"}
        assert dict(info.checksums) == {
            "sha1": "ab" * 20,
            "crc32c": digest("crc32c", b"abc").hex(),
        }
        assert info.modified.isoformat() == "2026-01-31T12:00:00+00:00"
        info = storage.bucket("b").head("a")
        assert info.content_type == "application/octet-stream"
        assert info.cache_control == "private, max-age=0"
        assert not info.metadata


def test_get_reads_headers():
    script = Script(
        read(
            Cache_Control="private, max-age=0",
            x_goog_hash=f"crc32c={CRC},md5=kAFQmDzST7DWlj99KOF/cg==",
            x_goog_stored_content_encoding="gzip",
            Content_Encoding="gzip",
            x_goog_meta_k="=?UTF-8?B?w7w=?=",
        )
    )
    with scripted(script, versions=True) as storage, storage.bucket("b").get("a") as reader:
        assert reader.read() == b"abc"
        info = reader.info
    assert (info.etag, info.version) == (ETAG, "1700000000000000")
    assert (info.cache_control, info.content_encoding) == (None, "gzip")
    assert dict(info.metadata) == {"k": "ü"}
    assert info.checksums["md5"] == "900150983cd24fb0d6963f7d28e17f72"
    assert script.asked[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("name", ["crc32c", "md5"])
def test_whole_reads_are_verified(name):
    value = base64.b64encode(digest(name, b"xyz")).decode()
    script = Script(read(x_goog_hash=f"{name}={value}"))
    with (
        scripted(script) as storage,
        storage.bucket("b").get("a") as reader,
        pytest.raises(IntegrityError),
    ):
        reader.read()


def test_if_match_of_a_read_goes_along():
    script = Script(read())
    with scripted(script) as storage:
        storage.bucket("b").get("a", if_match=ETAG).close()
    headers = script.asked[0].headers
    assert headers["x-goog-if-generation-match"] == "1700000000000000"
    assert headers["x-goog-if-metageneration-match"] == "1"


def test_other_conditions_are_held_first_and_the_bytes_are_of_that_state():
    script = Script(resource(), read(), resource())
    with scripted(script) as storage:
        bucket = storage.bucket("b")
        bucket.get("a", if_none_match="1-1").close()
        assert script.asked[1].headers["x-goog-if-generation-match"] == "1700000000000000"
        with pytest.raises(NotModifiedError):
            bucket.get("a", if_none_match=ETAG)
    assert len(script.asked) == 3


def test_an_object_replaced_in_between_is_judged_anew():
    newer = "1700000000000009"
    script = Script(
        resource(),
        refusal(412, "conditionNotMet"),
        resource(generation=newer),
        read(x_goog_generation=newer),
    )
    with scripted(script) as storage, storage.bucket("b").get("a", if_none_match="1-1") as reader:
        assert reader.info.etag == f"{newer}-1"
    assert len(script.asked) == 4


def test_a_server_that_ignores_conditions_does_not_fool_us():
    script = Script(read())
    with scripted(script) as storage, pytest.raises(PreconditionFailedError):
        storage.bucket("b").get("a", if_match="1700000000000001-1")


def test_a_range_that_is_ignored_is_an_error():
    script = Script(read(), read())
    with scripted(script) as storage, pytest.raises(UnavailableError, match="range"):
        storage.bucket("b").get("a", range=(1, 2))


def test_the_tail_of_an_empty_object():
    empty = Answer(416, b"<Error><Code>InvalidRange</Code></Error>")
    script = Script(empty, read(b""))
    with scripted(script) as storage, storage.bucket("b").get("a", range=(-5, None)) as reader:
        assert reader.read() == b""


def test_a_vague_404_is_looked_into():
    vague = refusal(404, "Not Found", "Not Found")
    script = Script(vague, resource(), vague, vague)
    with scripted(script) as storage:
        with pytest.raises(ObjectNotFoundError):
            storage.bucket("b").head("a")
        with pytest.raises(BucketNotFoundError):
            storage.bucket("b").head("a")
    assert script.lines[1] == "GET /storage/v1/b/b?fields=name"


def test_bulk_deletes():
    answer = (
        b"<?xml version='1.0' encoding='UTF-8'?><DeleteResult>"
        b"<Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
        b"<Error><Key>c</Key><Code>NoSuchKey</Code><Message>no</Message></Error></DeleteResult>"
    )
    script = Script(Answer(200, answer), Answer(204))
    with scripted(script) as storage:
        results = storage.bucket("b").delete_many(["a&<", "b", "c", "\x1b", "x\n"])
    assert [type(result.error).__name__ for result in results] == [
        "NoneType",
        "PermissionDeniedError",
        "NoneType",
        "NoneType",
        "InvalidKeyError",
    ]
    assert script.asked[0].body.count(b"<Object>") == 3
    assert b"a&amp;&lt;" in script.asked[0].body
    assert script.lines[1] == "DELETE /storage/v1/b/b/o/%1B"


@pytest.mark.parametrize(("key", "gone"), [("a", [False, True]), ("z", [False, False])])
def test_a_failed_bulk_delete_is_never_a_success(key, gone):
    failed = f"<Error><Key>{key}</Key><VersionId>7</VersionId><Code>AccessDenied</Code></Error>"
    script = Script(Answer(200, f"<DeleteResult>{failed}</DeleteResult>".encode()))
    with scripted(script) as storage:
        results = storage.bucket("b").delete_many(["a", "b"])
    assert [result.error is None for result in results] == gone


def test_the_drivers_own_keys():
    script = Script()
    with scripted(script) as storage:
        bucket = storage.bucket("b")
        for call in (
            lambda: bucket.put(".storage-core/x", b""),
            lambda: bucket.copy("a", ".storage-core/x"),
            lambda: bucket.create_upload(".storage-core/x"),
        ):
            with pytest.raises(InvalidKeyError):
                call()
    assert script.asked == []


def test_hidden_objects_are_not_listed():
    page = {
        "items": [json.loads(resource(name).body) for name in (".storage-core/u/x\t1", "b", "a")],
        "prefixes": [".storage-core/", "a/"],
    }
    script = Script(Answer(200, json.dumps(page).encode()))
    with scripted(script) as storage:
        found = list(storage.bucket("b").list(delimiter="/"))
    assert [item.key for item in found] == ["a", "a/", "b"]


def test_a_copy_that_keeps_all_is_one_request():
    done = {"done": True, "resource": json.loads(resource("c").body)}
    more = {"done": False, "rewriteToken": "t+1"}
    script = Script(Answer(200, json.dumps(more).encode()), Answer(200, json.dumps(done).encode()))
    with scripted(script, kms_key_name="projects/p/k") as storage:
        storage.bucket("b").copy("a", "c", source_if_match=ETAG)
    first, second = script.asked
    assert first.body == b""
    assert "ifSourceGenerationMatch=1700000000000000" in first.target
    assert "destinationKmsKeyName=projects%2Fp%2Fk" in first.target
    assert "rewriteToken=t%2B1" in second.target
    assert second.target.startswith(first.target.partition("&fields")[0])


def test_update_metadata_takes_away_by_name():
    old = resource(metadata={"gone": "1", "stays": "1", "storage-core-sha256": "ab" * 32})
    script = Script(old, old, resource())
    with scripted(script) as storage:
        storage.bucket("b").update_metadata("a", metadata={"stays": "2"})
    body = json.loads(script.asked[2].body)
    assert script.asked[2].method == "PATCH"
    assert "ifMetagenerationMatch=1" in script.asked[2].target
    assert body["metadata"] == {
        "gone": None,
        "stays": "2",
        "storage-core-sha256": "ab" * 32,
    }
    assert body["contentType"] == "application/octet-stream"
    assert body["cacheControl"] is None


def test_a_given_token_that_is_refused_is_final():
    script = Script(refusal(401, "authError"))
    with scripted(script) as storage, pytest.raises(AuthenticationError, match="about an hour"):
        storage.bucket("b").head("a")
    assert len(script.asked) == 1


def test_answers_that_are_none():
    for answer in (Answer(200, b"<html>"), Answer(200, b"[]"), Answer(200, b'{"a": 1}')):
        script = Script(answer, answer)
        with scripted(script) as storage, pytest.raises(UnavailableError):
            storage.bucket("b").put("a", b"abc")


def test_bodies_without_length_are_chunked_files_are_not():
    script = Script(resource(crc32c=CRC), resource(crc32c=CRC))
    with scripted(script) as storage:
        storage.bucket("b").put("a", io.BytesIO(b"abc"))
        storage.bucket("b").put("a", (piece for piece in [b"a", b"bc"]))
    assert "content-length" in script.asked[0].headers
    assert script.asked[1].headers["transfer-encoding"] == "chunked"
