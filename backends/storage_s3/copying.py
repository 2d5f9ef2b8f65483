"""Copies inside the service, and what S3 does by one: new attributes for an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from storage_core.checksum import ALGORITHMS
from storage_core.errors import (
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from storage_core.model import (
    NO_CONDITIONS,
    Attributes,
    Conditions,
    CopyProgress,
    ObjectInfo,
    PutResult,
)
from storage_core.requests import (
    CopyRequest,
    HeadRequest,
    PutTagsRequest,
    TagsRequest,
    UpdateMetadataRequest,
)
from storage_s3.errors import Asked
from storage_s3.objects import Objects, unmet
from storage_s3.requests import (
    attribute_headers,
    condition_headers,
    copy_source,
    reserved_fields,
    tagging,
)
from storage_s3.responses import parse_copied

SOURCE: Final = "x-amz-copy-source"
_OF_SOURCE: Final = "x-amz-copy-source-"
_TURNS: Final = 5
"""How often a copy is begun anew because its source was replaced in between."""

_COPY = Asked("s3:PutObject", "object")


class Copies(Objects):
    """Operations that S3 does by copying."""

    async def copy(self, request: CopyRequest) -> CopyProgress:
        """Copy an object of up to 5 GiB.

        The answer of a copy tells no size, and new metadata replaces all of the old, so the
        source is looked at first. It is then copied on the condition that it is that object
        still.
        """
        look = HeadRequest(request.source_bucket, request.source_key, request.source_version)
        for turn in range(_TURNS):
            info = await self.head(look)
            pin = self._pin(info, request.source_version, request.source_conditions)
            try:
                return CopyProgress(await self._copy(request, info, pin))
            except PreconditionFailedError:
                if turn == _TURNS - 1 or (await self.head(look)).etag == info.etag:
                    raise
                if request.source_conditions is not NO_CONDITIONS:
                    raise
        raise ObjectChangedError("the source was replaced each time it was to be copied")

    def _pin(
        self, info: ObjectInfo, version: str | None, conditions: Conditions
    ) -> tuple[str | None, Conditions]:
        """Version and conditions that name the very object that was looked at."""
        if version is not None or info.version is not None:
            return version or info.version, conditions
        pinned = self.capabilities.allows("copy_source", "if_match")
        if conditions is NO_CONDITIONS and pinned:
            return None, Conditions(if_match=info.etag)
        return None, conditions

    async def _copy(
        self, request: CopyRequest, info: ObjectInfo, pin: tuple[str | None, Conditions]
    ) -> PutResult:
        target = (request.bucket, request.key)
        version, source_conditions = pin
        attributes = request.attributes
        tags = None if attributes is None else attributes.tags
        onto_itself = (request.source_bucket, request.source_key) == target
        if attributes is None and (request.write_id is not None or onto_itself):
            # The id is metadata; and S3 copies nothing onto itself that changes nothing.
            attributes = info.attributes()
        conditions = {
            **condition_headers(source_conditions, self._quoted, _OF_SOURCE),
            **condition_headers(request.conditions, self._quoted),
        }
        source = TagsRequest(request.source_bucket, request.source_key, version)
        try:
            return await self._replace(
                source, target, conditions, info, attributes, tags, request.write_id
            )
        except ObjectNotFoundError as error:
            if request.conditions.if_match is not None:
                raise unmet(error) from error
            raise

    async def _replace(
        self,
        source: TagsRequest,
        target: tuple[str, str],
        conditions: Mapping[str, str],
        info: ObjectInfo,
        attributes: Attributes | None,
        tags: Mapping[str, str] | None,
        write_id: str | None = None,
    ) -> PutResult:
        """Send the copy.

        Args:
            source: Bucket, key and version to copy.
            target: Bucket and key.
            conditions: As headers.
            info: Of the source.
            attributes: New ones, tags apart; None keeps the source's.
            tags: New ones; None keeps the source's.
            write_id: To be stored.
        """
        bucket, key = target
        headers = {**self._options.write, SOURCE: copy_source(*source), **conditions}
        if self._options.checksums:
            headers["x-amz-checksum-algorithm"] = "CRC32C"
        if attributes is not None:
            headers["x-amz-metadata-directive"] = "REPLACE"
            reserved = self._reserved(info, write_id)
            headers.update(attribute_headers(attributes, reserved, self._preset.plain_names))
        if tags is not None:
            headers["x-amz-tagging-directive"] = "REPLACE"
            if tags:
                headers["x-amz-tagging"] = tagging(tags)
        loses_tags = attributes is not None and not self._preset.copied_tags
        if loses_tags and tags is None:
            tags = await self.get_tags(source)
        response = await self._send(_COPY, "PUT", bucket, key, "", headers, b"")
        copied = parse_copied(await self._result(response, _COPY))
        if loses_tags and tags:
            await self.put_tags(PutTagsRequest(bucket, key, tags))
        version = None
        if self._versions:
            version = response.headers.get("x-amz-version-id")
            if version is None:  # some services do not tell it of copies
                version = (await self.head(HeadRequest(bucket, key))).version
        return PutResult(
            key, copied.etag, info.size, version, {**info.checksums, **copied.checksums}
        )

    def _reserved(self, info: ObjectInfo, write_id: str | None) -> dict[str, str]:
        """The library's own metadata of a copy: the digests that the service does not keep."""
        native = self._options.checksums
        digests = {
            name: digest
            for name, digest in info.checksums.items()
            if name in ALGORITHMS and not (native and name == "crc32c")
        }
        return reserved_fields(digests, write_id)

    async def update_metadata(self, request: UpdateMetadataRequest) -> PutResult:
        """Copy the object onto itself, tags kept."""
        info = await self.head(HeadRequest(request.bucket, request.key))
        return await self._rewrite(request.bucket, info, request.attributes, request.conditions)

    async def _rewrite(
        self,
        bucket: str,
        info: ObjectInfo,
        attributes: Attributes,
        conditions: Conditions,
        tags: Mapping[str, str] | None = None,
    ) -> PutResult:
        """Give an object new attributes, and new tags unless they are to stay.

        Source and target being one, a condition on either guards both.
        """
        allows = self.capabilities.allows
        wanted = Conditions(if_match=conditions.if_match or info.etag)
        headers: dict[str, str] = {}
        if allows("copy_source", "if_match"):
            headers.update(condition_headers(wanted, self._quoted, _OF_SOURCE))
        if allows("copy", "if_match"):
            headers.update(condition_headers(wanted, self._quoted))
        source = TagsRequest(bucket, info.key, info.version)
        try:
            return await self._replace(source, (bucket, info.key), headers, info, attributes, tags)
        except ObjectNotFoundError as error:
            raise unmet(error) from error
