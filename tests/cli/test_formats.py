from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.cli import formats
from storage_core.cli.content_type import guess
from storage_core.cli.formats import parse_size, size_pair
from storage_core.cli.status import UsageError


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024 * 99 + 999, "100 KiB"),
        (1000 * 1024, "1.0 MiB"),
        (5 * 1024**4, "5.0 TiB"),
        (2**63, "8.0 EiB"),
    ],
)
def test_sizes(size: int, text: str):
    assert formats.size_text(size) == text


def test_times_are_told_in_utc_to_machines():
    moment = datetime(2024, 2, 29, 12, 0, 0, 5000, timezone(timedelta(hours=2)))
    assert formats.iso_text(moment) == "2024-02-29T10:00:00.005000Z"
    assert formats.time_text(None) == ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("900", 900), ("15m", 900), ("2h", 7200), ("7d", 604800), ("1w", 604800), ("30s", 30)],
)
def test_durations(text: str, seconds: int):
    assert formats.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "m", "1y", "-5", "1.5h", "15 m", "\u0661\u0665"])
def test_what_is_no_duration(text: str):
    with pytest.raises(UsageError, match="duration"):
        formats.parse_duration(text)


def test_pairs():
    assert formats.parse_pairs(["a=1", "b=x=y", "c="], "tag") == {"a": "1", "b": "x=y", "c": ""}
    assert formats.parse_pairs(None, "tag") == {}
    for wrong in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(UsageError, match="tag"):
            formats.parse_pairs(wrong, "tag")


@given(st.text())
def test_nothing_shown_can_steer_a_terminal(text: str):
    shown = formats.clean(text)
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2028" for c in shown)
    shown.encode()
    if text.isprintable():
        assert shown == text


def test_text_that_is_no_danger_stays():
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert formats.clean(family) == family
    assert formats.clean("a\x1b[31mb\n") == "a\\x1b[31mb\\n"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.csv", "text/csv"),
        ("dir.zip/a.txt", "text/plain"),
        ("a.parquet", "application/vnd.apache.parquet"),
        ("a.csv.gz", "application/gzip"),
        ("a.tar.xz", "application/x-xz"),
        ("data:,.csv", "text/csv"),
        ("A.JSON", "application/json"),
        ("a", None),
        ("", None),
        ("a.unheard-of", None),
    ],
)
def test_content_type_of_a_name(name: str, content_type: str | None):
    assert guess(name) == content_type


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("64K", 65536),
        ("64k", 65536),
        ("8MiB", 8 * 1024**2),
        ("1.5G", 1536 * 1024**2),
        ("10MB", 10_000_000),
        ("2 TB", 2 * 10**12),
        ("7B", 7),
    ],
)
def test_sizes_that_are_read(text: str, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0.1", "-1", "1X", "K", "1KiBs", "1e3", "\u0661"])
def test_what_is_no_size(text: str):
    with pytest.raises(UsageError, match="size"):
        parse_size(text)


def test_sizes_of_a_total():
    assert size_pair(5, None) == "5 B"
    assert size_pair(0, 0) == "0/0 B"
    assert size_pair(1, 999) == "1/999 B"
    assert size_pair(512 * 1024, 32 * 1024**2) == "0.5/32.0 MiB"
