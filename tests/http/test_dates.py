"""Dates as HTTP and its services write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.http.dates import format_http_date, parse_http_date, parse_iso_date

MOMENT = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)

moments = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001 - bounds have none
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.just(UTC),
)
zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",  # RFC 850
        "Sun Nov  6 08:49:37 1994",  # asctime
        "Sun, 06 Nov 1994 09:49:37 +0100",
        "Sun, 06 Nov 1994 00:49:37 PST",
        "Sun, 6 Nov 1994 08:49:37 GMT",
    ],
)
def test_all_forms_of_one_moment(text: str):
    found = parse_http_date(text)
    assert found == MOMENT
    assert found.tzinfo is UTC


@given(moments, zones)
def test_http_round_trip(moment: datetime, zone: timezone):
    """Whatever the zone it was given in, to the second."""
    text = format_http_date(moment.astimezone(zone))
    assert len(text) == 29
    assert parse_http_date(text) == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "Sun, 06 Nov 1994",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:61:37 GMT",
        "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 CET",  # no zone that all know: taking it for UTC would be wrong
        "Sun, 06 Nov 1994 08:49:37 GMTx",
        "1994-11-06T08:49:37Z",
    ],
)
def test_no_http_date(text: str):
    with pytest.raises(ValueError, match="is not an HTTP date"):
        parse_http_date(text)


@given(st.text(max_size=40))
def test_http_dates_fuzzed(text: str):
    try:
        found = parse_http_date(text)
    except ValueError:
        return
    assert found.tzinfo is UTC


@given(moments)
def test_iso_round_trip(moment: datetime):
    assert parse_iso_date(moment.isoformat()) == moment
    text = moment.strftime("%H:%M:%S.") + f"{moment.microsecond:06}1Z"
    assert parse_iso_date(f"{moment.date().isoformat()}T{text}") == moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00.000Z",
        "2026-01-31T12:00:00.0000000Z",
        "2026-01-31T13:00:00+01:00",
        "2026-01-31T12:00:00",
    ],
)
def test_iso_forms_of_one_moment(text: str):
    found = parse_iso_date(text)
    assert found == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["", "now", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "2026-01-31T25:00:00Z"]
)
def test_no_iso_date(text: str):
    with pytest.raises(ValueError, match="is not an RFC 3339 date"):
        parse_iso_date(text)


@given(st.text(max_size=40))
def test_iso_dates_fuzzed(text: str):
    try:
        found = parse_iso_date(text)
    except ValueError:
        return
    assert found.tzinfo is UTC
