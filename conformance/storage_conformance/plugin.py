"""The pytest plugin: runs the bodies of cases, or their probes, and reports the outcomes.

It is loaded wherever the distribution is installed, so it does nothing for tests that are
no cases, and imports the suite only when there are some.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pytest

from storage_conformance.cases import PARTS, Case, UnsupportedCase, case_of
from storage_conformance.report import (
    NEVER_WAIVED,
    UNKNOWN,
    Facts,
    Found,
    Outcome,
    Run,
    Waiver,
    WaiverError,
    load_waivers,
    write,
)

pytest.register_assert_rewrite(
    "storage_conformance.helpers", "storage_conformance.suite", "storage_conformance.watch"
)

UNSUPPORTED: Final = pytest.StashKey[str]()
PROFILE: Final = pytest.StashKey[Any]()
"""The profile of a run without a test module, a `ProfileSpec`."""
REPORT: Final = "conformance"
"""Attribute of a test report that carries an outcome, also between processes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run."""
    group = parser.getgroup("conformance", "storage conformance suite")
    group.addoption("--conformance-report", metavar="FILE", help="write outcomes as JSON")
    group.addoption(
        "--conformance-face",
        choices=("both", "blocking", "async", "turns"),
        help="face the cases run on; with turns each case runs on one of them (default: both, or"
        " turns for classes that say so)",
    )
    group.addoption(
        "--conformance-part",
        action="append",
        choices=PARTS,
        default=[],
        help="run only this part of the suite; may be given again",
    )
    group.addoption(
        "--conformance-case",
        action="append",
        metavar="ID",
        default=[],
        help="run only cases whose id begins so; may be given again",
    )
    group.addoption(
        "--conformance-large",
        type=int,
        metavar="MIB",
        default=128,
        help="size of the objects that must not fill the memory (default: 128)",
    )
    group.addoption("--conformance-server", metavar="TEXT", help="name and version of the service")
    group.addoption(
        "--conformance-waivers", metavar="FILE", help="TOML list of cases allowed to fail"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Get ready to collect outcomes."""
    try:
        collector = Collector(config)
    except WaiverError as error:
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(collector, "conformance-collector")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the cases that were not chosen."""
    chosen: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        case = case_of(getattr(item, "function", None))
        (chosen if case is None or _chosen(config, case, item) else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = chosen


def _chosen(config: pytest.Config, case: Case, item: pytest.Item) -> bool:
    parts = config.getoption("conformance_part")
    ids = tuple(config.getoption("conformance_case"))
    face = config.getoption("conformance_face")
    return (
        (not parts or case.part in parts)
        and (not ids or case.id.startswith(ids))
        and (face in (None, "both", "turns") or _face(item) == face)
    )


def _face(item: pytest.Item) -> str:
    return str(item.callspec.params["face"])  # type: ignore[attr-defined]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Before a case runs: if the profile lacks what it needs, hold the refusal instead."""
    case = case_of(pyfuncitem.function)
    if case is not None:
        reason = pyfuncitem.instance.unmet(case)
        if reason is not None:
            raise UnsupportedCase(reason)


