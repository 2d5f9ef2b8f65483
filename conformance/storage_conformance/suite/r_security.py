"""Category R: hostile names, headers and identifiers reach nothing outside of their bucket."""

# ruff: noqa: RUF001 - look-alikes of ASCII are what is tested
from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from storage_conformance.cases import case, unsupported
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import in_order, keys_of, listed, read
from storage_conformance.http import HttpClient
from storage_conformance.links import Links as LinkServer
from storage_conformance.needs import MULTIPART, TAGS, VERSIONS
from storage_conformance.odd_keys import DOT_SEGMENT_KEYS
from storage_conformance.redeeming import BODY, assert_refused, redeem
from storage_conformance.watch import no_requests
from storage_core import (
    Bucket,
    BucketNotFoundError,
    InvalidBucketNameError,
    InvalidKeyError,
    InvalidMetadataError,
    InvalidRequestError,
    NotFoundError,
    ObjectNotFoundError,
    PermissionDeniedError,
    Storage,
    StorageError,
    UploadNotFoundError,
    VersionNotFoundError,
)
from storage_core.model import Capabilities

CLIMBING = (
    "../x", "../../x", "a/../../x", "../../../../../../etc/passwd", "..", "a/..", "./x", "/../x",
)  # fmt: skip
LOOKALIKES = (
    "..\\x", "..\\..\\windows\\win.ini", "C:\\x", "\\\\host\\share", "%2e%2e/x", "%2e%2e%2fx",
    "..%2fx", "..%5cx", "%252e%252e%252fx", "․․/x", "．．/x", "..／x", "..;/x", "....//x",
    "~/x", "~root/x", "$HOME/x", "/etc/passwd", "/proc/self/environ", "//etc/passwd",
    "file:///etc/passwd", "/dev/zero", "C:/x", "x:stream", "aux", "a/.../b",
)  # fmt: skip
INTERNAL = (
    "bucket.json", "storage.json", "link-keys", "lock", "map", "tmp", "tmp/x", "data", "data/00/x",
    "objects", "objects/map", "leaves", "leaves/0", "versions", "versions/map", "uploads",
    "uploads/x", ".tmp", ".lock", ".meta", ".metadata", ".versions", ".uploads", ".multipart/x",
    ".storage", ".storage/x", ".minio.sys/x", "_versions/x", "__meta__", "x.meta", "x.attrs",
    "x.json", "x~", "x.tmp", "x.part", "x.lock", "~0123456789abcdef", ".nfs0001", "lost+found",
    ".hidden", "null", "%00",
)  # fmt: skip
"""Names that some store of objects uses for itself."""

BREAKS = ("a\r\nX-Injected: 1", "a\nb", "a\rb", "\r\n\r\nHTTP/1.1 200 OK", "a\x00b", "a\x0bb")


