"""Ids: their form, their order, and that there are no two of the same."""

import itertools
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage_core.state import new_id


def test_an_id_is_26_small_letters_and_digits():
    assert re.fullmatch("[0-9a-hjkmnp-tv-z]{26}", new_id())


def test_ids_sort_by_the_time_of_their_making(monkeypatch: pytest.MonkeyPatch):
    clock = itertools.count(time.time_ns())  # the machine's own may be set back
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    made = [new_id() for _ in range(10_000)]
    assert made == sorted(made)


def test_ids_of_many_threads_differ():
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: new_id(), range(5_000)))
    assert len(set(made)) == len(made)


def test_what_follows_the_time_is_chance():
    # The last 13 characters are 65 random bits: each character takes every value.
    seen: list[set[str]] = [set() for _ in range(13)]
    for _ in range(2_000):
        for place, character in zip(seen, new_id()[13:], strict=True):
            place.add(character)
    assert all(len(place) == 32 for place in seen)
