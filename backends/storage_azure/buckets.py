"""Buckets: containers of the account."""

from __future__ import annotations

from typing import Final

from storage_azure.calls import Calls
from storage_azure.errors import DELETE, LIST, READ, WRITE, Asked
from storage_azure.requests import CONTAINER, list_query
from storage_azure.responses import parse_buckets, parse_listing
from storage_core.errors import (
    BucketNotEmptyError,
    BucketNotFoundError,
    InvalidBucketNameError,
    UnavailableError,
)
from storage_core.model import BucketInfo, Page
from storage_core.requests import ListBucketsRequest

_CREATE: Final = Asked(WRITE, "bucket")
_DELETE: Final = Asked(DELETE, "bucket")
_HEAD: Final = Asked(READ, "bucket")
_LIST: Final = Asked(LIST, "service")


class Buckets(Calls):
    """Operations on buckets."""

    async def create_bucket(self, name: str) -> BucketInfo:
        try:
            await self._call(_CREATE, "PUT", self._path(name), {}, CONTAINER)
        except BucketNotFoundError as error:
            if error.code == "ContainerBeingDeleted":
                raise UnavailableError(
                    "a bucket of that name is still being deleted, which takes half a minute or"
                    " more; try again later",
                    status=error.status,
                    code=error.code,
                    request_id=error.request_id,
                    unsent=True,
                ) from error
            raise InvalidBucketNameError(
                "the service takes no such name", status=error.status, code=error.code
            ) from error
        return BucketInfo(name)

    async def delete_bucket(self, name: str) -> None:
        # The service deletes containers with all that is in them, under any condition and lease:
        # a lease of a container keeps nobody from writing, and no write changes its etag or date.
        # So what is written between the look and the deletion goes with it, and
        # `atomic_bucket_delete` is not declared.
        include = "versions" if self._versions else "snapshots"
        marker = ""
        while True:
            query = list_query(limit=1, marker=marker, include=include)
            response = await self._send(_DELETE, "GET", self._path(name), {}, query)
            page = parse_listing(await self._body(response))
            if page.blobs:
                raise BucketNotEmptyError(
                    "the bucket holds objects, snapshots, versions or open uploads; delete them"
                    " first",
                    status=409,
                )
            marker = page.marker
            if not marker:  # a page can be empty and not the last
                break
        await self._call(_DELETE, "DELETE", self._path(name), {}, CONTAINER)

    async def head_bucket(self, name: str) -> BucketInfo:
        await self._call(_HEAD, "HEAD", self._path(name), {}, CONTAINER)
        return BucketInfo(name)

    async def list_buckets_page(self, request: ListBucketsRequest) -> Page[BucketInfo]:
        query = list_query(
            limit=request.limit,
            prefix=request.prefix,
            marker=request.token or "",
            container=False,
        )
        path = self._account.base or "/"
        if self._account.base:
            path += "/"
        response = await self._send(_LIST, "GET", path, {}, query)
        found, marker = parse_buckets(await self._body(response))
        return Page(found, marker or None)
