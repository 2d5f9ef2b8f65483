"""The XML API of the strict double, call by call, with a plain client."""

import base64
import concurrent.futures
import hashlib
import socket
import time

import google_crc32c
import pytest

from tests.servers.gate_client import Answer, GateClient

pytestmark = pytest.mark.usefixtures("bucket")
KEY = "/bucket-1/key"
MIB = 1 << 20
PART = 5 * MIB


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer


# --- buckets --------------------------------------------------------------------------


def test_bucket(gcs_gate: GateClient) -> None:
    body = b"<CreateBucketConfiguration><LocationConstraint>EU</LocationConstraint></CreateBucketConfiguration>"
    assert gcs_gate.request("PUT", "/bucket-2", body).status == 200
    refused(gcs_gate.request("PUT", "/bucket-2", b""), 409, "BucketAlreadyOwnedByYou")
    assert gcs_gate.request("HEAD", "/bucket-2").headers["x-goog-bucket-location"] == "EU"
    gcs_gate.put("/bucket-2/a", b"")
    refused(gcs_gate.request("DELETE", "/bucket-2"), 409, "BucketNotEmpty")
    gcs_gate.request("DELETE", "/bucket-2/a")
    assert gcs_gate.request("DELETE", "/bucket-2").status == 204
    refused(gcs_gate.request("GET", "/bucket-2"), 404, "NoSuchBucket")
    refused(gcs_gate.request("PUT", "/bucket-2/a", b""), 404, "NoSuchBucket")


@pytest.mark.parametrize(
    "name", ["ab", "UPPER", "a" * 64, "-ab", "a..b", "1.2.3.4", "goog-x", "x-google"]
)
def test_names_that_are_none(gcs_gate: GateClient, name: str) -> None:
    refused(gcs_gate.request("PUT", f"/{name}", b""), 400, "InvalidBucketName")


def test_bucket_in_the_host(gcs_gate: GateClient) -> None:
    host = {"Host": f"bucket-1.localhost:{gcs_gate.host.partition(':')[2]}"}
    assert gcs_gate.request("PUT", "/a/b", b"x", host).status == 200
    assert gcs_gate.request("GET", "/bucket-1/a/b").body == b"x"


def fill(gate: GateClient, *names: str) -> None:
    for name in names:
        gate.put(f"/bucket-1/{name}", b"")


def test_listing(gcs_gate: GateClient) -> None:
    fill(gcs_gate, "a", "b/1", "b/2", "c%0A%01".replace("%0A", ""), "d%26", "%C3%A4")
    found = gcs_gate.request("GET", "/bucket-1?delimiter=/&encoding-type=url")
    assert found.texts("Key") == ["a", "c%01", "d%26", "%C3%A4"]
    assert found.texts("Prefix") == ["", "b/"]
    names: list[str] = []
    target = "/bucket-1?delimiter=/&encoding-type=url&max-keys=1"
    found = gcs_gate.request("GET", target)
    while found.text("IsTruncated") == "true":
        names += [*found.texts("Key"), *found.texts("Prefix")[1:]]
        found = gcs_gate.request("GET", f"{target}&marker={found.text('NextMarker')}")
    names += [*found.texts("Key"), *found.texts("Prefix")[1:]]
    assert names == ["a", "b/", "c%01", "d%26", "%C3%A4"]


def test_second_version_of_the_listing(gcs_gate: GateClient) -> None:
    fill(gcs_gate, "a", "b/1", "b/2", "c")
    target = "/bucket-1?list-type=2&max-keys=1"
    names, token = [], ""
    while True:
        found = gcs_gate.request("GET", target + token)
        assert found.text("KeyCount") == "1"
        names += found.texts("Key")
        if found.text("IsTruncated") == "false":
            break
        token = f"&continuation-token={found.text('NextContinuationToken')}"
    assert names == ["a", "b/1", "b/2", "c"]
    found = gcs_gate.request("GET", "/bucket-1?list-type=2&start-after=b/1&prefix=b")
    assert found.texts("Key") == ["b/2"]
    assert found.texts("Owner") == []
    for wrong in ("list-type=3", "list-type=2&marker=a", "start-after=a", "max-keys=x", "foo=1"):
        refused(gcs_gate.request("GET", f"/bucket-1?{wrong}"), 400, "InvalidArgument")


