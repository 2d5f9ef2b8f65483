"""`Listing` of the blocking face."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from storage_core.core.listing import Pages
from storage_core.model import Page
from storage_core.runtime import BlockingRuntime

T = TypeVar("T")


class Listing(Generic[T]):
    """A lazy listing: a page is asked for when its first item is wanted. Iterating again
    lists again."""

    __slots__ = ("_pages", "_runtime")

    def __init__(self, runtime: BlockingRuntime, pages: Pages[T]) -> None:
        self._runtime = runtime
        self._pages = pages

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page.items

    def pages(self, token: str | None = None) -> Iterator[Page[T]]:
        """The pages, from the one behind ``token`` on: the `Page.next_token` of another one,
        perhaps in another process."""
        while True:
            page = self._runtime.run(self._pages.fetch(token))
            yield page
            token = page.next_token
            if token is None:
                return
