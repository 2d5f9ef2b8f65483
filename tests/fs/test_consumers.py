"""There and back through the libraries that open URLs by fsspec."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import dask
import dask.bag
import dask.dataframe
import duckdb
import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import upath
import zarr
from fsspec.generic import rsync
from pyarrow import dataset, parquet

from storage_core.fs import StorageFileSystem
from storage_core.fs.upath import StoragePath
from tests.fs.conftest import run

FRAME = pd.DataFrame({"name": ["apple", "pear", "plum"] * 100, "weight": range(300)})


@pytest.fixture
def options(config: str) -> dict[str, str]:
    """What the libraries pass on to the filesystem."""
    return {"config": config}


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.json", "t.parquet", "t.pkl"])
def test_pandas(fs: StorageFileSystem, bucket: str, options: dict[str, str], name: str):
    url = f"storage://{bucket}/deep/{name}"
    kind = {"pkl": "pickle"}.get(name.split(".")[1], name.split(".")[1])
    index = {} if kind in {"json", "pickle"} else {"index": False}
    getattr(FRAME, f"to_{kind}")(url, storage_options=options, **index)
    assert fs.size(url) > 0
    found = getattr(pd, f"read_{kind}")(url, storage_options=options)
    pd.testing.assert_frame_equal(found, FRAME)


def test_pandas_appends(fs: StorageFileSystem, bucket: str, options: dict[str, str]):
    url = f"storage://{bucket}/t.csv"
    FRAME.to_csv(url, index=False, storage_options=options)
    FRAME.to_csv(url, index=False, storage_options=options, mode="a", header=False)
    assert len(pd.read_csv(url, storage_options=options)) == 600


def test_pyarrow_parquet(fs: StorageFileSystem, bucket: str):
    table = pa.Table.from_pandas(FRAME)
    parquet.write_table(table, f"{bucket}/t.parquet", filesystem=fs)
    found = parquet.read_table(f"{bucket}/t.parquet", filesystem=fs, columns=["weight"])
    assert found.column("weight").to_pylist() == list(range(300))


def test_pyarrow_datasets(fs: StorageFileSystem, bucket: str):
    table = pa.Table.from_pandas(FRAME)
    place = f"{bucket}/set"
    for _ in range(2):  # the second replaces the first
        dataset.write_dataset(
            table,
            place,
            filesystem=fs,
            format="parquet",
            partitioning=["name"],
            existing_data_behavior="delete_matching",
        )
    assert fs.ls(place, detail=False) == [f"{place}/{name}" for name in ("apple", "pear", "plum")]
    found = dataset.dataset(place, filesystem=fs, partitioning=["name"])
    some = found.to_table(filter=dataset.field("name") == "pear")
    assert sorted(some.column("weight").to_pylist()) == list(range(1, 300, 3))


def test_pyarrow_files(fs: StorageFileSystem, bucket: str):
    from pyarrow.fs import FileSelector, FileType, FSSpecHandler, PyFileSystem

    arrow = PyFileSystem(FSSpecHandler(fs))
    with arrow.open_output_stream(f"{bucket}/a/b") as stream:
        stream.write(b"12345")
    arrow.copy_file(f"{bucket}/a/b", f"{bucket}/a/c")
    arrow.move(f"{bucket}/a/c", f"{bucket}/d")
    infos = arrow.get_file_info(FileSelector(bucket, recursive=True))
    assert [(info.path, info.type == FileType.File) for info in infos] == [
        (f"{bucket}/a", False),
        (f"{bucket}/a/b", True),
        (f"{bucket}/d", True),
    ]
    assert infos[1].mtime == fs.modified(f"{bucket}/a/b")
    with arrow.open_input_file(f"{bucket}/d") as file:
        assert file.read_at(2, 3) == b"45"
    arrow.delete_dir(f"{bucket}/a")
    assert fs.find(bucket) == [f"{bucket}/d"]


# dask calls pandas in a way that pandas deprecates.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:dask", "ignore::FutureWarning:dask")
def test_dask(fs: StorageFileSystem, bucket: str, options: dict[str, str]):
    frame = dask.dataframe.from_pandas(FRAME, npartitions=3)
    url = f"storage://{bucket}/t"
    with dask.config.set(scheduler="threads"):
        frame.to_parquet(url, storage_options=options)
        assert len(fs.glob(f"{bucket}/t/*.parquet")) == 3
        found = dask.dataframe.read_parquet(url, storage_options=options)
        assert int(found["weight"].sum().compute()) == sum(range(300))
        frame.to_csv(f"storage://{bucket}/c/*.csv", index=False, storage_options=options)
        found = dask.dataframe.read_csv(f"storage://{bucket}/c/*.csv", storage_options=options)
        assert int(found["weight"].sum().compute()) == sum(range(300))


def test_dask_in_another_process(fs: StorageFileSystem, bucket: str, options: dict[str, str]):
    fs.pipe({f"{bucket}/{n}.txt": b"a\nb\n" for n in range(3)})
    lines = dask.bag.read_text(f"storage://{bucket}/*.txt", storage_options=options)
    assert lines.count().compute(scheduler="processes", num_workers=1) == 6


def test_zarr(fs: StorageFileSystem, bucket: str, options: dict[str, str]):
    url = f"storage://{bucket}/z.zarr"
    values = np.arange(10_000, dtype="f8").reshape(100, 100)
    group = zarr.open_group(url, mode="w", storage_options=options)
    array = group.create_array("x", shape=(100, 100), chunks=(30, 30), dtype="f8")
    array[:] = values
    group.create_array("y", shape=(8,), chunks=(2,), shards=(4,), dtype="i4")[:] = range(8)
    again: Any = zarr.open_group(url, mode="r", storage_options=options)
    assert sorted(again.array_keys()) == ["x", "y"]
    assert (again["x"][10:50, 20] == values[10:50, 20]).all()
    assert again["y"][3] == 3
    assert fs.exists(f"{bucket}/z.zarr/x/c/0/0")
    zarr.open_group(url, mode="w", storage_options=options)
    assert not fs.exists(f"{bucket}/z.zarr/x")


def test_duckdb(fs: StorageFileSystem, bucket: str):
    with duckdb.connect() as database:
        database.register_filesystem(fs)
        database.register("frame", FRAME)
        for name in ("1.parquet", "2.parquet"):
            database.execute(f"COPY frame TO 'storage://{bucket}/{name}' (FORMAT parquet)")
        database.execute(f"COPY frame TO 'storage://{bucket}/t.csv'")
        asked = f"SELECT count(*), sum(weight) FROM 'storage://{bucket}/*.parquet'"
        assert database.execute(asked).fetchall() == [(600, 2 * sum(range(300)))]
        asked = f"SELECT max(weight) FROM 'storage://{bucket}/t.csv'"
        assert database.execute(asked).fetchall() == [(299,)]
        database.execute(
            f"COPY frame TO 'storage://{bucket}/by' (FORMAT csv, PARTITION_BY (name), APPEND)"
        )
        assert len(fs.ls(f"{bucket}/by")) == 3


def test_universal_pathlib(fs: StorageFileSystem, bucket: str, options: dict[str, str]):
    root = upath.UPath(f"storage://{bucket}", **options)
    assert type(root) is StoragePath
    path = root / "a" / "b.txt"
    assert path.write_text("text") == 4
    assert (path.name, path.suffix, path.parent.name) == ("b.txt", ".txt", "a")
    assert str(path) == f"storage://{bucket}/a/b.txt"
    assert path.read_bytes() == b"text"
    assert (path.exists(), path.is_file(), path.is_dir()) == (True, True, False)
    assert path.parent.is_dir()
    assert path.stat().st_size == 4
    assert path.stat().st_mtime == fs.info(path)["mtime"]
    (root / "c").mkdir(parents=True, exist_ok=True)
    assert [str(found) for found in root.iterdir()] == [f"storage://{bucket}/a"]
    assert [found.name for found in root.rglob("*.txt")] == ["b.txt"]
    moved = path.rename(root / "d.txt")
    assert moved.read_text() == "text"
    moved.touch()
    with pytest.raises(FileExistsError):
        moved.touch(exist_ok=False)
    moved.unlink()
    with pytest.raises(FileNotFoundError):
        moved.unlink()
    assert list(root.iterdir()) == []


def test_zarr_leaves_no_connection_open(config: str, bucket: str):
    """Its loop is one of its own, which ends with the process."""
    program = f"""
