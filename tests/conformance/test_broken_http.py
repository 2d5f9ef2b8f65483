"""The cases of faults and memory fail on drivers that are broken there."""

import json
from pathlib import Path

import pytest

from storage_conformance.run import run
from storage_core.driver import Driver
from storage_s3.driver import S3Driver
from tests.conformance import broken_http
from tests.servers.base import Server

FAULTS = {
    broken_http.RetriesToo: ("P05", "P09"),
    broken_http.NothingPasses: ("P01",),
    broken_http.TrustsTheWire: ("P16",),
    broken_http.ForgetsWriteIds: ("P21", "P23"),
    broken_http.TakesExistsForDone: ("P22",),
}


def failed(driver: Driver, report: Path, *cases: str) -> set[str]:
    run(driver, report=report, face="blocking", cases=list(cases))
    found = json.loads(report.read_text())["cases"]
    return {case["id"] for case in found if case["outcome"] == "failed"}


@pytest.mark.parametrize("driver", FAULTS, ids=lambda driver: driver.__name__)
def test_the_fault_is_found(driver: type[S3Driver], moto: Server, tmp_path: Path):
    settings = {name: value for name, value in moto.profile.items() if name != "driver"}
    broken = driver(driver.settings_model()(**settings))
    assert failed(broken, tmp_path / "report.json", *FAULTS[driver]) == set(FAULTS[driver])


def test_a_driver_that_holds_whole_bodies_is_found(tmp_path: Path):
    settings = {"root": tmp_path / "data", "fsync": False}
    broken = broken_http.Hoards(broken_http.Hoards.settings_model()(**settings))
    assert failed(broken, tmp_path / "report.json", "T01", "T02") == {"T01"}
