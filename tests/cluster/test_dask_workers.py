"""Which workers of a Dask cluster may take part, what one keeps open, and what a cluster gets to
see."""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from distributed.worker import Worker

import storage_core
from storage_core import Bucket, ClosedError, ConfigError, InvalidRequestError, UnavailableError
from storage_core.cluster import DaskEngine, copy_tree, session, sync
from storage_core.cluster.jobs import Sealed
from storage_core.cluster.marks import FolderMark, check_mark, marked
from storage_core.transfer.options import DEFAULTS, TransferOptions
from storage_core.transfer.rules import make_rules
from tests.cluster.trees import call_off, content, fill
from tests.waiting import wait_until


def open_sessions() -> int:
    from storage_core.cluster.session import SESSIONS

    return len(SESSIONS._open)


def opened_storages(dask_worker: Worker) -> dict[str, int]:
    """Counts from now on what a worker opens and closes."""
    from storage_core.core.client import Client as StorageClient

    counts = dask_worker.extensions.setdefault("counts", {"open": 0, "close": 0})
    if not counts.get("wrapped"):
        counts["wrapped"] = 1
        before = StorageClient.open, StorageClient.close

        async def opening(self):
            counts["open"] += 1
            await before[0](self)

        async def closing(self):
            counts["close"] += 1
            await before[1](self)

        for name, method in (("open", opening), ("close", closing)):
            setattr(StorageClient, name, method)
    counts["open"] = counts["close"] = 0
    return counts


def storage_counts(dask_worker: Worker) -> tuple[int, int]:
    counts = dask_worker.extensions["counts"]
    return counts["open"], counts["close"]


def test_a_worker_opens_each_storage_once_and_closes_it(
    source: Bucket, target: Bucket, dask: DaskEngine
):
    fill(source, 100)
    dask.client.run(opened_storages)
    sync(source.tree(), target.tree(), engine=dask)
    assert set(dask.client.run(storage_counts).values()) == {(2, 2)}

    dask.client.run(opened_storages)
    copy_tree(source.tree(), source.storage.create_bucket("copies").tree(), engine=dask)
    assert set(dask.client.run(storage_counts).values()) == {(1, 1)}
    assert set(dask.client.run(open_sessions).values()) == {0}


def test_another_disk_is_not_taken_for_this_one(source: Bucket, tmp_path: Path):
    """The same profile on two machines is the same path, and not the same bucket."""
    with marked(source.tree(), make=False, trust=False) as mark:
        check_mark(source.tree(), mark)
        source.storage.delete_bucket("source")
        other = source.storage.create_bucket("source")
        with pytest.raises(ConfigError, match="another bucket of this name"):
            check_mark(other.tree(), mark)


def test_a_folder_that_is_not_shared_is_refused(tmp_path: Path):
    folder = tmp_path / "folder"
    with marked(folder, make=True, trust=False) as mark:
        check_mark(folder, mark)
        (path,) = folder.iterdir()
        path.rename(tmp_path / path.name)  # what another machine sees under the same path
        with pytest.raises(ConfigError, match="not the one that the client sees"):
            check_mark(folder, mark)
        (tmp_path / path.name).rename(path)
    assert not list(folder.iterdir())
    with marked(folder, make=True, trust=True) as mark:
        assert not list(folder.iterdir())
        check_mark(folder, mark)


