"""`UploadCore`: a multipart session, which any process can take up by its id."""

from __future__ import annotations

import base64
import binascii
import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from storage_core import keys
from storage_core.core import attributes as attribute_rules
from storage_core.core.bodies import Data, make_body
from storage_core.core.listing import Pages
from storage_core.core.presign import presign
from storage_core.core.sending import send
from storage_core.core.settling import new_write_id, settle_write, unknown
from storage_core.errors import (
    InvalidPartError,
    InvalidRequestError,
    PartTooSmallError,
    StorageError,
    UploadNotFoundError,
)
from storage_core.model import (
    EMPTY,
    Attributes,
    ByteRange,
    Conditions,
    Link,
    Page,
    Part,
    PutResult,
)
from storage_core.requests import (
    CompleteUploadRequest,
    CopyPartRequest,
    PutPartRequest,
    UploadRequest,
)

if TYPE_CHECKING:
    from storage_core.core.bucket import BucketCore, Range
    from storage_core.core.client import Client
    from storage_core.core.retry import Deadline


def public_upload_id(key: str, driver_id: str) -> str:
    """The id users see. It carries the key, so that it is all another process needs."""
    encoded = base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()
    return f"{encoded}.{driver_id}"


def split_upload_id(upload_id: str) -> tuple[str, str]:
    """Key and driver's id of a public upload id.

    Raises:
        InvalidRequestError: it is not one.
    """
    encoded, dot, driver_id = str(upload_id).partition(".")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        key = ""
    good = key and dot and driver_id and driver_id.isascii() and driver_id.isprintable()
    if not good or public_upload_id(key, driver_id) != upload_id:
        raise InvalidRequestError(f"{upload_id!r} is not an upload id; pass Upload.id unchanged")
    return key, driver_id


class UploadCore:
    """Operations on one session."""

    __slots__ = ("bucket", "client", "driver_id", "id", "key")

    def __init__(self, bucket: BucketCore, key: str, driver_id: str) -> None:
        self.bucket = bucket
        self.client: Client = bucket.client
        self.key = key
        self.driver_id = driver_id
        self.id = public_upload_id(key, driver_id)

    def _check_number(self, number: int) -> None:
        most = self.client.capabilities.max_parts
        if not isinstance(number, int) or not 1 <= number <= most:
            raise InvalidPartError(f"part number {number!r} is not within 1 to {most}")

    async def put_part(
        self,
        number: int,
        data: Data,
        size: int | None,
        checksums: Mapping[str, str] | None,
        seconds: float | Deadline | None,
    ) -> Part:
        client = self.client
        self._check_number(number)
        deadline = client.deadline(seconds)
        body = make_body(
            data,
            client.runtime,
            size=size,
            expected=checksums,
            compute=self.bucket.digests_to_compute(()),
            deadline=deadline,
        )
        if body.size is not None and body.size > client.capabilities.max_part_size:
            raise InvalidPartError(
                f"part {number} has {body.size} bytes; the most is"
                f" {client.capabilities.max_part_size}"
            )
        request = PutPartRequest(self.bucket.name, self.key, self.driver_id, number, body)
        put_part = client.driver.put_part
        return await send(client, "put_part", put_part, request, deadline, body=body)

    async def copy_part(
        self,
        number: int,
        source_bucket: str,
        source_key: str,
        version: str | None,
        byte_range: Range | None,
        seconds: float | Deadline | None = None,
    ) -> Part:
        client = self.client
        client.require(client.capabilities.server_side_copy, "copying parts")
        if version is not None:
            client.require(client.capabilities.versions, "versions")
        self._check_number(number)
        keys.check_existing_key(source_key, client.capabilities.max_key_bytes)
        request = CopyPartRequest(
            self.bucket.name,
            self.key,
            self.driver_id,
            number,
            source_bucket,
            source_key,
            version,
            None if byte_range is None else ByteRange.of(byte_range),
        )
        deadline = client.deadline(seconds)
        return await client.call("copy_part", client.driver.copy_part, request, deadline)

    def list_parts(self) -> Pages[Part]:
        client = self.client

        async def fetch(token: str | None) -> Page[Part]:
            request = self._request(token)
            return await client.call("list_parts", client.driver.list_parts_page, request)

        return Pages(fetch)

    def _request(self, token: str | None = None) -> UploadRequest:
        limit = self.client.capabilities.max_page_size
        return UploadRequest(self.bucket.name, self.key, self.driver_id, token, limit)

    async def complete(
        self,
        parts: Iterable[Part] | None,
        attributes: Attributes | None,
        conditions: Conditions,
        seconds: float | Deadline | None,
        checksums: Mapping[str, str] = EMPTY,
        write_id: str | None = None,
    ) -> PutResult:
        client = self.client
        client.require_conditions("complete", conditions)
        if parts is None:
            listed = [part async for page in self.list_parts() for part in page.items]
        else:
            listed = list(parts)
        self._check_parts(listed)
        request = CompleteUploadRequest(
            self.bucket.name,
            self.key,
            self.driver_id,
            listed,
            conditions,
            None if attributes is None else attribute_rules.checked(client, attributes),
            checksums,
            # Also without conditions: the session is gone when a lost completion is repeated.
            (write_id or new_write_id()) if client.capabilities.write_ids else None,
        )
        return await self._complete(request, client.deadline(seconds))

    def _check_parts(self, parts: list[Part]) -> None:
        if not parts:
            raise InvalidPartError(
                "no parts to complete; put at least one, which may be empty, or abort"
            )
        if len(parts) > self.client.capabilities.max_parts:
            raise InvalidPartError(f"{len(parts)} parts are more than one session takes")
        least = self.client.capabilities.min_part_size
        for number, (part, following) in enumerate(itertools.pairwise(parts), 1):
            if following.number <= part.number:
                raise InvalidPartError(
                    f"part {following.number} follows part {part.number};"
                    " pass the parts ascending, each number once"
                )
            if part.size < least:
                raise PartTooSmallError(
                    f"part {part.number} ({number} of {len(parts)}) has {part.size} bytes;"
                    f" all but the last need at least {least}"
                )
        for part in parts:
            self._check_number(part.number)

    async def _complete(
        self, request: CompleteUploadRequest, deadline: Deadline | None
    ) -> PutResult:
        bucket, key, conditions = self.bucket, self.key, request.conditions

        async def settle(lost: StorageError, error: StorageError) -> PutResult | None:
            done = await settle_write(
                bucket, "complete", key, request.write_id, conditions, lost, deadline
            )
            if done is None and isinstance(error, UploadNotFoundError):
                raise unknown("complete", bucket, key, "the session is gone") from lost
            return done

        complete = self.client.driver.complete_upload
        return await send(self.client, "complete", complete, request, deadline, settle=settle)

    async def presign_part(
        self,
        number: int,
        expires_in: int,
        content_length: int | None,
        checksum: tuple[str, str] | None,
    ) -> Link:
        self._check_number(number)
        return await presign(
            self.bucket,
            self.key,
            "PUT",
            expires_in,
            content_length=content_length,
            checksum=checksum,
            upload_id=self.driver_id,
            part_number=number,
        )

    async def abort(self) -> None:
        client = self.client
        try:
            await client.call("abort", client.driver.abort_upload, self._request())
        except UploadNotFoundError as error:
            if error.attempts == 1:
                raise
            # An earlier try, whose answer was lost, has done it.

    async def discard(self, failure: BaseException) -> None:
        """Abort because of another failure, which this must not hide."""
        try:
            await self.abort()
        except StorageError as error:
            failure.add_note(f"the upload {self.id} could not be aborted either: {error}")
