"""Answers read off the wire: httptools (llhttp) with limits and the rules of framing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import httptools

from storage_core.http import limits
from storage_core.http.fields import NO_ROW, Fields, Pick, Row, place_in, row_of
from storage_core.model import EMPTY

_MOST = limits.HEAD
_FEW = 3 * limits.FIELDS
"""Characters of a head up to which it can not have too many fields: each and its line break have
three at least."""
_BODILESS = frozenset({204, 304})
_FOUND = b"HTTP/1.1 200 "
_UNCHANGED = b"HTTP/1.1 304 "
_framing = Pick("transfer-encoding", "content-length", "connection")


_USUAL = frozenset({200, 206})
_UNUSUAL = ("transfer-encoding", "proxy-connection")


class _Usual(NamedTuple):
    """What the last answer was like that came as a whole; most of the next are like it, and are
    read by its one regular expression, without llhttp.

    Attributes:
        row: Fits its head.
        length: The row's group of ``Content-Length``, 0 without.
        connection: The same of ``Connection``.
    """

    row: Row
    length: int
    connection: int


class MalformedError(Exception):
    """What the peer sent is no answer, contradicts itself or is over a limit."""


class AnswerParser:
    """Reads answers one after the other off one connection.

    `begin`, then `feed` until `head` is true. What follows depends:

    - `complete`: the body came along; `take` gives it.
    - `chunked`: go on with `feed` and `take` until `complete`.
    - otherwise the rest is not for the parser: `left` bytes of body that are to come, None
      for all up to the end of the connection. `take` gives those that came with the head.

    Attributes:
        status: Of the final answer.
        headers: Of the final answer, names in lower case.
        length: Bytes of its body; None where the head does not say.
        continued: Whether the peer consented to the body (status 100).
        keep: Whether the connection can be used again once the body was read.
    """

    __slots__ = (
        "_body",
        "_chunks",
        "_ended",
        "_found",
        "_framing",
        "_head_only",
        "_informational",
        "_like_most",
        "_parser",
        "_rest",
        "_seen",
        "_usual",
        "chunked",
        "complete",
        "continued",
        "head",
        "headers",
        "keep",
        "left",
        "length",
        "on_body",
        "status",
    )

    def __init__(self) -> None:
        self._body: list[bytes] = []
        self.on_body = self._body.append
        self._parser = httptools.HttpResponseParser(self)
        self._ended = True
        self.status = 0
        self.headers: Mapping[str, str] = EMPTY
        self._like_most = False
        # Answers to HEAD have other fields.
        self._usual: list[_Usual | None] = [None, None]

    def begin(self, head_only: bool) -> None:
        """Get ready for the answer to the next request.

        Args:
            head_only: It has no body whatever it announces (HEAD).
        """
        if not self._ended:  # it is still in the middle of an answer
            self._parser = httptools.HttpResponseParser(self)
            self._body.clear()
            self._like_most = False
        self._head_only = head_only
        self._ended = self.head = self.complete = False
        self._seen = b""
        self.length: int | None = 0
        if not self._like_most:
            # What an answer that comes in one piece leaves as it was.
            self._rest = b""
            self._informational = self._chunks = 0
            self.left: int | None = 0
            self.continued = self.chunked = self._found = False
            self._like_most = True

    @property
    def begun(self) -> bool:
        """Whether anything came."""
        return bool(self._seen)

    # --- what the parser calls: not for each field, which it only checks -----------------

    def on_message_begin(self) -> None:
        if self.complete:
            raise MalformedError("an answer that nobody asked for")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
            self.head = True
            self.keep = self._parser.should_keep_alive()
        else:
            self._like_most = False
            self._informational += 1
            self.continued = self.continued or status == 100

    def on_chunk_header(self) -> None:
        self._like_most = False
        self._chunks += 1

    def on_message_complete(self) -> None:
        if self.head:
            self.complete = self._ended = True

    # --- input and output -------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take what came off the wire.

        Raises:
            MalformedError: it is not what an answer may be.
        """
        if self.head:
            self._feed_body(data)
            return
        if self._seen or len(data) > _MOST:
            data = self._more(data)
        else:
            self._seen = data
            usual = self._usual[self._head_only]
            if usual is not None and self._as_usual(usual, data):
                return
        if self._head_only and data is self._seen and data.startswith(_FOUND):
            # What llhttp takes for a 304 it expects no body of: an answer to HEAD has none
            # either, and after it the parser is ready for the next one.
            self._parse(_UNCHANGED + data[len(_FOUND) :])
            self._found = True
        else:
            self._parse(data)
        if self._informational > limits.INFORMATIONAL:
            raise MalformedError(f"over {limits.INFORMATIONAL} informational answers")
        if self.head:
            if self._found:
                self.status, self._found = 200, False
            self._settle()
            if self._like_most and self.complete and self.status in _USUAL:
                self._learn()
            if self._rest:
                self._feed_body(self._rest)
        elif len(self._seen) >= _MOST:
            raise MalformedError(f"its head is over {limits.HEAD} bytes")

    def _as_usual(self, usual: _Usual, data: bytes) -> bool:
        """Take a whole answer that is like the last one; false for any other."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = data[:end].decode("latin-1")
        row, length, connection = usual
        found = row.fullmatch(head)
        if found is None or (status := int(head[9:12])) not in _USUAL:
            return False
        if connection and found[connection] != "keep-alive":
            return False
        body = data[end + 4 :]
        if self._head_only:
            if body or (length and not (found[length].isdecimal() and len(found[length]) < 19)):
                return False
        elif not length or found[length] != str(len(body)):
            return False
        elif body:
            self.length = len(body)
            self.on_body(body)
        self.status = status
        self.headers = Fields(head, found)
        self.head = self.complete = self._ended = self.keep = True
        return True

    def _more(self, data: bytes) -> bytes:
        """What of further bytes may belong to the head; the rest is kept for later."""
        self._like_most = False
        room = _MOST - len(self._seen)
        data, self._rest = data[:room], data[room:]
        self._seen += data
        return data

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete and not (self.head and self._head_only):
                raise MalformedError(str(error) or "no HTTP/1.1") from None
            self.keep = False  # what follows the answer is none

    def _settle(self) -> None:
        """The head is there: see how the body is framed."""
        seen = self._seen
        start, end = 0, seen.find(b"\r\n\r\n")
        if self._informational or seen[0] != 72:  # "H"
            start, end = self._last_head()
        head = seen[start:end].decode("latin-1")
        if not head.startswith(("HTTP/1.1 ", "HTTP/1.0 ")) or "\0" in head:
            raise MalformedError("its status line is not one of HTTP/1.1")
        if len(head) > _FEW and head.count("\r\n") > limits.FIELDS:
            raise MalformedError(f"over {limits.FIELDS} header fields")
        self.headers = headers = Fields(head)
        if self.complete and not self._chunks and not self._head_only:
            # All of it is here, framed by its length or without a body, says llhttp.
            if self._body and self.status not in _BODILESS:
                self.length = sum(map(len, self._body))
            return
        coding, length, connection = _framing(headers)
        self._like_most = self._head_only
        if coding is not None and (
            coding.lower() != "chunked" or length is not None or head.startswith("HTTP/1.0")
        ):
            raise MalformedError("its Transfer-Encoding is not known or contradictory")
        if self._head_only:
            # What llhttp says of keeping the connection is about a body, which does not come.
            self.keep = (
                end + 4 == len(seen)  # else something follows that nobody asked for
                and head.startswith("HTTP/1.1")
                and (connection is None or "close" not in connection.lower())
            )
            self.complete = True
            self._body.clear()
        elif self.status in _BODILESS:
            pass
        elif coding is not None:
            self.chunked = True
            self.length = self.left = None
            self._framing = limits.FRAMING
        elif length is not None:
            self.length = int(length)
            if not self.complete:
                self.left = self.length - sum(map(len, self._body))
        else:
            self.length = self.left = None
            self.keep = False

    def _learn(self) -> None:
        """See what an answer was like that came as a whole."""
        head = self._seen[: self._seen.find(b"\r\n\r\n")].decode("latin-1")
        row = row_of(head)
        if row is None or row is NO_ROW:
            return
        if not any(place_in(row, name) for name in _UNUSUAL):
            places = place_in(row, "content-length"), place_in(row, "connection")
            self._usual[self._head_only] = _Usual(row, *places)

    def _last_head(self) -> tuple[int, int]:
        """Where the final answer's head begins and ends, after informational ones and the
        empty lines that llhttp forgives."""
        end = -4
        for _ in range(self._informational + 1):
            start = end + 4
            while self._seen[start] in b"\r\n":
                start += 1
            end = self._seen.find(b"\r\n\r\n", start)
        return start, end

    def _feed_body(self, data: bytes) -> None:
        """More of the body, or what follows it."""
        if self.complete:
            self.keep = False
        elif self.chunked:
            self._parse(data)
            self._framing -= len(data) - sum(map(len, self._body))
            if self._framing + self._chunks * limits.FRAMING_PER_CHUNK < 0:
                raise MalformedError(f"over {limits.FRAMING} bytes of chunk extensions or trailers")
        elif self.left is None:
            self._body.append(data)
        else:
            self._body.append(data[: self.left])
            self.keep = self.keep and len(data) <= self.left
            self.left -= min(self.left, len(data))
            self.complete = not self.left

    def take(self) -> bytes:
        """The bytes of the body that were read so far; empty if there are none."""
        body = self._body
        if not body:
            return b""
        data = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        return data
