"""Buckets: create, delete and list them."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import Final

from storage_core.errors import (
    BucketExistsError,
    BucketNotEmptyError,
    BucketNotFoundError,
    PermissionDeniedError,
    StorageError,
)
from storage_core.model import BucketInfo, Page
from storage_core.requests import ListBucketsRequest
from storage_s3 import tokens
from storage_s3.calls import Calls
from storage_s3.errors import Asked
from storage_s3.requests import VERSIONING_BODY, location_body
from storage_s3.responses import parse_buckets, parse_uploads
from storage_s3.signing import canonical_query

_CREATE = Asked("s3:CreateBucket", "bucket")
_VERSIONING = Asked("s3:PutBucketVersioning", "bucket")
_DELETE = Asked("s3:DeleteBucket", "bucket")
_LIST = Asked("s3:ListAllMyBuckets", "service")
_UPLOADS = Asked("s3:ListBucketMultipartUploads", "bucket")

_FIRST_REGION: Final = "us-east-1"


class Buckets(Calls):
    """Operations on buckets."""

    async def create_bucket(self, name: str) -> BucketInfo:
        # In the first region, and in many other services, creating one's own bucket again
        # is a success, so that it has to be looked for.
        try:
            await self.head_bucket(name)
        except (BucketNotFoundError, PermissionDeniedError):
            pass  # of another's bucket the creation itself tells
        else:
            raise BucketExistsError("the bucket exists already", status=409)
        region = self._account.region
        body = None
        if self._preset.location_constraint and region != _FIRST_REGION:
            body = location_body(region)
        await self._put(_CREATE, name, "", body)
        if self._versions:
            try:
                await self._put(_VERSIONING, name, "versioning=", VERSIONING_BODY)
            except BaseException:
                with suppress(StorageError):
                    await self._remove(name)
                raise
        return BucketInfo(name)

    async def _put(self, asked: Asked, name: str, query: str, body: bytes | None) -> None:
        payload = sha256(body or b"").hexdigest()
        headers = self._options.read
        response = await self._send(asked, "PUT", name, None, query, headers, body or b"", payload)
        await self._done(response)

    async def delete_bucket(self, name: str) -> None:
        # S3 deletes a bucket with open sessions, whose parts nobody could remove then.
        query = "max-uploads=1&uploads="
        response = await self._send(_UPLOADS, "GET", name, None, query, self._options.read)
        if parse_uploads(await self._body(response))[0]:
            raise BucketNotEmptyError("the bucket holds open uploads; abort them", status=409)
        await self._remove(name)

    async def _remove(self, name: str) -> None:
        response = await self._send(_DELETE, "DELETE", name, headers=self._options.read)
        await self._done(response)

    async def list_buckets_page(self, request: ListBucketsRequest) -> Page[BucketInfo]:
        """A page. Many services know no pages of buckets and give all at once: then the token
        is the last name that was told."""
        token, after = tokens.split(request.token)
        pairs = [("max-buckets", str(request.limit))]
        if request.prefix:
            pairs.append(("prefix", request.prefix))
        if token:
            pairs.append(("continuation-token", token))
        query = canonical_query(pairs)
        response = await self._send(_LIST, "GET", None, None, query, self._options.read)
        listed, following = parse_buckets(await self._body(response))
        found = sorted(
            (info for info in listed if info.name.startswith(request.prefix)),
            key=lambda info: info.name,
        )
        found = [info for info in found if info.name > after]
        if len(found) > request.limit:
            found = found[: request.limit]
            return Page(found, tokens.join("", found[-1].name))
        return Page(found, tokens.join(following, "") if following else None)
