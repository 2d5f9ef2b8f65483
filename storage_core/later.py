"""`Later`: fields that are worked out when somebody asks for one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


class Later:
    """Base of a frozen dataclass with slots. A value of it may be made without some of its
    fields and with `_later`, a function that gives them by their names; it must not fail, and
    give the same however often it is called. Whoever has the value can not tell the difference.
    """

    __slots__ = ("_later",)

    if not TYPE_CHECKING:  # to type checkers it would say that there is any attribute

        def __getattr__(self, name: str) -> Any:
            # Python asks only for what is not there.
            if name not in type(self).__slots__:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            later = self._later
            if later is not None:  # else another thread has just been here
                for field, value in later().items():
                    object.__setattr__(self, field, value)
                object.__setattr__(self, "_later", None)
            return object.__getattribute__(self, name)
