"""Ranges of bytes (RFC 9110, 14; xml: reference-headers#range)."""

from __future__ import annotations

import re

from tests.servers.gcs_gate.errors import RefusedError, unimplemented

RANGE = re.compile(r"bytes=(\d*)-(\d*)")
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


def parse(text: str, size: int) -> tuple[int, int] | None:
    """Start and length, None for everything.

    Raises:
        RefusedError: 416, or a form that no page documents.
    """
    if not text:
        return None
    found = RANGE.fullmatch(text.replace(" ", ""))
    if not found or found.group(0) == "bytes=-":
        raise unimplemented(f"Range: {text} (several ranges, or not a range of bytes)")
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        start = size - length
    else:
        start = int(first)
        if last and int(last) < start:
            raise unimplemented(f"Range: {text}, which ends before it starts")
        length = (min(int(last) + 1, size) if last else size) - start
    if length <= 0:
        raise RefusedError(
            416,
            "InvalidRange",
            "requestedRangeNotSatisfiable",
            "The requested range cannot be satisfied."
            if not text
            else "Request range not satisfiable",
            details=text,
            location="Range",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, length
