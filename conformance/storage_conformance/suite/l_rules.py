"""Category L, continued: what a link binds, and how the reply can be asked for."""

from __future__ import annotations

import hashlib

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, read
from storage_conformance.http import HttpClient
from storage_conformance.links import Links as LinkServer
from storage_conformance.needs import CONTENT_HEADERS, MULTIPART, VERSIONS, bound, condition
from storage_conformance.redeeming import BODY, STORED, assert_refused, redeem, saved_as
from storage_core import Bucket, InvalidRequestError, Link

SHA256 = hashlib.sha256(BODY).hexdigest()

CONTENT_TYPE = bound(
    "content_type", lambda b: b.presign("a", method="PUT", content_type="text/csv")
)
CONTENT_LENGTH = bound("content_length", lambda b: b.presign("a", method="PUT", content_length=1))
CHECKSUM = bound("checksum", lambda b: b.presign("a", method="PUT", checksum=("sha256", SHA256)))
FILENAME = bound("filename", lambda b: b.presign("a", filename="a.csv"))


class LinkRules(Suite):
    """Cases L30 to L50."""

    @case(
        "L30",
        "a bound content type is stored; another or none is refused",
        clause="Links",
        needs=CONTENT_TYPE,
    )
    def test_l30_content_type(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        link = bucket.presign("a", method="PUT", content_type="text/csv")
        assert {name.lower() for name in link.headers} >= {"content-type"}
        others = {n: v for n, v in link.headers.items() if n.lower() != "content-type"}
        for wrong in ({"Content-Type": "text/html"}, {"Content-Type": "text/csvx"}, {}):
            answer = http.request("PUT", link.url, {**others, **wrong}, BODY)
            expected = (400, 401, 403) if links.native else (400,)
            assert answer.status in expected, f"{wrong or 'no type'}: {answer.status}"
            assert not bucket.exists("a")
        assert redeem(http, link, BODY).status in STORED
        assert bucket.head("a").content_type == "text/csv"

    @case("L31", "without a bound type the one that is sent is stored", clause="Links")
    def test_l31_free_content_type(
        self,
        bucket: Bucket,
        links: LinkServer,
        http: HttpClient,
    ) -> None:
        link = bucket.presign("a", method="PUT")
        headers = {**link.headers, "Content-Type": "image/png"}
        assert http.request("PUT", link.url, headers, BODY).status in STORED
        assert bucket.head("a").content_type == "image/png"

    @case(
        "L32",
        "a bound length is held: shorter, longer and empty bodies store nothing",
        clause="Links",
        needs=CONTENT_LENGTH,
    )
    def test_l32_content_length(
        self,
        bucket: Bucket,
        links: LinkServer,
        http: HttpClient,
    ) -> None:
        link = bucket.presign("a", method="PUT", content_length=len(BODY))
        free = {n: v for n, v in link.headers.items() if n.lower() != "content-length"}
        for body in (BODY[:-1], BODY + b"x", b"", BODY * 1000):
            answer = http.request("PUT", link.url, free, body)
            assert 400 <= answer.status < 500, f"{len(body)} bytes: {answer.status}"
            assert not bucket.exists("a")
        assert redeem(http, link, BODY).status in STORED
        assert read(bucket, "a") == BODY

    @case(
        "L33",
        "a bound length of zero allows just an empty body",
        clause="Links",
        needs=CONTENT_LENGTH,
    )
    def test_l33_zero_length(
        self,
        bucket: Bucket,
        links: LinkServer,
        http: HttpClient,
    ) -> None:
        link = bucket.presign("a", method="PUT", content_length=0)
        free = {n: v for n, v in link.headers.items() if n.lower() != "content-length"}
        assert 400 <= http.request("PUT", link.url, free, b"x").status < 500
        assert not bucket.exists("a")
        assert redeem(http, link, b"").status in STORED
        assert bucket.head("a").size == 0

    @case(
        "L34",
        "a bound checksum is held: other bytes of the same length store nothing",
        clause="Links",
        needs=CHECKSUM,
    )
    def test_l34_checksum(
        self,
        bucket: Bucket,
        links: LinkServer,
        http: HttpClient,
    ) -> None:
        bucket.put("a", b"old")
        link = bucket.presign("a", method="PUT", checksum=("sha256", SHA256))
        for body in (BODY.upper(), b"", BODY + b"\n"):
            answer = redeem(http, link, body)
            assert 400 <= answer.status < 500, f"{body!r}: {answer.status}"
            assert read(bucket, "a") == b"old"
        assert redeem(http, link, BODY).status in STORED
        assert read(bucket, "a") == BODY

    @case(
        "L35",
        "a malformed or unknown checksum is refused at signing",
        clause="Links",
        needs=CHECKSUM,
    )
    def test_l35_bad_checksum(self, bucket: Bucket, links: LinkServer) -> None:
        from storage_core import UnsupportedError

        for checksum in (("sha256", "00"), ("sha256", "x" * 64), ("nonsense", SHA256)):
            with pytest.raises((InvalidRequestError, UnsupportedError)):
                bucket.presign("a", method="PUT", checksum=checksum)

    @case(
        "L36",
        "a filename comes as the name to save the answer under",
        clause="Links",
        needs=(FILENAME, CONTENT_HEADERS),
    )
    def test_l36_filename(
        self,
        bucket: Bucket,
        links: LinkServer,
        http: HttpClient,
    ) -> None:
        bucket.put("a", BODY, content_disposition='inline; filename="stored.txt"')
        answer = redeem(http, bucket.presign("a", filename="adults 2012.csv"))
        assert answer.body == BODY
        disposition = answer.headers["Content-Disposition"]
        assert disposition.startswith("attachment")
        assert saved_as(disposition) == "adults 2012.csv"
        assert "stored.txt" not in disposition
        plain = redeem(http, bucket.presign("a")).headers["Content-Disposition"]
        assert "stored.txt" in plain

    @case(
        "L37",
        "a filename of any script survives, and none breaks out of its header",
        clause="Links",
        needs=FILENAME,
    )
    def test_l37_odd_filenames(
        self,
        bucket: Bucket,
        links: LinkServer,
        http: HttpClient,
    ) -> None:
        bucket.put("a", BODY)
        for name in ("käse 🧀.csv", 'a"b.csv', "a;b=c.csv", "a\\b.csv", "100%.csv", "日本.txt"):
            answer = redeem(http, bucket.presign("a", filename=name))
            assert answer.status == 200, name
            assert answer.headers["Content-Disposition"].startswith("attachment")
            assert saved_as(answer.headers["Content-Disposition"]) == name
        for name in ("a\r\nX-Injected: 1", "a\nb", "a\x00b", "", "\x7f"):
            with pytest.raises(InvalidRequestError):
                bucket.presign("a", filename=name)

    @case("L38", "what makes no sense for a verb is refused at signing", clause="Links")
    def test_l38_misfits(self, bucket: Bucket, links: LinkServer) -> None:
        for method in ("GET", "HEAD", "DELETE"):
            with pytest.raises(InvalidRequestError):
                bucket.presign("a", method=method, content_length=1)
            with pytest.raises(InvalidRequestError):
                bucket.presign("a", method=method, checksum=("sha256", SHA256))
            with pytest.raises(InvalidRequestError):
                bucket.presign("a", method=method, if_absent=True)
        for method in ("PUT", "DELETE"):
            with pytest.raises(InvalidRequestError):
                bucket.presign("a", method=method, filename="a.csv")  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError):
            bucket.presign("a", method="PUT", content_length=-1)
        with pytest.raises(InvalidRequestError):
            bucket.presign("a", method="PUT", content_type="text/html\r\nX-Injected: 1")

    @case("L39", "ranges are answered through a link", clause="Links")
    def test_l39_ranges(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", b"0123456789")
        link = bucket.presign("a")
        for wanted, body, where in (
            ("bytes=2-4", b"234", "bytes 2-4/10"),
            ("bytes=7-", b"789", "bytes 7-9/10"),
            ("bytes=-3", b"789", "bytes 7-9/10"),
            ("bytes=8-100", b"89", "bytes 8-9/10"),
            ("bytes=0-0", b"0", "bytes 0-0/10"),
        ):
            answer = http.request("GET", link.url, {"Range": wanted})
            if links.native and wanted == "bytes=-3" and answer.status == 200:
                assert answer.body == b"0123456789"  # a service may ignore a range it lacks
                continue
            assert (answer.status, answer.body) == (206, body), wanted
            assert answer.headers["Content-Range"] == where
        assert http.request("GET", link.url, {"Range": "bytes=10-"}).status == 416

    @case(
        "L40",
        "conditions are answered through a link",
        clause="Links",
        needs=(condition("get", "if_match"), condition("get", "if_none_match")),
    )
    def test_l40_conditions(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", BODY)
        link = bucket.presign("a")
        first = redeem(http, link)
        etag, modified = first.headers["ETag"], first.headers["Last-Modified"]
        for headers, status in (
            ({"If-None-Match": etag}, 304),
            ({"If-None-Match": '"other"'}, 200),
            ({"If-Match": etag}, 200),
            ({"If-Match": '"other"'}, 412),
            ({"If-Modified-Since": modified}, 304),
            ({"If-Unmodified-Since": modified}, 200),
            ({"If-Unmodified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"}, 412),
        ):
            assert http.request("GET", link.url, headers).status == status, headers

    @case(
        "L41",
        "a link with if_absent creates, and never replaces",
        clause="Links",
        needs=(
            condition("put", "if_absent"),
            bound("if_absent", lambda b: b.presign("a", method="PUT", if_absent=True)),
        ),
    )
    def test_l41_if_absent(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        link = bucket.presign("a", method="PUT", if_absent=True)
        assert redeem(http, link, BODY).status in STORED
        # Where the right itself is to create and no more, to replace is forbidden.
        refused = {403, 409, 412} if links.native else {409, 412}
        assert redeem(http, link, b"replaced").status in refused
        assert read(bucket, "a") == BODY

    @case(
        "L42",
        "a link to a version gives that version",
        clause="Links",
        needs=(VERSIONS, bound("version", lambda b: b.presign("a", version="1"))),
    )
    def test_l42_version(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        old = bucket.put("a", b"old").version
        new = bucket.put("a", b"new").version
        assert old is not None
        assert new is not None
        link = bucket.presign("a", version=old)
        assert redeem(http, link).body == b"old"
        assert redeem(http, bucket.presign("a")).body == b"new"
        assert_refused(links, http.request("GET", link.url.replace(old, new)), "other version")

    @case("L43", "an empty object comes through a link with length 0", clause="Links")
    def test_l43_empty(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", b"", content_type="text/plain")
        answer = redeem(http, bucket.presign("a"))
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["Content-Length"] == "0"

    @case(
        "L44",
        "a part link holds the length and checksum bound to it",
        clause="Links",
        needs=(MULTIPART, CONTENT_LENGTH, CHECKSUM),
    )
    def test_l44_part_rules(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        upload = bucket.create_upload("a")
        kept: list[Link] = []
        for link in (
            upload.presign_part(1, content_length=len(BODY)),
            upload.presign_part(1, checksum=("sha256", SHA256)),
        ):
            free = {n: v for n, v in link.headers.items() if n.lower() != "content-length"}
            assert 400 <= http.request("PUT", link.url, free, BODY + b"more").status < 500
            assert list(upload.list_parts()) == []
            kept.append(link)
        for link in kept:
            assert redeem(http, link, BODY).status in STORED
        upload.complete()
        assert read(bucket, "a") == BODY

    @case("L45", "the bytes of a large object come through a link unchanged", clause="Links")
    def test_l45_large(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        body = bytes(range(256)) * 8192 * 2 + b"odd tail"
        assert redeem(http, bucket.presign("a", method="PUT"), body).status in STORED
        assert read(bucket, "a") == body
        assert redeem(http, bucket.presign("a")).body == body

    @case("L46", "a refusal does not repeat the link's secret", clause="Links")
    def test_l46_no_secret(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", BODY)
        url = bucket.presign("a").url
        signature = max((f.partition("=")[2] for f in url.split("?")[1].split("&")), key=len)
        for request in (
            ("DELETE", url),
            ("GET", url + "0"),
            ("GET", url.replace("/a?", "/b?")),
            ("PUT", url),
        ):
            answer = http.request(*request)
            assert_refused(links, answer, request[0])
            assert signature.encode() not in answer.body
            assert signature not in str(answer.headers)
        assert keys_of(bucket.list()) == ["a"]

    @case("L47", "the repr of a link leaves out what makes it one", clause="Links")
    def test_l47_repr(self, bucket: Bucket, links: LinkServer) -> None:
        link = bucket.presign("a")
        for field in link.url.partition("?")[2].split("&"):
            value = field.partition("=")[2]
            if len(value) > 16:
                assert value not in repr(link)
                assert value not in str(link)
        assert link.method in repr(link)

    @case(
        "L48",
        "a link with a content type for GET answers with that type",
        clause="Links",
        needs=bound("content_type", lambda b: b.presign("a", content_type="text/plain")),
    )
    def test_l48_response_type(
        self,
        bucket: Bucket,
        links: LinkServer,
        http: HttpClient,
    ) -> None:
        bucket.put("a", BODY, content_type="application/octet-stream")
        answer = redeem(http, bucket.presign("a", content_type="text/csv"))
        assert (answer.status, answer.body) == (200, BODY)
        assert answer.headers["Content-Type"] == "text/csv"
        assert bucket.head("a").content_type == "application/octet-stream"
