"""The bytes of a request's head."""

from __future__ import annotations

import pytest

from storage_core.errors import InvalidRequestError
from storage_core.http import Origin, Request
from storage_core.http.head import Lines, encode_head, plain_request, template_of

ORIGIN = Origin.of("https://s3.example.org")


class Unsized:
    size: int | None = None
    begun = False

    async def __aiter__(self):
        yield b"x"


class Sized(Unsized):
    size = 1


def encode(method="GET", target="/", headers=None, body=None, size=0, **options):
    return encode_head(Request(method, ORIGIN, target, headers or {}, body), size, **options)


def test_target_and_headers_go_out_as_given():
    head = encode(
        target="/a%2Fb/%e4?x=%20&y+z&=", headers={"X-Odd_Name!": "  two  ", "a": "", "B": "\t"}
    )
    assert head.data == (
        b"GET /a%2Fb/%e4?x=%20&y+z&= HTTP/1.1\r\nHost: s3.example.org\r\n"
        b"X-Odd_Name!:   two  \r\na: \r\nB: \t\r\n\r\n"
    )
    assert not head.expects
    assert not head.closes


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://a:80/x", b"a"),
        ("http://a:8080", b"a:8080"),
        ("https://[::1]:443/", b"[::1]"),
        ("https://[::1]:444/", b"[::1]:444"),
    ],
)
def test_host_header(url, host):
    head = encode_head(Request("GET", Origin.of(url), "/"), 0)
    assert head.data == b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"


def test_a_host_of_the_driver_takes_the_first_place():
    head = encode(headers={"a": "b", "host": "bucket.example.org"})
    assert head.data.startswith(b"GET / HTTP/1.1\r\nhost: bucket.example.org\r\na: b\r\n")
    assert head.data.lower().count(b"host:") == 1


@pytest.mark.parametrize(
    ("method", "body", "size", "line"),
    [
        ("PUT", b"abc", 3, b"Content-Length: 3"),
        ("PUT", b"", 0, b"Content-Length: 0"),
        ("POST", None, 0, b"Content-Length: 0"),
        ("DELETE", None, 0, None),
        ("GET", None, 0, None),
        ("PUT", Sized(), 1, b"Content-Length: 1"),
        ("PUT", Unsized(), None, b"Transfer-Encoding: chunked"),
    ],
)
def test_framing_is_added(method, body, size, line):
    head = encode(method, body=body, size=size)
    lines = head.data.split(b"\r\n")[2:-2]
    assert lines == ([line] if line else [])
    assert head.size == size


def test_framing_of_the_driver_is_kept():
    head = encode("PUT", headers={"content-length": "3"}, body=b"abc", size=3)
    assert head.data.lower().count(b"content-length") == 1
    head = encode("PUT", headers={"transfer-encoding": "chunked"}, body=Sized(), size=1)
    assert head.size is None
    assert b"Content-Length" not in head.data


@pytest.mark.parametrize(
    ("headers", "body", "size"),
    [
        ({"Content-Length": "4"}, b"abc", 3),
        ({"Content-Length": "3", "content-length": "3"}, b"abc", 3),
        ({"Content-Length": "1", "Transfer-Encoding": "chunked"}, Sized(), 1),
        ({"Transfer-Encoding": "gzip"}, Sized(), 1),
        ({"Transfer-Encoding": "chunked"}, b"abc", 3),
        ({"Transfer-Encoding": "chunked"}, None, 0),
        ({"Expect": "something"}, b"abc", 3),
        ({"Host": "a", "host": "b"}, b"abc", 3),
    ],
)
def test_contradictory_framing_is_refused(headers, body, size):
    with pytest.raises(InvalidRequestError):
        encode("PUT", headers=headers, body=body, size=size)


BAD = ["\r", "\n", "\r\n", "\r\nX: y", "\0", "\x7f", "\x1b", "ä", "\u2028", "\ud800", "\r\n\r\nGET"]


@pytest.mark.parametrize("bad", BAD, ids=ascii)
@pytest.mark.parametrize("place", ["begin", "middle", "end"])
def test_what_would_change_the_request_is_refused(bad, place):
    text = {"begin": bad + "a", "middle": "a" + bad + "b", "end": "a" + bad}[place]
    for request in (
        {"target": "/" + text},
        {"target": "/?" + text},
        {"headers": {"X-Secret": text}},
        {"headers": {"Host": text}},
        {"headers": {text: "x"}},
        {"method": text},
    ):
        with pytest.raises(InvalidRequestError):
            encode(**request)
    with pytest.raises(InvalidRequestError):
        encode_head(Request("GET", Origin("http", "a", 80, text), "/"), 0)


@pytest.mark.parametrize("target", ["", "a", "http://a/b", "*", "/a b", "/ ", "/a\tb"])
def test_a_target_is_a_path(target):
    with pytest.raises(InvalidRequestError, match="target"):
        encode(target=target)