def test_folders_that_are_not_there(tmp_path: Path):
    with (
        pytest.raises(NotADirectoryError),
        marked(tmp_path / "none", make=False, trust=False),
    ):
        pass
    # The target of a dry run need not be.
    with marked(tmp_path / "none/at/all", make=None, trust=False) as mark:
        assert isinstance(mark, FolderMark)
        assert [str(path) for path in tmp_path.iterdir()] == [mark.path]
        check_mark(tmp_path / "none/at/all", mark)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_mark_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def denied(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", denied)
    with (
        pytest.raises(ConfigError, match="shared_folders=True"),
        marked(tmp_path, make=False, trust=False),
    ):
        pass


def set_version(version: str) -> str:
    before, storage_core.__version__ = storage_core.__version__, version
    return before


def test_another_version_is_refused(source: Bucket, target: Bucket, dask: DaskEngine):
    dask.client.run(set_version, "0.0.1")
    try:
        with pytest.raises(ConfigError, match=r"has storage-core 0\.0\.1 and the client has"):
            sync(source.tree(), target.tree(), engine=dask)
    finally:
        dask.client.run(set_version, storage_core.__version__)


def block(*modules: str) -> None:
    for module in modules:
        sys.modules[module] = None  # type: ignore[assignment]


def unblock(*modules: str) -> None:
    for module in modules:
        sys.modules.pop(module, None)


def forget(distribution: str) -> None:
    from importlib import metadata

    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    vars(metadata)["remembered"], vars(metadata)["version"] = metadata.version, version


def remember() -> None:
    from importlib import metadata

    vars(metadata)["version"] = vars(metadata).pop("remembered")


def test_a_worker_without_the_library_is_named(source: Bucket, target: Bucket, dask: DaskEngine):
    dask.client.run(forget, "storage-core")
    try:
        with pytest.raises(ConfigError, match=r"worker tcp://.* not installed there .*\[dask\]"):
            sync(source.tree(), target.tree(), engine=dask)
    finally:
        dask.client.run(remember)
    # One that is too old to know of clusters.
    dask.client.run(block, "storage_core.cluster.dask.worker")
    try:
        with pytest.raises(ConfigError, match=r"worker tcp://.* can not take part: ModuleNotF"):
            sync(source.tree(), target.tree(), engine=dask)
    finally:
        dask.client.run(unblock, "storage_core.cluster.dask.worker")


def uninstall_drivers() -> None:
    import functools

    from storage_core import plugins

    vars(plugins)["remembered"] = plugins._entry_points
    vars(plugins)["_entry_points"] = functools.cache(lambda group: {})


def install_drivers() -> None:
    from storage_core import plugins

    vars(plugins)["_entry_points"] = vars(plugins).pop("remembered")


def test_a_worker_without_the_driver_is_told_how_to_get_it(on_s3: Bucket, dask: DaskEngine):
    dask.client.run(uninstall_drivers)
    try:
        with pytest.raises(ConfigError, match=r"worker tcp://.* pip install 'storage-core\[s3\]'"):
            sync(on_s3.tree("a"), on_s3.tree("b"), engine=dask)
    finally:
        dask.client.run(install_drivers)


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def scheduler_log() -> Iterator[Lines]:
    handler = Lines()
    logger = logging.getLogger("distributed")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_no_secret_is_seen(
    tmp_path: Path,
    on_s3: Bucket,
    dask: DaskEngine,
    scheduler: Any,
    scheduler_log: Lines,
):
    """Not in names of tasks, and not where a task fails with a bug, whose arguments are logged."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x").write_text("x")
    secret = "moto-checks-no-secret"
    names: list[str] = []

    def content_type(key: str) -> str:
        raise RuntimeError("a bug")

    def watch(progress: object) -> None:
        names.extend(map(str, scheduler.tasks))

    with pytest.raises(RuntimeError, match="a bug"):
        sync(
            tmp_path / "in",
            on_s3.tree(),
            engine=dask,
            content_type=content_type,
            progress=watch,
        )

    logs = dask.client.get_worker_logs()
    written = [line for lines in logs.values() for _, line in lines]
    assert any("perform" in line for line in written)  # the task that failed
    seen = "\n".join([*written, *scheduler_log.lines, *names])
    assert secret not in seen
    assert secret.encode().hex() not in seen
    assert names
    assert secret not in f"{dask!r} {Sealed(secret.encode())} {Sealed(secret.encode())!r}"


def test_nothing_is_left_of_what_was_called_off(
    source: Bucket, target: Bucket, dask: DaskEngine, scheduler: Any
):
    fill(source, 200)

    call_off(source, target, dask, bandwidth=20_000)

    wait_until(lambda: not any("storage" in str(key) for key in list(scheduler.tasks)))
    assert set(dask.client.run(open_sessions).values()) == {0}
    assert len(content(target)) < 200


def test_a_client_stays_the_callers(source: Bucket, target: Bucket, cluster: LocalCluster):
    source.put("x", b"1")
    with Client(cluster, set_as_default=False) as client:
        for given in (client, cluster):
            with DaskEngine(given) as engine:
                sync(source.tree(), target.tree(), engine=engine)
            with pytest.raises(storage_core.ClosedError):
                sync(source.tree(), target.tree(), engine=engine)
        assert client.status == "running"


def test_a_cluster_without_workers():
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        storage_core.open(config={"driver": "memory"}) as storage,
        DaskEngine(empty, patience=0.1) as engine,
    ):
        bucket = storage.create_bucket("mine")
        with pytest.raises(UnavailableError, match="no workers"):
            copy_tree(bucket.tree("a"), bucket.tree("b"), engine=engine)
        wait_until(lambda: not engine.client.futures)


def test_a_scheduler_that_goes_away(source: Bucket, target: Bucket):
    fill(source, 100)
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as short,
        Client(short, set_as_default=False, timeout=1) as client,
    ):

        def stop(outcome: object) -> None:
            short.close()

        with pytest.raises(UnavailableError, match=r"called the work off|out of reach"):
            sync(
                source.tree(),
                target.tree(),
                engine=DaskEngine(client),
                options=TransferOptions(bandwidth=20_000),
                on_outcome=stop,
            )


def test_no_scheduler_answers():
    with pytest.raises(
        UnavailableError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 "
    ):
        DaskEngine("tcp://127.0.0.1:1", patience=0.2)


@pytest.mark.parametrize("scheduler", ["no such thing", 7])
def test_what_is_no_scheduler(scheduler: object):
    with pytest.raises(InvalidRequestError, match="scheduler"):
        DaskEngine(scheduler, patience=0.2)  # type: ignore[arg-type]


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'storage-core\[dask\]'"):
        DaskEngine("tcp://127.0.0.1:1")


def test_a_worker_that_is_left_alone_closes_what_it_has(
    source: Bucket, target: Bucket, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "IDLE", 0.01)
    sessions = session.Sessions()
    with (
        marked(source.tree(), make=False, trust=False) as one,
        marked(target.tree(), make=True, trust=False) as other,
    ):
        operation = session.Operation(
            source.tree(), target.tree(), make_rules(), DEFAULTS, (one, other), False, False
        )
        parcel = Sealed(pickle.dumps(session.Parcel(("local",), Sealed(pickle.dumps(operation)))))
        with sessions.use("a", parcel) as first, sessions.use("a", parcel) as second:
            assert first is second
            assert not first.closed
        wait_until(lambda: first.closed)
        assert all(storage.closed for storage in session.storages(first.operation.source))
        with sessions.use("a", parcel) as third:
            assert third is not first
            sessions.end("a")
            assert third.closed
            with pytest.raises(ClosedError):
                third.checkpoint()
        with pytest.raises(ClosedError), sessions.use("a", parcel):
            pass
