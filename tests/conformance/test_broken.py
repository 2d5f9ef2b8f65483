"""The suite fails on drivers that are broken, in the category of the fault."""

import json
from pathlib import Path

import pytest

from storage_conformance.cases import CATEGORIES
from storage_conformance.faults import FAULTS, Fault
from storage_conformance.run import run


def outcomes(report: Path) -> dict[str, str]:
    return {case["id"]: case["outcome"] for case in json.loads(report.read_text())["cases"]}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.driver.__name__)
def test_the_fault_is_found(fault: Fault, tmp_path: Path):
    report = tmp_path / "report.json"
    assert run(fault.make(), report=report, face="blocking", cases=[fault.category]) == 1
    found = outcomes(report)
    missed = [case for case in fault.cases if found.get(case) != "failed"]
    assert not missed, f"{fault.driver.__name__} passed {missed}"


def test_the_fault_is_found_on_the_async_face(tmp_path: Path):
    (fault,) = (fault for fault in FAULTS if fault.driver.__name__ == "OneByteTooMany")
    report = tmp_path / "report.json"
    assert run(fault.make(), report=report, face="async", cases=["C"]) == 1
    assert json.loads(report.read_text())["face"] == "async"
    assert all(outcomes(report)[case] == "failed" for case in fault.cases)


def test_every_category_has_a_fault():
    # Those of P and T show with a service, and in memory: test_broken_http.py.
    assert {fault.category for fault in FAULTS} == set(CATEGORIES) - {"P", "T"}