@pytest.mark.parametrize("name", ["", " a", "a ", "a:", "a b", "a\tb", "(a)", '"a"', "a/b"])
def test_a_name_is_a_token(name):
    for _ in range(2):  # also once it is known
        with pytest.raises(InvalidRequestError, match="header"):
            encode(headers={name: "x"})


@pytest.mark.parametrize("method", ["", "GET ", "G T", "GET\r", "/"])
def test_a_method_is_a_token(method):
    with pytest.raises(InvalidRequestError, match="method"):
        encode(method)


def test_messages_show_no_values():
    with pytest.raises(InvalidRequestError) as seen:
        encode(headers={"Authorization": "hush-hush\n"})
    assert "Authorization" in str(seen.value)
    assert "hush" not in str(seen.value)
    with pytest.raises(InvalidRequestError) as seen:
        encode(target="/a?signature=hush-hush\n")
    assert "hush" not in str(seen.value)


@pytest.mark.parametrize(
    ("size", "threshold", "expects"),
    [(0, 1, False), (9, 10, False), (10, 10, True), (None, 10, True), (10, 0, False)],
)
def test_consent_is_asked_for_large_bodies(size, threshold, expects):
    body = b"x" * size if size is not None else Unsized()
    head = encode("PUT", body=body, size=size, expect_from=threshold)
    assert head.expects is expects
    assert (b"Expect: 100-continue\r\n" in head.data) is expects


def test_consent_asked_for_by_the_driver():
    head = encode("PUT", headers={"expect": "100-Continue"}, body=b"x", size=1, expect_from=99)
    assert head.expects
    assert head.data.lower().count(b"expect:") == 1


def test_more_names_than_are_remembered():
    headers = {f"x-amz-meta-{number}": "v" for number in range(3000)}
    assert encode(headers=headers).data.count(b"x-amz-meta-") == 3000
    assert encode(headers={"Connection": "close"}).closes


def test_through_a_proxy():
    head = encode(prefix=ORIGIN.url, extra="Proxy-Authorization: Basic eA==\r\n")
    assert head.data == (
        b"GET https://s3.example.org/ HTTP/1.1\r\nHost: s3.example.org\r\n"
        b"Proxy-Authorization: Basic eA==\r\n\r\n"
    )


# --- the short way --------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("body", [None, b"", b"abc"])
@pytest.mark.parametrize("prefix", ["", "http://a:8080"])
@pytest.mark.parametrize("headers", [{}, {"a": "b", "x-%s": "100%", "C": " two  words "}])
def test_the_short_way_sends_the_same(method, body, prefix, headers):
    for given in (headers, written_out(headers)):
        request = Request(method, ORIGIN, "/a%20b?c=d", given, body)
        head = encode_head(request, len(body or b""), prefix)
        assert plain_request(request, body, prefix) == head.data + (body or b"")


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", ORIGIN, "a"),
        Request("GET", ORIGIN, "/a b"),
        Request("GET", ORIGIN, "/a\tb"),
        Request("GET", ORIGIN, "/a\r\nb"),
        Request("G T", ORIGIN, "/"),
        Request("GET", ORIGIN, "/", {"a": "b\r\nc: d"}),
        Request("GET", ORIGIN, "/", {"a": "b\n"}),
        Request("GET", ORIGIN, "/", {"a": "\xe4"}),
        Request("GET", ORIGIN, "/", {"a\r\nb": "c"}),
        Request("GET", ORIGIN, "/", {"Host": "b"}),
        Request("PUT", ORIGIN, "/", {"Content-Length": "3"}, b"abc"),
        Request("PUT", ORIGIN, "/", {"expect": "100-continue"}, b"abc"),
        Request("GET", ORIGIN, "/", {"Connection": "close"}),
    ],
    ids=str,
)
def test_what_the_short_way_leaves_to_the_long_one(request_):
    assert plain_request(request_, request_.body, "") is None


@pytest.mark.parametrize("bad", ["b\r\nc: d", "b\n", "\xe4", "\0"])
def test_headers_written_out_are_checked_too(bad):
    request = Request("GET", ORIGIN, "/", written_out({"a": bad}))
    assert plain_request(request, None, "") is None
    with pytest.raises(InvalidRequestError):
        encode_head(request, 0)


@pytest.mark.parametrize("name", ["Host", "content-length", "a b", "a:", ""])
def test_names_that_can_not_be_written_out(name):
    assert template_of(["a", name]) is None


def test_headers_written_out_are_a_mapping_that_shows_no_values():
    lines = written_out({"a": "secret", "b": "2"})
    assert dict(lines) == {"a": "secret", "b": "2"}
    assert lines["b"] == "2"
    assert "secret" not in repr(lines)


def written_out(headers: dict[str, str]) -> Lines:
    names, values = tuple(headers), tuple(headers.values())
    template = template_of(names)
    assert template is not None
    return Lines(names, values, template % values)
