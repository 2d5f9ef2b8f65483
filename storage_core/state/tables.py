"""The tables of the state. Every one but `projects` has a ``project_id``, and so has every
reference between them: a row can not point into another project.

The tables are made by the migrations beside this module; a test holds both against each other.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Named,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypedColumns,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from storage_core.state.ids import LENGTH

MAX_NAME = 128
"""Most characters of the name of a project, principal, policy or bucket."""

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware in, UTC out, to the microsecond, on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone can not be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        # SQLite keeps no time zone; what was bound is UTC.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# Names sort by their bytes, whatever the locale of the database.
Id: Final = String(LENGTH).with_variant(String(LENGTH, collation="C"), "postgresql")
Name: Final = String(MAX_NAME).with_variant(String(MAX_NAME, collation="C"), "postgresql")
Key: Final = Text().with_variant(Text(collation="C"), "postgresql")


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _within_project(column: str, parent: str) -> ForeignKeyConstraint:
    """A reference to a row of the same project, which goes with that row."""
    return ForeignKeyConstraint(
        ["project_id", column], [f"{parent}.project_id", f"{parent}.id"], ondelete="CASCADE"
    )


class _Columns(TypedColumns):
    id: Named[str] = Column(Id, primary_key=True)
    project_id: Named[str] = Column(Id)


class _Projects(TypedColumns):
    id: Named[str] = Column(Id, primary_key=True)
    name: Named[str] = Column(Name)
    created: Named[datetime] = Column(UtcDateTime)


projects: Final = Table("projects", metadata, _Projects, UniqueConstraint("name"))


class _Principals(_Columns):
    name: Named[str] = Column(Name)
    kind: Named[str] = Column(String(16))
    active: Named[bool] = Column(Boolean)
    created: Named[datetime] = Column(UtcDateTime)


principals: Final = Table(
    "principals",
    metadata,
    _Principals,
    ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
    UniqueConstraint("project_id", "name"),
    UniqueConstraint("project_id", "id"),
    _one_of("kind", "user", "service"),
)


class _Credentials(_Columns):
    principal_id: Named[str] = Column(Id)
    kind: Named[str] = Column(String(16))
    label: Named[str] = Column(Text)
    secret_hash: Named[str] = Column(String(64))
    created: Named[datetime] = Column(UtcDateTime)
    expires: Named[datetime | None] = Column(UtcDateTime)
    revoked: Named[datetime | None] = Column(UtcDateTime)


credentials: Final = Table(
    "credentials",
    metadata,
    _Credentials,
    _within_project("principal_id", "principals"),
    Index(None, "project_id", "principal_id"),
    _one_of("kind", "bearer", "api-key"),
)


class _Policies(_Columns):
    name: Named[str] = Column(Name)
    document: Named[Any] = Column(JSON)
    updated: Named[datetime] = Column(UtcDateTime)


policies: Final = Table(
    "policies",
    metadata,
    _Policies,
    ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
    UniqueConstraint("project_id", "name"),
    UniqueConstraint("project_id", "id"),
)


class _PrincipalPolicies(TypedColumns):
    project_id: Named[str] = Column(Id)
    principal_id: Named[str] = Column(Id)
    policy_id: Named[str] = Column(Id)


principal_policies: Final = Table(
    "principal_policies",
    metadata,
    _PrincipalPolicies,
    PrimaryKeyConstraint("principal_id", "policy_id"),
    _within_project("principal_id", "principals"),
    _within_project("policy_id", "policies"),
    Index(None, "project_id", "policy_id"),
)


class _AuditEvents(_Columns):
    time: Named[datetime] = Column(UtcDateTime)
    principal_id: Named[str | None] = Column(Id)
    credential_id: Named[str | None] = Column(Id)
    action: Named[str] = Column(Text)
    target: Named[str] = Column(Text)
    result: Named[str] = Column(Text)
    request_id: Named[str] = Column(Text)


# The trail outlives what it is about, so it refers to nothing.
audit_events: Final = Table("audit_events", metadata, _AuditEvents, Index(None, "project_id", "id"))


class _Buckets(_Columns):
    name: Named[str] = Column(Name)
    created: Named[datetime] = Column(UtcDateTime)
    state: Named[str] = Column(String(16))
    profile: Named[str] = Column(Text)
    physical: Named[str] = Column(Text)
    prefix: Named[str] = Column(Key)


buckets: Final = Table(
    "buckets",
    metadata,
    _Buckets,
    # No cascade: a project that still has buckets has objects somewhere.
    ForeignKeyConstraint(["project_id"], ["projects.id"]),
    UniqueConstraint("project_id", "name"),
    UniqueConstraint("project_id", "id"),
    _one_of("state", "creating", "active", "deleting"),
)


class _Files(_Columns):
    bucket_id: Named[str] = Column(Id)
    credential_id: Named[str] = Column(Id)
    action_id: Named[str] = Column(Text)
    key: Named[str] = Column(Key)
    name: Named[str] = Column(Text)
    folder: Named[str] = Column(Text)
    category: Named[str] = Column(Text)
    entity_type: Named[str] = Column(Text)
    description: Named[str] = Column(Text)
    workspace_id: Named[str] = Column(Text)
    tags: Named[Any] = Column(JSON)
    metadata: Named[Any] = Column(JSON)
    created: Named[datetime] = Column(UtcDateTime)
    link_expires: Named[datetime] = Column(UtcDateTime)


files: Final = Table(
    "files",
    metadata,
    _Files,
    _within_project("bucket_id", "buckets"),
    UniqueConstraint("project_id", "id"),
    Index(None, "project_id", "bucket_id"),
)


_ZERO: Final = text("0")


class _ImportJobs(_Columns):
    file_id: Named[str] = Column(Id)
    action_id: Named[str] = Column(Text)
    file_type: Named[str] = Column(Text)
    description: Named[str] = Column(Text)
    etag: Named[str] = Column(Text)
    size: Named[int] = Column(BigInteger)
    state: Named[str] = Column(String(16))
    attempts: Named[int] = Column(Integer, server_default=_ZERO)
    lease_until: Named[datetime | None] = Column(UtcDateTime)
    worker: Named[str | None] = Column(Text)
    submitted: Named[datetime] = Column(UtcDateTime)
    started: Named[datetime | None] = Column(UtcDateTime)
    finished: Named[datetime | None] = Column(UtcDateTime)
    bytes_read: Named[int] = Column(BigInteger, server_default=_ZERO)
    rows_total: Named[int] = Column(BigInteger, server_default=_ZERO)
    rows_ok: Named[int] = Column(BigInteger, server_default=_ZERO)
    rows_failed: Named[int] = Column(BigInteger, server_default=_ZERO)
    rows_deleted: Named[int] = Column(BigInteger, server_default=_ZERO)
    error_code: Named[str | None] = Column(Text)
    error_line: Named[int | None] = Column(BigInteger)
    error: Named[str | None] = Column(Text)


_ACTIVE: Final = text("state IN ('queued', 'processing')")

import_jobs: Final = Table(
    "import_jobs",
    metadata,
    _ImportJobs,
    _within_project("file_id", "files"),
    UniqueConstraint("project_id", "id"),
    Index(None, "project_id", "file_id"),
    Index(None, "state", "submitted"),
    Index(None, "state", "lease_until"),
    # At most one job under way for a file and an action.
    Index(
        "uq_import_jobs_active",
        "project_id",
        "file_id",
        "action_id",
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    ),
    _one_of("state", "queued", "processing", "imported", "failed"),
)
