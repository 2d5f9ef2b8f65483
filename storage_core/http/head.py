"""The head of a request: its bytes, and how its body is framed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from storage_core.errors import InvalidRequestError
from storage_core.http.interface import Request
from storage_core.model import Buffer

# All that may stand in a head besides line breaks (RFC 9112; visible ASCII, space, tab).
_ALLOWED = bytes((9, *range(32, 127)))
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

_HOST, _LENGTH, _CODING, _EXPECT, _CONNECTION, _OTHER = range(6)
_SPECIAL = {
    "host": _HOST,
    "content-length": _LENGTH,
    "transfer-encoding": _CODING,
    "expect": _EXPECT,
    "connection": _CONNECTION,
}
_plain: set[str] = set()
"""Names seen so far that are good and mean nothing to a transport; bounded, as metadata can
have any name."""
_templates: dict[tuple[str, ...], str] = {}
"""Lines with these names of headers in this order; bounded too."""
_MEMORY = (bytes, bytearray, memoryview, type(None))

_METHODS = frozenset({"GET", "PUT", "HEAD", "DELETE", "POST", "PATCH"})

# Methods whose requests say so when they have no body (RFC 9110 section 8.6).
_WITH_BODY = frozenset({"PUT", "POST", "PATCH"})


class Lines(Mapping[str, str]):
    """Headers that are written out already, by who had all their values in hand.

    Args:
        names: What `template_of` took, which made `text`.
        values: As many, later in `written`.
        text: The lines, each with its break.
    """

    __slots__ = ("_names", "text", "written")

    def __init__(self, names: tuple[str, ...], values: tuple[str, ...], text: str) -> None:
        self._names = names
        self.written = values
        self.text = text

    def __getitem__(self, name: str) -> str:
        return dict(zip(self._names, self.written, strict=True))[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<Lines {', '.join(self._names)}>"  # values are secrets


def template_of(names: Sequence[str]) -> str | None:
    """The lines of these headers, each with ``%s`` for its value; None if the transport has a say
    in one of them, or one is no name."""
    for name in names:
        if not _TOKEN.fullmatch(name) or name.lower() in _SPECIAL:
            return None
    return "".join([f"{name.replace('%', '%%')}: %s\r\n" for name in names])


def plain_request(request: Request, body: Buffer | None, prefix: str) -> bytes | None:
    """Head and body in one of a request like most: the transport has no say in its headers.

    Args:
        request: What to send.
        body: The request's.
        prefix: As for `encode_head`.

    Returns:
        None for any other: `encode_head` makes the head, or tells what is wrong.
    """
    method, origin, target, headers, _ = request
    if type(headers) is Lines:
        values, lines = headers.written, headers.text
    else:
        names = tuple(headers)
        template = _templates.get(names) or _template(names)
        if template is None:
            return None
        values = tuple(headers.values())
        lines = template % values
    authority = origin.authority
    # Nothing in them ends a line: what is printable and ASCII are the space and 33 to 126.
    shown = f"{target}{authority}{''.join(values)}"
    if (
        not shown.isascii()
        or not shown.isprintable()
        or target[:1] != "/"
        or " " in target
        or method not in _METHODS
    ):
        return None
    start = f"{method} {prefix}{target} HTTP/1.1\r\nHost: {authority}\r\n{lines}"
    if body:
        return f"{start}Content-Length: {len(body)}\r\n\r\n".encode() + body
    if method in _WITH_BODY:
        return f"{start}Content-Length: 0\r\n\r\n".encode()
    return f"{start}\r\n".encode()


def _template(names: tuple[str, ...]) -> str | None:
    template = template_of(names)
    if template is not None and len(_templates) < 1024:
        _templates[names] = template
    return template


class Head(NamedTuple):
    """The head as it goes out.

    Attributes:
        data: Its bytes, the empty line included.
        size: Bytes of the body, None where it goes out chunked.
        expects: Whether it asks for consent before the body.
        ours: Whether that was not the driver's idea.
        closes: Whether it asks to close the connection afterwards.
    """

    data: bytes
    size: int | None
    expects: bool
    ours: bool
    closes: bool


def encode_head(
    request: Request, size: int | None, prefix: str = "", extra: str = "", expect_from: int = 0
) -> Head:
    """Build the head of a request.

    Args:
        request: What to send; target and headers are taken as they are.
        size: Bytes of the body, None if not known; 0 without one.
        prefix: Goes before the target, for the absolute form that proxies want.
        extra: More header lines, each with its line break.
        expect_from: Bytes of body from which ``Expect: 100-continue`` is added; 0 is never.

    Raises:
        InvalidRequestError: target, a name or a value has a character that would change
            what the request means, or the framing headers contradict the body.
    """
    method, origin, target, headers, _ = request
    if (
        target[:1] != "/"
        or " " in target
        or "\t" in target
        or (method not in _METHODS and not _TOKEN.fullmatch(method))
    ):
        raise _refused(request)
    lines = [f"{method} {prefix}{target} HTTP/1.1", f"Host: {origin.authority}"]
    given: dict[int, str] = {}
    written = 0
    if type(headers) is Lines and headers:
        lines.append(headers.text[:-2])
        written = len(headers) - 1
    elif headers.keys() <= _plain:
        lines += [f"{name}: {value}" for name, value in headers.items()]
    else:
        _add_given(lines, given, request)
    if given:
        size, expect_from = _check_framing(given, request, size, expect_from)
    expects = expect_from > 0 and (size is None or size >= expect_from)
    if size is None:
        _add(lines, given, _CODING, "Transfer-Encoding: chunked")
    elif size or method in _WITH_BODY:
        _add(lines, given, _LENGTH, f"Content-Length: {size}")
    if expects:
        _add(lines, given, _EXPECT, "Expect: 100-continue")
    lines.append(extra + "\r\n")
    try:
        data = "\r\n".join(lines).encode("ascii")
    except UnicodeEncodeError:
        raise _refused(request) from None
    # One pass finds whatever is not allowed: a break inside a value counts as one too many.
    if data.translate(None, _ALLOWED) != b"\r\n" * (len(lines) + written + extra.count("\n")):
        raise _refused(request)
    ours = expects and _EXPECT not in given
    closes = bool(given) and "close" in given.get(_CONNECTION, "")
    return Head(data, size, expects, ours, closes)


def _add_given(lines: list[str], given: dict[int, str], request: Request) -> None:
    """Add the driver's headers, and tell those of them that the transport has a say in."""
    for name, value in request.headers.items():
        role = _OTHER if name in _plain else _role(name, request)
        if role == _HOST:
            lines[1] = f"{name}: {value}"
        else:
            lines.append(f"{name}: {value}")
        if role != _OTHER:
            if role in given:
                raise InvalidRequestError(f"header {name} is there twice")
            given[role] = value.lower()