class Security(Suite):
    """Cases R."""

    @case("R01", "keys that climb out can not be created, by any operation", clause="Keys")
    def test_r01_climbing(self, bucket: Bucket) -> None:
        bucket.put("x", b"inside")
        calls: list[Callable[[str], object]] = [
            lambda key: bucket.put(key, b"outside"),
            bucket.writer,
            lambda key: bucket.copy("x", key),
            lambda key: bucket.move("x", key),
            lambda key: bucket.presign(key, method="PUT"),
        ]
        if bucket.storage.capabilities.multipart:
            calls.append(bucket.create_upload)
        with no_requests(bucket.storage):
            for key in CLIMBING:
                for call in calls:
                    with pytest.raises(InvalidKeyError):
                        call(key)
        assert keys_of(bucket.list()) == ["x"]

    @case("R02", "keys that climb out read nothing and delete nothing", clause="Keys")
    def test_r02_climbing_reads(self, bucket: Bucket, make_bucket: Callable[[], Bucket]) -> None:
        other = make_bucket()
        other.put("x", b"of another bucket")
        bucket.put("x", b"inside")
        for key in (*CLIMBING, *DOT_SEGMENT_KEYS, f"../{other.name}/x", f"a/../../{other.name}/x"):
            for call in (bucket.get, bucket.head, lambda key: bucket.copy(key, "copied")):
                with pytest.raises((ObjectNotFoundError, InvalidKeyError)):
                    call(key)
            with contextlib.suppress(InvalidKeyError):
                bucket.delete(key)
        assert keys_of(bucket.list()) == ["x"]
        assert read(other, "x") == b"of another bucket"

    @case("R03", "what looks like an escape on some system is an ordinary key", clause="Keys")
    def test_r03_lookalikes(self, bucket: Bucket, capabilities: Capabilities) -> None:
        for key in LOOKALIKES:
            with pytest.raises(ObjectNotFoundError):
                bucket.get(key)
            bucket.put(key, b"mine: " + key.encode())
        assert listed(bucket, capabilities) == in_order(LOOKALIKES)
        for key in LOOKALIKES:
            assert read(bucket, key) == b"mine: " + key.encode()
            bucket.delete(key)
        assert keys_of(bucket.list()) == []

    @case("R04", "a NUL is refused everywhere", clause="Keys")
    def test_r04_nul(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        for key in ("\0", "a\0", "a\0.txt", "\0a"):
            for call in (
                lambda key: bucket.put(key, b""),
                bucket.get,
                bucket.head,
                bucket.delete,
                bucket.presign,
                lambda key: bucket.copy("a", key),
                lambda key: bucket.copy(key, "b"),
                lambda key: bucket.delete_many([key]),
            ):
                with pytest.raises(InvalidKeyError):
                    call(key)
        with pytest.raises(InvalidMetadataError):
            bucket.put("b", b"", metadata={"k": "a\0b"})
        assert keys_of(bucket.list()) == ["a"]

    @case("R05", "a new bucket shows nothing of the store's own under any name", clause="Keys")
    def test_r05_internal_hidden(self, bucket: Bucket) -> None:
        for key in INTERNAL:
            with pytest.raises(ObjectNotFoundError):
                bucket.get(key)
            bucket.delete(key)
            assert keys_of(bucket.list(key)) == []
        bucket.put("works", b"still")
        assert read(bucket, "works") == b"still"

    @case("R06", "names the store uses for itself are ordinary keys", clause="Keys")
    def test_r06_internal_names(self, bucket: Bucket, capabilities: Capabilities) -> None:
        for key in INTERNAL:
            bucket.put(key, b"mine: " + key.encode(), metadata={"k": "v"})
        assert listed(bucket, capabilities) == in_order(INTERNAL)
        for key in INTERNAL:
            assert read(bucket, key) == b"mine: " + key.encode()
        bucket.put("x", b"1")
        assert read(bucket, "x") == b"1"
        results = bucket.delete_many([*INTERNAL, "x"])
        assert all(result.error is None for result in results)
        bucket.put("after", b"all is well")
        assert keys_of(bucket.list()) == ["after"]

    @case("R07", "bucket names that climb out or are none are refused", clause="Buckets")
    def test_r07_bucket_names(self, storage: Storage) -> None:
        for name in ("", ".", "..", "../x", "a/b", "/etc", "a\\b", "a\0b", "a\nb", "ä", "x" * 256):
            for call in (
                storage.bucket,
                storage.create_bucket,
                storage.bucket_exists,
                storage.delete_bucket,
            ):
                with pytest.raises(InvalidBucketNameError):
                    call(name)

    @case("R08", "the store's own places are no buckets", clause="Buckets")
    def test_r08_internal_buckets(self, storage: Storage) -> None:
        before = {info.name for info in storage.list_buckets()}
        for name in ("storage.json", "link-keys", ".tmp", "...", "bucket.json", ".lock", "tmp.x"):
            if name in before:
                continue  # somebody's bucket on a shared account
            for call in (
                lambda name: storage.bucket(name).get("x"),
                lambda name: list(storage.bucket(name).list()),
                lambda name: storage.bucket(name).put("x", b"1"),
                storage.delete_bucket,
            ):
                with pytest.raises(
                    (BucketNotFoundError, InvalidBucketNameError, PermissionDeniedError)
                ):
                    call(name)

    @case("R09", "line breaks in headers are refused before anything is sent", clause="Objects")
    def test_r09_broken_headers(self, bucket: Bucket) -> None:
        with no_requests(bucket.storage):
            for value in BREAKS:
                for name in (
                    "content_type",
                    "content_encoding",
                    "content_disposition",
                    "content_language",
                    "cache_control",
                ):
                    with pytest.raises(InvalidMetadataError, match=name):
                        bucket.put("a", b"", **{name: value})  # type: ignore[arg-type]
                with pytest.raises(InvalidMetadataError):
                    bucket.put("a", b"", metadata={value: "v"})
        assert not bucket.exists("a")

    @case("R10", "line breaks in the values of metadata come back as they were, and in no header",
          clause="Objects")  # fmt: skip
    def test_r10_broken_metadata(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        values = {f"k{n}": value for n, value in enumerate(BREAKS) if "\0" not in value}
        bucket.put("a", BODY, metadata=values)
        assert bucket.head("a").metadata == values
        answer = redeem(http, bucket.presign("a"))
        assert (answer.status, answer.body) == (200, BODY)
        assert answer.headers["X-Injected"] is None

    @case("R11", "headers and metadata up to their limit are kept, one byte more is refused",
          clause="Objects")  # fmt: skip
    def test_r11_oversized(self, bucket: Bucket, capabilities: Capabilities) -> None:
        most = capabilities.max_metadata_bytes
        bucket.put("a", b"", content_type="t/" + "x" * 1022, metadata={"k": "v" * (most - 1)})
        info = bucket.head("a")
        assert info.content_type == "t/" + "x" * 1022
        assert info.metadata == {"k": "v" * (most - 1)}
        with no_requests(bucket.storage):
            for arguments in (
                {"content_type": "t/" + "x" * 1023},
                {"metadata": {"k": "v" * most}},
                {"metadata": {"k" * (most + 1): ""}},
                {"metadata": {"k": "ä" * (most // 2)}},
                {"metadata": {f"k{number:04}": "" for number in range(most // 5 + 1)}},
            ):
                with pytest.raises(InvalidMetadataError):
                    bucket.put("b", b"", **arguments)
        assert keys_of(bucket.list()) == ["a"]

    @case("R12", "line breaks in tags are refused", clause="Objects", needs=TAGS)
    def test_r12_tags(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        for value in BREAKS:
            for tags in ({value: "v"}, {"k": value}):
                with pytest.raises(InvalidMetadataError):
                    bucket.put_tags("a", tags)
        assert bucket.get_tags("a") == {}

    @case("R13", "a listing shows nothing beyond its bucket, whatever its arguments",
          clause="Listing")  # fmt: skip
    def test_r13_listings(self, bucket: Bucket, make_bucket: Callable[[], Bucket]) -> None:
        other = make_bucket()
        other.put("a", b"1")
        bucket.put("mine", b"1")
        for text in (*CLIMBING, "/", "", "*", "%", "_", ".*", f"../{other.name}/", "\\", "mine\0"):
            for found in (
                keys_of(bucket.list(text)),
                keys_of(bucket.list(text, delimiter="/")),
                keys_of(bucket.list(delimiter=text)),
            ):
                assert set(found) <= {"mine"}, f"{text!r} lists {found}"
            assert keys_of(bucket.list(text)) == (["mine"] if "mine".startswith(text) else [])

    @case("R14", "page tokens that are made up or of another listing show nothing foreign",
          clause="Listing")  # fmt: skip
    def test_r14_tokens(self, bucket: Bucket, make_bucket: Callable[[], Bucket]) -> None:
        other = make_bucket()
        for number in range(3):
            other.put(f"other/{number}", b"1")
            bucket.put(f"mine/{number}", b"1")
        real = next(iter(other.list(page_size=1).pages())).next_token
        assert real is not None
        for token in (
            "",
            "x",
            "../../etc/passwd",
            "\0",
            "ä",
            "A" * 5000,
            real[:-1],
            real + "x",
            real,
        ):
            try:
                page = next(iter(bucket.list(page_size=10).pages(token)))
            except StorageError:
                continue
            assert all(item.key.startswith("mine/") for item in page.items), token

    @case("R15", "version identifiers that are made up reach nothing", clause="Objects",
          needs=VERSIONS)  # fmt: skip
    def test_r15_versions(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        for version in ("../../bucket.json", "/etc/passwd", "a\0b", "..", ".", "*", "x" * 5000):
            for call in (bucket.get, bucket.head):
                with pytest.raises((VersionNotFoundError, InvalidRequestError)):
                    call("a", version=version)
            with contextlib.suppress(VersionNotFoundError, InvalidRequestError):
                bucket.delete("a", version=version)
        assert read(bucket, "a") == b"1"

    @case("R16", "upload identifiers that are made up reach nothing", clause="Multipart",
          needs=MULTIPART)  # fmt: skip
    def test_r16_upload_ids(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        key = bucket.create_upload("a").id.partition(".")[0]
        forged = ("../x", "..", "/etc", "", "\0", "x/../../..", "*", "x" * 5000, "\n")
        for upload_id in (*forged, *(f"{key}.{text}" for text in forged)):
            for call in (
                lambda upload: upload.put_part(1, b"x"),
                lambda upload: list(upload.list_parts()),
                lambda upload: upload.complete(),
                lambda upload: upload.abort(),
            ):
                with pytest.raises((UploadNotFoundError, InvalidRequestError)):
                    call(bucket.resume_upload(upload_id))
        assert len(list(bucket.list_uploads())) == 1
        assert read(bucket, "a") == b"1"

    @case("R17", "dot segments in a link's path, plain or encoded, reach nothing", clause="Links")
    def test_r17_link_paths(
        self,
        bucket: Bucket,
        make_bucket: Callable[[], Bucket],
        links: LinkServer,
        http: HttpClient,
    ) -> None:
        other = make_bucket()
        other.put("a", BODY)
        bucket.put("a", b"signed")
        bucket.put("dir/b", BODY)
        base, _, query = bucket.presign("a").url.partition("?")
        root = base[: base.index("/", len("https://"))]
        above = base.removesuffix("/a")
        for path in (
            f"{above}/x/../dir/b",
            f"{above}/./dir/b",
            f"{above}/a/../dir/b",
            f"{above}/%2e%2e/{other.name}/a",
            f"{above}/..%2f{other.name}/a",
            f"{above}/../{other.name}/a",
            f"{base}/../dir/b",
            f"{base}%00",
            f"{base}/",
            f"{above}//a",
            f"{root}/",
            f"{root}/../../etc/passwd",
            f"{root}/%2e%2e/%2e%2e/etc/passwd",
        ):
            answer = http.request("GET", f"{path}?{query}")
            assert answer.status in {400, 403, 404, 405}, f"{path}: {answer.status}"
            assert BODY not in answer.body
            assert b"root:" not in answer.body

    @case("R18", "a type that browsers run is handed out so that they do not", clause="Links")
    def test_r18_scripts(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        if links.native:
            unsupported("the service redeems links on an origin of its own")
        bucket.put("a.html", b"<script>alert(1)</script>", content_type="text/html")
        for method in ("GET", "HEAD"):
            answer = redeem(http, bucket.presign("a.html", method=method))
            assert answer.status == 200
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "sandbox" in answer.headers["Content-Security-Policy"]

    @case("R19", "a link refused for its verb or signature changes nothing, body or not",
          clause="Links")  # fmt: skip
    def test_r19_refused_writes(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", BODY)
        link = bucket.presign("a", method="PUT")
        for url in (link.url[:-2], link.url.partition("?")[0], link.url.replace("/a?", "/b?")):
            assert_refused(links, http.request("PUT", url, {}, b"x" * 100_000), url)
            assert_refused(links, http.request("DELETE", url), url)
        assert keys_of(bucket.list()) == ["a"]
        assert read(bucket, "a") == BODY

    @case("R20", "hostile metadata of one object does not show on another", clause="Objects")
    def test_r20_metadata_names(self, bucket: Bucket) -> None:
        odd = {
            "content-type": "text/html",
            "content-length": "0",
            "etag": "mine",
            "expires": "0",
            "write-id": "x",
            "sc-version": "1",
            "key": "b",
            "x-amz-acl": "public-read",
        }
        bucket.put("a", BODY, content_type="text/plain", metadata=odd)
        info = bucket.head("a")
        assert info.metadata == odd
        assert (info.size, info.content_type) == (len(BODY), "text/plain")
        assert info.etag != "mine"
        assert read(bucket, "a") == BODY

    @case("R21", "a missing object is not found, whatever hostile name was asked for",
          clause="Errors")  # fmt: skip
    def test_r21_messages(self, bucket: Bucket) -> None:
        for key in ("\x1b[2Jx", "a\nForged: log line", "<script>", "%s%n{0}{x!r}", "x" * 1000):
            with pytest.raises((NotFoundError, InvalidKeyError)) as caught:
                bucket.head(key)
            assert "\x1b" not in str(caught.value), "a terminal would run the message"
            assert "\n" not in str(caught.value), "a log would break the message in two"
