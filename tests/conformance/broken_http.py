"""Drivers broken on purpose where only a service shows it: under faults, and in memory."""

from __future__ import annotations

from dataclasses import replace

from storage_core.core.bodies import make_body
from storage_core.errors import PreconditionFailedError, UnavailableError
from storage_core.model import ObjectInfo, PutResult
from storage_core.requests import GetRequest, HeadRequest, PutRequest
from storage_core.runtime import Inline
from storage_core.streams import ObjectStream
from storage_local.driver import LocalDriver
from storage_s3.driver import S3Driver


class RetriesToo(S3Driver):
    """Repeats by itself, under the core that repeats as well."""

    async def head(self, request: HeadRequest) -> ObjectInfo:
        for _ in range(2):
            try:
                return await super().head(request)
            except UnavailableError:
                continue
        return await super().head(request)

    async def get(self, request: GetRequest) -> ObjectStream:
        for _ in range(2):
            try:
                return await super().get(request)
            except UnavailableError:
                continue
        return await super().get(request)


class TrustsTheWire(S3Driver):
    """Tells no checksum of what it reads."""

    async def get(self, request: GetRequest) -> ObjectStream:
        stream = await super().get(request)
        stream.checksum = None
        return stream


class ForgetsWriteIds(S3Driver):
    """Says that it keeps write ids."""

    async def put(self, request: PutRequest) -> PutResult:
        return await super().put(request._replace(write_id=None))


class TakesExistsForDone(S3Driver):
    """What is there must be what it wrote."""

    async def put(self, request: PutRequest) -> PutResult:
        try:
            return await super().put(request)
        except PreconditionFailedError:
            info = await self.head(HeadRequest(request.bucket, request.key))
            return PutResult(info.key, info.etag, info.size)


class NothingPasses(S3Driver):
    """Takes every failure for a final one."""

    async def get(self, request: GetRequest) -> ObjectStream:
        try:
            return await super().get(request)
        except UnavailableError as error:
            error.retryable = False
            raise


class Hoards(LocalDriver):
    """Takes the whole body in before it writes any of it."""

    async def put(self, request: PutRequest) -> PutResult:
        held = b"".join([bytes(piece) async for piece in request.body])
        return replace(await super().put(request._replace(body=make_body(held, Inline()))))
