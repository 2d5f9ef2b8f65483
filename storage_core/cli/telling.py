"""What is said of each object that a command has done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from storage_core.cli.address import Address
from storage_core.cli.formats import size_text
from storage_core.cli.output import record
from storage_core.cli.session import Session

if TYPE_CHECKING:
    from storage_core.model import DeleteResult, PutResult
    from storage_core.transfer.report import Outcome

_VERBS = {"upload": "stored", "download": "fetched", "copy": "copied to", "delete": "deleted"}
_WOULD = {"upload": "store", "download": "fetch", "copy": "copy to", "delete": "delete"}


def tell_stored(session: Session, where: Address, result: PutResult, verb: str = "stored") -> None:
    """Say that an object was written."""
    session.out.done(
        {"bucket": where.bucket, **record(result)}, f"{verb} {where} ({size_text(result.size)})"
    )


def tell_deleted(session: Session, where: Address, result: DeleteResult) -> None:
    """Say that an object was deleted."""
    session.out.done({"bucket": where.bucket, **record(result)}, f"deleted {where}")


def words_for(
    target: Address | Path, outcome: Outcome, dry_run: bool
) -> tuple[dict[str, object], str]:
    """What became of an object of a tree, as a record and as a line.

    Args:
        target: Root of the tree that it went to.
        outcome: What became of it.
        dry_run: Whether it only would be done.
    """
    value: dict[str, object] = {"action": outcome.action}
    if isinstance(target, Address):
        place = target.at(target.key + outcome.key)
        value |= {"bucket": place.bucket, "key": place.key}
        name = str(place)
    else:
        name = str(target / outcome.key)
        value["file"] = name
    verb = f"would {_WOULD[outcome.action]}" if dry_run else _VERBS[outcome.action]
    if dry_run:
        value["dry_run"] = True
    if outcome.action == "delete":
        return value, f"{verb} {name}"
    value["size"] = outcome.size
    return value, f"{verb} {name} ({size_text(outcome.size)})"
