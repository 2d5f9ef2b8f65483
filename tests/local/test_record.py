from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.checksum import crc32c
from storage_core.errors import IntegrityError
from storage_core.model import Attributes
from storage_local.names import file_name, sort_key
from storage_local.record import (
    Record,
    describe,
    expiry,
    needs_key,
    new_id,
    pack,
    repack,
    to_datetime,
)
from storage_local.record_file import read_record, sort_key_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def make(data: bytes | None = b"apples", **changes):
    values: dict[str, Any] = {
        "identity": new_id(),
        "size": 6 if data is None else len(data),
        "crc": crc32c(data or b"apples"),
        "modified": 1_700_000_000_123_456_789,
        "order": 5,
        "data": data,
    }
    return pack(**(values | changes))


@given(
    st.binary(max_size=300) | st.none(),
    st.dictionaries(TEXT.filter(bool), TEXT, max_size=4),
    st.dictionaries(TEXT.filter(bool), TEXT, max_size=4),
    st.integers(0, 2**63),
)
def test_everything_comes_back(data, metadata, tags, order):
    attributes = Attributes("text/csv", cache_control="no-store", metadata=metadata, tags=tags)
    details = describe("k", attributes, checksums={"md5": "00"}, write_id="w")
    record = Record(make(data, details=details, order=order))
    info = record.info("k", versions=True)
    assert info.metadata == metadata
    assert record.tags == tags
    assert info.content_type == "text/csv"
    assert info.write_id == "w"
    assert info.checksums == {"crc32c": f"{record.crc:08x}", "md5": "00"}
    assert record.order == order
    assert record.inline == (data is not None)
    if data is not None:
        assert record.data == data
    else:
        assert record.data_name == record.id.hex()
    assert record.attributes() == attributes


@given(st.data())
def test_any_changed_bit_of_the_header_is_noticed(data):
    raw = bytearray(make(details={"content_type": "a/b"}))
    header = len(raw) - 6
    place = data.draw(st.integers(0, header - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(IntegrityError):
        Record(bytes(raw))


@given(st.binary(max_size=200))
def test_junk_is_damage(junk):
    with pytest.raises(IntegrityError):
        Record(junk)


def test_a_cut_header_is_damage():
    raw = make(None, details={"content_type": "a/b"})
    for size in range(len(raw)):
        with pytest.raises(IntegrityError):
            Record(raw[:size])


def test_a_header_that_claims_too_much_is_damage(tmp_path, dir_fd):
    raw = bytearray(make(b"x" * 2000))
    raw[8:12] = (2**31).to_bytes(4, "little")
    (tmp_path / "r!").write_bytes(raw)
    with pytest.raises(IntegrityError):
        read_record("r!", dir_fd)


def test_versions_descend_as_orders_ascend():
    orders = [0, 1, 2**32, 2**63, 2**64 - 1]
    versions = [Record(make(order=order)).version for order in orders]
    assert versions == sorted(versions, reverse=True)


def test_etag_differs_for_every_write_and_is_no_md5():
    one, other = Record(make()), Record(make())
    assert one.etag != other.etag
    assert "-" in one.etag
    assert Record(make(details={"etag": "abc"})).etag == "abc"


def test_live():
    assert Record(make()).live
    assert not Record(make(marker=True, data=None)).live
    assert not Record(make(expires=1)).live
    assert Record(make(expires=2**62)).live


def test_repack_changes_only_what_is_asked():
    record = Record(make(details={"content_type": "a/b"}))
    again = Record(repack(record, order=9))
    assert (again.order, again.id, again.data, again.details) == (
        9,
        record.id,
        record.data,
        record.details,
    )


def test_times():
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert to_datetime(expiry(moment)) == moment
    assert to_datetime(1_700_000_000_123_456_789).microsecond == 123456


def test_a_long_key_is_kept_and_found(dir_fd):
    key = "K" * 500
    assert needs_key(key)
    record = Record(make(details=describe(key, Attributes())))
    assert sort_key_of(file_name(sort_key(key)), record) == sort_key(key)
    version = sort_key(key, record.version)
    assert sort_key_of(file_name(version), record) == version
    assert sort_key_of(file_name(sort_key("L" * 500)), record) is None


def test_short_reads_are_completed(tmp_path, dir_fd):
    details = {"metadata": {"a": "x" * 3000}}
    (tmp_path / "r!").write_bytes(make(b"y" * 5000, details=details))
    found, whole = read_record("r!", dir_fd), read_record("r!", dir_fd, 2000)
    assert found is not None
    assert whole is not None
    assert found.details == details
    assert whole.data == b"y" * 5000
    assert read_record("none!", dir_fd) is None
