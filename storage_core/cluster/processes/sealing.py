"""Pickles that another process can open which does not run the main program of this one."""

from __future__ import annotations

import io
import pickle
from types import FunctionType
from typing import Any

from storage_core.cluster.session import Operation


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | type) and obj.__module__ == "__main__":
            raise pickle.PicklingError(
                f"{obj.__qualname__!r} is of the main program, which worker processes do not"
                " load; put it in a module of its own"
            )
        return NotImplemented


def dumps(operation: Operation) -> bytes:
    """An operation, pickled.

    Raises:
        Exception: a part of it can not be; of whatever class.
    """
    held = io.BytesIO()
    _Pickler(held, pickle.HIGHEST_PROTOCOL).dump(operation)
    return held.getvalue()
