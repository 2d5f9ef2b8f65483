"""The AWS SDKs as clients of the benchmarks: boto3, aiobotocore with s3fs on it, awscrt."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from benchmarks._peers import BODY, BUCKET, KEYS, REGION, Async, Blocking, Peer, batches, big, key


class Boto3(Blocking):
    """Large objects by its managed transfer, threads and all, which is what it does by default."""

    config: ClassVar[dict[str, Any]] = {}
    extra: ClassVar[dict[str, str]] = {}

    def __init__(self, url: str) -> None:
        import boto3  # type: ignore[import-untyped]
        from boto3.s3.transfer import TransferConfig  # type: ignore[import-untyped]
        from botocore.config import Config

        config = Config(max_pool_connections=64, s3={"addressing_style": "path", **self.config})
        self.client = boto3.client(
            "s3", endpoint_url=url, region_name=REGION, config=config, **KEYS
        )
        self.transfer = TransferConfig(preferred_transfer_client="classic")

    def close(self) -> None:
        self.client.close()

    def get(self, number: int) -> None:
        self.client.get_object(Bucket=BUCKET, Key=key(number))["Body"].read()

    def put(self, number: int) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key(number), Body=BODY)

    def head(self, number: int) -> None:
        self.client.head_object(Bucket=BUCKET, Key=key(number))

    def keys(self) -> Iterator[int]:
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            yield sum(1 for item in page["Contents"] if item["Key"])

    def delete(self, count: int) -> None:
        for batch in batches(count):
            self.client.delete_objects(Bucket=BUCKET, Delete={"Objects": batch, "Quiet": True})

    def presign(self, count: int) -> None:
        for number in range(count):
            self.client.generate_presigned_url(
                "get_object", {"Bucket": BUCKET, "Key": key(number)}, 900
            )

    def down(self, path: Path, size: int) -> None:
        self.client.download_file(BUCKET, big(size), str(path), Config=self.transfer)

    def up(self, path: Path, size: int) -> None:
        self.client.upload_file(
            str(path), BUCKET, big(size), ExtraArgs=self.extra, Config=self.transfer
        )


class Boto3Unsigned(Boto3):
    """The same with CRC32C, and bodies that are not signed."""

    config: ClassVar[dict[str, Any]] = {"payload_signing_enabled": False}
    extra: ClassVar[dict[str, str]] = {"ChecksumAlgorithm": "CRC32C"}


class Aiobotocore(Async):
    """botocore on aiohttp."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__()

    async def open(self) -> None:
        from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
        from aiobotocore.session import get_session  # type: ignore[import-untyped]

        config = AioConfig(max_pool_connections=64, s3={"addressing_style": "path"})
        self.stack = contextlib.AsyncExitStack()
        self.client = await self.stack.enter_async_context(
            get_session().create_client(
                "s3", endpoint_url=self.url, region_name=REGION, config=config, **KEYS
            )
        )

    async def shut(self) -> None:
        await self.stack.aclose()

    async def get(self, number: int) -> None:
        found = await self.client.get_object(Bucket=BUCKET, Key=key(number))
        async with found["Body"] as body:
            await body.read()

    async def put(self, number: int) -> None:
        await self.client.put_object(Bucket=BUCKET, Key=key(number), Body=BODY)

    async def head(self, number: int) -> None:
        await self.client.head_object(Bucket=BUCKET, Key=key(number))

    async def keys(self, count: int) -> None:
        seen = 0
        async for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            seen += sum(1 for item in page["Contents"] if item["Key"])
            if seen >= count:
                return

    async def delete(self, count: int) -> None:
        for batch in batches(count):
            await self.client.delete_objects(
                Bucket=BUCKET, Delete={"Objects": batch, "Quiet": True}
            )

    async def presign(self, count: int) -> None:
        for number in range(count):
            await self.client.generate_presigned_url(
                "get_object", {"Bucket": BUCKET, "Key": key(number)}, 900
            )


