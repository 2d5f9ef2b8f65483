"""What services answer about parts and objects is held against what was sent."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage_core import IntegrityError, ObjectChangedError
from tests.core.conftest import Opener
from tests.core.drivers import Scripted
from tests.transfer.uploads import DATA, ONE_BY_ONE, by_path, clean, small_pieces


@pytest.fixture
def pear(tmp_path: Path) -> Path:
    path = tmp_path / "pear"
    path.write_bytes(DATA)
    return path


class Answering(Scripted):
    """Something befalls the answers to one method."""

    def __init__(self, name: str, change: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self._name, self._change = name, change

    async def _played(self, name: str, request: Any) -> Any:
        answer = await super()._played(name, request)
        return self._change(request, answer) if name == self._name else answer


def other_bytes(_: Any, answer: Any) -> Any:
    return replace(answer, checksums={"crc32c": "01234567"})


@pytest.mark.parametrize("source", [by_path, small_pieces])
@pytest.mark.parametrize(
    ("method", "text"),
    [("put_part", "part 1 was stored with other bytes"), ("complete_upload", "delete it")],
)
@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_what_the_service_says_of_the_bytes_is_held_against_them(
    opened: Opener, pear: Path, method: str, text: str, source: Callable[[Path], Any]
) -> None:
    bucket = opened(Answering(method, other_bytes)).create_bucket("fruit")
    with pytest.raises(IntegrityError, match=text):
        bucket.upload_file(source(pear), "pear", options=ONE_BY_ONE)
    assert clean(bucket)


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
def test_a_file_that_changes_after_its_last_part_is_not_published(
    opened: Opener, pear: Path
) -> None:
    def late(request: Any, answer: Any) -> Any:
        if request.number == 6:
            os.utime(pear, ns=(1, 1))
        return answer

    bucket = opened(Answering("put_part", late)).create_bucket("fruit")
    with pytest.raises(ObjectChangedError, match=str(pear)):
        bucket.upload_file(pear, "pear", options=ONE_BY_ONE)
    assert not bucket.exists("pear")
    assert clean(bucket)
