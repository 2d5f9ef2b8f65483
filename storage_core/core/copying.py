"""Copy, move and metadata updates of `BucketCore`: inside the service where it can,
streamed through this process where it can not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from storage_core import keys
from storage_core.checksum import ALGORITHMS
from storage_core.core import attributes as attribute_rules
from storage_core.core.sending import Settle, send
from storage_core.core.settling import look, put_result, settle_write, unknown
from storage_core.errors import (
    NotModifiedError,
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
)
from storage_core.model import (
    EMPTY,
    NO_ATTRIBUTES,
    NO_CONDITIONS,
    Attributes,
    Conditions,
    CopyProgress,
    ObjectInfo,
    PutResult,
)
from storage_core.requests import (
    CopyRequest,
    DeleteRequest,
    HeadRequest,
    MoveRequest,
    UpdateMetadataRequest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from storage_core.core.bucket import BucketCore
    from storage_core.core.retry import Deadline

COPY_PART: Final = 512 * 1024**2
"""Bytes of one part of a copy that is too long for one request."""


class Keep:
    """Type of `KEEP`, the default of what `update_metadata` leaves alone."""

    def __repr__(self) -> str:
        return "KEEP"


KEEP: Final = Keep()


async def copy(
    self: BucketCore,
    key: str,
    target_key: str,
    target: BucketCore,
    version: str | None,
    attributes: Attributes | None,
    conditions: Conditions,
    source_conditions: Conditions,
    seconds: float | Deadline | None,
    operation: str = "copy",
) -> PutResult:
    """As `storage_core.Bucket.copy`."""
    client = self.client
    capabilities = client.capabilities
    keys.check_existing_key(key, capabilities.max_key_bytes)
    keys.check_key(target_key, capabilities.max_key_bytes)
    if version is not None:
        client.require(capabilities.versions, "versions")
    if attributes is not None:
        attributes = attribute_rules.checked(client, attributes)
    client.require_conditions("copy", conditions)
    client.require_conditions("copy_source", source_conditions)
    request = CopyRequest(
        self.name,
        key,
        target.name,
        target_key,
        version,
        attributes,
        conditions,
        source_conditions,
        write_id=target.write_id(conditions),
    )
    deadline = client.deadline(seconds)
    try:
        if not capabilities.server_side_copy:
            return await _stream(self, request, target, deadline)
        if capabilities.max_put_size < capabilities.max_object_size:
            head = HeadRequest(self.name, key, version)
            info = await client.call(operation, client.driver.head, head, deadline)
            if info.size > capabilities.max_put_size:
                check_source(source_conditions, info)
                return await _by_parts(self, request, target, info, deadline)
        return await _inside(request, target, deadline, operation)
    except StorageError as error:
        error.operation = operation
        if isinstance(error, ObjectNotFoundError):
            error.bucket, error.key = self.name, key  # no copy asks for its target
        raise


def check_source(conditions: Conditions, info: ObjectInfo) -> None:
    """Hold the conditions of a copy's source against it, where the service does not.

    Raises:
        PreconditionFailedError: one does not hold.
    """
    unmet = (
        (conditions.if_match is not None and conditions.if_match != info.etag)
        or (conditions.if_none_match is not None and conditions.if_none_match == info.etag)
        or (conditions.if_unmodified_since and info.modified > conditions.if_unmodified_since)
        or (conditions.if_modified_since and info.modified <= conditions.if_modified_since)
    )
    if unmet:
        raise PreconditionFailedError("a condition on the source of the copy does not hold")


async def _inside(
    request: CopyRequest, target: BucketCore, deadline: Deadline | None, operation: str
) -> PutResult:
    """A copy inside the service."""
    client = target.client
    settle: Settle[CopyProgress] | None = None
    if request.conditions is not NO_CONDITIONS:

        async def settle(lost: StorageError, _: StorageError) -> CopyProgress | None:
            done = await settle_write(
                target, operation, request.key, request.write_id, request.conditions, lost, deadline
            )
            return None if done is None else CopyProgress(done)

    while True:
        progress = await send(
            client, operation, client.driver.copy, request, deadline, settle=settle
        )
        if progress.result is not None:
            return progress.result
        request = request._replace(token=progress.token)


async def _stream(
    self: BucketCore, request: CopyRequest, target: BucketCore, deadline: Deadline | None
) -> PutResult:
    """A copy through this process."""
    version = request.source_version
    try:
        reader = await self.get(
            request.source_key, None, version, request.source_conditions, True, deadline
        )
    except NotModifiedError as error:
        raise PreconditionFailedError(
            "a condition on the source of the copy does not hold", status=error.status
        ) from error
    try:
        info = reader.info
        attributes = request.attributes
        if attributes is None:
            attributes = await source_attributes(self, request.source_key, version, info)
        digests = tuple(name for name in info.checksums if name in ALGORITHMS)
        writer = target.writer(request.key, attributes, request.conditions, None, digests, deadline)
        try:
            while piece := await reader.read(1024**2):
                await writer.write(piece)
        except BaseException as failure:
            await writer.discard(failure)
            raise
        return await writer.commit()
    finally:
        await reader.close()


async def source_attributes(
    self: BucketCore, key: str, version: str | None, info: ObjectInfo
) -> Attributes:
    """The source's attributes, tags included."""
    tags = await self.get_tags(key, version) if self.client.capabilities.tags else EMPTY
    return info.attributes(tags)


