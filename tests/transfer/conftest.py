"""What tests of transfers share: servers, and a state directory of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_core.transfer.memory import DEFAULT, MEMORY, set_max_memory
from tests.core.conftest import carrier, opened, portal  # noqa: F401 - found by their names
from tests.servers.fixtures import azurite, fake_gcs, moto  # noqa: F401 - found by their names


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of journals, which is not the user's."""
    monkeypatch.setenv("STORAGE_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state" / "transfers"


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """What a transfer reserves it gives back, however it ends. There is as much as at first,
    whatever earlier tests of the process have set."""
    set_max_memory(DEFAULT)
    yield
    used = MEMORY._used
    MEMORY.forget()
    assert not used
