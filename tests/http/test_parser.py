"""Answers as the parser takes them, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.http import limits
from storage_core.http.parser import AnswerParser, MalformedError

OK = b"HTTP/1.1 200 OK\r\n"


def parse(data: bytes, *cuts: int, head_only: bool = False) -> AnswerParser:
    parser = AnswerParser()
    parser.begin(head_only)
    start = 0
    for cut in (*sorted(cuts), len(data)):
        cut = min(cut, len(data))
        if cut > start:
            parser.feed(data[start:cut])
            start = cut
    return parser


ANSWERS = {
    "sized": (OK + b"ETag: x\r\nContent-Length: 5\r\n\r\nhello", b"hello", {"etag": "x"}),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", b"", {}),
    "chunked": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nETag: t\r\n\r\n",
        b"hello",
        {},
    ),
    "informed": (
        b"HTTP/1.1 103 Hints\r\nETag: no\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        + OK
        + b"ETag: yes\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
        {"etag": "yes"},
    ),
    "spaces": (OK + b"A:x\r\nB:  y \t\r\nC:\r\nContent-Length:5\r\n\r\nhello", b"hello",
               {"a": "x", "b": "y", "c": ""}),
    "repeated": (OK + b"A: x\r\nContent-Length: 5\r\na: y\r\n\r\nhello", b"hello", {"a": "x, y"}),
    "not modified": (b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", b"", {"content-length": "5"}),
    "no content": (b"HTTP/1.1 204 No\r\n\r\n", b"", {}),
    "latin": (OK + b"A: \xe4\r\nContent-Length: 0\r\n\r\n", b"", {"a": "\xe4"}),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
@given(cuts=st.lists(st.integers(0, 200), max_size=6))
def test_cuts_change_nothing(name, cuts):
    data, body, headers = ANSWERS[name]
    parser = parse(data, *cuts)
    assert parser.head
    assert parser.complete
    assert parser.keep
    assert parser.take() == body
    assert headers.items() <= parser.headers.items()
    assert parser.continued is (name == "informed")


@pytest.mark.parametrize("name", ANSWERS)
def test_byte_by_byte(name):
    data, body, headers = ANSWERS[name]
    parser = parse(data, *range(len(data)))
    assert parser.complete
    assert parser.take() == body
    assert headers.items() <= parser.headers.items()


def test_one_parser_for_many_answers():
    parser = AnswerParser()
    for _ in range(2):
        for data, body, _ in ANSWERS.values():
            parser.begin(head_only=False)
            parser.feed(data)
            assert parser.complete
            assert parser.take() == body
        parser.begin(head_only=True)
        parser.feed(OK + b"Content-Length: 5\r\n\r\n")
        assert parser.complete
        assert parser.length == 0
        assert parser.keep
        parser.begin(head_only=False)
        parser.feed(OK + b"Content-Length: 500\r\n\r\nhel")
        assert (parser.left, parser.take(), parser.complete) == (497, b"hel", False)


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\nA: poison\r\n", b"x", b"\0", b"HTTP"])
@pytest.mark.parametrize("name", ["sized", "chunked", "no content", "empty"])
def test_what_follows_an_answer_ends_the_connection(name, extra):
    data, body, _ = ANSWERS[name]
    for parser in (parse(data + extra), parse(data + extra, len(data))):
        assert parser.complete
        assert not parser.keep
        assert parser.take() == body
        assert "a" not in parser.headers


@pytest.mark.parametrize(
    "extra", [b"hello", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
)
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""]
)
def test_a_body_where_none_belongs(framing, extra):
    parser = parse(OK + framing + b"\r\n" + extra, head_only=True)
    assert parser.complete
    assert not parser.keep
    assert parser.take() == b""


@pytest.mark.parametrize(
    ("fields", "keep"),
    [
        (b"Content-Length: 0\r\n", True),
        (b"Content-Length: 0\r\nConnection: close\r\n", False),
        (b"Content-Length: 0\r\nConnection: keep-alive\r\n", True),
        (b"", False),
    ],
)
def test_keeping_the_connection(fields, keep):
    assert parse(OK + fields + b"\r\n").keep is keep
    assert parse(OK.replace(b"1.1", b"1.0") + fields + b"\r\n").keep is (b"alive" in fields)


def test_a_body_up_to_the_end_of_the_connection():
    parser = parse(OK + b"\r\nabc")
    assert (parser.length, parser.left, parser.complete) == (None, None, False)
    assert parser.take() == b"abc"


LIMITS = {
    "head": OK + b"A: " + b"x" * limits.HEAD,
    "line": b"HTTP/1.1 200 " + b"x" * limits.HEAD,
    "fields": OK + b"".join(b"A%d: x\r\n" % n for n in range(limits.FIELDS + 1)) + b"\r\n",
    "same": OK + b"A: x\r\n" * (limits.FIELDS + 1) + b"\r\n",
    "informational": b"HTTP/1.1 102 Wait\r\n\r\n" * (limits.INFORMATIONAL + 1),
    "extension": OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * (2 * limits.FRAMING),
    "trailers": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: x\r\n" * limits.FRAMING,
}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("piece", [7000, 65536, 1 << 20])
def test_limits(name, piece):
    data = LIMITS[name]
    with pytest.raises(MalformedError):
        parse(data, *range(piece, len(data), piece))


def test_a_head_as_large_as_allowed():
    rest = b"\r\nContent-Length: 3\r\n\r\n"
    data = OK + b"A: "
    data += b"x" * (limits.HEAD - len(data) - len(rest) - 1) + rest
    parser = parse(data + b"abc")
    assert parser.take() == b"abc"
    assert parser.keep


@pytest.mark.parametrize("cut", [4, 13, 14, 30])
@pytest.mark.parametrize("status", [200, 304, 404, 503])
def test_one_parser_for_answers_to_head(status, cut):
    """However they are cut, and whatever was announced: the parser is as good as new."""
    head = b"HTTP/1.1 %d X\r\nContent-Length: 50\r\nETag: x\r\n\r\n" % status
    parser = AnswerParser()
    for data in (head, head.replace(b": 50", b": 0")):
        parser.begin(head_only=True)
        parser.feed(data[:cut])
        parser.feed(data[cut:])
        assert (parser.status, parser.complete, parser.keep) == (status, True, True)
        assert parser.headers["etag"] == "x"
        parser.begin(head_only=False)
        parser.feed(OK + b"Content-Length: 5\r\n\r\nhello")
        assert (parser.status, parser.length, parser.take()) == (200, 5, b"hello")
