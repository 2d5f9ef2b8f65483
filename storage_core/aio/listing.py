"""`AsyncListing` of the async face."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from storage_core.core.listing import Pages
from storage_core.model import Page
from storage_core.runtime import AsyncRuntime

T = TypeVar("T")


class AsyncListing(Generic[T]):
    """A lazy listing, as `storage_core.Listing`, for ``async for``."""

    __slots__ = ("_pages", "_runtime")

    def __init__(self, runtime: AsyncRuntime, pages: Pages[T]) -> None:
        self._runtime = runtime
        self._pages = pages

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page.items:
                yield item

    async def pages(self, token: str | None = None) -> AsyncIterator[Page[T]]:
        """As `storage_core.Listing.pages`."""
        while True:
            page = await self._runtime.run(self._pages.fetch(token))
            yield page
            token = page.next_token
            if token is None:
                return
