"""Copy, move and metadata updates of `BucketCore`: inside the service where it can,
streamed through this process where it can not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from storage_core import keys
from storage_core.core import attributes as attribute_rules
from storage_core.errors import InvalidRequestError, PreconditionFailedError
from storage_core.model import EMPTY, NO_CONDITIONS, Attributes, Conditions, ObjectInfo, PutResult
from storage_core.requests import CopyRequest, HeadRequest, MoveRequest, UpdateMetadataRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    from storage_core.core.bucket import BucketCore
    from storage_core.core.reader import ReaderCore

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
    seconds: float | None,
) -> PutResult:
    """As `storage_core.Bucket.copy`."""
    client = self.client
    capabilities = client.capabilities
    keys.check_existing_key(key, capabilities.max_key_bytes)
    keys.check_key(target_key, capabilities.max_key_bytes)
    _check_same_storage(self, target)
    if version is not None:
        client.require(capabilities.versions, "versions")
    if attributes is not None:
        attributes = attribute_rules.checked(client, attributes)
    if not capabilities.server_side_copy:
        client.require_conditions("put", conditions)
        client.require_conditions("get", source_conditions)
        return await _stream(
            self, key, target_key, target, version, attributes, conditions, source_conditions,
            seconds,
        )  # fmt: skip
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
        write_id=self.write_id(conditions),
    )
    if capabilities.max_put_size < capabilities.max_object_size:
        info = await client.call("copy", client.driver.head, HeadRequest(self.name, key, version))
        if info.size > capabilities.max_put_size:
            return await _by_parts(self, request, target, info, seconds)
    deadline = client.deadline(seconds)
    while True:
        progress = await client.call("copy", client.driver.copy, request, deadline)
        if progress.result is not None:
            return progress.result
        request = request._replace(token=progress.token)


def _check_same_storage(source: BucketCore, target: BucketCore) -> None:
    if source.client is not target.client:
        raise InvalidRequestError(
            "the target bucket belongs to another storage; read from one and write to the other"
        )


async def _stream(
    self: BucketCore,
    key: str,
    target_key: str,
    target: BucketCore,
    version: str | None,
    attributes: Attributes | None,
    conditions: Conditions,
    source_conditions: Conditions,
    seconds: float | None,
) -> PutResult:
    reader = await self.get(key, None, version, source_conditions, True, seconds)
    try:
        info = reader.info
        if attributes is None:
            tags = EMPTY
            if self.client.capabilities.tags:
                tags = await self.get_tags(key, version)
            attributes = info.attributes(tags)
        writer = target.writer(target_key, attributes, conditions, None, (), seconds)
        try:
            async for piece in _pieces(reader):
                await writer.write(piece)
        except BaseException:
            await writer.abort()
            raise
        return await writer.commit()
    finally:
        await reader.close()


async def _pieces(reader: ReaderCore) -> AsyncIterator[bytes]:
    while piece := await reader.read(1024**2):
        yield piece


async def _by_parts(
    self: BucketCore,
    request: CopyRequest,
    target: BucketCore,
    info: ObjectInfo,
    seconds: float | None,
) -> PutResult:
    """A copy longer than the service does in one request."""
    attributes = request.attributes
    if attributes is None:
        tags = EMPTY
        if self.client.capabilities.tags:
            tags = await self.get_tags(request.source_key, request.source_version)
        attributes = info.attributes(tags)
    upload = await target.create_upload(request.key, attributes, ())
    try:
        parts = [
            await upload.copy_part(
                number,
                self.name,
                request.source_key,
                request.source_version,
                (start, min(start + COPY_PART, info.size)),
            )
            for number, start in enumerate(range(0, info.size, COPY_PART), 1)
        ]
        return await upload.complete(parts, None, request.conditions, seconds)
    except BaseException:
        await upload.abort()
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
    if not client.capabilities.atomic_move:
        if target.name == self.name and target_key == key:
            info = await self.head(key, None, NO_CONDITIONS, seconds)
            return PutResult(key, info.etag, info.size, info.version, info.checksums)
        result = await copy(
            self, key, target_key, target, None, None, conditions, NO_CONDITIONS, seconds
        )
        await self.delete(key, None, NO_CONDITIONS, seconds)
        return result
    keys.check_existing_key(key, client.capabilities.max_key_bytes)
    keys.check_key(target_key, client.capabilities.max_key_bytes)
    _check_same_storage(self, target)
    client.require_conditions("copy", conditions)
    request = MoveRequest(self.name, key, target.name, target_key, conditions)
    # Not repeated: after a lost answer the source is gone and the repeat would say so.
    return await client.guard("move", self.name, key, client.driver.move(request))


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
    given = {
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
    guarded = client.capabilities.allows("copy", "if_match")
    if if_match is not None:
        client.require(guarded, "if_match on update_metadata")
    deadline = client.deadline(seconds)
    while True:
        info = await client.call("update_metadata", client.driver.head, HeadRequest(self.name, key))
        changed = replace(info.attributes(), **given)  # type: ignore[arg-type]
        request = UpdateMetadataRequest(
            self.name,
            key,
            attribute_rules.checked(client, changed),
            Conditions(if_match=if_match or info.etag) if guarded else NO_CONDITIONS,
        )
        try:
            return await client.call(
                "update_metadata", client.driver.update_metadata, request, deadline
            )
        except PreconditionFailedError:
            # Somebody wrote in between; without the caller's own condition, start over.
            if if_match is not None or not guarded:
                raise
