"""What the tests of imports work on: a site, and one project's files, imports and workers."""

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

from sqlalchemy import select

import storage_core
from storage_core import imports
from storage_core.access import buckets, projects
from storage_core.access.buckets import LogicalBucket
from storage_core.access.model import Project
from storage_core.config.gateway import ImportSettings
from storage_core.imports import ImportFile, ImportJob, Registration, Workers, leases
from storage_core.imports.queue import JobQueue
from storage_core.state import State
from tests.waiting import PATIENCE

PROFILE = "main"


class Clock:
    """The time of the machine, put forward. It never goes back; it may stand for a while."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self._begun = datetime.now(UTC) - timedelta(seconds=time.monotonic())
        self._stands: datetime | None = None

    def __call__(self) -> datetime:
        now = self._begun + timedelta(seconds=time.monotonic())
        return (self._stands or now) + self.ahead

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Have it move by `ahead` alone, for what is true to the second."""
        self._stands = self() - self.ahead
        try:
            yield
        finally:
            self._stands = None


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return as soon as the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.01)


@dataclass(frozen=True)
class Site:
    """Where objects are kept and where the state is, in a configuration."""

    name: str
    folder: Path
    database: str
    config: Path


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


@contextmanager
def new_world(site: Site, state: State, storage: storage_core.Storage) -> Iterator[World]:
    project = projects.create(state, f"p-{uuid.uuid4().hex}")
    bucket = buckets.create(state, storage, project.id, "people")
    made = World(site, state, storage, project, bucket)
    try:
        yield made
    finally:
        for workers in made.running:
            workers.stop(0, grace=PATIENCE)


def cc5(*rows: str, total: int | None = None, columns: str = "code|name|age:int") -> bytes:
    """A file of format cc5 with these lines."""
    head = ("00|acme|cc5|20240101|r1", "01|people|w|b|crm|a", "02|code", f"03|{columns}")
    count = len(rows) if total is None else total
    return "".join(f"{line}\n" for line in (*head, *rows, f"99|{count}")).encode()


PYTHONPATH = str(Path(__file__).parents[2])


SCRIPT = Path(sys.executable).with_name("storage")


def closed(process: subprocess.Popen[str], stack: ExitStack) -> None:
    """Have the process ended with the test, however that ends."""
    if process.stdout is not None:
        stack.callback(process.stdout.close)
    stack.callback(process.wait, PATIENCE)
    stack.callback(process.kill)


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
    closed(process, stack)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, log_of(world)
    assert json.loads(line) == {"working": 1, "pid": process.pid}
    return process


def log_of(world: World) -> str:
    return (world.site.folder / "worker.log").read_text()


THREE = b"1\n2\n3\n"
"""A file of the importer `plain`."""


def reached(gate: dict[str, str]) -> int:
    """How often an importer came to the gate."""
    path = Path(gate["reached"])
    return len(path.read_text()) if path.exists() else 0


def keys(world: World) -> list[str]:
    return [json.loads(key)[0] for _, key in world.rows()]


def sweep(world: World) -> None:
    """What every worker does now and then."""
    queue = JobQueue(world.state, lambda _: None)
    try:
        leases.requeue_lapsed(world.state, 60, queue.waiting, queue.put)
    finally:
        queue.close()