def test_versions(gcs_gate: GateClient) -> None:
    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert gcs_gate.request("PUT", "/bucket-1?versioning", body).status == 200
    first = gcs_gate.put(KEY, b"one").headers["x-goog-generation"]
    second = gcs_gate.put(KEY, b"two").headers["x-goog-generation"]
    assert int(second) > int(first)
    assert gcs_gate.request("GET", f"{KEY}?generation={first}").body == b"one"
    assert gcs_gate.request("DELETE", KEY).status == 204
    refused(gcs_gate.request("GET", KEY), 404, "NoSuchKey")
    found = gcs_gate.request("GET", "/bucket-1?versions")
    assert found.texts("Generation") == [first, second]
    assert found.texts("IsLatest") == ["false", "false"]
    assert gcs_gate.request("DELETE", f"{KEY}?generation={first}").status == 204
    refused(gcs_gate.request("GET", f"{KEY}?generation={first}"), 404, "NoSuchKey")
    assert gcs_gate.request("GET", "/bucket-1?versions").texts("Generation") == [second]


def test_many_deleted(gcs_gate: GateClient) -> None:
    fill(gcs_gate, "a", "b", "c")
    body = b"<Delete><Object><Key>a</Key></Object><Object><Key>no</Key></Object></Delete>"
    found = gcs_gate.request("POST", "/bucket-1?delete", body)
    assert (found.texts("Key"), found.texts("Code")) == (["a", "no"], ["NoSuchKey"])
    body = b"<Delete><Quiet>true</Quiet><Object><Key>b</Key></Object></Delete>"
    assert gcs_gate.request("POST", "/bucket-1?delete", body).texts("Key") == []
    assert gcs_gate.request("GET", "/bucket-1").texts("Key") == ["c"]
    many = b"<Delete>" + b"<Object><Key>x</Key></Object>" * 1001 + b"</Delete>"
    refused(gcs_gate.request("POST", "/bucket-1?delete", many), 400, "MalformedXML")
    refused(gcs_gate.request("POST", "/bucket-1?delete", b"<Delete>"), 400, "MalformedXML")


# --- objects --------------------------------------------------------------------------


def test_headers_of_an_object(gcs_gate: GateClient) -> None:
    sent = {
        "Content-Type": "text/plain",
        "Cache-Control": "no-store",
        "Content-Disposition": "inline",
        "Content-Language": "de",
        "x-goog-meta-Colour": "blue",
        "x-goog-storage-class": "NEARLINE",
    }
    put = gcs_gate.put(KEY, b"data", sent)
    for method in ("GET", "HEAD"):
        found = gcs_gate.request(method, KEY)
        assert {k: found.headers[k.lower()] for k in sent} == sent
        assert found.headers["etag"] == f'"{hashlib.md5(b"data").hexdigest()}"'
        assert found.headers["x-goog-hash"] == f"crc32c={crc32c(b'data')},md5={md5(b'data')}"
        assert found.headers["x-goog-stored-content-length"] == "4"
        assert found.headers["x-goog-metageneration"] == "1"
        assert found.headers["x-goog-generation"] == put.headers["x-goog-generation"]
        assert found.headers["content-length"] == "4"
        assert found.body == (b"data" if method == "GET" else b"")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-MD5": md5(b"other")}, "BadDigest"),
        ({"x-goog-hash": f"md5={md5(b'other')}"}, "BadDigest"),
        ({"x-goog-hash": f"crc32c={crc32c(b'other')}"}, "BadDigest"),
        ({"x-goog-hash": f"md5={md5(b'data')},crc32c={crc32c(b'x')}"}, "BadDigest"),
        ({"x-goog-hash": "crc32c=!!"}, "InvalidDigest"),
        ({"x-goog-hash": f"sha256={md5(b'data')}"}, "InvalidDigest"),
        ({"Content-MD5": crc32c(b"data")}, "InvalidDigest"),
        ({"x-goog-storage-class": "WARM"}, "InvalidStorageClass"),
        ({"x-goog-meta-k": "v" * 8192}, "MetadataTooLarge"),
        ({"x-goog-if-generation-match": "one"}, "InvalidArgument"),
        ({"x-goog-if-generation-not-match": "1"}, "InvalidArgument"),
        ({"x-goog-wish": "1"}, "InvalidArgument"),
        ({"If-None-Match": "*"}, "InvalidArgument"),
        ({"If-Match": '"x"'}, "InvalidArgument"),
    ],
)
def test_uploads_that_are_refused(gcs_gate: GateClient, headers: dict[str, str], code: str) -> None:
    refused(gcs_gate.request("PUT", KEY, b"data", headers), 400, code)
    refused(gcs_gate.request("GET", KEY), 404, "NoSuchKey")


