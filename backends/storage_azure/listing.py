"""Listing objects, and their versions.

The service groups by one delimiter, of names; a name is not always its key. So it is asked to
group where that comes to the same, as with ``/``; else keys are grouped here as they come.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from storage_azure.buckets import Buckets
from storage_azure.errors import LIST, Asked
from storage_azure.keys import HIDDEN, decode_name, encode_prefix
from storage_azure.metadata import hex_of
from storage_azure.requests import list_query
from storage_azure.responses import Blob, parse_listing, parse_versions
from storage_core.errors import InvalidRequestError
from storage_core.model import EMPTY, ObjectSummary, Page, Prefix, VersionSummary
from storage_core.requests import ListRequest, ListVersionsRequest

MAX_PAGE: Final = 5000
_ASKED: Final = Asked(LIST, "bucket")

# Characters that neither begin nor are part of what keys are encoded by.
_PLAIN_DELIMITERS: Final = frozenset("/ !#$&'()*+,-:;<=>?@[]^_`{|}~\"")


class Listings(Buckets):
    """Pages of objects and of versions."""

    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        marker, open_groups = _position(request.token)
        grouped = request.delimiter in _PLAIN_DELIMITERS
        prefix, exact = encode_prefix(request.prefix)
        query = list_query(
            limit=request.limit,
            prefix=prefix,
            delimiter=request.delimiter if grouped else "",
            marker=marker,
        )
        response = await self._send(_ASKED, "GET", self._path(request.bucket), {}, query)
        page = parse_listing(await self._body(response))
        items: list[ObjectSummary | Prefix] = [
            summary(blob) for blob in page.blobs if not blob.name.startswith(HIDDEN)
        ]
        items += [
            Prefix(decode_name(name)) for name in page.prefixes if not name.startswith(HIDDEN)
        ]
        if not exact:
            items = [item for item in items if item.key.startswith(request.prefix)]
        if not request.delimiter or grouped:
            return Page(items, json.dumps([page.marker]) if page.marker else None)
        groups = set(open_groups)
        items = _grouped(items, request.prefix, request.delimiter, groups)
        if not page.marker:
            return Page(items)
        last = page.blobs[-1].name if page.blobs else ""
        # Keys of a group can come later only while names begin with what all of its have.
        still = [group for group in groups if last.startswith(encode_prefix(group)[0])]
        return Page(items, json.dumps([page.marker, *sorted(still)]))

    async def list_versions_page(self, request: ListVersionsRequest) -> Page[VersionSummary]:
        """A page. Within it a key's versions are newest first; those of a key at the border of
        two pages are so in each."""
        (marker, _), (prefix, _) = _position(request.token), encode_prefix(request.prefix)
        query = list_query(limit=request.limit, prefix=prefix, marker=marker, include="versions")
        response = await self._send(_ASKED, "GET", self._path(request.bucket), {}, query)
        versions, marker = parse_versions(await self._body(response))
        items = [
            VersionSummary(
                key,
                found.version,
                is_latest=found.current,
                is_delete_marker=False,
                modified=found.blob.modified,
                size=found.blob.size,
                etag=found.blob.etag,
            )
            for found in versions
            if not found.blob.name.startswith(HIDDEN)
            and (key := decode_name(found.blob.name)).startswith(request.prefix)
        ]
        items.sort(key=lambda item: item.version, reverse=True)  # ids are times
        items.sort(key=lambda item: item.key)
        return Page(items, json.dumps([marker]) if marker else None)


def summary(blob: Blob) -> ObjectSummary:
    """An object of a listing."""
    checksums = EMPTY
    if blob.md5 and (digest := hex_of(blob.md5)):
        checksums = {"md5": digest}
    return ObjectSummary(decode_name(blob.name), blob.size, blob.etag, blob.modified, checksums)


def _grouped(
    items: Iterable[ObjectSummary | Prefix], prefix: str, delimiter: str, groups: set[str]
) -> list[ObjectSummary | Prefix]:
    """The items, those behind a delimiter as their groups; `groups` are those already told."""
    found: list[ObjectSummary | Prefix] = []
    for item in items:
        end = item.key.find(delimiter, len(prefix))
        if end < 0:
            found.append(item)
            continue
        group = item.key[: end + len(delimiter)]
        if group not in groups:
            groups.add(group)
            found.append(Prefix(group))
    return found


def _position(token: str | None) -> tuple[str, list[str]]:
    """Marker of the service, and groups that were told and may come again.

    Raises:
        InvalidRequestError: the token is none of ours.
    """
    if not token:
        return "", []
    try:
        marker, *groups = json.loads(token)
        if not all(isinstance(text, str) for text in (marker, *groups)):
            raise ValueError
        marker.encode()
    except (ValueError, TypeError, RecursionError):
        raise InvalidRequestError("the page token is not one of this listing") from None
    return marker, groups
