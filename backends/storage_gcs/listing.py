"""Listings of objects and versions, by the JSON API."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from itertools import groupby
from typing import Any, Final

from storage_core.errors import InvalidRequestError
from storage_core.model import ObjectSummary, Page, Prefix, VersionSummary
from storage_core.requests import ListRequest, ListVersionsRequest
from storage_gcs import errors, requests, responses
from storage_gcs.names import HIDDEN, is_generation
from storage_gcs.wire import Wire

_PAGE: Final = 1000


async def list_page(wire: Wire, request: ListRequest) -> Page[ObjectSummary | Prefix]:
    """One page of objects. GCS begins a listing at a key and tells it too, so that one is
    left out here."""
    after = request.start_after if request.token is None else ""
    answer = await wire.json(
        errors.LIST,
        request.bucket,
        "GET",
        f"{wire.place(request.bucket).json}/o",
        (
            ("prefix", request.prefix or None),
            ("delimiter", request.delimiter or None),
            ("startOffset", request.start_after or None),
            ("pageToken", request.token),
            ("maxResults", str(request.limit)),
            ("fields", requests.LISTED_FIELDS),
        ),
    )
    items = responses.listed(answer)
    if after and items and items[0].key <= after:
        items = [item for item in items if item.key > after]
    return Page(items, answer.get("nextPageToken") or None)


async def list_versions_page(wire: Wire, request: ListVersionsRequest) -> Page[VersionSummary]:
    """One page of versions, newest first within a key.

    GCS lists the versions of a key oldest first, so all of one key are read before the first
    is given. The token names the last one given.
    """
    last_key, last_generation = _position(request.token)
    found: list[VersionSummary] = []
    async with aclosing(_histories(wire, request, last_key)) as histories:
        async for key, versions in histories:
            for item in versions:
                if key == last_key and int(item["generation"]) >= last_generation:
                    continue
                if len(found) == request.limit:
                    return Page(found, json.dumps([found[-1].key, found[-1].version]))
                found.append(_summary(item))
    return Page(found)


async def _histories(
    wire: Wire, request: ListVersionsRequest, start: str
) -> AsyncGenerator[tuple[str, list[Mapping[str, Any]]], None]:
    """Keys from `start` on, each with all its versions, newest first."""
    token, pending = None, list[Mapping[str, Any]]()
    while True:
        answer = await wire.json(
            errors.LIST,
            request.bucket,
            "GET",
            f"{wire.place(request.bucket).json}/o",
            (
                ("versions", "true"),
                ("prefix", request.prefix or None),
                ("startOffset", start or None),
                ("pageToken", token),
                ("maxResults", str(min(_PAGE, request.limit + 1))),
                ("fields", requests.VERSION_FIELDS),
            ),
        )
        token = answer.get("nextPageToken") or None
        pending += answer.get("items", ())
        # The last key may go on in the next page.
        last = pending[-1]["name"] if pending and token is not None else None
        whole = [item for item in pending if item["name"] != last]
        pending = pending[len(whole) :]
        for key, items in groupby(whole, lambda item: item["name"]):
            if not key.startswith(HIDDEN):
                yield key, sorted(items, key=lambda item: -int(item["generation"]))
        if token is None:
            return


def _summary(item: Mapping[str, Any]) -> VersionSummary:
    state = responses.state_in(item)
    return VersionSummary(
        item["name"],
        state.generation,
        item.get("timeDeleted") is None,
        False,
        responses.moment(item["updated"]),
        int(item["size"]),
        state.etag,
    )


def _position(token: str | None) -> tuple[str, int]:
    """The key and generation a page ended with."""
    if token is None:
        return "", 0
    try:
        key, version = json.loads(token)
        if isinstance(key, str) and is_generation(version):
            return key, int(version)
    except (TypeError, ValueError):
        pass
    raise InvalidRequestError("the page token is none of this listing; pass tokens unchanged")