def test_digests_that_are_right(gcs_gate: GateClient) -> None:
    both = f"md5={md5(b'data')}, crc32c={crc32c(b'data')}"
    gcs_gate.put(KEY, b"data", {"x-goog-hash": both, "Content-MD5": md5(b"data")})


def test_names_of_objects(gcs_gate: GateClient) -> None:
    refused(gcs_gate.request("PUT", f"/bucket-1/{'a' * 1025}", b""), 400, "KeyTooLong")
    assert gcs_gate.request("PUT", f"/bucket-1/{'%C3%A4' * 512}", b"").status == 200
    for name in ("a%0Ab", "a%0Db", ".", "..", "%FF", ".well-known/acme-challenge/x"):
        refused(gcs_gate.request("PUT", f"/bucket-1/{name}", b""), 400, "InvalidArgument")
    for name in ("a//b", "/a", "a/../b", "a%2F%2Fc", "./x", "%25", "a+b", "?".replace("?", "%3F")):
        gcs_gate.put(f"/bucket-1/{name}", name.encode())
        assert gcs_gate.request("GET", f"/bucket-1/{name}").body == name.encode()
    assert gcs_gate.request("GET", "/bucket-1?prefix=a//").texts("Key") == ["a//b", "a//c"]


def test_ranges(gcs_gate: GateClient) -> None:
    gcs_gate.put(KEY, b"0123456789")
    for text, body, told in (
        ("0-0", b"0", "bytes 0-0/10"),
        ("5-", b"56789", "bytes 5-9/10"),
        ("8-99", b"89", "bytes 8-9/10"),
        ("-3", b"789", "bytes 7-9/10"),
        ("-99", b"0123456789", "bytes 0-9/10"),
    ):
        found = gcs_gate.request("GET", KEY, headers={"Range": f"bytes={text}"})
        assert (found.status, found.body, found.headers["content-range"]) == (206, body, told)
    for text in ("10-", "99-100", "-0"):
        found = gcs_gate.request("GET", KEY, headers={"Range": f"bytes={text}"})
        refused(found, 416, "InvalidRange")
        assert found.headers["content-range"] == "bytes */10"
    assert gcs_gate.request("GET", KEY, headers={"Range": "bytes=0-1,3-4"}).status == 501


def test_conditions_of_reading(gcs_gate: GateClient) -> None:
    put = gcs_gate.put(KEY, b"data")
    etag, generation = put.headers["etag"], put.headers["x-goog-generation"]
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
    sooner = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - 3600))
    for headers, status in (
        ({"If-Match": etag}, 200),
        ({"If-Match": '"other"'}, 412),
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-Modified-Since": sooner}, 200),
        ({"If-Modified-Since": later}, 304),
        ({"If-Unmodified-Since": later}, 200),
        ({"If-Unmodified-Since": sooner}, 412),
        ({"x-goog-if-generation-match": generation}, 200),
        ({"x-goog-if-generation-match": "1"}, 412),
        ({"x-goog-if-generation-match": "0"}, 412),
        ({"x-goog-if-metageneration-match": "1"}, 200),
        ({"x-goog-if-metageneration-match": "2"}, 412),
    ):
        for method in ("GET", "HEAD"):
            found = gcs_gate.request(method, KEY, headers=headers)
            assert found.status == status, headers
            assert not found.body or status != 304


