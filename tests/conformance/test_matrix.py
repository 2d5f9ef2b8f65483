"""The published matrix is made of the data that is kept, and these fit the code of today."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_conformance.report import load_waivers, plain
from tests.conformance import matrix
from tests.conformance.on_server import LAYERED, WAIVERS
from tests.servers import UNCHECKED, Server, azurite, fake_gcs, moto, radosgw, swift

RUNS = {run.key: run for run in matrix.load()} if matrix.DATA.exists() else {}
NOWHERE = "http://127.0.0.1:9"
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "azurite": azurite.profiles(f"{NOWHERE}/{azurite.ACCOUNT}")["default"],
    "fake-gcs-server": fake_gcs.profiles(NOWHERE)["default"],
    "moto": moto.profiles(NOWHERE)["default"],
    "radosgw": radosgw.profiles(NOWHERE)["default"],
}
"""Of the servers whose profiles are known before they run."""


def test_every_server_was_run():
    # Swift is for `make test-full` alone.
    assert {run.server_name for run in RUNS.values()} >= set(UNCHECKED) - {swift.NAME}
    assert {run.driver for run in RUNS.values()} >= {"local", "memory", "s3", "azure", "gcs"}


def test_every_run_has_all_cases_on_both_faces_and_none_failed():
    assert matrix.incomplete(list(RUNS.values())) == []


def test_an_incomplete_run_is_not_published(tmp_path: Path):
    (run, *_) = RUNS.values()
    outcomes = {**run.outcomes, "passed": run.outcomes["passed"][1:], "failed": ["A02"]}
    broken = matrix.Run(**{**vars(run), "outcomes": outcomes, "counts": {"async": {}}})
    found = matrix.incomplete([broken])
    assert [problem.split(": ")[1] for problem in found] == [
        "not these cases",
        "only the async face",
        "failed",
    ]


@pytest.mark.parametrize("key", RUNS)
def test_capabilities_are_those_of_today(key: str, request: pytest.FixtureRequest):
    run = RUNS[key]
    if run.server_name == matrix.STRICT:
        server: Server = request.getfixturevalue("strict_gcs")
        profile = server.profile
    elif run.server_name in PROFILES:
        profile = PROFILES[run.server_name]
    else:
        return  # in process: its own tests run the whole suite each time
    with storage_core.open(config={**profile, **(LAYERED if run.layers else {})}) as storage:
        assert plain(storage.capabilities) == run.capabilities


def test_every_waiver_is_used_and_nothing_else_is_waived():
    waived = {(case, run.server) for run in RUNS.values() for case in run.outcomes["waived"]}
    lists = [path for path in WAIVERS.glob("*.toml") if path.stem != swift.NAME]
    allowed = {key for path in lists for key in load_waivers(path)}
    assert waived == allowed


def test_the_data_come_back(tmp_path: Path):
    matrix.save(RUNS.values(), tmp_path / "matrix.json")
    assert (tmp_path / "matrix.json").read_text("utf-8") == matrix.DATA.read_text("utf-8")


def test_the_pages_are_made_of_the_data():
    runs = list(RUNS.values())
    assert matrix.PAGE.read_text("utf-8") == matrix.page(runs), "python -m tests.conformance.matrix"
    readme = matrix.README.read_text("utf-8")
    assert readme == matrix.with_table(readme, matrix.readme_table(runs))


def test_a_page_without_markers_is_refused():
    with pytest.raises(ValueError, match="matrix: begin"):
        matrix.with_table("no markers", "table")
