"""The published matrix: reports of the suite become docs/matrix.json, and that docs/matrix.md
and the tables of README.md.

    python -m tests.conformance.matrix reports/conformance.json   # take over the reports of a run
    python -m tests.conformance.matrix                            # write the pages anew
"""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from storage_conformance import SUITE_VERSION
from storage_conformance.cases import CATEGORIES, Case, Need
from storage_conformance.report import load_waivers
from storage_conformance.suite import all_cases
from storage_core.model import Capabilities
from tests.conformance.on_server import WAIVERS
from tests.servers import UNCHECKED

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "matrix.json"
PAGE = ROOT / "docs" / "matrix.md"
README = ROOT / "README.md"

STRICT = "strict-gcs"
DRIVERS = ("local", "memory", "s3", "azure", "gcs", "fsspec")
"""In the order of the tables."""
OUTCOMES = ("passed", "failed", "unsupported", "waived")
FACES = ("blocking", "async")


@dataclass(frozen=True)
class Run:
    """Outcomes of the suite on one profile.

    Attributes:
        outcomes: Outcome to the ids of its cases.
        reasons: Id to the reason of cases that are waived.
    """

    driver: str
    server: str
    layers: Sequence[str]
    capabilities: Mapping[str, Any]
    counts: Mapping[str, Mapping[str, int]]
    outcomes: Mapping[str, Sequence[str]]
    reasons: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Run:
        """That of a report."""
        rows, server = report["cases"], _without_place(report["server"])
        waivers = {
            key: one for path in WAIVERS.glob("*.toml") for key, one in load_waivers(path).items()
        }
        return cls(
            report["driver"],
            server,
            report["layers"],
            report["capabilities"],
            report["counts"],
            {name: [r["id"] for r in rows if r["outcome"] == name] for name in OUTCOMES},
            {r["id"]: waivers[r["id"], server].reason for r in rows if r["outcome"] == "waived"},
        )

    @property
    def key(self) -> str:
        """What it was run on, in one word; two runs of one key are the same run."""
        name = re.sub(r"[^a-z0-9]+", "-", f"{self.driver}-{self.server_name}".lower())
        layered = "".join(f"-{layer}" for layer in self.layers)
        return f"{name}{layered}{'-versions' if self.capabilities['versions'] else ''}"

    @property
    def server_name(self) -> str:
        """The server without its version."""
        return re.sub(r" [0-9][0-9.]*$", "", self.server)

    @property
    def title(self) -> str:
        """How it is called in tables."""
        also = ["versions"] if self.capabilities["versions"] else []
        also += [f"{layer} layer" for layer in self.layers]
        name = "in process" if self.server == self.driver else self.server
        return name + (f" ({', '.join(also)})" if also else "")

    @property
    def declared(self) -> Capabilities:
        """The capabilities as cases see them."""
        conditions = self.capabilities["conditions"]
        return Capabilities().overridden(
            {**self.capabilities, "conditions": {k: frozenset(v) for k, v in conditions.items()}}
        )

    def outcome(self, case: str) -> str | None:
        """Outcome of a case; None if it did not run."""
        return next((name for name in OUTCOMES if case in self.outcomes[name]), None)


def _without_place(server: str) -> str:
    """What a driver without a server says of itself tells where its data lie: leave that out."""
    return " ".join(word for word in server.split() if not word.startswith(("/", "'")))


# --- reading and keeping --------------------------------------------------------------


def load(path: Path = DATA) -> list[Run]:
    """The runs that are kept."""
    document = json.loads(path.read_text("utf-8"))
    return [
        Run(**{**row, "outcomes": {k: v.split() for k, v in row["outcomes"].items()}})
        for row in document["runs"]
    ]


