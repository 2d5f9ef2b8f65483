"""The facade `appfile`: files imported by signed URL, as CareCloud's Portal does it.

https://apidocs.carecloud.io is what its clients go by: a file is registered, which gives a link;
uploaded by that link; and its import asked for, which only orders it. How far it has come can be
asked at any time. Every answer, a refusal too, is an envelope.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from storage_core import imports, keys
from storage_core.access import buckets
from storage_core.errors import InvalidBucketNameError, InvalidKeyError, ObjectNotFoundError
from storage_core.gateway.answers import RefusedError
from storage_core.gateway.facade import (
    API_KEY,
    BEARER,
    Call,
    Facade,
    Operation,
    Reply,
    TokenScheme,
    invalid,
)
from storage_core.gateway.facades import appfile_wire as wire
from storage_core.imports.model import MAX_NAME

if TYPE_CHECKING:
    from storage_core.config.gateway import ImportSettings
    from storage_core.gateway.service import Service
    from storage_core.gateway.settings import GatewaySettings
    from storage_core.imports import ImportFile, ImportJob, Registration
    from storage_core.model import ObjectInfo
    from storage_core.state import State

NAME: Final = "appfile"

REGISTER: Final = "Import:RegisterFile"
IMPORT: Final = "Import:ImportFile"
READ: Final = "Import:GetFile"

WORKSPACE_HEADER: Final = "x-param-override-workspaceid"
BUCKET_HEADER: Final = "x-param-override-bucketid"


async def register(call: Call) -> Reply:
    """Register a file, and give the link to upload it."""
    order = _overridden(await call.json(wire.FileOrder), call.headers)
    registration = imports.Registration(
        name=order.file_name,
        folder=order.folder,
        category=order.category,
        entity_type=order.entity_type,
        workspace_id=order.workspace_id or call.actor.project_name,
        description=order.description,
        action_id=order.action_id,
        tags=order.tags or (),
        metadata=order.metadata or {},
    )
    _check_key(registration)
    call.require(REGISTER, _resource(order.bucket_id, registration.key))
    service = call.service
    bucket = await service.run(buckets.get, service.state, call.actor.project_id, order.bucket_id)
    limit = service.storage(bucket.profile).capabilities.max_key_bytes
    _check_key(registration, min(limit, keys.MAX_KEY_BYTES) - len(bucket.prefix))
    seconds = service.settings.imports.link_seconds
    file = await service.change(
        imports.register,
        service.state,
        bucket,
        call.actor.credential_id,
        registration,
        seconds,
    )
    link = service.sign(
        bucket, file.key, method="PUT", facade=NAME, actor=call.actor, expires_in=seconds
    )
    return Reply(value=wire.envelope(file, None, "Created", None, link.url))


async def submit(call: Call) -> Reply:
    """Order the import of an uploaded file; a worker carries it out."""
    order = await call.json(wire.ImportOrder)
    settings = call.service.settings.imports
    if order.file_type not in settings.file_types:
        text = f"the file type must be one of {', '.join(settings.file_types)}"
        raise RefusedError(400, "file_type_unsupported", text, fields=(("FileType", text),))
    file = await _find(call, order.file_id, order.file_path)
    call.require(IMPORT, _resource(file.bucket.name, file.key))
    service, action = call.service, order.action_id or file.action_id
    found = await _uploaded(service, file)
    # One that is under way is the answer, whatever became of the object meanwhile.
    job = await service.run(imports.active_job, service.state, file, action)
    if job is None:
        if found is None:
            raise RefusedError(
                400, "file_not_uploaded", "the file is not uploaded; PUT it to its Url first"
            )
        job = await service.change(_submit, service.state, file, found, order, settings)
    if job.file_type != order.file_type:
        raise RefusedError(
            409,
            "import_under_way",
            f"the file is being imported as {job.file_type}; wait for its end, or name another"
            " ActionId",
        )
    return _answer(call, file, job, found)


async def status(call: Call) -> Reply:
    """Tell how far a file has come."""
    service = call.service
    file = await _find(call, call.path["file_id"], "")
    call.require(READ, _resource(file.bucket.name, file.key))
    # The object is looked at first: a job is never older than what was uploaded for it.
    found = await _uploaded(service, file)
    job = await service.run(imports.latest_job, service.state, file)
    return _answer(call, file, job, found)


def _submit(
    state: State,
    file: ImportFile,
    found: ObjectInfo,
    order: wire.ImportOrder,
    settings: ImportSettings,
) -> ImportJob:
    job, new = imports.submit(
        state,
        file,
        action_id=order.action_id or file.action_id,
        description=order.description,
        file_type=order.file_type,
        etag=found.etag,
        size=found.size,
        lease_seconds=settings.lease_seconds,
    )
    if new:
        imports.announce(state, job.id)
    return job


def _overridden(order: wire.FileOrder, headers: Mapping[str, str]) -> wire.FileOrder:
    """The order with what the headers say instead."""
    workspace = headers.get(WORKSPACE_HEADER) or order.workspace_id
    bucket = headers.get(BUCKET_HEADER) or order.bucket_id
    if len(workspace) > MAX_NAME:
        raise invalid([("WorkspaceId", f"longer than {MAX_NAME} characters")])
    try:
        buckets.check_name(bucket)
    except InvalidBucketNameError as error:
        raise invalid([("BucketId", error.message)]) from None
    return order.model_copy(update={"workspace_id": workspace, "bucket_id": bucket})


def _check_key(registration: Registration, limit: int = keys.MAX_KEY_BYTES) -> None:
    """Refuse a file whose key can not be."""
    try:
        keys.check_key(registration.key, limit)
    except InvalidKeyError as error:
        raise RefusedError(
            400, "invalid_key", f"FileName and Folder make no key: {error.message}"
        ) from None


async def _find(call: Call, file_id: str, path: str) -> ImportFile:
    """The file that a request names, by one or both."""
    service, project = call.service, call.actor.project_id
    if not (file_id or path):
        raise invalid([("FileId", "the id or the path of the file is needed")])
    if file_id:
        file = await service.run(imports.find_file, service.state, project, file_id)
    else:
        file = await service.run(imports.find_path, service.state, project, path)
    if file is None:
        raise RefusedError(404, "file_not_found", "there is no such file")
    if path and file.path != path:
        raise invalid([("FilePath", "this is not the path of the file of that id")])
    return file


async def _uploaded(service: Service, file: ImportFile) -> ObjectInfo | None:
    """The file's object, as soon as its upload has ended."""
    bucket = service.storage(file.bucket.profile).bucket(file.bucket.physical)
    try:
        return await bucket.head(file.bucket.prefix + file.key)
    except ObjectNotFoundError:
        return None


