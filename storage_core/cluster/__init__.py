"""Transfers on many cores and machines: `sync`, `copy_tree` and `verify` with an engine.

    from storage_core.cluster import ProcessEngine, sync

    with ProcessEngine() as engine:
        report = sync(source.tree("raw/"), target.tree("raw/"), engine=engine)

The workers list, compare and move; the client cuts the work up, hands it out and adds up what
comes back. `ProcessEngine` has processes of this machine, and needs nothing else. `DaskEngine`
has those of a Dask cluster; it needs ``pip install 'storage-core[dask]'`` here and on every
worker, and nothing of Dask is imported before one is made.

Names are loaded when first used: a worker needs none of them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage_core.cluster.dask.engine import DaskEngine
    from storage_core.cluster.processes.engine import ProcessEngine
    from storage_core.cluster.transfers import copy_tree, sync, verify

__all__ = ["DaskEngine", "ProcessEngine", "copy_tree", "sync", "verify"]

_HOME = {
    "DaskEngine": "storage_core.cluster.dask.engine",
    "ProcessEngine": "storage_core.cluster.processes.engine",
    "copy_tree": "storage_core.cluster.transfers",
    "sync": "storage_core.cluster.transfers",
    "verify": "storage_core.cluster.transfers",
}


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'storage_core.cluster' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