class Collector:
    """Turns the results of tests into outcomes of cases, and these into reports."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.runs: dict[tuple[Any, ...], Run] = {}
        waivers = config.getoption("conformance_waivers")
        self._waivers = load_waivers(Path(waivers)) if waivers else {}
        self._of_class: dict[object, Mapping[tuple[str, str], Waiver]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        case = case_of(getattr(item, "function", None))
        error = None if call.excinfo is None else call.excinfo.value
        if case is None:
            return (yield)
        if isinstance(error, UnsupportedCase):
            item.stash[UNSUPPORTED] = error.reason
            call.excinfo = _skipped(f"unsupported: {error.reason}")
        report = yield
        facts = getattr(getattr(item, "instance", None), "facts", None)
        if facts is None:
            facts = dict.fromkeys(("profile", "driver", "server"), UNKNOWN)
            facts["face"] = _face(item)
            facts["layers"] = ()
        if report.when == "call" or report.failed or report.skipped:
            waiver = self._waiver(item, case, facts["server"])
            _judge(case, facts, report, item.stash.get(UNSUPPORTED, None), waiver)
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Read the waivers of the classes that have their own, and complain before a case runs."""
        cases = [item for item in items if case_of(getattr(item, "function", None)) is not None]
        for path in {_waivers_of(item) for item in cases} - {None}:
            from storage_conformance.suite import all_cases

            try:
                self._of_class[path] = load_waivers(Path(path), [case.id for case in all_cases()])
            except WaiverError as error:
                raise pytest.UsageError(str(error)) from error

    def _waiver(self, item: pytest.Item, case: Case, server: str) -> Waiver | None:
        own = self._of_class.get(_waivers_of(item), {})
        return own.get((case.id, server)) or self._waivers.get((case.id, server))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        noted = getattr(report, REPORT, None)
        if noted is None:
            return
        facts = noted["facts"]
        layers = tuple(facts["layers"])
        group = (report.nodeid.rpartition("::")[0], layers)
        run = self.runs.setdefault(group, Run())
        run.add(Facts(**{**facts, "layers": layers}), Found(**noted["found"]))

    def pytest_sessionfinish(self) -> None:
        path = self._config.getoption("conformance_report")
        if path and self.runs and not hasattr(self._config, "workerinput"):
            write(Path(path), self.runs.values())

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.runs:
            return
        terminalreporter.section("conformance")
        for run in self.runs.values():
            document, counts = run.document(), run.counts()
            outcomes = ", ".join(
                f"{counts[name]} {name}" for name in ("passed", "failed", "unsupported", "waived")
            )
            layers = "".join(f", layer {layer}" for layer in document["layers"])
            terminalreporter.line(
                f"{document['driver']} (profile {document['profile']}, face"
                f" {document['face']}{layers}): {len(document['cases'])} cases, {outcomes}"
            )
            for outcome in ("unsupported", "waived"):
                for reason, ids in _by_reason(document["cases"], outcome).items():
                    terminalreporter.line(f"  {outcome} {' '.join(ids)}: {reason}")


def _waivers_of(item: pytest.Item) -> Any:
    """Where the item's class has its waivers."""
    return getattr(getattr(item, "cls", None), "waivers", None)


def _by_reason(cases: list[dict[str, str]], outcome: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in cases:
        if row["outcome"] == outcome:
            found.setdefault(row["reason"], []).append(row["id"])
    return found


def _judge(
    case: Case,
    facts: dict[str, Any],
    report: pytest.TestReport,
    lacking: str | None,
    waiver: Waiver | None,
) -> None:
    """Note the outcome of a case in the report of its test."""
    outcome: Outcome = "failed" if report.failed else "passed"
    reason = _brief(report) if report.failed else ""
    if report.skipped:
        outcome = "unsupported"
        reason = lacking or _brief(report)
    elif waiver is not None:
        outcome, reason = _waived(case, facts, report, waiver, reason)
    found = Found(case.id, case.rule, outcome, reason)
    setattr(report, REPORT, {"facts": facts, "found": asdict(found)})


def _skipped(reason: str) -> pytest.ExceptionInfo[BaseException]:
    try:
        pytest.skip(reason)
    except pytest.skip.Exception as error:
        return pytest.ExceptionInfo.from_exception(error)


def _waived(
    case: Case, facts: dict[str, Any], report: pytest.TestReport, waiver: Waiver, reason: str
) -> tuple[Outcome, str]:
    """Judge a case that is allowed to fail."""
    if facts["driver"] in NEVER_WAIVED:
        text = f"no case is ever waived on the driver {facts['driver']!r}; remove the waiver"
    elif report.failed:
        report.outcome = "skipped"
        report.wasxfail = waiver.reason
        return "waived", f"{waiver.reason} ({reason})" if reason else waiver.reason
    else:
        text = f"{case.id} is waived on {waiver.server!r} but passes; remove the waiver"
    report.outcome = "failed"
    report.longrepr = text
    return "failed", text


def _brief(report: pytest.TestReport) -> str:
    """The last line of what went wrong."""
    text = report.longrepr
    if isinstance(text, tuple):
        return str(text[2])
    crash = getattr(text, "reprcrash", None)
    if crash is not None:
        return str(crash.message).partition("\n")[0]
    return (str(text).strip().splitlines() or ["?"])[-1]