def _add(lines: list[str], given: dict[int, str], role: int, line: str) -> None:
    """Add a header that the driver did not give."""
    if role not in given:
        lines.append(line)


def _check_framing(
    given: dict[int, str], request: Request, size: int | None, expect_from: int
) -> tuple[int | None, int]:
    """What the driver's own framing headers make of size and consent.

    Raises:
        InvalidRequestError: they contradict each other or the body.
    """
    length, coding, expect = given.get(_LENGTH), given.get(_CODING), given.get(_EXPECT)
    if coding is not None:
        if coding != "chunked" or length is not None or isinstance(request.body, _MEMORY):
            raise InvalidRequestError(
                f"Transfer-Encoding: {coding!r} can not be sent: it must be chunked, without"
                " Content-Length, and the body one that comes in pieces"
            )
        size = None
    if length is not None and length != str(size):
        raise InvalidRequestError(f"Content-Length: {length!r} for a body of {size} bytes")
    if expect is not None:
        if expect != "100-continue":
            raise InvalidRequestError(f"Expect: {expect!r} is not known")
        expect_from = 1
    return size, expect_from


def _role(name: str, request: Request) -> int:
    if not _TOKEN.fullmatch(name):
        raise _refused(request)
    role = _SPECIAL.get(name.lower(), _OTHER)
    if role == _OTHER and len(_plain) < 1024:
        _plain.add(name)
    return role


def _refused(request: Request) -> InvalidRequestError:
    """Names what is wrong, without values, which may be secrets."""
    if not _TOKEN.fullmatch(request.method):
        return InvalidRequestError(f"{request.method!r} is not an HTTP method")
    if request.target[:1] != "/" or not re.fullmatch(r"[!-~]+", request.target):
        return InvalidRequestError(
            "the request's target must start with '/' and be percent-encoded ASCII"
        )
    for name, value in request.headers.items():
        if not _TOKEN.fullmatch(name):
            return InvalidRequestError(f"{name!r} is not a header's name")
        if not re.fullmatch(r"[\t -~]*", value):
            return InvalidRequestError(
                f"the value of header {name} has a line break, a control character or one"
                " outside of ASCII"
            )
    return InvalidRequestError(f"{request.origin.authority!r} is not a host")
