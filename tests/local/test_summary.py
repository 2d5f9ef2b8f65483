from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from storage_core import ObjectSummary
from storage_core.errors import IntegrityError
from storage_local.record import HEAD_SIZE, new_id, pack
from storage_local.summary import LazySummary, live_summary


def make(**changes: Any) -> bytes:
    values = {"identity": new_id(), "size": 5, "crc": 7, "modified": 10**18, "order": 1}
    return pack(**{**values, **changes})


def test_it_is_an_object_summary_in_all_respects():
    raw = make(details={"checksums": {"md5": "00"}})
    lazy = live_summary(raw, "a/b")
    other = live_summary(raw, "a/b")
    assert lazy is not None
    plain = ObjectSummary(lazy.key, lazy.size, lazy.etag, lazy.modified, lazy.checksums)
    assert plain.key == "a/b"
    assert plain.size == 5
    assert plain.checksums == {"crc32c": "00000007", "md5": "00"}
    assert isinstance(lazy, LazySummary)
    assert lazy == plain
    assert plain == lazy
    assert lazy == other
    assert hash(lazy) == hash(other)
    assert lazy != replace(plain, size=6)
    assert lazy != "a/b"
    assert repr(other) == repr(plain)
    assert not lazy.is_prefix


def test_it_is_immutable_and_can_be_replaced_and_pickled():
    lazy = live_summary(make(), "a")
    assert lazy is not None
    with pytest.raises(FrozenInstanceError):
        lazy.size = 3  # type: ignore[misc]
    with pytest.raises(AttributeError):
        _ = lazy.nothing  # type: ignore[attr-defined]
    assert replace(lazy, key="b").key == "b"
    assert replace(lazy, key="b").etag == lazy.etag
    again = pickle.loads(pickle.dumps(live_summary(make(), "k")))
    assert type(again) is ObjectSummary
    assert again.key == "k"


def test_markers_and_expired_objects_are_not_seen():
    assert live_summary(make(marker=True), "a") is None
    assert live_summary(make(expires=1), "a") is None
    assert live_summary(make(expires=2**62), "a") is not None


def test_a_damaged_header_is_told():
    raw = make()
    with pytest.raises(IntegrityError):
        live_summary(raw[:-1] + b"x", "a")
    assert len(raw) < HEAD_SIZE
