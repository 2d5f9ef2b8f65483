"""``storage transfers``: what was interrupted and can be gone on with."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from storage_core.cli.formats import parse_duration, size_pair, time_text
from storage_core.cli.session import Session, This
from storage_core.errors import ConfigError, StorageError, UploadNotFoundError

if TYPE_CHECKING:
    from storage_core.transfer.journal import Interrupted


def transfers(
    action: Literal["list", "clean"] = "list",
    /,
    *,
    older_than: str | None = None,
    session: This,
) -> None:
    """Show the transfers of large objects that were interrupted, or clean up after them.

    The command that was interrupted goes on with one. "clean" gives them up: it aborts uploads,
    and removes partial files and what was noted for going on. Uploads that nothing was noted of
    are a matter of "storage uploads abort --older-than".

    Args:
        action: "list" or "clean".
        older_than: Only those that began longer ago than this: 900, 15m, 2h, 7d.
    """
    from storage_core.transfer.journal import journals

    before = None
    if older_than is not None:
        before = datetime.now(UTC) - timedelta(seconds=parse_duration(older_than))
    found = [
        item
        for item in journals()
        if before is None or item.started is None or item.started < before
    ]
    if action == "list":
        _show(session, found)
        return
    for item in found:
        if item.in_use:
            session.out.note(f"under way, and left alone: {_name(item)}")
            continue
        try:
            _clean(session, item)
        except (StorageError, OSError) as error:  # the next one may be of another profile
            session.failed(error, _name(item))
    session.check()


def _show(session: Session, found: "list[Interrupted]") -> None:
    if session.out.json:
        for item in found:
            session.out.record(_record(item))
        return
    session.out.table(
        ("began", "", "done", "from", "to", ""),
        [
            (
                time_text(item.started),
                item.kind,
                size_pair(item.done, item.size),
                item.source,
                item.target,
                "under way" if item.in_use else "",
            )
            for item in found
        ],
    )


def _record(item: "Interrupted") -> dict[str, object]:
    return {
        "kind": item.kind,
        "source": item.source,
        "target": item.target,
        "size": item.size,
        "done": item.done,
        "started": item.started,
        "journal": str(item.place),
        "partial": None if item.partial is None else str(item.partial),
        "profile": item.header.get("profile"),
        "in_use": item.in_use,
    }


def _clean(session: Session, item: "Interrupted") -> None:
    """Give a transfer up. Its journal is held meanwhile, so that nobody goes on with it, and
    goes last, so that nothing is forgotten."""
    from storage_core.transfer.journal import Journal

    journal = Journal.open(item.place, {})
    if journal is None:
        session.out.note(f"under way, and left alone: {_name(item)}")
        return
    try:
        if item.kind == "upload":
            _abort(session, item)
        if item.partial is not None:
            item.partial.unlink(missing_ok=True)
        journal.remove()
    finally:
        journal.close()
    session.out.done(_record(item), f"gave up: {_name(item)}")


def _abort(session: Session, item: "Interrupted") -> None:
    """Abort what an upload has at its service.

    Raises:
        ConfigError: no profile leads there any more.
    """
    header = item.header
    profile, upload_id = str(header.get("profile", "")), str(header.get("upload_id", ""))
    storage = session.storage(profile or None)
    if storage.driver.describe() != header.get("describe"):
        raise ConfigError(
            f"profile {profile!r} does not lead to {header.get('describe')} any more; abort the"
            f" upload {upload_id} by 'storage uploads abort' and delete {item.place}"
        )
    bucket = storage.bucket(str(header.get("bucket", "")))
    with suppress(UploadNotFoundError):  # it ended in some other way
        bucket.resume_upload(upload_id).abort()


def _name(item: "Interrupted") -> str:
    return f"{item.kind} of {item.source} to {item.target}"
