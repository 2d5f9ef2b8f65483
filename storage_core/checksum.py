"""Digests: one table of algorithms, the always-on CRC32C, and its composition from parts.

CRC32C comes from google-crc32c (hardware instructions where the machine has them), from awscrt
where it is installed and there is much to hash, the others from hashlib. Digests are bytes here
and lower-case hexadecimal at the surface.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Protocol, TypeAlias

from google_crc32c import extend as _extend

Buffer: TypeAlias = bytes | bytearray | memoryview

# What is handled at a time, so that it is in the CPU's cache still when it is hashed.
PIECE = 256 * 1024

_LARGE = 64 * 1024  # what the way around a copy pays off from
_MUCH = 256 * 1024**2  # in large buffers; what awscrt, several times as fast, takes to be imported

_POLYNOMIAL = 0x82F63B78  # CRC-32C reflected, RFC 3720 appendix B.4


def crc32c(data: Buffer, crc: int = 0) -> int:
    """CRC32C of ``data`` continuing from ``crc``."""
    if len(data) >= _LARGE and (faster := _hashed.faster(len(data))) is not None:
        return faster(data, crc)
    if type(data) is bytes:
        value: int = _extend(crc, data)
        return value
    view = memoryview(data).cast("B")
    if len(view) >= _LARGE and not view.readonly and (extend := _in_place()) is not None:
        return extend(view, crc)
    for start in range(0, len(view), PIECE):
        crc = int(_extend(crc, bytes(view[start : start + PIECE])))
    return crc


class _Hashed:
    """Bytes of large buffers so far, no more than `_MUCH` or little above it."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def faster(self, size: int) -> Callable[[Buffer, int], int] | None:
        """Awscrt's function, once its import has paid; count so many bytes before."""
        if self.size < _MUCH:
            self.size += size
            return None
        return _awscrt()


_hashed = _Hashed()


@cache
def _awscrt() -> Callable[[Buffer, int], int] | None:
    """It multiplies without carry in wide registers, where others go by CRC32's instruction."""
    try:
        from awscrt.checksums import crc32c as faster  # type: ignore[import-untyped]
    except ImportError:
        return None
    return faster  # type: ignore[no-any-return]


@cache
def _in_place() -> Callable[[memoryview, int], int] | None:
    """CRC32C of a writable buffer by the C function that google-crc32c brings along, while
    other threads run. Its extension takes what can not change alone, so that a buffer has to
    be copied, and keeps the interpreter's lock for all but the largest of these."""
    import ctypes  # costs more than all else here, and small objects do without

    try:
        from google_crc32c import _crc32c

        function = ctypes.CDLL(_crc32c.__file__).crc32c_extend
    except (ImportError, OSError, AttributeError):
        return None  # there is none for this machine, or it is built in another way
    function.restype = ctypes.c_uint32
    function.argtypes = (ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t)
    byte = ctypes.c_char

    def extend(view: memoryview, crc: int) -> int:
        return int(function(crc, ctypes.addressof(byte.from_buffer(view)), len(view)))

    return extend


def crc32c_combine(first: int, second: int, second_size: int) -> int:
    """CRC32C of two byte strings put together, from the CRC of each.

    Args:
        first: CRC32C of the first string.
        second: CRC32C of the second string.
        second_size: Length of the second string in bytes.
    """
    # Appending n zero bytes to a string multiplies its CRC register by x^(8n) modulo the
    # polynomial; powers of x by repeated squaring, most significant bit of n first.
    return _multiply(first, _x_power(8 * second_size)) ^ second


def _multiply(a: int, b: int) -> int:
    """Product of two reflected polynomials modulo the CRC's."""
    product = 0
    bit = 1 << 31
    while bit:
        if a & bit:
            product ^= b
        bit >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


@lru_cache(maxsize=64)
def _x_power(n: int) -> int:
    result = 1 << 31  # x^0, reflected
    for digit in f"{n:b}":
        result = _multiply(result, result)
        if digit == "1":
            result = (result >> 1) ^ _POLYNOMIAL if result & 1 else result >> 1
    return result


class Hasher(Protocol):
    """What hashlib's objects offer, and `Crc32cHasher` too."""

    def update(self, data: Buffer, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc32cHasher:
    """CRC32C with hashlib's interface; the digest is four bytes, big-endian."""

    __slots__ = ("size", "value")

    def __init__(self) -> None:
        self.value = 0
        self.size = 0

    def update(self, data: Buffer, /) -> None:
        self.value = crc32c(data, self.value)

    def digest(self) -> bytes:
        return self.value.to_bytes(4, "big")


def _hashlib(name: str) -> Callable[[], Hasher]:
    def make() -> Hasher:
        import hashlib  # loads OpenSSL, which the always-on checksum does without

        return hashlib.new(name, usedforsecurity=False)

    return make


ALGORITHMS: dict[str, tuple[Callable[[], Hasher], int]] = {
    "crc32c": (Crc32cHasher, 4),
    "md5": (_hashlib("md5"), 16),
    "sha1": (_hashlib("sha1"), 20),
    "sha256": (_hashlib("sha256"), 32),
}
"""Name of an algorithm to its constructor and the size of its digest in bytes."""


def new(algorithm: str) -> Hasher:
    """A hasher of one of `ALGORITHMS`; KeyError for any other name."""
    return ALGORITHMS[algorithm][0]()


def digest(algorithm: str, data: Buffer) -> bytes:
    """Digest of a whole buffer."""
    if algorithm == "crc32c":
        return crc32c(data).to_bytes(4, "big")
    hasher = new(algorithm)
    hasher.update(data)
    return hasher.digest()
