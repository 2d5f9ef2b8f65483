"""`AsyncTree` of the async face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage_core.aio.bucket import AsyncBucket


@dataclass(frozen=True, slots=True)
class AsyncTree:
    """The objects of a bucket below a prefix: a side of `storage_core.aio.sync` and
    `storage_core.aio.verify`, made by `AsyncBucket.tree`.

    Attributes:
        bucket: The bucket.
        prefix: What the keys begin with; what follows it is compared with the other side. One
            that is not empty ends with ``/``, which is added where it is missing.

    Raises:
        InvalidKeyError: the prefix has no UTF-8 form.
    """

    bucket: AsyncBucket
    prefix: str = ""

    def __post_init__(self) -> None:
        from storage_core.transfer.prefix import tree_prefix

        object.__setattr__(self, "prefix", tree_prefix(self.prefix))
