"""Outcomes of a run, the reports made of them, and the waivers they are held against."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from storage_conformance import SUITE_VERSION

if TYPE_CHECKING:
    from storage_core.model import Capabilities

Outcome: TypeAlias = Literal["passed", "failed", "unsupported", "waived"]

SCHEMA: Final = 1
NEVER_WAIVED: Final = frozenset(("local", "memory"))
"""Drivers that have to pass every case."""

UNKNOWN: Final = "?"
"""Stands for what a case that could not even begin does not tell."""

# Of the outcomes of one case on two faces, the first of these is that of the case.
_WEIGHT: Final[tuple[Outcome, ...]] = ("failed", "waived", "unsupported", "passed")


@dataclass(frozen=True, slots=True)
class Facts:
    """What outcomes were found on."""

    profile: str
    driver: str
    server: str
    face: str
    layers: tuple[str, ...]
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    """What the driver declares, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Found:
    """Outcome of one case on one face."""

    id: str
    rule: str
    outcome: Outcome
    reason: str = ""


@dataclass
class Run:
    """Outcomes of all cases on one profile."""

    facts: dict[str, Facts] = field(default_factory=dict)
    """By face."""
    found: dict[str, dict[str, Found]] = field(default_factory=dict)
    """By case id and face."""

    def add(self, facts: Facts, found: Found) -> None:
        """Take in an outcome; of two for the same case and face the worse one stays."""
        known = self.facts.get(facts.face)
        if known is None or known.driver == UNKNOWN:
            self.facts[facts.face] = facts
        by_face = self.found.setdefault(found.id, {})
        before = by_face.get(facts.face)
        if before is None or _WEIGHT.index(found.outcome) < _WEIGHT.index(before.outcome):
            by_face[facts.face] = found

    def cases(self) -> list[dict[str, str]]:
        """One entry per case, by id. On two faces the worse outcome counts, and the reason
        names the face."""
        rows = []
        for case_id in sorted(self.found):
            by_face = self.found[case_id]
            worst = min(by_face.values(), key=lambda found: _WEIGHT.index(found.outcome))
            reasons = {face: f.reason for face, f in by_face.items() if f.outcome == worst.outcome}
            texts = set(reasons.values())
            reason = texts.pop() if len(texts) == 1 else ""
            if texts or (reason and len(reasons) < len(self.facts)):
                reason = "; ".join(f"{face}: {text}" for face, text in reasons.items())
            rows.append(
                {"id": case_id, "rule": worst.rule, "outcome": worst.outcome, "reason": reason}
            )
        return rows

    def document(self) -> dict[str, Any]:
        """The report, ready for JSON."""
        first = min(self.facts.values(), key=lambda facts: facts.driver == UNKNOWN)
        return {
            "schema": SCHEMA,
            "suite_version": SUITE_VERSION,
            "profile": first.profile,
            "driver": first.driver,
            "server": first.server,
            "face": "both" if len(self.facts) > 1 else first.face,
            "layers": list(first.layers),
            "capabilities": dict(first.capabilities),
            "counts": {face: self.counts_on(face) for face in sorted(self.facts)},
            "cases": self.cases(),
        }

    def counts_on(self, face: str) -> dict[str, int]:
        """Number of cases by outcome on one face, the worst outcome first."""
        found = Counter(on[face].outcome for on in self.found.values() if face in on)
        return {outcome: found[outcome] for outcome in _WEIGHT}

    def counts(self) -> Counter[str]:
        """Number of cases by outcome."""
        return Counter(row["outcome"] for row in self.cases())


def plain(capabilities: Capabilities) -> dict[str, Any]:
    """Capabilities as JSON has them: sets are sorted lists."""
    return {field.name: _plain(getattr(capabilities, field.name)) for field in fields(capabilities)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(value[name]) for name in sorted(value)}
    return sorted(value) if isinstance(value, frozenset) else value


def write(path: Path, runs: Iterable[Run]) -> None:
    """Write the report of a run; those of several as an array."""
    documents = [run.document() for run in runs]
    content = documents[0] if len(documents) == 1 else documents
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


# --- waivers --------------------------------------------------------------------------


class WaiverError(Exception):
    """The list of waivers is malformed, or used where none are allowed."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """Leave to fail one case on one version of a server."""

    case: str
    server: str
    reason: str


def load_waivers(path: Path, known: Sequence[str] | None = None) -> dict[tuple[str, str], Waiver]:
    """Read waivers, by case id and server.

    Each is an entry such as

        [[waiver]]
        case = "L07"
        server = "example-server 1.2"
        reason = "answers 500 instead of 403; reported as example-server#123"

    Args:
        path: The TOML document.
        known: Case ids that exist; None accepts all.

    Raises:
        WaiverError: malformed, without a reason, given twice, or of an unknown case.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WaiverError(f"{path} can not be read: {error}") from error
    waivers: dict[tuple[str, str], Waiver] = {}
    for entry in table.get("waiver", ()):
        waiver = _waiver(path, entry)
        if known is not None and waiver.case not in known:
            raise WaiverError(f"{path} waives case {waiver.case}, which the suite does not have")
        if (waiver.case, waiver.server) in waivers:
            raise WaiverError(f"{path} waives case {waiver.case} on {waiver.server!r} twice")
        waivers[waiver.case, waiver.server] = waiver
    return waivers


def _waiver(path: Path, entry: Mapping[str, object]) -> Waiver:
    fields = ("case", "server", "reason")
    texts = [entry.get(name) for name in fields]
    if set(entry) != set(fields) or not all(isinstance(t, str) and t.strip() for t in texts):
        raise WaiverError(f"{path}: each [[waiver]] needs exactly {', '.join(fields)}, all texts")
    return Waiver(*(str(text).strip() for text in texts))
