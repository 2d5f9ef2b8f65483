"""The state of the service: projects, principals, credentials, policies, buckets, imports.

    state = open_state("sqlite:////var/lib/storage/state.db")   # or postgresql://…
    state.migrate()
    with state.write() as connection:
        connection.execute(tables.projects.insert(), {…})

The functions of `storage_core.access` are what one calls; here are the tables and the ways to
them. It needs the extra ``gateway`` (``pip install 'storage-core[gateway]'``).
"""

from storage_core.errors import ConfigError

try:
    from storage_core.state import tables
    from storage_core.state.database import insert_or
    from storage_core.state.failures import on_conflict
    from storage_core.state.ids import new_id
    from storage_core.state.schema import lock
    from storage_core.state.state import State, open_migrated, open_state
except ModuleNotFoundError as error:
    if error.name is None or error.name.split(".")[0] != "sqlalchemy":
        raise
    raise ConfigError(
        f"the state of the service needs {error.name}; run: pip install 'storage-core[gateway]'"
    ) from error

__all__ = [
    "State",
    "insert_or",
    "lock",
    "new_id",
    "on_conflict",
    "open_migrated",
    "open_state",
    "tables",
]
