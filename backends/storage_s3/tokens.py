"""Page tokens of listings that S3 resumes by several markers: text, good in any process."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

from storage_core.errors import InvalidRequestError


def join(*marks: str) -> str:
    """One token of several marks."""
    return urlsafe_b64encode(json.dumps(marks).encode()).decode()


def split(token: str | None) -> tuple[str, str]:
    """The two marks of a token; empty ones without it.

    Raises:
        InvalidRequestError: it is no such token.
    """
    if token is None:
        return "", ""
    try:
        first, second = json.loads(urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError):
        raise InvalidRequestError("the page token is not one of this listing") from None
    return str(first), str(second)
