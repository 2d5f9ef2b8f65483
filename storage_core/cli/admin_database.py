"""``storage admin backup`` and ``storage admin restore``."""

from pathlib import Path
from typing import TYPE_CHECKING

from storage_core.cli.admin import DATABASE, Database, opened
from storage_core.cli.formats import count
from storage_core.cli.session import This

if TYPE_CHECKING:
    from storage_core.state import State


def backup(file: Path, /, *, on: Database = DATABASE, session: This) -> None:
    """Copy the database to a file, as it is at this moment; gateways may go on.

    Args:
        file: An SQLite database to make, whatever the gateway's is. It holds no secrets but
            hashes of tokens; nobody else can read it all the same.
    """
    from storage_core.state.copying import copy

    if file.exists():
        raise FileExistsError(17, "exists already; name another file", str(file))
    with opened(session, on.database) as source:
        target = _file(file)
        try:
            target.migrate()
            rows = copy(source, target)
        except BaseException:
            target.close()
            file.unlink()
            raise
        target.close()
    session.out.done({"backup": str(file), "rows": rows}, f"copied {count(rows, 'row')} to {file}")


def restore(file: Path, /, *, on: Database = DATABASE, session: This) -> None:
    """Fill the database, which must be empty, from a backup. Stop the gateways first.

    Also the way from SQLite to PostgreSQL: back up, name the new database, restore.

    Args:
        file: What "storage admin backup" wrote.
    """
    from storage_core.state.copying import copy

    if not file.exists():
        raise FileNotFoundError(2, "does not exist", str(file))
    source = _file(file)
    try:
        source.migrate()
        with opened(session, on.database) as target:
            rows = copy(source, target)
    finally:
        source.close()
    session.out.done(
        {"restored": str(file), "rows": rows}, f"copied {count(rows, 'row')} from {file}"
    )


def _file(file: Path) -> "State":
    from sqlalchemy import URL

    from storage_core.state import open_state

    return open_state(URL.create("sqlite", database=str(file)))  # a name may hold a "?"
