"""CRC32C of bytes put together, out of the CRC32C of the parts.

A polynomial over GF(2), reflected, is an int here: bit 31 is the coefficient of x^0. The
register after B is that after A moved by x^(8·|B|), plus that of B alone.
"""

from __future__ import annotations

import base64

POLYNOMIAL = 0x82F63B78
ONE = 1 << 31


def combine(first: int, second: int, length: int) -> int:
    """CRC32C of A+B from those of A and B, and the length of B in bytes."""
    return _times(first, _x_to(8 * length)) ^ second


def encode(value: int) -> str:
    """Base64 of the four bytes, most significant first (docs: hashes-etags#json)."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def _times(a: int, b: int) -> int:
    product = 0
    while a:
        if a & ONE:
            product ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = (b >> 1) ^ (POLYNOMIAL if b & 1 else 0)
    return product


def _x_to(power: int) -> int:
    result, base = ONE, ONE >> 1
    while power:
        if power & 1:
            result = _times(result, base)
        base = _times(base, base)
        power >>= 1
    return result
