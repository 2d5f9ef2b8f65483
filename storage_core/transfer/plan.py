"""How a large object is cut: size and number of parts, how many at a time."""

from __future__ import annotations

from typing import Final, NamedTuple

from storage_core.errors import InvalidRequestError
from storage_core.model import Capabilities
from storage_core.transfer.options import TransferOptions

PART: Final = 8 * 1024**2
"""Bytes of a part where nothing asks for more; an object of one part goes in one request."""
WIDTH: Final = 8
"""Parts of one object at a time."""
TREE_WIDTH: Final = 32
"""Small objects of a tree at a time."""
_RANGES: Final = 1024
"""Ranges of one object at most, where nothing asks for more."""
_ROUND: Final = 1024**2


class Plan(NamedTuple):
    """How a large object is cut.

    Attributes:
        part_size: Bytes of each part but the last.
        parts: Their number.
        width: Parts at a time.
    """

    part_size: int
    parts: int
    width: int

    def span(self, number: int, size: int) -> tuple[int, int]:
        """Start and stop of part ``number`` (from 1) of an object of ``size`` bytes."""
        start = (number - 1) * self.part_size
        return start, min(start + self.part_size, size)


def plan_download(size: int, options: TransferOptions) -> Plan:
    """Ranges of an object to be read."""
    part = options.part_size or max(PART, _rounded_up(-(-size // _RANGES)))
    parts = max(1, -(-size // part))
    return Plan(part, parts, min(parts, options.concurrency or WIDTH))


def plan_upload(size: int, capabilities: Capabilities, options: TransferOptions) -> Plan:
    """Parts of an object to be written: one, where one request takes it or there are no
    sessions; else as many as the profile allows at most. Where parts are written twice there is
    one as well, unless their size is asked for.

    Raises:
        InvalidRequestError: the part size that was asked for makes more parts than are allowed,
            or is outside of what the profile takes.
    """
    alone = capabilities.parts_copied and options.part_size is None
    if not capabilities.multipart or (alone and size <= capabilities.max_put_size):
        return Plan(max(1, size), 1, 1)
    least = _rounded_up(-(-size // capabilities.max_parts))
    part = options.part_size
    if part is None:
        part = min(max(PART, least, capabilities.min_part_size), capabilities.max_part_size)
    elif size > part and (
        not capabilities.min_part_size <= part <= capabilities.max_part_size
        or -(-size // part) > capabilities.max_parts
    ):
        low = max(capabilities.min_part_size, -(-size // capabilities.max_parts))
        raise InvalidRequestError(
            f"part_size {part} does not do for {size} bytes: this profile takes parts of {low} to"
            f" {capabilities.max_part_size} bytes for it"
        )
    parts = max(1, -(-size // part))
    if parts == 1 and size > capabilities.max_put_size:
        raise InvalidRequestError(
            f"part_size {part} does not do for {size} bytes: one request takes"
            f" {capabilities.max_put_size}"
        )
    return Plan(part, parts, min(parts, options.concurrency or WIDTH))


def _rounded_up(size: int) -> int:
    return -(-size // _ROUND) * _ROUND
