"""Two pairs of storage and database, with files, imports and workers on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import storage_core
from storage_core import imports, plugins
from storage_core.access import buckets, projects
from storage_core.access.buckets import LogicalBucket
from storage_core.access.model import Project
from storage_core.config.gateway import ImportSettings
from storage_core.imports import ImportFile, ImportJob, Registration, Workers
from storage_core.state import State, open_state
from tests.clients.fixtures import node  # noqa: F401 - fixtures, found by their names
from tests.servers import postgres as postgresql
from tests.servers.fixtures import database_url, moto, postgres  # noqa: F401

SITES = ("local-sqlite", "s3-postgresql")
PROFILE = "main"
PATIENCE = 60
"""Seconds after which what a test waits for is taken for lost."""


class Clock:
    """The time of the machine, put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return as soon as the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.01)


@pytest.fixture(scope="session", autouse=True)
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the importers of the tests are installed as a distribution."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "acme_importers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-importers\nVersion: 1.0\n")
    names = ("gated", "plain", "faulty", "flaky", "compound", "endless")
    entries = [f"{name} = tests.imports.importers:{name}" for name in names]
    (info / "entry_points.txt").write_text("\n".join([f"[{imports.GROUP}]", *entries, ""]))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        plugins._entry_points.cache_clear()
        yield folder
    plugins._entry_points.cache_clear()


@dataclass(frozen=True)
class Site:
    """Where objects are kept and where the state is, in a configuration."""

    name: str
    folder: Path
    database: str
    config: Path


@pytest.fixture(scope="module", params=SITES)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("imports")
    with ExitStack() as stack:
        profile: dict[str, Any]
        if request.param == "local-sqlite":
            profile = {"driver": "local", "root": str(folder / "root"), "fsync": False}
            database = f"sqlite:///{folder / 'state.db'}"
        else:
            profile = dict(request.getfixturevalue("moto").profiles["default"])
            database = stack.enter_context(postgresql.database(request.getfixturevalue("postgres")))
        profile["links"] = {"keys": {"k1": f"of-the-tests-of-imports-{uuid.uuid4().hex}"}}
        yield Site(request.param, folder, database, write_config(folder, profile, database))


def write_config(folder: Path, profile: Mapping[str, Any], database: str) -> Path:
    path = folder / "storage.toml"
    lines = [f"default_profile = {json.dumps(PROFILE)}", ""]
    tables: list[tuple[str, Mapping[str, Any]]] = [
        (f"profiles.{PROFILE}", profile),
        ("gateway", {"database": database, "drain_timeout": 0.2}),
    ]
    for name, table in tables:
        flat = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in flat.items()), ""]
        tables += [(f"{name}.{key}", table[key]) for key in table if key not in flat]
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def running_clock() -> Clock:
    return Clock()


@pytest.fixture
def clock(running_clock: Clock) -> Iterator[Clock]:
    """The state's and the gateway's; right again after the test."""
    yield running_clock
    running_clock.ahead = timedelta()


