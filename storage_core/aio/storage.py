"""`Storage` of the async face, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from storage_core.aio.bucket import AsyncBucket
from storage_core.aio.listing import AsyncListing
from storage_core.core.storage import StorageCore
from storage_core.model import BucketInfo, Capabilities
from storage_core.opening import ConfigSource, Recipe, from_profile, from_url
from storage_core.runtime import AsyncRuntime, for_async_face

if TYPE_CHECKING:
    from types import TracebackType

    from storage_core.core.settings import LinkSettings, RetryPolicy
    from storage_core.driver import Driver


class AsyncStorage:
    """The buckets of one profile, as `storage_core.Storage`.

    Use it as ``async with storage_core.aio.open(...) as storage``, or ``await`` it and close
    it yourself. It serves one event loop at a time.
    """

    __slots__ = ("_client", "_core", "_recipe", "_runtime")

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._runtime: AsyncRuntime = for_async_face(recipe.driver)
        self._client = recipe.client(self._runtime)
        self._core = StorageCore(self._client)

    async def _open(self) -> AsyncStorage:
        if self._client.closed:
            self._runtime.open()
            try:
                await self._runtime.run(self._client.open())
            except BaseException:
                self._runtime.close()
                raise
        return self

    def __await__(self) -> Generator[Any, None, AsyncStorage]:
        return self._open().__await__()

    @property
    def profile(self) -> str:
        """As `storage_core.Storage.profile`."""
        return self._client.profile

    @property
    def driver(self) -> Driver:
        """As `storage_core.Storage.driver`."""
        return self._client.driver

    @property
    def capabilities(self) -> Capabilities:
        """As `storage_core.Storage.capabilities`."""
        return self._client.capabilities

    @property
    def closed(self) -> bool:
        """As `storage_core.Storage.closed`."""
        return self._client.closed

    @property
    def default_bucket(self) -> str | None:
        """As `storage_core.Storage.default_bucket`."""
        return self._recipe.bucket

    def bucket(self, name: str) -> AsyncBucket:
        """As `storage_core.Storage.bucket`."""
        return AsyncBucket(self, self._core.bucket(name))

    async def create_bucket(self, name: str, *, exist_ok: bool = False) -> AsyncBucket:
        """As `storage_core.Storage.create_bucket`."""
        return AsyncBucket(self, await self._runtime.run(self._core.create_bucket(name, exist_ok)))

    async def delete_bucket(self, name: str, *, force: bool = False) -> None:
        """As `storage_core.Storage.delete_bucket`."""
        await self._runtime.run(self._core.delete_bucket(name, force))

    async def bucket_exists(self, name: str) -> bool:
        """As `storage_core.Storage.bucket_exists`."""
        return await self._runtime.run(self._core.bucket_exists(name))

    def list_buckets(self, *, prefix: str = "") -> AsyncListing[BucketInfo]:
        """As `storage_core.Storage.list_buckets`."""
        return AsyncListing(self._runtime, self._core.list_buckets(prefix))

    def fsspec_filesystem(self) -> Any:
        """As `storage_core.Storage.fsspec_filesystem`."""
        self._client.check_open()
        return self._client.driver.filesystem()

    async def close(self) -> None:
        """As `storage_core.Storage.close`."""
        if not self._client.closed:
            try:
                await self._runtime.run(self._client.close())
            finally:
                self._runtime.close()

    async def __aenter__(self) -> AsyncStorage:
        return await self._open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __reduce__(self) -> tuple[object, ...]:
        return AsyncStorage, (self._recipe,)

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<AsyncStorage {self.profile!r}: {self.driver.describe()}{state}>"


def open(profile: str | None = None, *, config: ConfigSource = None) -> AsyncStorage:  # noqa: A001
    """As `storage_core.open`; enter or await the result."""
    return AsyncStorage(from_profile(profile, config))


def open_url(url: str) -> AsyncStorage:
    """As `storage_core.open_url`; enter or await the result."""
    return AsyncStorage(from_url(url))


def open_driver(
    driver: Driver,
    *,
    profile: str = "driver",
    retry: RetryPolicy | None = None,
    links: LinkSettings | None = None,
    capabilities: Mapping[str, Any] | None = None,
    now: Callable[[], datetime] | None = None,
) -> AsyncStorage:
    """As `storage_core.open_driver`; enter or await the result."""
    return AsyncStorage(
        Recipe(
            driver, profile=profile, retry=retry, links=links, capabilities=capabilities, now=now
        )
    )
