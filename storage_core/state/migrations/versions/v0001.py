"""The first schema: projects, principals, credentials, policies, audit, buckets, imports."""

from typing import Any, TypeAlias

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    _identity()
    _policies()
    op.create_table(
        "audit_events",
        *_own(),
        _column("time", _moment()),
        _column("principal_id", _id(), nullable=True),
        _column("credential_id", _id(), nullable=True),
        _column("action", sa.Text()),
        _column("target", sa.Text()),
        _column("result", sa.Text()),
        _column("request_id", sa.Text()),
        _key("audit_events"),
    )
    _index("audit_events", "id")
    _buckets()
    _imports()


def _identity() -> None:
    op.create_table(
        "projects",
        _column("id", _id()),
        _column("name", _name()),
        _column("created", _moment()),
        _key("projects"),
        sa.UniqueConstraint("name", name="uq_projects_name"),
    )
    op.create_table(
        "principals",
        *_own(),
        _column("name", _name()),
        _column("kind", sa.String(16)),
        _column("active", sa.Boolean()),
        _column("created", _moment()),
        _key("principals"),
        _of_project("principals", ondelete="CASCADE"),
        _unique("principals", "name"),
        _unique("principals", "id"),
        sa.CheckConstraint("kind IN ('user', 'service')", name=op.f("ck_principals_kind")),
    )
    op.create_table(
        "credentials",
        *_own(),
        _column("principal_id", _id()),
        _column("kind", sa.String(16)),
        _column("label", sa.Text()),
        _column("secret_hash", sa.String(64)),
        _column("created", _moment()),
        _column("expires", _moment(), nullable=True),
        _column("revoked", _moment(), nullable=True),
        _key("credentials"),
        _within_project("credentials", "principal_id", "principals"),
        sa.CheckConstraint("kind IN ('bearer', 'api-key')", name=op.f("ck_credentials_kind")),
    )
    _index("credentials", "principal_id")


def _policies() -> None:
    op.create_table(
        "policies",
        *_own(),
        _column("name", _name()),
        _column("document", sa.JSON()),
        _column("updated", _moment()),
        _key("policies"),
        _of_project("policies", ondelete="CASCADE"),
        _unique("policies", "name"),
        _unique("policies", "id"),
    )
    op.create_table(
        "principal_policies",
        _column("project_id", _id()),
        _column("principal_id", _id()),
        _column("policy_id", _id()),
        sa.PrimaryKeyConstraint("principal_id", "policy_id", name="pk_principal_policies"),
        _within_project("principal_policies", "principal_id", "principals"),
        _within_project("principal_policies", "policy_id", "policies"),
    )
    _index("principal_policies", "policy_id")


def _buckets() -> None:
    op.create_table(
        "buckets",
        *_own(),
        _column("name", _name()),
        _column("created", _moment()),
        _column("state", sa.String(16)),
        _column("profile", sa.Text()),
        _column("physical", sa.Text()),
        _column("prefix", _object_key()),
        _key("buckets"),
        _of_project("buckets", ondelete=None),
        _unique("buckets", "name"),
        _unique("buckets", "id"),
        sa.CheckConstraint(
            "state IN ('creating', 'active', 'deleting')", name=op.f("ck_buckets_state")
        ),
    )


def _imports() -> None:
    op.create_table(
        "files",
        *_own(),
        _column("bucket_id", _id()),
        _column("credential_id", _id()),
        _column("action_id", sa.Text()),
        _column("key", _object_key()),
        _column("name", sa.Text()),
        _column("folder", sa.Text()),
        _column("category", sa.Text()),
        _column("entity_type", sa.Text()),
        _column("description", sa.Text()),
        _column("workspace_id", sa.Text()),
        _column("tags", sa.JSON()),
        _column("metadata", sa.JSON()),
        _column("created", _moment()),
        _column("link_expires", _moment()),
        _key("files"),
        _within_project("files", "bucket_id", "buckets"),
        _unique("files", "id"),
    )
    _index("files", "bucket_id")
    op.create_table(
        "import_jobs",
        *_own(),
        _column("file_id", _id()),
        _column("action_id", sa.Text()),
        _column("file_type", sa.Text()),
        _column("description", sa.Text()),
        _column("etag", sa.Text()),
        _column("size", sa.BigInteger()),
        _column("state", sa.String(16)),
        _counter("attempts", sa.Integer()),
        _column("lease_until", _moment(), nullable=True),
        _column("worker", sa.Text(), nullable=True),
        _column("submitted", _moment()),
        _column("started", _moment(), nullable=True),
        _column("finished", _moment(), nullable=True),
        _counter("bytes_read"),
        _counter("rows_total"),
        _counter("rows_ok"),
        _counter("rows_failed"),
        _counter("rows_deleted"),
        _column("error_code", sa.Text(), nullable=True),
        _column("error_line", sa.BigInteger(), nullable=True),
        _column("error", sa.Text(), nullable=True),
        _key("import_jobs"),
        _within_project("import_jobs", "file_id", "files"),
        _unique("import_jobs", "id"),
        sa.CheckConstraint(
            "state IN ('queued', 'processing', 'imported', 'failed')",
            name=op.f("ck_import_jobs_state"),
        ),
    )
    _index("import_jobs", "file_id")
    op.create_index("ix_import_jobs_state_submitted", "import_jobs", ["state", "submitted"])
    op.create_index("ix_import_jobs_state_lease_until", "import_jobs", ["state", "lease_until"])
    active = sa.text("state IN ('queued', 'processing')")
    op.create_index(
        "uq_import_jobs_active",
        "import_jobs",
        ["project_id", "file_id", "action_id"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )


# The types and names of this version, whatever becomes of those of `tables`.


Type: TypeAlias = sa.types.TypeEngine[Any]


def _column(name: str, kind: Type, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)


def _counter(name: str, kind: Type | None = None) -> sa.Column[Any]:
    return sa.Column(name, kind or sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def _own() -> tuple[sa.Column[Any], sa.Column[Any]]:
    return _column("id", _id()), _column("project_id", _id())


def _id() -> sa.String:
    return sa.String(26).with_variant(sa.String(26, collation="C"), "postgresql")


def _name() -> sa.String:
    return sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


def _object_key() -> sa.Text:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def _key(table: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint("id", name=f"pk_{table}")


def _unique(table: str, column: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint("project_id", column, name=f"uq_{table}_project_id_{column}")


def _of_project(table: str, *, ondelete: str | None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["project_id"], ["projects.id"], name=f"fk_{table}_projects", ondelete=ondelete
    )


def _within_project(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["project_id", column],
        [f"{parent}.project_id", f"{parent}.id"],
        name=f"fk_{table}_{parent}",
        ondelete="CASCADE",
    )


def _index(table: str, column: str) -> None:
    op.create_index(f"ix_{table}_project_id_{column}", table, ["project_id", column])