@dataclass
class World:
    """A site in use, by one project of the test."""

    site: Site
    state: State
    storage: storage_core.Storage
    project: Project
    bucket: LogicalBucket
    running: list[Workers] = field(default_factory=list)

    def register(self, **said: Any) -> ImportFile:
        """Register a file."""
        registration = Registration(**{"name": "people.txt", "entity_type": "people", **said})
        return imports.register(self.state, self.bucket, "credential", registration, 900)

    def upload(self, file: ImportFile, body: Any) -> tuple[str, int]:
        """Upload a file; etag and size."""
        physical = self.storage.bucket(file.bucket.physical)
        done = physical.put(file.bucket.prefix + file.key, body)
        return done.etag, done.size

    def submit(self, body: Any, file_type: str = "cc5", **said: Any) -> ImportJob:
        """Register and upload a file, and ask for its import."""
        file = self.register(**said)
        etag, size = self.upload(file, body)
        return self.submit_file(file, file_type, etag, size)

    def submit_file(self, file: ImportFile, file_type: str, etag: str, size: int) -> ImportJob:
        job, new = imports.submit(
            self.state,
            file,
            action_id=file.action_id,
            description="",
            file_type=file_type,
            etag=etag,
            size=size,
            lease_seconds=60,
        )
        if new:
            imports.announce(self.state, job.id)
        return job

    def work(self, count: int = 1) -> Workers:
        """Start workers, stopped at the end of the test."""
        workers = imports.start_workers(
            self.state, ImportSettings(), lambda _: self.storage, count=count
        )
        self.running.append(workers)
        return workers

    def job(self, job: ImportJob) -> ImportJob:
        """The job as it is now."""
        found = imports.get_job(self.state, job.id)
        assert found is not None
        return found

    def ended(self, job: ImportJob) -> ImportJob:
        """The job once it has ended."""
        wait_until(lambda: not self.job(job).active, f"the end of {job}")
        return self.job(job)

    def rows(self) -> dict[tuple[str, str], Any]:
        """Values of the imported rows by dataset and key."""
        return {(row["dataset"], row["key"]): row["values"] for row in self.imported()}

    def imported(self) -> list[Mapping[str, Any]]:
        """The imported rows."""
        sink = imports.open_sink("", self.state)
        rows = imports.imported_rows
        try:
            sink.prepare()
            with sink.engine.connect() as connection:
                mine = select(rows).where(rows.c.project_id == self.project.id)
                found = connection.execute(mine.order_by(rows.c.dataset, rows.c.key))
                return [dict(row) for row in found.mappings()]
        finally:
            sink.close()


@pytest.fixture(scope="module")
def storage(site: Site) -> Iterator[storage_core.Storage]:
    with storage_core.open(PROFILE, config=str(site.config)) as opened:
        yield opened


@pytest.fixture(scope="module")
def state(site: Site, running_clock: Clock) -> Iterator[State]:
    opened = open_state(site.database, now=running_clock)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def world(site: Site, state: State, storage: storage_core.Storage) -> Iterator[World]:
    with new_world(site, state, storage) as made:
        yield made


@contextmanager
def new_world(site: Site, state: State, storage: storage_core.Storage) -> Iterator[World]:
    project = projects.create(state, f"p-{uuid.uuid4().hex}")
    bucket = buckets.create(state, storage, project.id, "people")
    made = World(site, state, storage, project, bucket)
    try:
        yield made
    finally:
        for workers in made.running:
            workers.stop(0)


def cc5(*rows: str, total: int | None = None, columns: str = "code|name|age:int") -> bytes:
    """A file of format cc5 with these lines."""
    head = ("00|acme|cc5|20240101|r1", "01|people|w|b|crm|a", "02|code", f"03|{columns}")
    count = len(rows) if total is None else total
    return "".join(f"{line}\n" for line in (*head, *rows, f"99|{count}")).encode()


PYTHONPATH = str(Path(__file__).parents[2])
SCRIPT = Path(sys.executable).with_name("storage")


def worker_process(world: World, distribution: Path, stack: ExitStack) -> subprocess.Popen[str]:
    """`storage imports work`, at work."""
    log = stack.enter_context((world.site.folder / "worker.log").open("w"))
    process = subprocess.Popen(
        [SCRIPT, "imports", "work", "--json"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(distribution), PYTHONPATH]),
            "STORAGE_CONFIG": str(world.site.config),
        },
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    stack.callback(process.wait, 60)
    stack.callback(process.kill)
    assert process.stdout is not None
    stack.callback(process.stdout.close)
    line = process.stdout.readline()
    assert line, log_of(world)
    assert json.loads(line) == {"working": 1, "pid": process.pid}
    return process


def log_of(world: World) -> str:
    return (world.site.folder / "worker.log").read_text()