def test_conditions_of_writing_and_deleting(gcs_gate: GateClient) -> None:
    match = "x-goog-if-generation-match"
    refused(gcs_gate.request("PUT", KEY, b"1", {match: "5"}), 412, "PreconditionFailed")
    one = gcs_gate.put(KEY, b"1", {match: "0"}).headers["x-goog-generation"]
    refused(gcs_gate.request("PUT", KEY, b"2", {match: "0"}), 412, "PreconditionFailed")
    gcs_gate.put(KEY, b"2", {match: one, "x-goog-if-metageneration-match": "1"})
    refused(gcs_gate.request("PUT", KEY, b"3", {match: one}), 412, "PreconditionFailed")
    refused(gcs_gate.request("DELETE", KEY, headers={match: one}), 412, "PreconditionFailed")
    refused(gcs_gate.request("DELETE", KEY, headers={"If-Match": "x"}), 400, "InvalidArgument")
    assert gcs_gate.request("GET", KEY).body == b"2"
    two = gcs_gate.request("HEAD", KEY).headers["x-goog-generation"]
    assert gcs_gate.request("DELETE", KEY, headers={match: two}).status == 204


def test_one_of_many_creators_wins(gcs_gate: GateClient) -> None:
    gcs_gate.put("/bucket-1/warm", b"")

    def create(number: int) -> int:
        body = b"%d" % number * 100_000
        return gcs_gate.request("PUT", KEY, body, {"x-goog-if-generation-match": "0"}).status

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        statuses = sorted(pool.map(create, range(16)))
    assert statuses == [200] + [412] * 15


def test_upload_that_breaks_off_leaves_nothing(gcs_gate: GateClient) -> None:
    host, _, port = gcs_gate.host.partition(":")
    head = f"PUT {KEY} HTTP/1.1\r\nHost: {gcs_gate.host}\r\nContent-Length: 100\r\n"
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(f"{head}Authorization: Bearer {gcs_gate.token()}\r\n\r\nhalf".encode())
    refused(gcs_gate.request("GET", KEY), 404, "NoSuchKey")


def test_length_has_to_be_told(gcs_gate: GateClient) -> None:
    host, _, port = gcs_gate.host.partition(":")
    head = f"PUT {KEY} HTTP/1.1\r\nHost: {gcs_gate.host}\r\nConnection: close\r\n"
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(f"{head}Authorization: Bearer {gcs_gate.token()}\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 411")
    chunks = iter([b"a" * MIB, b"b" * MIB])
    answer = gcs_gate.request("PUT", KEY, chunks)
    assert answer.status == 200
    assert gcs_gate.request("HEAD", KEY).headers["content-length"] == str(2 * MIB)


def test_copies(gcs_gate: GateClient) -> None:
    put = gcs_gate.put("/bucket-1/a%20b", b"data", {"x-goog-meta-k": "v", "Content-Type": "a/b"})
    source = {"x-goog-copy-source": "/bucket-1/a%20b"}
    copy = gcs_gate.put(KEY, b"", source)
    assert copy.text("ETag") == put.headers["etag"]
    found = gcs_gate.request("GET", KEY)
    assert (found.body, found.headers["x-goog-meta-k"], found.headers["content-type"]) == (
        b"data",
        "v",
        "a/b",
    )
    replaced = {**source, "x-goog-metadata-directive": "REPLACE", "x-goog-meta-n": "w"}
    gcs_gate.put(KEY, b"", replaced)
    found = gcs_gate.request("GET", KEY)
    assert "x-goog-meta-k" not in found.headers
    assert found.headers["x-goog-meta-n"] == "w"
    prefix = "x-goog-copy-source-if-"
    etag = put.headers["etag"]
    for more in (
        {prefix + "generation-match": "1"},
        {prefix + "metageneration-match": "2"},
        {prefix + "match": '"other"'},
        {prefix + "none-match": etag},
        {"x-goog-if-generation-match": "0"},
    ):
        answer = gcs_gate.request("PUT", KEY, b"", {**source, **more})
        refused(answer, 412, "PreconditionFailed")
    gone = {"x-goog-copy-source": "/bucket-1/none"}
    refused(gcs_gate.request("PUT", KEY, b"", gone), 404, "NoSuchKey")
