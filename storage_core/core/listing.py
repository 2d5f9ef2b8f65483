"""`Pages`: a listing that asks for its next page only when somebody wants it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Generic, TypeVar

from storage_core.model import Page

T = TypeVar("T")


class Pages(Generic[T]):
    """The pages of one listing, each fetched when asked for.

    Args:
        fetch: Gives the page behind a token, the first one for None.
    """

    __slots__ = ("fetch",)

    def __init__(self, fetch: Callable[[str | None], Coroutine[Any, Any, Page[T]]]) -> None:
        self.fetch = fetch

    async def __aiter__(self) -> AsyncIterator[Page[T]]:
        token: str | None = None
        while True:
            page = await self.fetch(token)
            yield page
            token = page.next_token
            if token is None:
                return
