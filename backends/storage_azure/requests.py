"""From what core asks to headers, queries and bodies of the Blob service. Pure: nothing is sent.

Header names are in lower case, as the signer wants them; parameters ascend by name. Sources:
the operations' pages of the REST reference of Azure Blob Storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from storage_azure.keys import quote_text
from storage_azure.signing import Query
from storage_core.http.dates import format_http_date
from storage_core.http.xml import escape
from storage_core.model import NO_CONDITIONS, ByteRange, Conditions

MIB: Final = 1024**2
COPY_SIZE: Final = 256 * MIB
"""Longest source of Copy Blob From URL."""
PUT_FROM_SIZE: Final = 5000 * MIB
"""Longest source of Put Blob From URL."""
BLOCK_SIZE: Final = 4000 * MIB
"""Longest block."""
MAX_BLOCKS: Final = 50_000
"""Blocks of one blob."""

CONTAINER: Final[Query] = (("restype", "container"),)
TAGS: Final[Query] = (("comp", "tags"),)
BLOCK_LIST: Final[Query] = (("comp", "blocklist"),)
LEASE: Final[Query] = (("comp", "lease"),)
METADATA: Final[Query] = (("comp", "metadata"),)
PROPERTIES: Final[Query] = (("comp", "properties"),)
XML: Final = "application/xml"


def condition_headers(conditions: Conditions, prefix: str = "") -> dict[str, str]:
    """Conditions as headers. Where an etag and a time are given the etag decides (RFC 9110
    section 13.2.2); the service would want both to hold.

    Args:
        conditions: See there.
        prefix: ``x-ms-source-`` for those on the source of a copy.
    """
    headers: dict[str, str] = {}
    if conditions is NO_CONDITIONS:
        return headers
    if conditions.if_match is not None:
        headers[f"{prefix}if-match"] = entity_tag(conditions.if_match)
    elif conditions.if_unmodified_since is not None:
        moment = conditions.if_unmodified_since
        headers[f"{prefix}if-unmodified-since"] = format_http_date(moment)
    if (other := conditions.if_none_match) is not None:
        headers[f"{prefix}if-none-match"] = other if other == "*" else entity_tag(other)
    elif conditions.if_modified_since is not None:
        headers[f"{prefix}if-modified-since"] = format_http_date(conditions.if_modified_since)
    return headers


def entity_tag(etag: str) -> str:
    """An etag as a condition has it."""
    return f'"{etag}"'


def range_header(start: int, stop: int | None) -> str:
    """Value of ``x-ms-range``; the stop of Azure's is inclusive."""
    return f"bytes={start}-" if stop is None else f"bytes={start}-{stop - 1}"


def resolved(wanted: ByteRange | None, size: int) -> tuple[int, int]:
    """Start and stop of a range, or of all, within so many bytes.

    Raises:
        InvalidRangeError: the range starts at or past the end.
    """
    return (0, size) if wanted is None else wanted.resolve(size)


def version_query(version: str | None, *more: tuple[str, str]) -> Query:
    """Query of a request about a version of an object."""
    if version is None:
        return more
    return tuple(sorted((*more, ("versionid", version))))


def block_query(block_id: str) -> Query:
    """Query of a request about one block."""
    return ("blockid", block_id), ("comp", "block")


def list_query(
    *,
    limit: int,
    prefix: str = "",
    delimiter: str = "",
    marker: str = "",
    include: str = "",
    container: bool = True,
) -> Query:
    """Query of a listing: of blobs, or with `container` false of containers."""
    pairs = [("comp", "list"), ("maxresults", str(limit))]
    if container:
        pairs.append(("restype", "container"))
    for name, value in (
        ("delimiter", delimiter),
        ("include", include),
        ("marker", marker),
        ("prefix", prefix),
    ):
        if value:
            pairs.append((name, value))
    pairs.sort()
    return tuple(pairs)


def tagging(tags: Mapping[str, str]) -> str:
    """Value of ``x-ms-tags``."""
    return "&".join([f"{quote_text(name)}={quote_text(tags[name])}" for name in tags])


def tags_body(tags: Mapping[str, str]) -> bytes:
    """Of Set Blob Tags."""
    pieces = ["<?xml version='1.0' encoding='utf-8'?><Tags><TagSet>"]
    for name, value in tags.items():
        pieces.append(f"<Tag><Key>{escape(name)}</Key><Value>{escape(value)}</Value></Tag>")
    pieces.append("</TagSet></Tags>")
    return "".join(pieces).encode()


def block_list_body(ids: Iterable[str]) -> bytes:
    """Of Put Block List: of each block the one that was sent last."""
    pieces = ["<?xml version='1.0' encoding='utf-8'?><BlockList>"]
    pieces += [f"<Latest>{block_id}</Latest>" for block_id in ids]
    pieces.append("</BlockList>")
    return "".join(pieces).encode()


def delegation_body(start: str, expiry: str) -> bytes:
    """Of Get User Delegation Key."""
    return (
        "<?xml version='1.0' encoding='utf-8'?>"
        f"<KeyInfo><Start>{start}</Start><Expiry>{expiry}</Expiry></KeyInfo>"
    ).encode()
