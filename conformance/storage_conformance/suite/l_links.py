"""Category L: presigned links allow exactly one operation on one object, until they expire.

All requests go through a plain HTTP client; nothing that signed a link redeems it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from storage_conformance.cases import case, unsupported
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, read
from storage_conformance.http import HttpClient
from storage_conformance.links import Links as LinkServer
from storage_conformance.needs import CONTENT_HEADERS, MULTIPART
from storage_conformance.redeeming import (
    BODY,
    DELETED,
    STORED,
    assert_refused,
    fields_of,
    other_first,
    other_last,
    redeem,
    url_of,
)
from storage_core import Bucket, InvalidPartError, InvalidRequestError, Part, Storage
from storage_core.model import Capabilities, Method

VERBS: tuple[Method, ...] = ("GET", "HEAD", "PUT", "DELETE")


class Links(Suite):
    """Cases L01 to L29. Those of wrong verbs, L05 to L08, are added below."""

    @case("L01", "a GET link gives the object to a client without credentials", clause="Links")
    def test_l01_get(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a/b.csv", BODY, content_type="text/csv")
        link = bucket.presign("a/b.csv")
        assert (link.method, dict(link.headers)) == ("GET", {})
        answer = redeem(http, link)
        assert (answer.status, answer.body) == (200, BODY)
        assert answer.headers["Content-Type"] == "text/csv"
        assert answer.headers["Content-Length"] == str(len(BODY))
        assert answer.headers["ETag"]

    @case(
        "L02",
        "a HEAD link tells what GET would, without the bytes",
        clause="Links",
        needs=CONTENT_HEADERS,
    )
    def test_l02_head(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", BODY, content_type="text/csv", cache_control="max-age=7")
        get = redeem(http, bucket.presign("a"))
        head = redeem(http, bucket.presign("a", method="HEAD"))
        assert (head.status, head.body) == (200, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Last-Modified", "Cache-Control"):
            assert head.headers[name] == get.headers[name], name
        assert head.headers["Content-Length"] == str(len(BODY))

    @case("L03", "a PUT link stores the object, replacing what was there", clause="Links")
    def test_l03_put(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", b"old, and longer than what comes", metadata={"k": "old"})
        for body in (BODY, b"x" * 300_000, b""):
            answer = redeem(http, bucket.presign("a", method="PUT"), body)
            assert answer.status in STORED
            assert read(bucket, "a") == body
        assert bucket.head("a").metadata == {}

    @case("L04", "a DELETE link deletes the object; one that is gone is a success", clause="Links")
    def test_l04_delete(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", BODY)
        bucket.put("b", BODY)
        link = bucket.presign("a", method="DELETE")
        assert redeem(http, link).status in DELETED
        assert keys_of(bucket.list()) == ["b"]
        again = redeem(http, link).status
        # Of services' own answers to the second one, some say that it is gone.
        assert again in DELETED or (links.native and again == 404)
        assert keys_of(bucket.list()) == ["b"]

    @case("L09", "a link is good more than once until it expires", clause="Links")
    def test_l09_not_used_up(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", BODY)
        link = bucket.presign("a")
        assert [redeem(http, link).body for _ in range(3)] == [BODY] * 3
        bucket.put("a", b"replaced")
        assert redeem(http, link).body == b"replaced", "a link is to the key, not to its bytes"

    @case(
        "L10", "an expired link is refused for every verb, before anything happens", clause="Links"
    )
    def test_l10_expired(
        self, bucket: Bucket, links: LinkServer, http: HttpClient, opener: Callable[..., Storage]
    ) -> None:
        bucket.put("a", BODY)
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        past = opener(now=lambda: hour_ago, base_url=links.base_url).bucket(bucket.name)
        for method in VERBS:
            link = past.presign("a", method=method, expires_in=3599)
            assert_refused(links, redeem(http, link, b"late"), f"expired {method}")
        assert read(bucket, "a") == BODY
        assert redeem(http, past.presign("a", expires_in=7200)).status == 200

    @case(
        "L11",
        "a link lives 900 s by default, or as long as asked, and tells until when",
        clause="Links",
    )
    def test_l11_expires_at(
        self, bucket: Bucket, links: LinkServer, opener: Callable[..., Storage]
    ) -> None:
        moment = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
        later = opener(now=lambda: moment, base_url=links.base_url).bucket(bucket.name)
        assert later.presign("a").expires_at == moment + timedelta(seconds=900)
        assert later.presign("a", expires_in=1).expires_at == moment + timedelta(seconds=1)

    @case("L12", "a life of no time, or longer than can be, is refused", clause="Links")
    def test_l12_bad_life(
        self,
        bucket: Bucket,
        links: LinkServer,
        capabilities: Capabilities,
    ) -> None:
        for seconds in (0, -1, capabilities.max_presign_seconds + 1, 1.5, None, "60"):
            with pytest.raises(InvalidRequestError):
                bucket.presign("a", expires_in=seconds)  # type: ignore[arg-type]
        bucket.presign("a", expires_in=capabilities.max_presign_seconds)

    @case("L13", "a method that is none of the four is refused", clause="Links")
    def test_l13_bad_method(self, bucket: Bucket, links: LinkServer) -> None:
        for method in ("POST", "get", "", "PATCH", "OPTIONS", "GET\r\nX: y"):
            with pytest.raises(InvalidRequestError):
                bucket.presign("a", method=method)  # type: ignore[arg-type]

    @case("L14", "every field of the query, altered, is refused", clause="Links")
    def test_l14_altered(
        self, bucket: Bucket, links: LinkServer, http: HttpClient, capabilities: Capabilities
    ) -> None:
        bucket.put("a", BODY)
        typed = not links.native or "content_type" in capabilities.presign_binds
        link = bucket.presign("a", filename="a.csv", content_type="text/csv" if typed else None)
        base, fields = fields_of(link)
        assert len(fields) > 2, "the query says too little to be a signed link"
        for position, (name, value) in enumerate(fields):
            for altered in (value[:-1], value + "0", other_last(value), other_first(value), ""):
                changed = [*fields[:position], (name, altered), *fields[position + 1 :]]
                answer = http.request("GET", url_of(base, changed))
                assert_refused(links, answer, f"{name}={value} as {altered!r}")

    @case("L15", "every field of the query, taken away, is refused", clause="Links")
    def test_l15_removed(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", BODY)
        base, fields = fields_of(bucket.presign("a", filename="a.csv"))
        for position, (name, _) in enumerate(fields):
            answer = http.request("GET", url_of(base, fields[:position] + fields[position + 1 :]))
            assert_refused(links, answer, f"without {name}")
        assert_refused(links, http.request("GET", base), "without a query")

    @case("L16", "a field given twice or made up changes nothing for the better", clause="Links")
    def test_l16_added(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", BODY)
        bucket.put("b", b"another object")
        link = bucket.presign("a")
        _, fields = fields_of(link)
        for name, value in (*fields, ("sc-version", "1"), ("key", "b"), ("response-expires", "x")):
            for url in (f"{link.url}&{name}={value}", link.url.replace("?", f"?{name}={value}&")):
                answer = http.request("GET", url)
                if links.native and answer.status == 200:
                    # Services ignore what they do not know; the object stays the one signed.
                    assert answer.body == BODY, f"{name} changed the answer"
                else:
                    assert_refused(links, answer, f"with one more {name}")

    @case("L17", "the order of the fields does not matter", clause="Links")
    def test_l17_reordered(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", BODY)
        base, fields = fields_of(bucket.presign("a", filename="a.csv"))
        for reordered in (fields[::-1], sorted(fields)):
            answer = http.request("GET", url_of(base, reordered))
            assert (answer.status, answer.body) == (200, BODY)

    @case("L18", "the signature of one link does not fit another", clause="Links")
    def test_l18_swapped(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("a", BODY)
        bucket.put("b", b"other")
        signed = bucket.presign("b").url
        for link in (bucket.presign("a"), bucket.presign("a", expires_in=600)):
            path, _, _ = link.url.partition("?")
            _, _, query = signed.partition("?")
            assert_refused(links, http.request("GET", f"{path}?{query}"), "a query of b on a")

    @case("L19", "a link to one key opens no other", clause="Links")
    def test_l19_other_key(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        others = ("b", "aa", "A", "a/", "a/b", "a%", "a ", "a+", "å")
        for key in ("a", *others):
            bucket.put(key, BODY)
        path, _, query = bucket.presign("a").url.partition("?")
        assert http.request("GET", f"{path}?{query}").body == BODY
        for other in others:
            other_path, _, _ = bucket.presign(other).url.partition("?")
            assert other_path != path, f"{other!r} has the path of 'a'"
            assert_refused(links, http.request("GET", f"{other_path}?{query}"), repr(other))

    @case("L20", "a link to one bucket opens no other", clause="Links")
    def test_l20_other_bucket(
        self,
        bucket: Bucket,
        make_bucket: Callable[[], Bucket],
        links: LinkServer,
        http: HttpClient,
    ) -> None:
        other = make_bucket()
        for place in (bucket, other):
            place.put("a", BODY)
        _, _, query = bucket.presign("a").url.partition("?")
        path, _, _ = other.presign("a").url.partition("?")
        assert_refused(links, http.request("GET", f"{path}?{query}"), "the other bucket")

    @case(
        "L21", "links live on when a key is added, and die when theirs is dropped", clause="Links"
    )
    def test_l21_key_rotation(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        if links.native:
            unsupported("the service signs links with its own credentials")
        bucket.put("a", BODY)
        one, two = {"one": b"1" * 32}, {"two": b"2" * 32}
        before, _ = links.open(one)
        rotated, rotated_url = links.open({**one, **two})
        dropped, dropped_url = links.open(two)
        old = before.bucket(bucket.name).presign("a").url
        path, _, query = old.partition("?")
        place = path[path.index("/", len("http://")) :]
        assert http.request("GET", f"{rotated_url}{place}?{query}").body == BODY
        assert_refused(links, http.request("GET", f"{dropped_url}{place}?{query}"), "dropped key")
        new = rotated.bucket(bucket.name).presign("a").url
        _, _, query = new.partition("?")
        assert http.request("GET", f"{dropped_url}{place}?{query}").body == BODY, (
            "the newest key must be the one that signs"
        )
        assert redeem(http, dropped.bucket(bucket.name).presign("a")).status == 200
        forged = links.open({"two": b"3" * 32})[0].bucket(bucket.name).presign("a").url
        _, _, query = forged.partition("?")
        assert_refused(links, http.request("GET", f"{dropped_url}{place}?{query}"), "other secret")

    @case("L22", "headers a client adds by itself do no harm", clause="Links")
    def test_l22_extra_headers(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        extra = {
            "User-Agent": 'anything/1.0 ("quoted"; ünï)'.encode().decode("latin-1"),
            "Accept": "text/html, */*;q=0.1",
            "Accept-Language": "de",
            "Cookie": "session=1; sc-method=DELETE",
            "Referer": "https://example.org/?sc-key=b",
            "X-Forwarded-For": "203.0.113.7",
            "X-Forwarded-Host": "example.org",
            "Cache-Control": "no-cache",
            "Pragma": "no-cache",
            "DNT": "1",
        }
        put = bucket.presign("a", method="PUT")
        answer = http.request("PUT", put.url, {**extra, **put.headers}, BODY)
        assert answer.status in STORED
        answer = http.request("GET", bucket.presign("a").url, extra)
        assert (answer.status, answer.body) == (200, BODY)

    @case("L23", "what is missing is 404 through a link, to HEAD as well", clause="Links")
    def test_l23_missing(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        for method in ("GET", "HEAD"):
            assert redeem(http, bucket.presign("none", method=method)).status == 404

    @case("L24", "a bad link to what is missing tells nothing: refused, not 404", clause="Links")
    def test_l24_bad_and_missing(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        bucket.put("there", BODY)
        for key in ("there", "none"):
            base, fields = fields_of(bucket.presign(key))
            name, value = fields[-1]
            answer = http.request("GET", url_of(base, [*fields[:-1], (name, other_first(value))]))
            assert_refused(links, answer, key)

    @case(
        "L25",
        "signing sends nothing: a link into a missing bucket can be made, and is 404",
        clause="Links",
    )
    def test_l25_offline(
        self,
        storage: Storage,
        bucket: Bucket,
        links: LinkServer,
        http: HttpClient,
    ) -> None:
        missing = storage.bucket(f"{bucket.name[:50]}-none")
        for method in ("GET", "PUT"):
            link = missing.presign("a", method=method)
            assert redeem(http, link, b"x" if method == "PUT" else None).status == 404
        assert not storage.bucket_exists(missing.name)

    @case("L26", "a part link stores one part of a session", clause="Links", needs=MULTIPART)
    def test_l26_part(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        upload = bucket.create_upload("a b", content_type="text/csv")
        link = upload.presign_part(3)
        assert link.method == "PUT"
        answer = redeem(http, link, BODY)
        assert answer.status in STORED
        (part,) = upload.list_parts()
        assert (part.number, part.size) == (3, len(BODY))
        assert answer.headers["ETag"].strip('"') == part.etag
        assert not bucket.exists("a b")
        upload.complete([Part(3, answer.headers["ETag"].strip('"'), len(BODY))])
        assert read(bucket, "a b") == BODY
        assert bucket.head("a b").content_type == "text/csv"

    @case("L27", "a part link is for its part and verb alone", clause="Links", needs=MULTIPART)
    def test_l27_part_altered(self, bucket: Bucket, links: LinkServer, http: HttpClient) -> None:
        upload = bucket.create_upload("a")
        link = upload.presign_part(1)
        base, fields = fields_of(link)
        for position, (name, value) in enumerate(fields):
            for altered in (other_last(value), "2"):
                changed = [*fields[:position], (name, altered), *fields[position + 1 :]]
                assert_refused(links, http.request("PUT", url_of(base, changed), {}, BODY), name)
            shorter = fields[:position] + fields[position + 1 :]
            assert_refused(links, http.request("PUT", url_of(base, shorter), {}, BODY), name)
        for method in ("GET", "HEAD", "DELETE", "POST"):
            assert_refused(links, http.request(method, link.url), method)
        assert list(upload.list_parts()) == []
        assert not bucket.exists("a")

    @case(
        "L28",
        "a part link of a session that ended is 404 and stores nothing",
        clause="Links",
        needs=MULTIPART,
    )
    def test_l28_part_too_late(
        self, bucket: Bucket, links: LinkServer, http: HttpClient, capabilities: Capabilities
    ) -> None:
        bound = not links.native or "part" in capabilities.presign_binds
        for end in ("abort", "complete"):
            upload = bucket.create_upload(end)
            upload.put_part(1, b"x")
            link = upload.presign_part(2)
            getattr(upload, end)()
            answer = redeem(http, link, BODY)
            assert answer.status == 404 or not bound, answer.status
        assert read(bucket, "complete") == b"x"
        assert keys_of(bucket.list()) == ["complete"]

    @case(
        "L29",
        "a part link with a number outside 1 to the greatest is refused",
        clause="Links",
        needs=MULTIPART,
    )
    def test_l29_part_number(
        self,
        bucket: Bucket,
        links: LinkServer,
        capabilities: Capabilities,
    ) -> None:
        upload = bucket.create_upload("a")
        for number in (0, -1, capabilities.max_parts + 1):
            with pytest.raises((InvalidPartError, InvalidRequestError)):
                upload.presign_part(number)


def _wrong_verbs(case_id: str, method: Method) -> Callable[..., None]:
    """The case that tries a link for one verb with each other one."""

    def check(
        self: Links,  # noqa: ARG001
        bucket: Bucket,
        links: LinkServer,
        http: HttpClient,
        capabilities: Capabilities,
    ) -> None:
        bucket.put("a", BODY)
        link = bucket.presign("a", method=method)
        reads_alike = links.native and "method" not in capabilities.presign_binds
        for other in (*VERBS, "POST", "PATCH", "PROPFIND"):
            if reads_alike and {method, other} == {"GET", "HEAD"}:
                continue
            if other != method:
                body = b"overwritten" if other in {"PUT", "POST", "PATCH"} else None
                answer = http.request(other, link.url, dict(link.headers), body)
                if other == "POST" and links.native and answer.status == 404:
                    continue  # no such operation of the service
                assert_refused(links, answer, f"{other} with a link for {method}")
        assert read(bucket, "a") == BODY, f"a link for {method} changed the object"

    check.__name__ = f"test_{case_id.lower()}_{method.lower()}_only"
    check.__qualname__ = f"Links.{check.__name__}"
    return case(case_id, f"a link for {method} is refused for every other verb", clause="Links")(
        check
    )


for _number, _method in enumerate(VERBS, 5):
    _check = _wrong_verbs(f"L{_number:02}", _method)
    setattr(Links, _check.__name__, _check)
