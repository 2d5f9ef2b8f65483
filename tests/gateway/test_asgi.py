"""The application under servers that speak a later HTTP: they hand over messages, no bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest

import storage_core
from storage_core.gateway import create_app
from tests.gateway.clients import target_of

Messages = list[MutableMapping[str, Any]]


@pytest.fixture
def bucket(local_profile: dict[str, object]) -> Iterator[storage_core.Bucket]:
    links = {"base_url": "https://files.example.org"}
    with storage_core.open(config={**local_profile, "links": links}) as storage:
        yield storage.create_bucket("fruit")


async def exchange(
    storage: storage_core.Storage,
    link: storage_core.Link,
    version: str,
    body: list[bytes],
    *headers: tuple[bytes, bytes],
) -> Messages:
    """What the application answers to a request, without a length unless it is given."""
    path, _, query = target_of(link.url).partition("?")
    scope = {
        "type": "http",
        "http_version": version,
        "method": link.method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"files.example.org"), *headers],
    }
    incoming: Messages = [
        {"type": "http.request", "body": piece, "more_body": number < len(body)}
        for number, piece in enumerate(body, 1)
    ]
    answer: Messages = []

    async def receive() -> MutableMapping[str, Any]:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        answer.append(message)

    app = create_app(storage)
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    return answer


@pytest.mark.parametrize("version", ["2", "3"])
@pytest.mark.parametrize("pieces", [[b""], [b"hello"], [b"hello", b" ", b"world"], [b"x", b""]])
def test_a_body_without_a_length(bucket: storage_core.Bucket, version: str, pieces: list[bytes]):
    link = bucket.presign("k", method="PUT")
    answer = asyncio.run(exchange(bucket.storage, link, version, pieces))
    assert answer[0]["status"] == 200
    assert bucket.get("k").read() == b"".join(pieces)


def test_in_http_1_no_length_is_no_body(bucket: storage_core.Bucket):
    link = bucket.presign("k", method="PUT")
    answer = asyncio.run(exchange(bucket.storage, link, "1.1", [b""]))
    assert answer[0]["status"] == 200
    assert bucket.head("k").size == 0


@pytest.mark.parametrize(("version", "closes"), [("1.1", True), ("2", False), ("3", False)])
def test_only_http_1_closes_connections(bucket: storage_core.Bucket, version: str, closes: bool):
    """A refusal before the body was read."""
    link = bucket.presign("k", method="PUT", content_type="a/b")
    length = (b"content-length", b"5")
    answer = asyncio.run(exchange(bucket.storage, link, version, [b"hello"], length))
    assert answer[0]["status"] == 400
    assert ((b"connection", b"close") in answer[0]["headers"]) is closes
