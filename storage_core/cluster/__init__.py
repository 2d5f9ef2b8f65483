"""Transfers beyond one machine: `sync`, `copy_tree` and `verify` on a Dask cluster.

    from storage_core.cluster import DaskEngine, sync

    with DaskEngine("tcp://scheduler:8786") as engine:
        report = sync(source.tree("raw/"), target.tree("raw/"), engine=engine)

The workers list, compare and move; the client cuts the work up, hands it out and adds up what
comes back. Nothing of Dask is imported before an engine is made. It needs
``pip install 'storage-core[dask]'`` here and on every worker.
"""

from storage_core.cluster.engine import DaskEngine
from storage_core.cluster.transfers import copy_tree, sync, verify

__all__ = ["DaskEngine", "copy_tree", "sync", "verify"]