class S3fs(Async):
    """fsspec's filesystem over aiobotocore."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__()

    async def open(self) -> None:
        from s3fs import S3FileSystem

        self.filesystem = S3FileSystem(
            key=KEYS["aws_access_key_id"],
            secret=KEYS["aws_secret_access_key"],
            endpoint_url=self.url,
            config_kwargs={"region_name": REGION, "max_pool_connections": 64},
            asynchronous=True,
            skip_instance_cache=True,
            use_listings_cache=False,
        )
        self.client = await self.filesystem.set_session()

    async def shut(self) -> None:
        await self.client.close()

    async def get(self, number: int) -> None:
        await self.filesystem._cat_file(f"{BUCKET}/{key(number)}")

    async def put(self, number: int) -> None:
        await self.filesystem._pipe_file(f"{BUCKET}/{key(number)}", BODY)

    async def head(self, number: int) -> None:
        await self.filesystem._info(f"{BUCKET}/{key(number)}")

    async def keys(self, count: int) -> None:
        seen = 0
        async for item in self.filesystem._iterdir(BUCKET):
            seen += bool(item["Key"])
            if seen >= count:
                return

    async def delete(self, count: int) -> None:
        paths = [f"{BUCKET}/{key(number)}" for number in range(count)]
        for first in range(0, count, 1000):
            await self.filesystem._bulk_delete(paths[first : first + 1000])

    async def presign(self, count: int) -> None:
        for number in range(count):
            await self.filesystem._url(f"{BUCKET}/{key(number)}", 900)

    def down(self, path: Path, size: int) -> None:
        self.wait(self.filesystem._get_file(f"{BUCKET}/{big(size)}", str(path)))

    def up(self, path: Path, size: int) -> None:
        self.wait(self.filesystem._put_file(str(path), f"{BUCKET}/{big(size)}"))


class Crt(Peer):
    """awscrt's own client for S3, which reads and writes files itself."""

    verified = False

    def __init__(self, url: str) -> None:
        from awscrt import auth, s3  # type: ignore[import-untyped]

        self.s3 = s3
        self.host = urlsplit(url).netloc
        credentials = auth.AwsCredentialsProvider.new_static(*KEYS.values())
        self.client = s3.S3Client(
            region=REGION,
            tls_mode=s3.S3RequestTlsMode.DISABLED,
            signing_config=s3.create_default_s3_signing_config(
                region=REGION, credential_provider=credentials
            ),
        )

    def down(self, path: Path, size: int) -> None:
        s3 = self.s3
        checks = s3.S3ChecksumConfig(
            validate_response=True,
            response_validation_mode=s3.S3ChecksumValidationMode.FULL_OBJECT,
        )
        self._request(
            s3.S3RequestType.GET_OBJECT,
            "GET",
            size,
            recv_filepath=str(path),
            checksum_config=checks if self.verified else None,
        )

    def up(self, path: Path, size: int) -> None:
        s3 = self.s3
        checks = s3.S3ChecksumConfig(
            algorithm=s3.S3ChecksumAlgorithm.CRC32C, location=s3.S3ChecksumLocation.HEADER
        )
        self._request(
            s3.S3RequestType.PUT_OBJECT,
            "PUT",
            size,
            send_filepath=str(path),
            checksum_config=checks if self.verified else None,
        )

    def _request(self, kind: Any, method: str, size: int, **more: Any) -> None:
        from awscrt.http import HttpHeaders, HttpRequest  # type: ignore[import-untyped]

        headers = HttpHeaders([("host", self.host)])
        if method == "PUT":
            headers.add("content-length", str(size))
        request = HttpRequest(method, f"/{BUCKET}/{big(size)}", headers)
        told: dict[str, Any] = {}
        self.client.make_request(
            type=kind, request=request, on_done=lambda **found: told.update(found), **more
        ).finished_future.result()
        if method == "GET" and self.verified and not told["did_validate_checksum"]:
            raise SystemExit("awscrt validated no checksum")


class CrtVerified(Crt):
    """The same with CRC32C."""

    verified = True