def _answer(call: Call, file: ImportFile, job: ImportJob | None, found: ObjectInfo | None) -> Reply:
    stage = imports.stage(file, job, uploaded=found is not None, now=call.service.state.now())
    return Reply(value=wire.envelope(file, job, stage, found))


def _resource(bucket: str, key: str) -> str:
    return f"Import:{bucket}/{key}"


# --- the table ----------------------------------------------------------------------------


def _token(headers: Mapping[str, str]) -> str | None:
    return API_KEY(headers) or BEARER(headers)


_TOKEN: Final = TokenScheme(API_KEY.name, API_KEY.description, _token)


def _refusal(refusal: RefusedError) -> Reply:
    return Reply(refusal.status, wire.failure(refusal.code, refusal.message, refusal.fields))


def _import(path: str, name: str) -> Operation:
    return Operation(
        name=name,
        method="POST",
        path=path,
        handler=submit,
        summary="Order the import of an uploaded file. The answer tells that it was ordered.",
        request=wire.ImportOrder,
        response=wire.Envelope,
        refusals=(404, 409),
    )


def facade(settings: GatewaySettings) -> Facade:
    """The facade.

    Raises:
        ConfigError: there is no importer for one of the file types that the settings name.
    """
    for name in settings.imports.file_types:
        imports.load_importer(name)
    files = (
        Operation(
            name="appfile.register",
            method="POST",
            path="/file/path",
            handler=register,
            summary="Register a file, and get a link to upload it.",
            request=wire.FileOrder,
            response=wire.Envelope,
            refusals=(404,),
        ),
        _import("/file/import", "appfile.import"),
        Operation(
            name="appfile.status",
            method="GET",
            path="/file/{file_id}",
            handler=status,
            summary="Get a file, and how far its import has come.",
            response=wire.Envelope,
            refusals=(404,),
        ),
    )
    return Facade(
        name=NAME,
        mounts=(
            ("/appfile", files),
            ("/appdata", (_import("/import/file/async", "appfile.import_async"),)),
        ),
        refusal=_refusal,
        error=wire.Envelope,
        token=_TOKEN,
        link_actions={"PUT": REGISTER},
        link_resource=_resource,
        description="Files imported by signed URL, as CareCloud's Portal does it.",
    )
