"""Conditional requests and ranges: the pure rules, then the same through a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import storage_core
from storage_core.gateway.conditions import (
    ANY,
    Preconditions,
    may_range,
    parse_date,
    parse_range,
    parse_tags,
)
from storage_core.model import ByteRange, ObjectInfo
from tests.gateway.clients import Answer, request

MODIFIED = datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)
INFO = ObjectInfo("k", 100, "e-1", MODIFIED)
SAME = format_datetime(MODIFIED.replace(microsecond=0), usegmt=True)
EARLIER = format_datetime((MODIFIED - timedelta(days=1)).replace(microsecond=0), usegmt=True)
LATER = format_datetime((MODIFIED + timedelta(days=1)).replace(microsecond=0), usegmt=True)

# Headers, then the verdict on a read and on a write of INFO, then of an absent object.
TABLE = [
    ({}, "go", "go", "go"),
    ({"if-match": '"e-1"'}, "go", "go", "failed"),
    ({"if-match": "e-1"}, "go", "go", "failed"),
    ({"if-match": '"a", "e-1"'}, "go", "go", "failed"),
    ({"if-match": 'W/"e-1"'}, "failed", "failed", "failed"),
    ({"if-match": '"other"'}, "failed", "failed", "failed"),
    ({"if-match": "*"}, "go", "go", "failed"),
    ({"if-match": '"*"'}, "failed", "failed", "failed"),
    ({"if-match": ""}, "failed", "failed", "failed"),
    ({"if-none-match": '"e-1"'}, "not_modified", "failed", "go"),
    ({"if-none-match": 'W/"e-1"'}, "not_modified", "failed", "go"),
    ({"if-none-match": '"a","b"'}, "go", "go", "go"),
    ({"if-none-match": "*"}, "not_modified", "failed", "go"),
    ({"if-none-match": '"*"'}, "go", "go", "go"),
    ({"if-modified-since": SAME}, "not_modified", "go", "go"),
    ({"if-modified-since": LATER}, "not_modified", "go", "go"),
    ({"if-modified-since": EARLIER}, "go", "go", "go"),
    ({"if-modified-since": "yesterday"}, "go", "go", "go"),
    ({"if-unmodified-since": SAME}, "go", "go", "failed"),
    ({"if-unmodified-since": EARLIER}, "failed", "failed", "failed"),
    ({"if-unmodified-since": "x"}, "go", "go", "go"),
    # Tags come before dates.
    ({"if-match": '"e-1"', "if-unmodified-since": EARLIER}, "go", "go", "failed"),
    ({"if-none-match": '"x"', "if-modified-since": LATER}, "go", "go", "go"),
    ({"if-match": '"x"', "if-none-match": '"e-1"'}, "failed", "failed", "failed"),
    ({"if-match": '"e-1"', "if-none-match": '"e-1"'}, "not_modified", "failed", "failed"),
]


@pytest.mark.parametrize(("headers", "read", "write", "absent"), TABLE)
def test_verdicts(headers: dict[str, str], read: str, write: str, absent: str):
    conditions = Preconditions.parse(headers)
    assert conditions.check(INFO, reading=True) == read
    assert conditions.check(INFO, reading=False) == write
    assert conditions.check(None, reading=False) == absent


@pytest.mark.parametrize(
    ("value", "weak", "tags"),
    [
        (None, False, None),
        (" * ", False, ANY),
        ('"*"', False, ("*",)),
        (' "a" , W/"b" ,c', True, ("a", "b", "c")),
        (' "a" , W/"b" ,c', False, ("a", "c")),
        ('"a,b"', False, ("a,b",)),
        (",,,", True, ()),
    ],
)
def test_tags(value: str | None, weak: bool, tags: tuple[str, ...] | None):
    assert parse_tags(value, weak=weak) == tags


@given(st.text())
def test_no_header_value_breaks_a_parser(value: str):
    parse_tags(value, weak=True)
    parse_tags(value, weak=False)
    parse_range(value)
    parse_range("bytes=" + value)
    may_range(value, INFO)
    date = parse_date(value)
    assert date is None or date.tzinfo is not None


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, None)),
        ("BYTES= 5-9 ", (5, 10)),
        ("bytes=-7", (-7, None)),
        ("bytes=-0", (0, 0)),
        ("bytes=9-5", None),
        ("bytes=0-1,5-6", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=+1-2", None),
        ("bytes=1_0-20", None),
        ("items=0-1", None),
        ("bytes=0-" + "9" * 40, None),
    ],
)
def test_ranges(value: str | None, parsed: object):
    assert parse_range(value) == parsed


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        (None, True),
        ('"e-1"', True),
        ('"e-2"', False),
        ('W/"e-1"', False),
        (SAME, True),
        (EARLIER, False),
        (LATER, False),
        ("nonsense", False),
    ],
)
def test_if_range(value: str | None, allowed: bool):
    assert may_range(value, INFO) is allowed


# --- through a server -----------------------------------------------------------------

BODY = bytes(i * 7 % 251 for i in range(70_000))  # beyond what any layout keeps inline


def get(bucket: storage_core.Bucket, key: str = "k", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(bucket.presign(key), headers=named)


@pytest.mark.parametrize("body", [BODY, BODY[:500]], ids=["file", "inline"])
def test_conditional_reads(bucket: storage_core.Bucket, body: bytes):
    etag = f'"{bucket.put("k", body, cache_control="max-age=1").etag}"'
    modified = get(bucket).headers["last-modified"]
    for headers in ({"if_none_match": etag}, {"if_modified_since": modified}):
        answer = get(bucket, **headers)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == etag
        assert answer.headers["cache-control"] == "max-age=1"
        head = request(bucket.presign("k", method="HEAD"), headers=_dashed(headers))
        assert head.status == 304
    for headers in ({"if_match": '"x"'}, {"if_unmodified_since": EARLIER}):
        answer = get(bucket, **headers)
        assert (answer.status, answer.code) == (412, "precondition_failed")
        head = request(bucket.presign("k", method="HEAD"), headers=_dashed(headers))
        assert head.status == 412
    assert get(bucket, if_match=etag, if_none_match='"x"').body == body
    assert get(bucket, "gone", if_none_match="*").status == 404


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@given(
    start=st.integers(-80_000, 80_000),
    length=st.none() | st.integers(1, 80_000),
    small=st.booleans(),
)
def test_any_range(ranged: storage_core.Bucket, start: int, length: int | None, small: bool):
    key, body = ("small", BODY[:300]) if small else ("big", BODY)
    wanted = ByteRange(start, None if start < 0 or length is None else start + length)
    text = f"bytes={start}-{'' if wanted.stop is None else wanted.stop - 1}"
    answer = get(ranged, key, range=text if start >= 0 else f"bytes={start}")
    if start >= len(body):
        assert (answer.status, answer.code) == (416, "invalid_range")
        assert answer.headers["content-range"] == f"bytes */{len(body)}"
        return
    first, stop = wanted.resolve(len(body))
    assert answer.body == body[first:stop]
    assert answer.status == 206
    assert answer.headers["content-range"] == f"bytes {first}-{stop - 1}/{len(body)}"


@pytest.fixture(scope="module")
def ranged(storage: storage_core.Storage, server: object) -> storage_core.Bucket:
    bucket = storage.create_bucket("ranged", exist_ok=True)
    bucket.put("small", BODY[:300])
    bucket.put("big", BODY)
    bucket.put("empty", b"")
    return bucket


@pytest.mark.parametrize("text", ["bytes=0-1,4-5", "bytes=5-2", "lines=1-2", "bytes", "garbage"])
def test_ranges_that_are_ignored(ranged: storage_core.Bucket, text: str):
    answer = get(ranged, "big", range=text)
    assert (answer.status, answer.body) == (200, BODY)


@pytest.mark.parametrize("text", ["bytes=0-", "bytes=0-999999", "bytes=-999999"])
@pytest.mark.parametrize(("key", "size"), [("small", 300), ("big", len(BODY))])
def test_a_range_of_everything_is_a_range(
    ranged: storage_core.Bucket, text: str, key: str, size: int
):
    answer = get(ranged, key, range=text)
    assert (answer.status, answer.body) == (206, BODY[:size])
    assert answer.headers["content-range"] == f"bytes 0-{size - 1}/{size}"


def test_ranges_of_nothing(ranged: storage_core.Bucket):
    for text in ("bytes=0-", "bytes=0-0", "bytes=-0"):
        answer = get(ranged, "empty", range=text)
        assert (answer.status, answer.headers["content-range"]) == (416, "bytes */0")
    assert get(ranged, "empty", range="bytes=-5").status == 200
    assert get(ranged, "big", range="bytes=-0").status == 416
    assert get(ranged, "no", range="bytes=0-1").status == 404


def test_conditions_come_before_ranges(ranged: storage_core.Bucket):
    etag = f'"{ranged.head("big").etag}"'
    assert get(ranged, "big", range="bytes=999999-", if_none_match=etag).status == 304
    assert get(ranged, "big", range="bytes=999999-", if_match='"x"').status == 412
    assert get(ranged, "big", range="bytes=0-9", if_match=etag).body == BODY[:10]


def test_if_range_through_the_server(ranged: storage_core.Bucket):
    etag = f'"{ranged.head("big").etag}"'
    assert get(ranged, "big", range="bytes=1-2", if_range=etag).body == BODY[1:3]
    for changed in ('"old"', EARLIER):
        answer = get(ranged, "big", range="bytes=1-2", if_range=changed)
        assert (answer.status, answer.body) == (200, BODY)
        answer = get(ranged, "big", range="bytes=999999-", if_range=changed)
        assert (answer.status, answer.body) == (200, BODY)


def test_head_ignores_ranges(ranged: storage_core.Bucket):
    answer = request(ranged.presign("big", method="HEAD"), headers={"Range": "bytes=0-1"})
    assert (answer.status, answer.headers["content-length"]) == (200, str(len(BODY)))


def test_conditional_writes(bucket: storage_core.Bucket):
    link = bucket.presign("k", method="PUT")
    assert request(link, headers={"If-Match": '"x"'}, body=b"1").status == 412
    assert request(link, headers={"If-Match": "*"}, body=b"1").status == 412
    assert not bucket.exists("k")
    first = request(link, headers={"If-None-Match": "*"}, body=b"1")
    assert first.status == 200
    assert request(link, headers={"If-None-Match": "*"}, body=b"2").code == "precondition_failed"
    etag = first.headers["etag"]
    second = request(link, headers={"If-Match": etag}, body=b"2")
    assert second.status == 200
    assert request(link, headers={"If-Match": etag}, body=b"3").status == 412
    both = f'"other", {second.headers["etag"]}'
    assert request(link, headers={"If-Match": both}, body=b"4").status == 200
    assert request(link, headers={"If-None-Match": '"other"'}, body=b"5").status == 200
    assert request(link, headers={"If-Match": '"*"'}, body=b"6").status == 412
    assert request(link, headers={"If-Unmodified-Since": EARLIER}, body=b"6").status == 412
    assert bucket.get("k").read() == b"5"


def test_conditional_deletes(bucket: storage_core.Bucket):
    etag = bucket.put("k", b"x").etag
    link = bucket.presign("k", method="DELETE")
    assert request(link, headers={"If-Match": '"x"'}).status == 412
    assert request(link, headers={"If-Match": '"*"'}).status == 412
    assert request(link, headers={"If-None-Match": "*"}).status == 412
    assert bucket.exists("k")
    assert request(link, headers={"If-Match": f'"{etag}"'}).status == 204
    assert request(link, headers={"If-Match": "*"}).status == 412
    assert request(link, headers={"If-None-Match": "*"}).status == 204


def test_a_link_that_creates_only(bucket: storage_core.Bucket):
    link = bucket.presign("k", method="PUT", if_absent=True)
    assert request(link, body=b"1").status == 200
    answer = request(link, body=b"2")
    assert (answer.status, answer.code) == (412, "precondition_failed")
    assert request(link, headers={"If-Match": "*"}, body=b"3").status == 412
    assert bucket.get("k").read() == b"1"
