"""Answers read off the wire: httptools (llhttp) with limits and the rules of framing."""

from __future__ import annotations

import httptools

from storage_core.http import limits

_names: dict[str, str] = {}
"""Header names seen so far in lower case; bounded, as metadata can have any name."""


_BODILESS = frozenset({204, 304})


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
        "_framing",
        "_head_only",
        "_informational",
        "_parser",
        "_seen",
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

    def begin(self, head_only: bool) -> None:
        """Get ready for the answer to the next request.

        Args:
            head_only: It has no body whatever it announces (HEAD).
        """
        if not self._ended:  # it is still in the middle of an answer
            self._parser = httptools.HttpResponseParser(self)
            self._body.clear()
        self._head_only = head_only
        self._seen = b""
        self._informational = self._chunks = self.status = 0
        self.headers: dict[str, str] = {}
        self.length: int | None = 0
        self.left: int | None = 0
        self._ended = self.head = self.complete = self.continued = self.chunked = False

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
            self._informational += 1
            self.continued = self.continued or status == 100

    def on_chunk_header(self) -> None:
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
        seen = self._seen
        room = limits.HEAD - len(seen)
        rest = b""
        if len(data) > room:
            data, rest = data[:room], data[room:]
        self._seen = seen + data if seen else data
        self._parse(data)
        if self._informational > limits.INFORMATIONAL:
            raise MalformedError(f"over {limits.INFORMATIONAL} informational answers")
        if self.head:
            self._settle()
            if rest:
                self._feed_body(rest)
        elif rest or len(data) == room:
            raise MalformedError(f"its head is over {limits.HEAD} bytes")

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
        self.headers = headers = parse_fields(head)
        if not head.startswith(("HTTP/1.1 ", "HTTP/1.0 ")) or "\0" in head:
            raise MalformedError("its status line is not one of HTTP/1.1")
        coding = headers.get("transfer-encoding")
        length = headers.get("content-length")
        if coding is not None and (
            coding.lower() != "chunked" or length is not None or head.startswith("HTTP/1.0")
        ):
            raise MalformedError("its Transfer-Encoding is not known or contradictory")
        if self._head_only:
            # What llhttp says of keeping the connection is about a body, which does not come.
            self.keep = (
                end + 4 == len(seen)  # else something follows that nobody asked for
                and head.startswith("HTTP/1.1")
                and "close" not in headers.get("connection", "").lower()
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


def parse_fields(head: str) -> dict[str, str]:
    """Header fields of a head that llhttp found good; names in lower case, the values of
    repeated ones joined.

    Raises:
        MalformedError: they are too many.
    """
    lines = head.split("\r\n")
    del lines[0]
    if len(lines) > limits.FIELDS:
        raise MalformedError(f"over {limits.FIELDS} header fields")
    known = _names.get
    fields = {known(name): value for name, _, value in [line.partition(": ") for line in lines]}
    odd = ":  " in head or "\t" in head or " \r" in head or head[-1] == " "
    if len(fields) == len(lines) and None not in fields and not odd:
        return fields  # type: ignore[return-value]
    found: dict[str, str] = {}
    for line in lines:
        raw, _, value = line.partition(":")
        name = raw.lower()
        if len(_names) < 1024:
            _names[raw] = name
        value = value.strip(" \t")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
