"""The run without a test module: report, progress, exit status, selection and waivers."""

import json
from pathlib import Path

import pytest

import storage_conformance
import storage_core
from storage_conformance.broken import GuessesTypes
from storage_conformance.memory_settings import MemorySettings
from storage_conformance.report import plain
from storage_conformance.run import run
from storage_core import ConfigError

MEMORY = {"driver": "memory", "name": "run"}


class Elsewhere(GuessesTypes):
    """A broken driver on which cases may be waived: it is neither memory nor local."""

    name = "elsewhere"


def broken() -> Elsewhere:
    return Elsewhere(MemorySettings(name="run-broken"))


def waivers(place: Path, *entries: tuple[str, str, str]) -> Path:
    path = place / "waivers.toml"
    path.write_text(
        "".join(
            f"[[waiver]]\ncase = {json.dumps(case)}\nserver = {json.dumps(server)}\n"
            f"reason = {json.dumps(reason)}\n"
            for case, server, reason in entries
        )
    )
    return path


def read(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def outcome(path: Path, case: str) -> dict:
    (found,) = (row for row in read(path)["cases"] if row["id"] == case)
    return found


def test_report_of_a_run_that_passes(tmp_path: Path, capsys):
    report = tmp_path / "report.json"
    assert run(MEMORY, report=report, cases=["D0"]) == 0
    document = read(report)
    rows = document.pop("cases")
    with storage_core.open(config=MEMORY) as storage:
        assert document.pop("capabilities") == plain(storage.capabilities)
    number = {"failed": 0, "waived": 0, "unsupported": 0, "passed": 9}
    assert document == {
        "counts": {"async": number, "blocking": number},
        "schema": 1,
        "suite_version": storage_conformance.SUITE_VERSION,
        "profile": "memory",
        "driver": "memory",
        "server": "memory 'run'",
        "face": "both",
        "layers": [],
    }
    assert [row["id"] for row in rows] == [f"D0{number}" for number in range(1, 10)]
    assert rows[0] == {
        "id": "D01", "rule": "head tells key and size", "outcome": "passed", "reason": ""
    }  # fmt: skip
    assert "9 cases, 9 passed, 0 failed, 0 unsupported, 0 waived" in capsys.readouterr().out


def test_a_failure_is_reported_with_its_reason(tmp_path: Path):
    report = tmp_path / "report.json"
    assert run(broken(), report=report, cases=["D0"], face="async") == 1
    assert read(report)["face"] == "async"
    found = outcome(report, "D08")
    assert found["outcome"] == "failed"
    assert "content types" in found["reason"]
    assert outcome(report, "D01")["outcome"] == "passed"


def test_what_is_not_declared_is_unsupported_and_does_not_fail(tmp_path: Path):
    report = tmp_path / "report.json"
    assert run(MEMORY, report=report, parts=["versions"]) == 0
    rows = read(report)["cases"]
    assert len(rows) > 10
    assert {row["outcome"] for row in rows} == {"unsupported"}
    reasons = {row["reason"] for row in rows}
    assert reasons == {"not declared: versions", "not declared: delete markers"}


def test_layers_are_put_around_the_driver_and_told(tmp_path: Path):
    report = tmp_path / "report.json"
    assert run(MEMORY, report=report, layers=["prefix"], cases=["A0", "G0"]) == 0
    assert read(report)["layers"] == ["prefix"]


def test_parts_and_cases_select(tmp_path: Path):
    report = tmp_path / "report.json"
    assert run(MEMORY, report=report, parts=["tags"], face="blocking") == 0
    letters = {row["id"][0] for row in read(report)["cases"]}
    assert letters == {"N"}


def test_a_run_without_cases_does_not_pass():
    assert run(MEMORY, parts=["tags"], cases=["A01"]) == 1


@pytest.mark.parametrize(
    "arguments", [{"parts": ["everything"]}, {"layers": ["marble"]}, {"profile": "no-such"}]
)
def test_unknown_arguments_are_refused(arguments: dict):
    with pytest.raises(ConfigError):
        run(arguments.pop("profile", MEMORY), **arguments)


def test_a_waived_failure_is_counted_and_does_not_fail(tmp_path: Path, capsys):
    report = tmp_path / "report.json"
    path = waivers(tmp_path, ("D08", "server 1.2", "guesses types; reported"))
    assert run(broken(), report=report, cases=["D0"], server="server 1.2", waivers=path) == 0
    found = outcome(report, "D08")
    assert found["outcome"] == "waived"
    assert found["reason"].startswith("guesses types; reported")
    assert read(report)["server"] == "server 1.2"
    text = capsys.readouterr().out
    assert "1 waived" in text
    assert "waived D08: guesses types" in text


def test_a_waiver_is_for_one_version_of_the_server(tmp_path: Path):
    path = waivers(tmp_path, ("D08", "server 1.2", "guesses types"))
    assert run(broken(), cases=["D08"], server="server 1.3", waivers=path) == 1


def test_a_waived_case_that_passes_fails_the_run(tmp_path: Path):
    report = tmp_path / "report.json"
    path = waivers(tmp_path, ("D01", "server 1.2", "was broken once"))
    assert run(broken(), report=report, cases=["D01"], server="server 1.2", waivers=path) == 1
    assert "passes" in outcome(report, "D01")["reason"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (("Z99", "server 1.2", "reason"), "Z99"),
        (("D08", "server 1.2", ""), "reason"),
        (("D08", "", "reason"), "server"),
    ],
)
def test_a_malformed_waiver_is_refused(tmp_path: Path, entry, words: str):
    with pytest.raises(ConfigError, match=words):
        run(broken(), waivers=waivers(tmp_path, entry))


def test_nothing_is_waived_on_memory(tmp_path: Path):
    path = waivers(tmp_path, ("D08", "memory 'run'", "reason"))
    with pytest.raises(ConfigError, match="ever waived"):
        run(MEMORY, waivers=path)
