"""Where a transport of a library legitimately differs from the rule that a test states.

Each entry names the case, the library, and why it is accepted. A test that finds its case here
holds the library to the difference, so that an entry which is no longer true fails.
"""

from __future__ import annotations

from tests.http.hostile.clients import Client

ACCEPTS: dict[tuple[str, str | None], str] = {
    ("nul-in-reason", "aiohttp"): "the reason is not handed out",
    ("space-before-colon", "aiohttp"): "its parser is lenient; the field keeps its meaning",
    ("space-before-first", "aiohttp"): "its parser is lenient; the line is skipped",
    ("size-too-large", "aiohttp"): "LF ends a line too, so that this chunk ends with CR",
    ("extensions", "aiohttp"): "extensions of each chunk are skipped, the body goes on",
}
"""Malformed answers that are read nevertheless: what comes out is what the sender meant, and
the connection is in the state both sides think it is in."""

_BY_TIME = "skipped without number, so that the read timeout ends it and no count"

OTHERWISE: dict[tuple[str, str | None], str] = {
    ("empty-lines", "aiohttp"): _BY_TIME,
    ("continues", "aiohttp"): _BY_TIME,
    ("interim-answers", "aiohttp"): _BY_TIME,
    ("extension", "aiohttp"): _BY_TIME,
    ("size", "aiohttp"): _BY_TIME,
    ("part-again", "aiohttp"): "it does not tell whether a part of the head had come",
    ("no-farewell", "aiohttp"): "asyncio's TLS does not tell; services announce their lengths",
    ("interrupted-connect", "urllib3"): "it leaves the socket to the garbage collector",
    ("empty-query", "aiohttp"): "yarl drops the question mark, so it is refused instead",
}
"""All else."""


def accepts(case: str, client: Client) -> bool:
    """Whether this transport reads what others refuse."""
    return (case, client.kind.library) in ACCEPTS


def differs(case: str, client: Client) -> bool:
    """Whether this transport does otherwise than the test's rule says."""
    return (case, client.kind.library) in OTHERWISE
