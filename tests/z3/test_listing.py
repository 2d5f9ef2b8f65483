"""Long listings: what is in memory of them, and what a client sees when one breaks off."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from storage_conformance.memory import MemoryDriver
from storage_conformance.memory_settings import MemorySettings
from storage_core import aio, open_driver
from storage_core.access import projects
from storage_core.access.buckets import LogicalBucket
from storage_core.access.policy import EVERYTHING, parse
from storage_core.errors import UnavailableError
from storage_core.gateway import GatewaySettings, serve_background
from storage_core.gateway.facades.z3_listing import list_objects
from storage_core.model import ObjectSummary, Page, Prefix
from storage_core.requests import ListRequest
from storage_core.state import open_state
from tests.z3.conftest import MOUNT
from tests.z3.users import TIMEOUT, User, allow

NOW = datetime(2012, 1, 1, tzinfo=UTC)
BUCKET = LogicalBucket(
    id="1", project_id="1", name="fruit", created=NOW, profile="", physical="sc-1", prefix=""
)


class Long(MemoryDriver):
    """Lists pages that are nowhere.

    Attributes:
        pages: How many.
        asked: How many were asked for.
    """

    pages = 12
    asked = 0

    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        number = int(request.token or 0)
        if number >= self.pages:
            raise UnavailableError("the service is gone")
        self.asked += 1
        last = number + 1 == self.pages
        items = [
            ObjectSummary(f"{number:05}/{item:05}", 1, "etag", NOW) for item in range(request.limit)
        ]
        return Page(items, None if last else str(number + 1))


class Breaking(Long):
    """Fails after two pages."""

    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        if request.token == "2":
            raise UnavailableError("the service is gone")
        return await super().list_page(request)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_listing_is_in_memory_a_page_at_a_time(ordered: bool) -> None:
    async def main() -> None:
        driver = Long(MemorySettings())
        async with aio.open_driver(driver) as storage:
            reply = await list_objects(
                BUCKET,
                storage.bucket("sc-1"),
                "",
                direct=False,
                ordered=ordered,
                rules=parse(EVERYTHING),
            )
            assert reply.stream is not None
            assert driver.asked == (2 if ordered else driver.pages)
            pieces = keys = 0
            async for piece in reply.stream:
                pieces += 1
                keys += piece.count(b"lastModified")
                if ordered:  # asked for as they are sent
                    assert driver.asked <= pieces + 1
            assert keys == driver.pages * 1000

    asyncio.run(main())  # what is imported and kept on the way is not of the listing
    tracemalloc.start()
    try:
        asyncio.run(main())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024**2  # two pages; all of them would be some 10 MiB


def test_who_stops_reading_ends_the_listing() -> None:
    async def main() -> None:
        driver = Long(MemorySettings())
        async with aio.open_driver(driver) as storage:
            reply = await list_objects(
                BUCKET,
                storage.bucket("sc-1"),
                "",
                direct=False,
                ordered=True,
                rules=parse(EVERYTHING),
            )
            assert reply.stream is not None
            assert (await anext(reply.stream)).startswith(b'[{"key": "fruit/00000/00000"')
            await reply.stream.aclose()  # type: ignore[attr-defined]
            assert driver.asked == 2

    asyncio.run(main())


@pytest.fixture
def broken_user(tmp_path: Path) -> Iterator[User]:
    database = f"sqlite:///{tmp_path / 'state.db'}"
    state = open_state(database)
    state.migrate()
    settings = GatewaySettings(facades=("z3",), database=database)
    with (
        open_driver(Breaking(MemorySettings(name="breaking"))) as storage,
        serve_background(storage, settings=settings) as server,
    ):
        project = projects.create(state, "p")
        yield User.make(server.base_url + MOUNT, state, project, allow("Z3:*", "Z3:*"))
    state.close()


def test_a_listing_that_breaks_off_is_seen_to(broken_user: User) -> None:
    assert broken_user.call("PUT", "/fruit").status_code == 200
    answer = requests.get(
        f"{broken_user.base}/fruit",
        headers={"Authorization": f"Bearer {broken_user.token}"},
        stream=True,
        timeout=TIMEOUT,
    )
    assert answer.status_code == 200
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        b"".join(answer.iter_content(4096))
