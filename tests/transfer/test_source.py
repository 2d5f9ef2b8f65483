"""Files that are sent: open as long as somebody may read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage_core.runtime.strands import Stopped
from storage_core.transfer.source import FileSource, open_source


def test_a_file_stays_open_until_the_last_that_sends_it_has_ended(tmp_path: Path) -> None:
    """A thread that was given up must not send of another file that got the number."""
    path = tmp_path / "pear"
    path.write_bytes(b"pear")
    source = open_source(path, 0)
    assert isinstance(source, FileSource)
    with source.borrowed(), source.borrowed():
        source.close()
        other = os.open("/dev/null", os.O_RDONLY)
        assert other != source.fd
        assert os.pread(source.fd, 4, 0) == b"pear"
        os.close(other)
        with pytest.raises(Stopped), source.borrowed():
            pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(source.fd)


def test_a_file_of_the_callers_stays_the_callers(tmp_path: Path) -> None:
    path = tmp_path / "pear"
    path.write_bytes(b"pear")
    with path.open("rb") as file:
        source = open_source(file, 0)
        assert isinstance(source, FileSource)
        with source.borrowed():
            source.close()
        assert file.tell() == 4
        assert os.pread(source.fd, 4, 0) == b"pear"
