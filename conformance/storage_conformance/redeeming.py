"""How cases use links: over plain HTTP, and what counts as a refusal."""

from __future__ import annotations

import re
from urllib.parse import unquote

from storage_conformance.helpers import keys_of, read
from storage_conformance.http import HttpClient, Response
from storage_conformance.links import Links
from storage_core import Bucket, Link

BODY = b"the bytes of an object\n"
STORED = frozenset((200, 201, 204))
"""Answers to a PUT that worked."""
DELETED = frozenset((200, 202, 204))


def redeem(http: HttpClient, link: Link, body: bytes | None = None) -> Response:
    """Use a link as it is meant."""
    return http.request(link.method, link.url, dict(link.headers), body)


def assert_refused(links: Links, answer: Response, what: str) -> None:
    """403 from a gateway; from a service the refusal it has for it."""
    accepted = (400, 401, 403, 405) if links.native else (403,)
    assert answer.status in accepted, f"{what}: answered {answer.status}"
    assert BODY not in answer.body, f"{what}: refused, and yet the object's bytes were sent"


def saved_as(disposition: str) -> str | None:
    """The name a client saves a reply under (RFC 6266 section 4.3): that of ``filename*``,
    encoded by RFC 8187, comes before that of ``filename``."""
    if found := re.search(r"filename\*=UTF-8''([^\s;]+)", disposition, re.IGNORECASE):
        return unquote(found[1], errors="strict")
    if found := re.search(r'filename="((?:[^"\\]|\\.)*)"', disposition, re.IGNORECASE):
        return re.sub(r"\\(.)", r"\1", found[1])
    return None


def through_links(bucket: Bucket, http: HttpClient, keys: tuple[str, ...]) -> None:
    """Put, read and delete every key by links, checking each with the bucket itself."""
    for number, key in enumerate(keys):
        answer = redeem(http, bucket.presign(key, method="PUT"), b"%d" % number)
        assert answer.status in STORED, f"PUT of {key!r}: {answer.status}"
    assert sorted(keys_of(bucket.list())) == sorted(keys), "the links wrote other keys"
    for number, key in enumerate(keys):
        assert read(bucket, key) == b"%d" % number, f"PUT of {key!r} wrote another key"
        answer = redeem(http, bucket.presign(key))
        assert (answer.status, answer.body) == (200, b"%d" % number), f"GET of {key!r}"
        assert redeem(http, bucket.presign(key, method="HEAD")).status == 200, f"HEAD of {key!r}"
    left = list(keys)
    while left:
        gone = left.pop()
        answer = redeem(http, bucket.presign(gone, method="DELETE"))
        assert answer.status in DELETED, f"DELETE of {gone!r}: {answer.status}"
        assert sorted(keys_of(bucket.list())) == sorted(left), f"DELETE of {gone!r}"


def fields_of(link: Link) -> tuple[str, list[tuple[str, str]]]:
    """The URL before the query, and the query's fields as they are written."""
    base, _, query = link.url.partition("?")
    return base, [(name, value) for name, _, value in (f.partition("=") for f in query.split("&"))]


def url_of(base: str, fields: list[tuple[str, str]]) -> str:
    """A URL of a query's fields as they are written."""
    return f"{base}?{'&'.join(f'{name}={value}' for name, value in fields)}"


def other_last(value: str) -> str:
    """The text with another last character of the same kind."""
    return value[:-1] + _other(value[-1])


def other_first(value: str) -> str:
    """The text with another first character of the same kind."""
    return _other(value[0]) + value[1:]


def _other(character: str) -> str:
    if character.isdigit():
        return "1" if character == "0" else "0"
    return "B" if character in "Aa" else "A"
