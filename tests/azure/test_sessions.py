"""What a multipart session is made of."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from storage_azure.responses import Blob, Session
from storage_azure.sessions import (
    Sending,
    combined,
    is_upload_id,
    key_fields,
    part_name,
    session_name,
    session_of,
    sessions_prefix,
    split_session,
    stored_parts,
)
from storage_core.checksum import crc32c, digest
from storage_core.http.metadata import RESERVED

TOKEN = "0123456789abcdef" * 2
KEYS = st.text(min_size=1, max_size=30) | st.text("aé/", min_size=440, max_size=700)


@given(KEYS)
def test_a_session_tells_its_key_and_id(key: str) -> None:
    name = session_name(key, TOKEN)
    assert len(part_name(name, 10_000)) <= 1024
    assert name.isascii()
    assert name.startswith(sessions_prefix(key[:3]))
    assert session_of(part_name(name, 7)) == session_of(name) == name
    fields = {n.removeprefix(RESERVED): v for n, v in key_fields(key).items()}
    assert split_session(name, fields) == (key, TOKEN)


@given(KEYS, KEYS)
def test_sessions_sort_as_their_keys(one: str, other: str) -> None:
    if one.encode()[:448] == other.encode()[:448]:
        return
    names = session_name(one, TOKEN) < session_name(other, TOKEN)
    assert names == (one.encode() < other.encode())


def test_what_is_no_session() -> None:
    assert split_session("%storagecore/uploads/zz.x", {}) is None
    assert not is_upload_id(TOKEN.upper().replace("0", "F"))
    assert not is_upload_id("../" + TOKEN)
    assert is_upload_id(TOKEN)


def blob(number: int, second: int, fields: dict[str, str] | None = None, size: int = 3) -> Session:
    """A part that is a blob of its own."""
    moment = datetime.fromtimestamp(second, UTC)
    name = part_name(session_name("k", TOKEN), number)
    return Session(Blob(name, size, "0x1", moment), fields or {})


def test_the_part_that_was_sent_last_counts() -> None:
    first, last = Sending(1, 1_000_000, "aaaaaaaa"), Sending(1, 2_000_000, "bbbbbbbb")
    crc = digest("crc32c", b"abc").hex()
    blocks = {
        first.block(0, last=True, crc32c=crc): 3,
        last.block(0, last=False, crc32c=crc): 3,
        last.block(1, last=True, crc32c=crc): 3,
    }
    parts = stored_parts(blocks, [])
    assert [(p.number, p.size, p.etag) for p in parts.values()] == [(1, 6, last.etag)]
    assert parts[1].part().checksums == {"crc32c": digest("crc32c", b"abcabc").hex()}


def test_a_part_whose_sending_broke_off_does_not_count() -> None:
    whole, broken = Sending(1, 1, "aaaaaaaa"), Sending(1, 2, "bbbbbbbb")
    blocks = {
        whole.block(0, last=True, crc32c=None): 3,
        broken.block(0, last=False, crc32c=None): 9,
    }
    assert stored_parts(blocks, [])[1].etag == whole.etag
    gap = {broken.block(1, last=True, crc32c=None): 3}
    assert stored_parts(gap, []) == {}


def test_a_part_by_link_counts_from_its_second_on() -> None:
    sent = Sending(1, 5_300_000, "aaaaaaaa")
    blocks = {sent.block(0, last=True, crc32c=None): 3}
    assert stored_parts(blocks, [blob(1, 5)])[1].name
    assert not stored_parts(blocks, [blob(1, 4)])[1].name
    exact = blob(1, 5, {"time": "5200000"})
    assert not stored_parts(blocks, [exact])[1].name


def test_blocks_of_others_are_no_parts() -> None:
    assert stored_parts({"AAAA": 3, "%%": 1, "not base64": 2}, []) == {}


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6))
def test_the_digest_of_all_parts(bodies: list[bytes]) -> None:
    blocks = {}
    for number, body in enumerate(bodies, 1):
        crc = digest("crc32c", body).hex()
        blocks[Sending(number, 1, "aaaaaaaa").block(0, last=True, crc32c=crc)] = len(body)
    parts = stored_parts(blocks, [])
    assert combined(parts.values()) == f"{crc32c(b''.join(bodies)):08x}"
    unknown = Sending(99, 1, "aaaaaaaa").block(0, last=True, crc32c=None)
    assert combined(stored_parts({**blocks, unknown: 1}, []).values()) is None
