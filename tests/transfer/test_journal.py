"""Journals: what they keep, and what they do not believe."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from storage_core.transfer.journal import Journal, journals, point_to

HEADER = {"kind": "download", "etag": "one", "size": 30, "source": "there", "target": "here"}


def opened(place: Path, header: dict[str, object] = HEADER) -> Journal:
    journal = Journal.open(place, header)
    assert journal is not None
    return journal


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A journal with two parts whose process is gone."""
    place = tmp_path / ".file.storage-part.journal"
    journal = opened(place)
    assert not journal.parts
    assert not journal.header
    journal.begin({**HEADER, "upload_id": "7"})
    journal.add(2, {"size": 10, "crc32c": "00000002"})
    journal.add(1, {"size": 10, "crc32c": "00000001"})
    journal.close()
    return place


def test_the_same_transfer_goes_on_with_what_is_there(place: Path) -> None:
    journal = opened(place)
    assert {number: part["crc32c"] for number, part in journal.parts.items()} == {
        1: "00000001",
        2: "00000002",
    }
    assert journal.header["upload_id"] == "7"
    assert journal.stale is None
    journal.add(3, {"size": 10})
    journal.close()
    again = opened(place)
    assert sorted(again.parts) == [1, 2, 3]
    again.remove()
    assert not place.exists()


def test_another_transfer_starts_anew_and_knows_of_the_old_one(place: Path) -> None:
    journal = opened(place, {**HEADER, "etag": "two"})
    assert not journal.parts
    assert journal.stale is not None
    assert journal.stale["upload_id"] == "7"
    journal.begin({**HEADER, "etag": "two"})
    journal.close()
    assert not opened(place, {**HEADER, "etag": "two"}).parts


def test_a_torn_line_does_not_count_and_does_not_spoil_the_next(place: Path) -> None:
    whole = place.read_bytes()
    place.write_bytes(whole + b'{"part":3,"si')
    journal = opened(place)
    assert sorted(journal.parts) == [1, 2]
    journal.add(4, {"size": 10})
    journal.close()
    assert sorted(opened(place).parts) == [1, 2, 4]


@pytest.mark.parametrize(
    ("spoiled", "left"),
    [
        (b"", []),
        (b"\0" * 200, []),
        (b"[1, 2]\n{}\n", []),
        (b'{"journal": 99, "kind": "download"}\n', []),
        (b"\xff\xfe\n", []),
    ],
)
def test_a_spoiled_journal_is_none(place: Path, spoiled: bytes, left: list[int]) -> None:
    place.write_bytes(spoiled)
    assert sorted(opened(place).parts) == left


def test_spoiled_lines_are_left_out(place: Path) -> None:
    lines = place.read_bytes().splitlines(keepends=True)
    place.write_bytes(lines[0] + b"\x00garbage\n" + b'{"part":"x"}\n[]\n' + lines[2])
    assert sorted(opened(place).parts) == [1]


def test_one_process_at_a_time(place: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from storage_core.transfer.journal import Journal\n"
        "print(Journal.open(Path(sys.argv[1]), {}) is None)"
    )
    ask = [sys.executable, "-c", code, str(place)]
    with_lock = opened(place)
    assert subprocess.check_output(ask, text=True).strip() == "True"
    assert Journal.open(place, HEADER) is None
    with_lock.close()
    assert subprocess.check_output(ask, text=True).strip() == "False"


def test_a_journal_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "precious"
    other.write_text("text")
    place = tmp_path / "link.journal"
    place.symlink_to(other)
    with pytest.raises(OSError, match="symbolic"):
        Journal.open(place, HEADER)
    assert other.read_text() == "text"


def test_journals_tells_of_all_and_removes_them(place: Path, state: Path) -> None:
    point_to(place)
    partial = place.with_name(".file.storage-part")
    partial.write_bytes(b"bytes")
    gone = place.with_name("gone.journal")
    point_to(gone)
    upload = state / "up.journal"
    journal = opened(upload, {"kind": "upload"})
    journal.begin({"kind": "upload", "source": "file", "target": "there"})
    (state / "spoiled.journal").write_bytes(json.dumps({"journal": 1}).encode())

    found = {item.kind: item for item in journals()}
    assert len(list(state.glob("*.pointer"))) == 1, "that to a journal that is gone goes too"
    assert found.keys() == {"upload", "download"}
    download = found["download"]
    assert (download.source, download.target) == ("there", "here")
    assert (download.size, download.done) == (30, 20)
    assert download.partial == partial
    assert download.started is not None
    assert not download.in_use
    assert download.header["upload_id"] == "7"
    assert found["upload"].in_use
    assert not found["upload"].remove()
    assert upload.exists()

    assert download.remove()
    assert download.remove(), "it is gone, which was to be"
    journal.close()
    assert found["upload"].remove()
    assert not journals()
    assert not partial.exists()
    assert [path.name for path in state.iterdir()] == ["spoiled.journal"]
