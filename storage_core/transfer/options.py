"""`TransferOptions`: how a transfer uses the machine and the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from storage_core.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """How a transfer uses the machine and the network. Sizes are bytes.

    Attributes:
        part_size: Size of one part; planned from the object's size and the profile's
            capabilities without it.
        concurrency: Requests under way at most; adapted downwards while a service says to
            slow down.
        max_memory: Most that this transfer takes of the process-wide budget for buffers (see
            `storage_core.set_max_memory`).
        bandwidth: Most bytes per second, None for no limit.
        verify: Check every byte against the checksums that are known of it.
        resume: Keep what an interrupted transfer of one large object needs to be continued,
            and continue one. Without it, an interrupted upload is aborted.

    Raises:
        InvalidRequestError: a number is below 1.
    """

    part_size: int | None = None
    concurrency: int | None = None
    max_memory: int | None = None
    bandwidth: float | None = None
    verify: bool = True
    resume: bool = True

    def __post_init__(self) -> None:
        for name in ("part_size", "concurrency", "max_memory", "bandwidth"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value >= 1):
                raise InvalidRequestError(f"{name} {value!r} is not a number of at least 1")


DEFAULTS: Final = TransferOptions()
