"""Files that are registered for import, and the jobs that import them, as the state has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from sqlalchemy import ColumnElement, RowMapping, and_, select

from storage_core.access.buckets import LogicalBucket
from storage_core.errors import ConflictError
from storage_core.state import new_id, on_conflict
from storage_core.state.tables import buckets, files, import_jobs

if TYPE_CHECKING:
    from storage_core.state import State

Stage: TypeAlias = Literal[
    "Created", "Uploaded", "Queued", "Processing", "Imported", "Failed", "Expired"
]

ACTIVE: Final = ("queued", "processing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a caller says of a file.

    Attributes:
        name: The file's name, the last segment of its key.
        folder: Begins its key.
        action_id: The caller's word for all that is done with the file; empty for a new one.
        file_id: The file's id.
    """

    name: str
    folder: str = ""
    category: str = ""
    entity_type: str = ""
    workspace_id: str = ""
    description: str = ""
    action_id: str = ""
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    file_id: str = field(default_factory=new_id)

    @property
    def key(self) -> str:
        """Key of the file: folder, id and name, so that files of equal names do not collide."""
        folder = self.folder.strip("/")
        return "/".join(part for part in (folder, self.file_id, self.name) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFile:
    """A registered file, whether uploaded or not.

    Attributes:
        bucket: The logical bucket it is in.
        key: Its key there.
        link_expires: Moment at which its upload link ends.
    """

    id: str
    project_id: str
    bucket: LogicalBucket
    key: str
    action_id: str
    name: str
    folder: str
    category: str
    entity_type: str
    workspace_id: str
    description: str
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    created: datetime
    link_expires: datetime

    @property
    def path(self) -> str:
        """``//BUCKET/KEY``."""
        return f"//{self.bucket.name}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """One order to import a file.

    Attributes:
        etag: Of the object as it was when the job was submitted; another one is not imported.
        size: Likewise, in bytes.
        attempts: How often a worker has begun it.
        lease_until: Moment at which its worker, or its place in the queue, is taken for lost.
        bytes_read: How far its worker has come.
        rows_total: Rows read; all of them once it is imported.
        rows_ok: Rows put in place.
        rows_failed: Rows refused; the first one ends the import.
        rows_deleted: Rows deleted.
        error_line: Line of the file, from 1, if the error is about one.
    """

    id: str
    project_id: str
    file_id: str
    action_id: str
    file_type: str
    description: str
    etag: str
    size: int
    state: Literal["queued", "processing", "imported", "failed"]
    attempts: int
    lease_until: datetime | None
    worker: str | None
    submitted: datetime
    started: datetime | None
    finished: datetime | None
    bytes_read: int
    rows_total: int
    rows_ok: int
    rows_failed: int
    rows_deleted: int
    error_code: str | None
    error_line: int | None
    error: str | None

    @property
    def active(self) -> bool:
        """Whether it has yet to end."""
        return self.state in ACTIVE


def register(
    state: State,
    bucket: LogicalBucket,
    credential_id: str,
    registration: Registration,
    link_seconds: int,
) -> ImportFile:
    """Register a file to be uploaded.

    Args:
        state: Where it is written down.
        bucket: Where it is to be.
        credential_id: Who asks.
        registration: What is said of it.
        link_seconds: Life of its upload link.

    Raises:
        ConflictError: the bucket was deleted meanwhile.
    """
    now = state.now()
    file = ImportFile(
        id=registration.file_id,
        project_id=bucket.project_id,
        bucket=bucket,
        key=registration.key,
        action_id=registration.action_id or new_id(),
        name=registration.name,
        folder=registration.folder,
        category=registration.category,
        entity_type=registration.entity_type,
        workspace_id=registration.workspace_id,
        description=registration.description,
        tags=tuple(registration.tags),
        metadata=dict(registration.metadata),
        created=now,
        link_expires=now + timedelta(seconds=link_seconds),
    )
    values = {name: getattr(file, name) for name in _FILE_COLUMNS}
    values |= {
        "bucket_id": bucket.id,
        "credential_id": credential_id,
        "tags": list(file.tags),
    }
    with state.write() as connection:
        connection.execute(files.insert(), values)
    return file


def find_file(state: State, project_id: str, file_id: str) -> ImportFile | None:
    """The file of an id; None if the project has none, or its bucket is gone."""
    return _file(state, files.c.project_id == project_id, files.c.id == file_id)


def find_path(state: State, project_id: str, path: str) -> ImportFile | None:
    """The file of a path ``//BUCKET/KEY``; None as of `find_file`."""
    bucket, _, key = path.removeprefix("//").partition("/")
    if not path.startswith("//"):
        return None
    return _file(
        state, files.c.project_id == project_id, buckets.c.name == bucket, files.c.key == key
    )


def submit(
    state: State,
    file: ImportFile,
    *,
    action_id: str,
    description: str,
    file_type: str,
    etag: str,
    size: int,
    lease_seconds: float,
) -> tuple[ImportJob, bool]:
    """Order the import of a file as it is now.

    Args:
        state: Where the job is written down.
        file: What to import.
        action_id: The caller's word for it.
        description: Likewise.
        file_type: Name of the importer.
        etag: Of the uploaded object.
        size: Its bytes.
        lease_seconds: Time after which the job is queued again if no worker took it.

    Returns:
        The job, and whether it is new: while one of the same file and action is under way,
        that one is given back.

    Raises:
        ConflictError: the file was deleted meanwhile.
    """
    now = state.now()
    job = ImportJob(
        id=new_id(),
        project_id=file.project_id,
        file_id=file.id,
        action_id=action_id,
        file_type=file_type,
        description=description,
        etag=etag,
        size=size,
        state="queued",
        attempts=0,
        lease_until=now + timedelta(seconds=lease_seconds),
        worker=None,
        submitted=now,
        started=None,
        finished=None,
        bytes_read=0,
        rows_total=0,
        rows_ok=0,
        rows_failed=0,
        rows_deleted=0,
        error_code=None,
        error_line=None,
        error=None,
    )
    values = {column.name: getattr(job, column.name) for column in import_jobs.columns}
    while True:
        if found := active_job(state, file, action_id):
            return found, False
        try:
            with state.write() as connection, on_conflict(_TakenError()):
                connection.execute(import_jobs.insert(), values)
            return job, True
        except _TakenError:
            continue  # the other one is found now, unless it has ended already


def active_job(state: State, file: ImportFile, action_id: str) -> ImportJob | None:
    """The job of a file and action that is under way."""
    return _job(
        state,
        import_jobs.c.project_id == file.project_id,
        import_jobs.c.file_id == file.id,
        import_jobs.c.action_id == action_id,
        import_jobs.c.state.in_(ACTIVE),
    )


def latest_job(state: State, file: ImportFile) -> ImportJob | None:
    """The job of a file that was submitted last."""
    return _job(
        state, import_jobs.c.project_id == file.project_id, import_jobs.c.file_id == file.id
    )


def get_job(state: State, job_id: str) -> ImportJob | None:
    """The job of an id, of whatever project."""
    return _job(state, import_jobs.c.id == job_id)


def list_jobs(
    state: State, project_id: str, *, active: bool = False, limit: int = 100
) -> list[tuple[ImportJob, str]]:
    """Jobs of a project and the names of their files, the newest first.

    Args:
        state: Where they are.
        project_id: Whose they are.
        active: Only those under way.
        limit: Most of them.
    """
    wanted = [import_jobs.c.project_id == project_id]
    if active:
        wanted.append(import_jobs.c.state.in_(ACTIVE))
    statement = (
        select(import_jobs, files.c.name)
        .join(
            files,
            and_(
                import_jobs.c.project_id == files.c.project_id,
                import_jobs.c.file_id == files.c.id,
            ),
        )
        .where(*wanted)
        .order_by(import_jobs.c.submitted.desc(), import_jobs.c.id.desc())
        .limit(limit)
    )
    with state.read() as connection:
        rows = connection.execute(statement).mappings()
        return [(_as_job(row), row[files.c.name]) for row in rows]


def stage(file: ImportFile, job: ImportJob | None, *, uploaded: bool, now: datetime) -> Stage:
    """How far a file has come. What comes before a job is read off the object and the link, so
    that no event of an upload can be missed.

    Args:
        file: The file.
        job: Its last job.
        uploaded: Whether its object exists.
        now: The time.
    """
    if job is not None:
        return _STAGES[job.state]
    if uploaded:
        return "Uploaded"
    return "Expired" if now >= file.link_expires else "Created"


_STAGES: Final[dict[str, Stage]] = {
    "queued": "Queued",
    "processing": "Processing",
    "imported": "Imported",
    "failed": "Failed",
}

_FILE_COLUMNS: Final = (
    "id",
    "project_id",
    "key",
    "action_id",
    "name",
    "folder",
    "category",
    "entity_type",
    "workspace_id",
    "description",
    "tags",
    "metadata",
    "created",
    "link_expires",
)
_BUCKET_COLUMNS: Final = ("id", "project_id", "name", "created", "profile", "physical", "prefix")


class _TakenError(ConflictError):
    """There is an active job of the same file and action."""


def _file(state: State, *wanted: ColumnElement[bool]) -> ImportFile | None:
    same = and_(files.c.project_id == buckets.c.project_id, files.c.bucket_id == buckets.c.id)
    statement = (
        select(files, *(buckets.c[name].label(f"bucket_{name}_") for name in _BUCKET_COLUMNS))
        .join(buckets, same)
        .where(*wanted, buckets.c.state == "active")
    )
    with state.read() as connection:
        row = connection.execute(statement).mappings().first()
    if row is None:
        return None
    bucket = LogicalBucket(**{name: row[f"bucket_{name}_"] for name in _BUCKET_COLUMNS})
    return ImportFile(bucket=bucket, **{name: row[files.c[name]] for name in _FILE_COLUMNS})


def _job(state: State, *wanted: ColumnElement[bool]) -> ImportJob | None:
    newest = (import_jobs.c.submitted.desc(), import_jobs.c.id.desc())
    statement = select(import_jobs).where(*wanted).order_by(*newest).limit(1)
    with state.read() as connection:
        row = connection.execute(statement).mappings().first()
        return None if row is None else _as_job(row)


def _as_job(row: RowMapping) -> ImportJob:
    return ImportJob(**{column.name: row[column] for column in import_jobs.columns})
