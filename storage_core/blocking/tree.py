"""`Tree` of the blocking face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage_core.blocking.bucket import Bucket


@dataclass(frozen=True, slots=True)
class Tree:
    """The objects of a bucket below a prefix: a side of `storage_core.sync` and
    `storage_core.verify`, made by `Bucket.tree`.

    Attributes:
        bucket: The bucket.
        prefix: What the keys begin with; what follows it is compared with the other side. One
            that is not empty ends with ``/``, which is added where it is missing.

    Raises:
        InvalidKeyError: the prefix has no UTF-8 form.
    """

    bucket: Bucket
    prefix: str = ""

    def __post_init__(self) -> None:
        from storage_core.transfer.prefix import tree_prefix

        object.__setattr__(self, "prefix", tree_prefix(self.prefix))