async def _by_parts(
    self: BucketCore,
    request: CopyRequest,
    target: BucketCore,
    info: ObjectInfo,
    deadline: Deadline | None,
) -> PutResult:
    """A copy longer than the service does in one request."""
    capabilities = self.client.capabilities
    key, version = request.source_key, request.source_version or info.version
    self.client.require_conditions("complete", request.conditions)
    attributes = request.attributes
    if attributes is None:
        attributes = await source_attributes(self, key, version, info)
    part = max(COPY_PART, -(-info.size // capabilities.max_parts), capabilities.min_part_size)
    part = min(part, capabilities.max_part_size)
    upload = await target.create_upload(request.key, attributes, (), deadline)
    try:
        parts = []
        for number, start in enumerate(range(0, info.size, part), 1):
            piece = (start, min(start + part, info.size))
            parts.append(await upload.copy_part(number, self.name, key, version, piece, deadline))
        if version is None:
            # Parts of two objects must not become one: the source has to be the same still.
            head = HeadRequest(self.name, key)
            now = await self.client.call("copy", self.client.driver.head, head, deadline)
            if now.etag != info.etag:
                raise ObjectChangedError(
                    "the object was replaced while it was being copied; copy again",
                    operation="copy",
                    bucket=self.name,
                    key=key,
                )
        return await upload.complete(parts, None, request.conditions, deadline)
    except BaseException as failure:
        await upload.discard(failure)
        raise


async def move(
    self: BucketCore,
    key: str,
    target_key: str,
    target: BucketCore,
    conditions: Conditions,
    seconds: float | None,
) -> PutResult:
    """As `storage_core.Bucket.move`."""
    client = self.client
    keys.check_existing_key(key, client.capabilities.max_key_bytes)
    keys.check_key(target_key, client.capabilities.max_key_bytes)
    deadline = client.deadline(seconds)
    if not client.capabilities.atomic_move:
        return await _copy_and_delete(self, key, target_key, target, conditions, deadline)
    client.require_conditions("copy", conditions)
    request = MoveRequest(self.name, key, target.name, target_key, conditions)

    async def settle(lost: StorageError, _: StorageError) -> PutResult | None:
        if await look(self, "move", key, None, deadline) is not None:
            return None
        raise unknown("move", self, key, "the object is not there any more") from lost

    try:
        return await send(client, "move", client.driver.move, request, deadline, settle=settle)
    except ObjectNotFoundError as error:
        error.bucket, error.key = self.name, key
        raise


async def _copy_and_delete(
    self: BucketCore,
    key: str,
    target_key: str,
    target: BucketCore,
    conditions: Conditions,
    deadline: Deadline | None,
) -> PutResult:
    """A move in two steps. What is deleted is what was copied, where the profile can say so."""
    client = self.client
    head = HeadRequest(self.name, key)
    info = await client.call("move", client.driver.head, head, deadline)
    if (target.name, target_key) == (self.name, key) and conditions is NO_CONDITIONS:
        return put_result(info)
    allows = client.capabilities.allows
    same = Conditions(if_match=info.etag)
    source = same if allows("copy_source", "if_match") else NO_CONDITIONS
    result = await copy(
        self, key, target_key, target, None, None, conditions, source, deadline, "move"
    )
    await remove_moved(self, key, info.etag, deadline)
    return result


async def remove_moved(self: BucketCore, key: str, etag: str, deadline: Deadline | None) -> None:
    """Delete the source of a move, if it is still the one that was copied.

    Raises:
        ObjectChangedError: it is another one, and stays.
    """
    client = self.client
    request = DeleteRequest(self.name, key)
    if client.capabilities.allows("delete", "if_match"):
        request = request._replace(conditions=Conditions(if_match=etag))
    try:
        await client.call("move", client.driver.delete, request, deadline)
    except PreconditionFailedError as error:
        if await look(self, "move", key, None, deadline) is None:
            return  # gone, perhaps by an earlier try whose answer was lost
        raise ObjectChangedError(
            "the object was replaced while it was being moved: the target has the old one, the"
            " new one stays",
            operation="move",
            bucket=self.name,
            key=key,
        ) from error


async def update_metadata(
    self: BucketCore,
    key: str,
    content_type: str | Keep | None,
    content_encoding: str | Keep | None,
    content_disposition: str | Keep | None,
    content_language: str | Keep | None,
    cache_control: str | Keep | None,
    metadata: Mapping[str, str] | Keep | None,
    expires_at: datetime | Keep | None,
    if_match: str | None,
    seconds: float | None,
) -> PutResult:
    """As `storage_core.Bucket.update_metadata`."""
    client = self.client
    client.require(client.capabilities.update_metadata, "update_metadata")
    keys.check_existing_key(key, client.capabilities.max_key_bytes)
    given: dict[str, Any] = {
        name: value
        for name, value in (
            ("content_type", content_type),
            ("content_encoding", content_encoding),
            ("content_disposition", content_disposition),
            ("content_language", content_language),
            ("cache_control", cache_control),
            ("metadata", EMPTY if metadata is None else metadata),
            ("expires_at", expires_at),
        )
        if not isinstance(value, Keep)
    }
    changes = attribute_rules.checked(client, replace(NO_ATTRIBUTES, **given))
    given = {name: getattr(changes, name) for name in given}
    guarded = client.capabilities.allows("copy", "if_match")
    if if_match is not None:
        client.require(guarded, "if_match on update_metadata")
    deadline = client.deadline(seconds)
    head = HeadRequest(self.name, key)
    while True:
        info = await client.call("update_metadata", client.driver.head, head, deadline)
        if if_match is not None and info.etag != if_match:
            raise PreconditionFailedError(
                "the object is not the one expected",
                operation="update_metadata",
                bucket=self.name,
                key=key,
            )
        try:
            return await _update(self, info, replace(info.attributes(), **given), guarded, deadline)
        except PreconditionFailedError:
            # Somebody wrote in between; without the caller's own condition, start over.
            if if_match is not None or not guarded:
                raise


async def _update(
    self: BucketCore,
    info: ObjectInfo,
    attributes: Attributes,
    guarded: bool,
    deadline: Deadline | None,
) -> PutResult:
    """Replace the attributes of the very object that `info` tells of, if that can be said."""
    conditions = Conditions(if_match=info.etag) if guarded else NO_CONDITIONS
    request = UpdateMetadataRequest(self.name, info.key, attributes, conditions)

    async def settle(lost: StorageError, _: StorageError) -> PutResult | None:
        now = await look(self, "update_metadata", info.key, None, deadline)
        if now is not None and now.attributes() == attributes:
            return put_result(now)
        if now is not None and now.etag == info.etag:
            return None
        raise unknown("update_metadata", self, info.key, "others changed it since") from lost

    update = self.client.driver.update_metadata
    return await send(
        self.client,
        "update_metadata",
        update,
        request,
        deadline,
        settle=settle if guarded else None,
    )
