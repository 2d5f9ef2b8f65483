"""Answers of ListObjectsV2, read by a regular expression where it is sure to be right.

A page has a thousand entries, and an XML parser takes longer over them than all the rest of a
listing. Services write the elements of an entry in one order, which an expression can follow.
It is trusted only if it found as many entries as there are opening tags; any other page goes
to the parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import repeat
from operator import attrgetter
from urllib.parse import unquote_plus

from storage_core.errors import UnavailableError
from storage_core.http.dates import parse_iso_date
from storage_core.http.xml import Element, parse_xml
from storage_core.model import EMPTY, ObjectSummary, Page, Prefix
from storage_s3.columns import Columns
from storage_s3.responses import decoded, text_decoder, truncated

# `[^<]*` is what the expression engine is fastest at; what is caught is looked at afterwards.
_OBJECT = re.compile(
    r"<Contents>\s*"
    r"<Key>([^<]*)</Key>\s*"
    r"<LastModified>([^<]*)</LastModified>\s*"
    r"<ETag>([^<]*)</ETag>\s*"
    r"(?:<Checksum[^<]*</Checksum[^<]*)*"
    r"<Size>([^<]*)</Size>"
)
_PREFIX = re.compile(r"<CommonPrefixes>\s*<Prefix>([^<&]*)</Prefix>\s*</CommonPrefixes>")
_ROOT = re.compile(r"\s*(?:<\?xml[^>]*\?>\s*)?<ListBucketResult[\s>]")
_TRUNCATED = re.compile(r"<IsTruncated>\s*(true|false)\s*</IsTruncated>")
_TOKEN = re.compile(r"<NextContinuationToken>([^<&]*)</NextContinuationToken>")
_OPEN = "<Contents>"
_CLOSE = "</Contents>"
_END = "</ListBucketResult>"
_ENCODED = "<EncodingType>url</EncodingType>"

_key_of = attrgetter("key")
_rows = Columns(ObjectSummary).rows

Listed = ObjectSummary | Prefix


def parse_page(data: bytes) -> Page[Listed]:
    """A page of a listing.

    Raises:
        UnavailableError: the answer is none.
    """
    page = scan(data)
    return parsed(data) if page is None else page


def scan(data: bytes) -> Page[Listed] | None:
    """The page by expressions, None where they do not fit."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    # Comments and CDATA could hold what looks like an entry; a cut-off answer ends otherwise.
    # One character is found many times faster than two.
    if ("!" in text and "<!" in text) or _ROOT.match(text) is None:
        return None
    objects = _OBJECT.findall(text)
    if len(objects) != text.count("<Contents"):
        return None
    around = _around(text, len(objects))
    more = _TRUNCATED.findall(around)
    prefixes = _PREFIX.findall(around)
    if (
        not around.rstrip().endswith(_END)
        or len(more) != 1
        or len(prefixes) != around.count("<CommonPrefixes")
    ):
        return None
    token = None
    if more[0] == "true":
        tokens = _TOKEN.findall(around)
        if len(tokens) != 1 or not tokens[0]:
            return None
        token = tokens[0]
    encoded = _ENCODED in around
    try:
        items: list[Listed] = [*_summaries(objects, encoded)] if objects else []
    except ValueError:
        return None
    return Page(_with_prefixes(items, [decoded(text, encoded) for text in prefixes]), token)


def _around(text: str, count: int) -> str:
    """What stands before and behind the entries, where nothing stands between them; else all
    of the text."""
    end = text.rfind(_CLOSE)
    if end > text.rfind(_OPEN) >= 0 and text.count(_CLOSE + _OPEN) == count - 1:
        return text[: text.index(_OPEN)] + text[end:]
    return text


def _summaries(found: Sequence[tuple[str, str, str, str]], encoded: bool) -> list[ObjectSummary]:
    """Objects out of key, time, etag and size of each.

    Raises:
        ValueError: a field is not what it should be, or not written plainly.
    """
    keys, times, etags, sizes = zip(*found, strict=True)
    joined = "".join(keys)
    if "&" in joined:
        raise ValueError("an entity in a key")
    if encoded and ("%" in joined or "+" in joined):
        keys = tuple(map(unquote_plus, keys))
    joined = "\n".join(etags).replace("&quot;", "").replace('"', "")
    bare = joined.split("\n")
    if "&" in joined or len(bare) != len(keys):
        raise ValueError("an entity or a line break in an etag")
    return _rows(len(keys), keys, map(int, sizes), bare, _moments(times), repeat(EMPTY))


def _moments(times: Iterable[str]) -> list[datetime]:
    moments = list(map(datetime.fromisoformat, times))
    if {moment.tzinfo for moment in moments} == {UTC}:
        return moments
    return list(map(parse_iso_date, times))


def parsed(data: bytes) -> Page[Listed]:
    """The page by an XML parser, whatever the order of its elements."""
    root = parse_xml(data)
    if root.name != "ListBucketResult":
        raise UnavailableError(f"the service answered a listing with <{root.name}>")
    encoded = text_decoder(root)
    items: list[Listed] = [_summary(element, encoded) for element in root.all("Contents")]
    prefixes = [decoded(element.need("Prefix"), encoded) for element in root.all("CommonPrefixes")]
    token = None
    if truncated(root) and not (token := root.get("NextContinuationToken")):
        raise UnavailableError("the service's page of a listing has no token to go on with")
    return Page(_with_prefixes(items, prefixes), token)


def _summary(element: Element, encoded: bool) -> ObjectSummary:
    etag = element.get("ETag")
    return ObjectSummary(
        decoded(element.need("Key"), encoded),
        int(element.need("Size")),
        etag.strip('"') if etag is not None else None,
        parse_iso_date(element.need("LastModified")),
        EMPTY,
    )


def _with_prefixes(items: list[Listed], prefixes: Sequence[str]) -> list[Listed]:
    """Objects and groups in one order. Keys sort by code points as by their UTF-8 bytes."""
    if prefixes:
        items.extend(map(Prefix, prefixes))
        items.sort(key=_key_of)
    return items
