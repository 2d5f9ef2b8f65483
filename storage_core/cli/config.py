"""``storage config``: show, check, schema, trust and path.

Each command is a plain function that prints and returns its exit status: 0, or 1 when
something is wrong. A `ConfigError` is left to the command line as a whole.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storage_core.errors import ConfigError

if TYPE_CHECKING:
    from storage_core.config.check import Finding
    from storage_core.config.document import Document
    from storage_core.config.show import Row

OK = 0
WRONG = 1


def show(
    profile: str | None = None,
    *,
    config: Path | None = None,
    defaults: bool = False,
    as_json: bool = False,
) -> int:
    """Show the settings of a profile, or of all, and where each comes from.

    Secrets are masked and references are shown unread.

    Args:
        profile: The profile; all of them without it.
        config: The configuration to read, instead of looking for one.
        defaults: Show also what nobody set.
        as_json: One JSON object a line.
    """
    from storage_core.config.load import load_config
    from storage_core.config.show import describe

    rows = describe(load_config(config), profile, defaults=defaults)
    if as_json or not sys.stdout.isatty():
        _print_lines(rows, as_json=as_json)
    else:
        _print_table(rows)
    return OK


def check(*, config: Path | None = None, as_json: bool = False) -> int:
    """Check every profile: names, values, references, drivers, trust. Opens no storage.

    Args:
        config: The configuration to read, instead of looking for one.
        as_json: One JSON object a line.
    """
    from storage_core.config.check import check as find
    from storage_core.config.load import load_config

    loaded = load_config(config)
    findings = find(loaded)
    for finding in findings:
        if as_json:
            print(json.dumps(dataclasses.asdict(finding)))
        else:
            print(_line(finding))
    wrong = any(finding.level == "error" for finding in findings)
    if not as_json and not findings:
        print(f"{loaded.path or 'no configuration'}: {len(loaded.names)} profiles, nothing wrong")
    return WRONG if wrong else OK


def schema() -> int:
    """Print the JSON schema of the configuration, for editors, with every installed driver."""
    from storage_core.config.schema import config_schema

    print(json.dumps(config_schema(), indent=2))
    return OK


def trust(path: Path | None = None, *, forget: bool = False) -> int:
    """Trust the configuration of a folder as it is now; a change of a setting asks again.

    Args:
        path: The configuration; that of the current folder without it.
        forget: Withdraw the trust.
    """
    from storage_core.config import trust as trusting
    from storage_core.config.load import load_config

    document = _document(path)
    if forget:
        known = trusting.distrust(document.path)
        print(f"{document.path}: {'no longer trusted' if known else 'was not trusted'}")
        return OK
    loaded = load_config(document.path)
    for name, tree in loaded.profiles.items():
        if found := trusting.needs_trust(document, tree):
            keys, reason = found
            print(f"{document.source(('profiles', name, *keys))}: {name}.{keys[0]} {reason}")
    if found := trusting.gateway_needs_trust(loaded.gateway_table):
        keys, reason = found
        print(f"{document.source(('gateway', *keys))}: gateway.{keys[0]} {reason}")
    trusting.trust(document)
    print(f"{document.path}: trusted")
    return OK


def path(*, config: Path | None = None) -> int:
    """Print the path of the configuration in use; without one, where it was looked for.

    Args:
        config: The configuration to read, instead of looking for one.
    """
    from storage_core.config.discover import discover, places

    document = discover(config)
    if document is not None:
        print(document.path)
        return OK
    print("no configuration; looked for, in this order:", file=sys.stderr)
    for place in places():
        print(f"  {place}", file=sys.stderr)
    return WRONG


def _document(path: Path | None) -> Document:
    from storage_core.config.discover import discover
    from storage_core.config.document import read_document

    document = discover() if path is None else read_document(path, "folder")
    if document is None:
        raise ConfigError(f"{path or 'the current folder'}: there is no configuration to trust")
    return document


def _line(finding: Finding) -> str:
    profile = f"{finding.profile}: " if finding.profile else ""
    return f"{finding.level}: {profile}{finding.message}"


def _print_lines(rows: Iterable[Row], *, as_json: bool) -> None:
    for row in rows:
        if as_json:
            print(json.dumps(dataclasses.asdict(row)))
        else:
            print(row.profile, row.key, row.value, row.source, sep="\t")


def _print_table(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("profile", "setting", "value", "source", box=None, pad_edge=False)
    before = None
    for row in rows:
        name = row.profile if row.profile != before else ""
        style = "dim" if row.is_default else ""
        # Text, not markup: a value may hold brackets.
        table.add_row(*(Text(cell, style) for cell in (name, row.key, row.value, row.source)))
        before = row.profile
    Console().print(table)
