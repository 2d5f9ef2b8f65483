"""Multipart uploads of the XML API on the strict double."""

import hashlib

import pytest

from tests.servers.gate_client import Answer, GateClient
from tests.servers.test_gcs_gate_xml import PART, crc32c, md5, refused

pytestmark = pytest.mark.usefixtures("bucket")
KEY = "/bucket-1/a/key%26"


def start(gate: GateClient, key: str = KEY, **headers: str) -> str:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = gate.request("POST", f"{key}?uploads", b"", sent)
    assert answer.status == 200, answer
    return answer.text("UploadId")


def put(gate: GateClient, upload: str, number: int, data: bytes, **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return gate.request("PUT", f"{KEY}?partNumber={number}&uploadId={upload}", data, sent)


def finish(gate: GateClient, upload: str, *parts: tuple[int, str], **headers: str) -> Answer:
    inner = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, etag in parts
    )
    body = f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return gate.request("POST", f"{KEY}?uploadId={upload}", body, sent)


def test_upload_in_parts(gcs_gate: GateClient) -> None:
    upload = start(gcs_gate, content_type="a/b", x_goog_meta_k="v")
    data = {3: b"c", 1: b"a" * PART, 2: b"b" * (PART + 1)}
    etags = {}
    for number, part in data.items():
        answer = put(gcs_gate, upload, number, part, content_md5=md5(part))
        assert answer.headers["etag"] == f'"{hashlib.md5(part).hexdigest()}"'
        etags[number] = answer.headers["etag"]
    listed = gcs_gate.request("GET", f"{KEY}?uploadId={upload}")
    assert listed.texts("PartNumber") == ["1", "2", "3"]
    assert listed.texts("Size") == [str(PART), str(PART + 1), "1"]
    page = gcs_gate.request("GET", f"{KEY}?uploadId={upload}&max-parts=1&part-number-marker=1")
    assert (page.texts("PartNumber"), page.text("NextPartNumberMarker")) == (["2"], "2")
    refused(gcs_gate.request("GET", KEY), 404, "NoSuchKey")
    done = finish(gcs_gate, upload, *sorted(etags.items()))
    assert (done.status, done.text("Key")) == (200, "a/key&")
    whole = data[1] + data[2] + data[3]
    found = gcs_gate.request("GET", KEY)
    assert found.body == whole
    assert found.headers["x-goog-hash"] == f"crc32c={crc32c(whole)}"
    assert found.headers["etag"] == done.text("ETag")
    assert (found.headers["content-type"], found.headers["x-goog-meta-k"]) == ("a/b", "v")
    refused(finish(gcs_gate, upload, *sorted(etags.items())), 404, "NoSuchUpload")
    refused(put(gcs_gate, upload, 1, b"x"), 404, "NoSuchUpload")


def test_parts_that_are_wrong(gcs_gate: GateClient) -> None:
    upload = start(gcs_gate)
    one = put(gcs_gate, upload, 1, b"small").headers["etag"]
    two = put(gcs_gate, upload, 2, b"last").headers["etag"]
    refused(finish(gcs_gate, upload, (1, one), (2, two)), 400, "EntityTooSmall")
    refused(finish(gcs_gate, upload, (2, two), (1, one)), 400, "InvalidPartOrder")
    refused(finish(gcs_gate, upload, (1, one), (1, one)), 400, "InvalidPartOrder")
    refused(finish(gcs_gate, upload, (1, two)), 400, "InvalidPart")
    refused(finish(gcs_gate, upload, (3, two)), 400, "InvalidPart")
    refused(finish(gcs_gate, upload), 400, "MalformedXML")
    assert finish(gcs_gate, upload, (2, two)).status == 200
    assert gcs_gate.request("GET", KEY).body == b"last"


def test_part_is_replaced(gcs_gate: GateClient) -> None:
    upload = start(gcs_gate)
    old = put(gcs_gate, upload, 1, b"old").headers["etag"]
    new = put(gcs_gate, upload, 1, b"new").headers["etag"]
    refused(finish(gcs_gate, upload, (1, old)), 400, "InvalidPart")
    assert finish(gcs_gate, upload, (1, new.strip('"'))).status == 200


def test_parts_that_are_refused(gcs_gate: GateClient) -> None:
    upload = start(gcs_gate)
    refused(put(gcs_gate, upload, 1, b"x", content_md5=md5(b"y")), 400, "BadDigest")
    wrong = f"crc32c={crc32c(b'y')}"
    refused(put(gcs_gate, upload, 1, b"x", x_goog_hash=wrong), 400, "BadDigest")
    for number in (0, 10_001):
        refused(put(gcs_gate, upload, number, b"x"), 400, "InvalidArgument")
    refused(put(gcs_gate, "nothing", 1, b"x"), 404, "NoSuchUpload")
    assert gcs_gate.request("GET", f"{KEY}?uploadId={upload}").texts("PartNumber") == []


def test_preconditions_are_not_supported(gcs_gate: GateClient) -> None:
    upload = start(gcs_gate)
    etag = put(gcs_gate, upload, 1, b"x").headers["etag"]
    refused(
        finish(gcs_gate, upload, (1, etag), x_goog_if_generation_match="0"),
        400,
        "InvalidArgument",
    )
    for headers in ({"x-goog-if-generation-match": "0"}, {"x-goog-if-metageneration-match": "1"}):
        answer = gcs_gate.request("POST", f"{KEY}?uploads", b"", headers)
        refused(answer, 400, "InvalidArgument")
    gcs_gate.put(KEY, b"there")
    assert finish(gcs_gate, upload, (1, etag)).status == 200
    assert gcs_gate.request("GET", KEY).body == b"x"


def test_abort_and_list(gcs_gate: GateClient) -> None:
    one, two = start(gcs_gate), start(gcs_gate)
    three = start(gcs_gate, "/bucket-1/b")
    found = gcs_gate.request("GET", "/bucket-1?uploads")
    assert found.texts("UploadId") == [*sorted([one, two]), three]
    assert found.texts("Key") == ["a/key&", "a/key&", "b"]
    page = gcs_gate.request("GET", "/bucket-1?uploads&max-uploads=1")
    assert page.text("IsTruncated") == "true"
    markers = f"key-marker=a/key%26&upload-id-marker={page.text('NextUploadIdMarker')}"
    page = gcs_gate.request("GET", f"/bucket-1?uploads&{markers}")
    assert page.texts("UploadId") == [max(one, two), three]
    page = gcs_gate.request("GET", "/bucket-1?uploads&delimiter=/")
    assert (page.texts("Key"), page.texts("Prefix")) == (["b"], ["a/"])
    page = gcs_gate.request("GET", "/bucket-1?uploads&prefix=b")
    assert page.texts("Key") == ["b"]
    assert gcs_gate.request("DELETE", f"{KEY}?uploadId={one}").status == 204
    refused(gcs_gate.request("DELETE", f"{KEY}?uploadId={one}"), 404, "NoSuchUpload")
    refused(gcs_gate.request("GET", f"{KEY}?uploadId={one}"), 404, "NoSuchUpload")
    assert gcs_gate.request("GET", "/bucket-1?uploads").texts("Key") == ["a/key&", "b"]
