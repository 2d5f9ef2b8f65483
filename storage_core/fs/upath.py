"""The paths that universal_pathlib makes of ``storage://`` URLs; found by its entry point."""

from __future__ import annotations

from upath import UPath


class StoragePath(UPath):
    """A path of `storage_core.fs.StorageFileSystem`."""

    __slots__ = ()
