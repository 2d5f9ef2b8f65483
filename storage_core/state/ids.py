"""Identifiers of rows: short, in the order of their making, the same on every database."""

from __future__ import annotations

import secrets
import time

LENGTH = 26
"""Characters of an id."""

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's Base32: no i, l, o, u
_RANDOM_BITS = 66
_BITS = 5 * LENGTH


def new_id() -> str:
    """A new id: 26 lower-case letters and digits that sort by the time of their making.

    64 bits are nanoseconds since 1970, 66 are random. An id is no secret, though guessing one
    is hopeless.
    """
    number = time.time_ns() << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return "".join(_DIGITS[number >> shift & 31] for shift in range(_BITS - 5, -1, -5))
