"""The header by which an answer is saved under a name."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

# What a quoted string can not hold, clients decode differently, or ends a name.
_UNSAFE: Final = re.compile(r"[^\x20-\x7e]|[\"\\%/]")


def attachment(filename: str) -> str:
    """Content-Disposition that saves under a name (RFC 6266), with a plain form for clients
    that do not know the encoded one (RFC 8187)."""
    plain = _UNSAFE.sub("_", filename)
    value = f'attachment; filename="{plain}"'
    if plain != filename:
        value += f"; filename*=UTF-8''{quote(filename, safe='')}"
    return value
