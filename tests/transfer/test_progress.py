"""What a callback hears, and how often."""

from __future__ import annotations

import pytest

from storage_core.transfer.progress import Meter, Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("storage_core.transfer.progress.time.monotonic", lambda: now[0])
    return now


def test_the_callback_hears_of_all_but_not_all_the_time(clock: list[float]) -> None:
    heard: list[Progress] = []
    meter = Meter(heard.append)
    meter.expect(2, 1000)
    meter.begin("first")
    for _ in range(100):
        clock[0] += 0.01
        meter.moved(10)
    meter.end()
    meter.end(failed=True)
    meter.finish()
    assert 8 <= len(heard) <= 13
    assert [item.bytes for item in heard] == sorted(item.bytes for item in heard)
    last = heard[-1]
    assert (last.bytes, last.total_bytes, last.objects, last.total_objects, last.failed) == (
        1000,
        1000,
        2,
        2,
        1,
    )
    assert last.current == "first"
    assert last.rate == pytest.approx(1000, rel=0.05)


def test_what_an_earlier_run_moved_counts_but_not_for_the_rate(clock: list[float]) -> None:
    heard: list[Progress] = []
    meter = Meter(heard.append)
    meter.expect(1, 1_000_100)
    meter.moved(1_000_000, earlier=True)
    clock[0] += 1
    meter.moved(100)
    assert heard[-1].bytes == 1_000_100
    assert heard[-1].rate == pytest.approx(100)


def test_nothing_is_known_before_it_is_expected(clock: list[float]) -> None:
    heard: list[Progress] = []
    meter = Meter(heard.append)
    meter.moved(5)
    meter.finish()
    assert heard[-1].total_bytes is None
    assert heard[-1].total_objects is None
    assert heard[-1].rate == 0
