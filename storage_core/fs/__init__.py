"""`storage://profile/bucket/key` for fsspec, and through it for pandas, pyarrow, dask, zarr,
DuckDB, universal_pathlib and whatever else opens URLs by fsspec.

    import fsspec

    with fsspec.open("storage://dev/fruit/apple.txt", "wb") as file:
        file.write(b"red")

fsspec finds the filesystem by its entry point and imports it when such a URL is first used;
nothing else of the library imports this package. It needs the extra ``fsspec``.
"""

try:
    from storage_core.fs.filesystem import StorageFileSystem
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "fsspec":
        raise
    from storage_core.errors import ConfigError

    raise ConfigError("the filesystem needs fsspec: pip install 'storage-core[fsspec]'") from error

__all__ = ["StorageFileSystem"]