def save(runs: Iterable[Run], path: Path = DATA) -> None:
    """Keep runs: one line for the cases of an outcome."""
    order = sorted(runs, key=lambda run: (DRIVERS.index(run.driver), run.server, run.title))
    rows = [
        {**asdict(run), "outcomes": {k: " ".join(v) for k, v in run.outcomes.items()}}
        for run in order
    ]
    document = {"suite_version": SUITE_VERSION, "runs": rows}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def incomplete(runs: Sequence[Run]) -> list[str]:
    """What is wrong with runs that are to be published."""
    known = {case.id for case in all_cases()}
    wrong = []
    for run in runs:
        ran = {case for ids in run.outcomes.values() for case in ids}
        if ran != known:
            wrong.append(f"{run.key}: not these cases: {' '.join(sorted(known ^ ran))}")
        if set(run.counts) != set(FACES):
            wrong.append(f"{run.key}: only the {' and '.join(run.counts)} face")
        if run.outcomes["failed"]:
            wrong.append(f"{run.key}: failed: {' '.join(run.outcomes['failed'])}")
    return wrong


# --- the page -------------------------------------------------------------------------


INTRODUCTION = """\
# What was tested on what

Made by `make conformance` out of the reports of the [conformance suite](conformance.md), \
{cases} cases; a test holds it against the cases and the capabilities of today. *Unsupported* \
means: not declared, and the call was refused with nothing sent. *Waived* means: the server is \
at fault, see [below](#waivers). OpenStack Swift is run by `make test-full` and is not in these \
tables.

## Runs

{runs}

## Features

"yes": declared, and every case that needs it passes; with a number, as many of these are waived. \
"no": not declared, so refused. What is declared depends on the driver's settings for the server, \
its `preset` or `capabilities`.

{features}

## Cases by category

Cases that passed; after a plus those that are waived. *In italics* where the server does not \
check what the category is about, so that passing there proves little.

{categories}

## What the servers do not check

{unchecked}

## What rests on the strict double of GCS alone

No server one can install checks what Google does, so `{strict}` is a double written from its \
public pages, in [tests/servers/gcs_gate](../tests/servers/gcs_gate). It is the only witness for \
these features of the `gcs` driver:

{resting}

## Waivers

{waivers}
"""


