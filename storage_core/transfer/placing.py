"""Keys that can not stand beside each other in one folder."""

from __future__ import annotations

import os
import unicodedata
from typing import Final

from storage_core.errors import InvalidKeyError
from storage_core.transfer.folder import FolderSide, check_place

_PROBE: Final = ".Storage-Case-{}.storage-part"
"""A name that no listing of a folder tells."""


class Neighbours:
    """Looks at ascending keys and refuses those for which an earlier one is in the way.

    Args:
        target: Where they are to be.

    Attributes:
        folds: Whether the disk there takes names for the same that are not.
    """

    def __init__(self, target: FolderSide) -> None:
        # The keys that the next ones may be below of: each begins with the one before it.
        self._stems: list[str] = []
        # Only where the disk folds names, as it costs memory.
        self._folded: dict[str, str] = {}
        self.folds = folds_case(target.root)

    def check(self, key: str) -> None:
        """Refuse a key that can not be there.

        Raises:
            InvalidKeyError: it is no place in a folder; or it is below another key, which is a
                file there; or the disk takes its name for that of another.
        """
        check_place(key)
        stems = self._stems
        while stems and not key.startswith(stems[-1]):
            stems.pop()
        for stem in stems:
            if key.startswith(f"{stem}/"):
                raise InvalidKeyError(
                    f"{stem!r} is an object too, and can not be both a file and a folder; get"
                    " one of them by itself, under another name",
                    key=key,
                )
        stems.append(key)
        if self.folds:
            name = unicodedata.normalize("NFC", key).casefold()
            if (other := self._folded.setdefault(name, key)) != key:
                raise InvalidKeyError(
                    f"this disk takes the names {other!r} and {key!r} for the same; get one of"
                    " them by itself, under another name",
                    key=key,
                )


def folds_case(folder: str) -> bool:
    """Whether a disk takes ``A`` and ``a`` for the same name; false where it can not be tried."""
    place = folder
    while not os.path.isdir(place) and (above := os.path.dirname(place)) != place:
        place = above
    probe = os.path.join(place, _PROBE.format(os.urandom(8).hex()))
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError:
        return False
    try:
        return os.path.lexists(os.path.join(place, os.path.basename(probe).swapcase()))
    finally:
        os.unlink(probe)