import zarr
options = {{"config": {config!r}}}
array = zarr.create_array("storage://{bucket}/x", shape=(4,), dtype="i4", storage_options=options)
array[:] = 1
print(int(array[:].sum()))
"""
    assert run(program) == "4\n"


def test_fsspecs_own_layers(
    fs: StorageFileSystem, bucket: str, options: dict[str, str], tmp_path: Path
):
    fs.pipe({f"{bucket}/d/{number}": b"%d" % number for number in range(3)})
    with fsspec.open(f"simplecache::storage://{bucket}/d/1", storage=options) as file:
        assert file.read() == b"1"
    with fsspec.open(f"simplecache::storage://{bucket}/w", "wb", storage=options) as file:
        file.write(b"cached")
    assert fs.cat_file(f"{bucket}/w") == b"cached"
    with fs.open(f"{bucket}/z.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("in.txt", "inside")
    with fsspec.open(f"zip://in.txt::storage://{bucket}/z.zip", storage=options) as file:
        assert file.read() == b"inside"
    folder = fsspec.filesystem("dir", path=f"{bucket}/d", fs=fs)
    assert folder.ls("", detail=False) == ["0", "1", "2"]
    known = {"default_method": "options", "storage_options": {"storage": options, "file": {}}}
    rsync(f"storage://{bucket}/d", tmp_path.as_uri(), inst_kwargs=known)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]
