"""What the facade `appfile` reads and writes as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic.alias_generators import to_pascal

from storage_core.imports import ImportFile, ImportJob, Stage
from storage_core.imports.model import MAX_NAME
from storage_core.imports.values import check_value

if TYPE_CHECKING:
    from storage_core.model import ObjectInfo


def _storable(value: Any) -> Any:
    check_value(value)
    return value


def _none_as_empty(value: Any) -> Any:
    return "" if value is None else value


_Text: TypeAlias = Annotated[
    str,
    StringConstraints(max_length=1024),
    AfterValidator(_storable),
    BeforeValidator(_none_as_empty),
]
_Label: TypeAlias = Annotated[_Text, StringConstraints(max_length=MAX_NAME)]


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True)


class FileOrder(_Wire):
    """A file to be registered."""

    workspace_id: _Label = Field(
        default="",
        description="Workspace the file belongs to; by default the name of the key's project. The"
        " header X-Param-Override-WorkspaceId comes before it.",
    )
    bucket_id: _Label = Field(
        default="",
        description="Name of the bucket it is to be in. The header"
        " X-Param-Override-BucketId comes before it.",
    )
    entity_type: _Label = Field(default="", description="What its rows are about.")
    file_name: Annotated[
        str, StringConstraints(min_length=1, max_length=255, pattern="^[^/]*$")
    ] = Field(description="The last segment of its key.")
    folder: _Text = Field(default="", description="Begins its key.")
    category: _Text = ""
    tags: Annotated[list[_Text], Field(max_length=100)] | None = None
    metadata: Annotated[dict[str, Any], AfterValidator(_storable)] | None = None
    action_id: _Text = Field(
        default="", description="The caller's word for all that is done with it; else a new one."
    )
    description: _Text = ""


class ImportOrder(_Wire):
    """A file to be imported: by its id or its path, which must agree where both are given."""

    action_id: _Text = Field(default="", description="A new one, or that of the file.")
    description: _Text = ""
    file_type: _Label = Field(description="What the file is, such as cc5.")
    file_id: _Label = ""
    file_path: Annotated[
        str,
        StringConstraints(max_length=2048),
        AfterValidator(_storable),
        BeforeValidator(_none_as_empty),
    ] = ""


class Problem(_Wire):
    """What is wrong with one field."""

    error_code: str
    field_name: str
    message: str


class ResponseStatus(_Wire):
    """How a call went."""

    error_code: str | None = Field(default=None, description="None of a success.")
    message: str | None = None
    stack_trace: str | None = Field(default=None, description="Always none.")
    errors: list[Problem] = Field(default=[])


class FileState(_Wire):
    """A file and its last import. Times are in UTC."""

    file_id: str
    file_name: str
    file_path: str
    url: str
    size: int | None
    content_type: str | None
    tags: list[str]
    metadata: dict[str, Any]
    category: str
    folder: str
    entity_type: str
    workspace_id: str
    bucket_id: str
    action_id: str
    description: str
    file_type: str | None
    status: Stage
    created_at: str
    uploaded_at: str | None
    import_requested_at: str | None
    imported_at: str | None
    rows_total: int
    rows_ok: int
    rows_failed: int
    rows_deleted: int
    error: str | None
    error_code: str | None
    error_line: int | None


class Data(_Wire):
    """What was done, and to what."""

    action_id: str
    file: FileState
    file_id: str
    file_path: str = Field(description="//BUCKET/KEY")
    url: str = Field(description="Where to PUT the file; only the registration gives one.")


class Envelope(_Wire):
    """Every answer."""

    is_success: bool
    response_status: ResponseStatus
    data: Data | None


def envelope(
    file: ImportFile, job: ImportJob | None, stage: Stage, upload: ObjectInfo | None, url: str = ""
) -> dict[str, Any]:
    """The answer of a success.

    Args:
        file: The file.
        job: Its last job, or the one that is answered for.
        stage: How far it has come.
        upload: Its object, if there is one.
        url: Where to upload it.
    """
    action_id = job.action_id if job else file.action_id
    failed = stage == "Failed"
    state = FileState(
        file_id=file.id,
        file_name=file.name,
        file_path=file.path,
        url=url,
        size=upload.size if upload else job.size if job else None,
        content_type=upload.content_type if upload else None,
        tags=list(file.tags),
        metadata=dict(file.metadata),
        category=file.category,
        folder=file.folder,
        entity_type=file.entity_type,
        workspace_id=file.workspace_id,
        bucket_id=file.bucket.name,
        action_id=action_id,
        description=(job.description if job else "") or file.description,
        file_type=job.file_type if job else None,
        status=stage,
        created_at=_iso(file.created),
        uploaded_at=_iso(upload.modified) if upload else None,
        import_requested_at=_iso(job.submitted) if job else None,
        imported_at=_iso(job.finished) if job and job.finished and stage == "Imported" else None,
        rows_total=job.rows_total if job else 0,
        rows_ok=job.rows_ok if job else 0,
        rows_failed=job.rows_failed if job else 0,
        rows_deleted=job.rows_deleted if job else 0,
        error=_error(job) if failed else None,
        error_code=job.error_code if job and failed else None,
        error_line=job.error_line if job else None,
    )
    data = Data(action_id=action_id, file=state, file_id=file.id, file_path=file.path, url=url)
    return _dump(Envelope(is_success=True, response_status=ResponseStatus(), data=data))


def failure(code: str, message: str, fields: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The answer of a failure.

    Args:
        code: Of the whole, in the gateway's spelling, such as ``not_found``.
        message: For people.
        fields: Fields at fault, each with what is wrong with it.
    """
    problems = [
        Problem(error_code="Invalid", field_name=name, message=text) for name, text in fields
    ]
    status = ResponseStatus(error_code=to_pascal(code), message=message, errors=problems)
    return _dump(Envelope(is_success=False, response_status=status, data=None))


def _dump(answer: Envelope) -> dict[str, Any]:
    return answer.model_dump(mode="json", by_alias=True)


def _error(job: ImportJob | None) -> str | None:
    if job is None or job.error is None or job.error_line is None:
        return job.error if job else None
    return f"line {job.error_line}: {job.error}"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
