"""An answer like the last one is read without llhttp: nobody may see a difference."""

from __future__ import annotations

import random

import pytest

from storage_core.http import fields
from storage_core.http import parser as parser_module
from storage_core.http.parser import AnswerParser, MalformedError

FIELDS = (
    b'Server: test\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\nETag: "abc"\r\n'
    b"Content-Length: 5\r\nx-amz-meta-fruit: apple pie\r\n"
)
GET = b"HTTP/1.1 200 OK\r\n" + FIELDS + b"\r\nhello"
HEAD = b"HTTP/1.1 200 OK\r\n" + FIELDS + b"\r\n"
KEPT = b'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\nETag: ""\r\n\r\n'
RANGE = (
    b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nContent-Range: bytes 0-2/9\r\n\r\nabc"
)
OPEN = b'HTTP/1.1 200 OK\r\nServer: test\r\nETag: "x"\r\n\r\n'

ODD = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\x7f",
    b"\x80",
    b"\xb2",
    b" ",
    b"\t",
    b":",
    b"Content-Length: 5\r\n",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Proxy-Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.0",
    b"close",
    b"0",
    b"9",
    b"+",
]


def outcome(parser: AnswerParser, data: bytes, head_only: bool) -> object:
    """All that a caller can see of an answer that comes in one piece."""
    parser.begin(head_only)
    try:
        parser.feed(data)
        if not parser.head:
            return "more"
        if parser.complete or not parser.chunked:
            body = parser.take()
            return (
                parser.status,
                dict(parser.headers),
                parser.length,
                parser.keep,
                parser.complete,
                body,
                None if parser.complete else parser.left,
            )
    except MalformedError:
        return "malformed"
    return (parser.status, dict(parser.headers), "chunked")


def primed(data: bytes, head_only: bool) -> AnswerParser:
    """A parser that has learned what such answers are like."""
    parser = AnswerParser()
    for _ in range(3):  # a row of names is compiled when it is seen again
        outcome(parser, data, head_only)
    assert parser._usual[head_only] is not None
    return parser


@pytest.fixture(autouse=True)
def no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of names that are kept are bounded, and changed answers have many."""
    monkeypatch.setattr(fields, "_rows", {})
    monkeypatch.setattr(fields, "_places", {})


@pytest.mark.parametrize(
    ("usual", "head_only"),
    [(GET, False), (KEPT, False), (RANGE, False), (KEPT, True), (HEAD, True), (OPEN, True)],
)
def test_a_changed_answer_is_read_as_without_the_short_way(
    usual: bytes, head_only: bool, monkeypatch: pytest.MonkeyPatch
):
    learned = primed(usual, head_only)._usual
    monkeypatch.setattr(parser_module, "row_of", lambda head: None)
    for data in [usual, *changed(usual, random.Random(7), 3000)]:
        expected = outcome(AnswerParser(), data, head_only)
        parser = AnswerParser()
        parser._usual = learned
        assert outcome(parser, data, head_only) == expected, data


def changed(data: bytes, chance: random.Random, count: int) -> list[bytes]:
    """Answers with bytes changed, left out, doubled or put in."""
    found = []
    for _ in range(count):
        at = chance.randrange(len(data) + 1)
        until = min(len(data), at + chance.choice([0, 0, 1, 1, 2, 5]))
        new = chance.choice([b"", data[at:until] * 2, chance.choice(ODD), chance.randbytes(1)])
        found.append(data[:at] + new + data[until:])
    lines = data.split(b"\r\n")
    for place in range(1, len(lines)):
        for odd in ODD:
            found.append(b"\r\n".join([*lines[:place], odd.removesuffix(b"\r\n"), *lines[place:]]))
    return found


def test_an_answer_like_the_last_never_reaches_llhttp(monkeypatch: pytest.MonkeyPatch):
    """What the test above compares differs: like answers never reach llhttp."""
    parser = primed(GET, False)

    def refuse(data: bytes) -> None:
        raise AssertionError("llhttp was asked")

    monkeypatch.setattr(AnswerParser, "_parse", lambda self, data: refuse(data))
    assert outcome(parser, GET.replace(b"hello", b"hallo"), False)[5] == b"hallo"  # type: ignore[index]
    with pytest.raises(AssertionError, match="llhttp"):
        outcome(parser, GET.replace(b"200 OK", b"404 No"), False)


def test_answers_of_both_kinds_take_turns():
    parser = primed(GET, False)
    for _ in range(3):
        assert outcome(parser, HEAD, True) == outcome(AnswerParser(), HEAD, True)
        assert outcome(parser, GET, False) == outcome(AnswerParser(), GET, False)
        assert outcome(parser, KEPT, False) == outcome(AnswerParser(), KEPT, False)