def page(runs: Sequence[Run]) -> str:
    """docs/matrix.md."""
    cases = all_cases()
    rows = (
        [f"`{run.driver}`", run.title, face, *(str(number[outcome]) for outcome in OUTCOMES)]
        for run in runs
        for face, number in sorted(run.counts.items(), reverse=True)
    )
    return INTRODUCTION.format(
        cases=len(cases),
        runs=_table(["Driver", "Server", "Face", *OUTCOMES], rows),
        features=_features(runs, cases),
        categories=_categories(runs, cases),
        unchecked=_unchecked(runs),
        strict=STRICT,
        resting=_resting(runs, cases),
        waivers=_waivers(runs, cases),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _columns(runs: Sequence[Run]) -> dict[tuple[str, str], list[Run]]:
    """Runs by driver and server: those with layers and versions count as well."""
    columns: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        columns.setdefault((run.driver, run.server), []).append(run)
    return columns


def _heads(columns: Iterable[tuple[str, str]]) -> list[str]:
    return [
        f"`{driver}`" + ("" if server == driver else f", {server}") for driver, server in columns
    ]


def _needs(cases: Iterable[Case]) -> dict[str, tuple[Need, list[str]]]:
    """Everything a profile may lack, by name, with the cases that need it."""
    found: dict[str, tuple[Need, list[str]]] = {}
    for case in cases:
        for need in case.needs:
            found.setdefault(need.name, (need, []))[1].append(case.id)
    return dict(sorted(found.items(), key=lambda item: item[1][1][0]))


def _feature(runs: Iterable[Run], need: Need, cases: Iterable[str]) -> str:
    declaring = [run for run in runs if need.predicate(run.declared)]
    if not declaring:
        return "no"
    found = Counter(run.outcome(case) for run in declaring for case in cases)
    if found["failed"]:
        return f"{found['failed']} failed"
    return f"yes, {found['waived']} waived" if found["waived"] else "yes"


def _features(runs: Sequence[Run], cases: Sequence[Case]) -> str:
    columns = _columns(runs)
    return _table(
        ["", *_heads(columns)],
        (
            [name, *(_feature(column, need, ids) for column in columns.values())]
            for name, (need, ids) in _needs(cases).items()
        ),
    )


def _categories(runs: Sequence[Run], cases: Sequence[Case]) -> str:
    columns = _columns(runs)

    def cell(column: Sequence[Run], letter: str) -> str:
        ids = [case.id for case in cases if case.category == letter]
        found = [{run.outcome(case) for run in column} for case in ids]
        passed = sum("passed" in outcomes and "waived" not in outcomes for outcomes in found)
        waived = sum("waived" in outcomes for outcomes in found)
        text = f"{passed}+{waived}" if waived else str(passed)
        unchecked = UNCHECKED.get(column[0].server_name, {})
        return f"*{text}*" if letter in unchecked and passed else text

    return _table(
        ["", "Category", "Cases", *_heads(columns)],
        (
            [letter, name, str(sum(case.category == letter for case in cases))]
            + [cell(column, letter) for column in columns.values()]
            for letter, name in CATEGORIES.items()
        ),
    )


def _unchecked(runs: Sequence[Run]) -> str:
    lines = []
    for server in dict.fromkeys(run.server for run in runs):
        found = UNCHECKED.get(re.sub(r" [0-9][0-9.]*$", "", server))
        if found is not None:
            texts = [f"{text} ({letter})" for letter, text in found.items()] or [
                "nothing that is known"
            ]
            lines.append(f"- **{server}**: {'; '.join(texts)}.")
    return "\n".join(lines)


def _resting(runs: Sequence[Run], cases: Sequence[Case]) -> str:
    """Features the strict double passes, and no other server of the driver."""
    strict = [run for run in runs if run.server_name == STRICT]
    others = [run for run in runs if run.driver == "gcs" and run.server_name != STRICT]
    names = []
    for name, (need, ids) in _needs(cases).items():
        if _feature(strict, need, ids) == "yes" != _feature(others, need, ids):
            names.append(name)
    blind = {letter for run in others for letter in UNCHECKED.get(run.server_name, {})}
    names += [f"category {letter}, {CATEGORIES[letter]}" for letter in sorted(blind)]
    return "\n".join(f"- {name}" for name in names) or "None."


def _waivers(runs: Sequence[Run], cases: Sequence[Case]) -> str:
    rules = {case.id: case.rule for case in cases}
    found: dict[tuple[str, str], str] = {}
    for run in runs:
        for case in run.outcomes["waived"]:
            found.setdefault((run.server, case), run.reasons[case])
    rows = (
        [server, case, _cell(rules[case]), _cell(reason)]
        for (server, case), reason in sorted(found.items())
    )
    return _table(["Server", "Case", "Rule", "Reason"], rows) if found else "None."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# --- README ---------------------------------------------------------------------------


def readme_table(runs: Sequence[Run]) -> str:
    """Capabilities of the drivers, and on what they passed how many cases."""
    capabilities = runpy.run_path(str(ROOT / "examples" / "capabilities.py"))["table"]()
    columns = _columns([run for run in runs if not run.layers])
    rows = []
    for (driver, _), (run, *_) in columns.items():
        number = {outcome: str(len(run.outcomes[outcome])) for outcome in OUTCOMES}
        rows.append([f"`{driver}`", run.title, *(number[outcome] for outcome in OUTCOMES)])
    return f"{capabilities}\n\n{_table(['Driver', 'Server', *OUTCOMES], rows)}"


BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"


def with_table(text: str, table: str) -> str:
    """A page with the table between the markers.

    Raises:
        ValueError: it has no markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


# --- the command ----------------------------------------------------------------------


def _reports(paths: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    for path in paths:
        content = json.loads(Path(path).read_text("utf-8"))
        yield from content if isinstance(content, list) else [content]


def main(arguments: Sequence[str]) -> int:
    """Take over reports, if any are named, and write the pages."""
    if arguments:
        runs = [Run.of(report) for report in _reports(arguments)]
        before = load() if DATA.exists() else []
        problems = incomplete(runs)
        problems += [f"{key}: not run" for key in _keys(before) if key not in _keys(runs)]
        if problems:
            print("the published matrix stays as it is:", *problems, sep="\n  ")
            return 1
        save(runs)
    runs = load()
    PAGE.write_text(page(runs), "utf-8")
    README.write_text(with_table(README.read_text("utf-8"), readme_table(runs)), "utf-8")
    return 0


def _keys(runs: Iterable[Run]) -> set[str]:
    return {run.key for run in runs}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
