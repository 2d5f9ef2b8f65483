"""`Rules`: what is transferred, and when two of one key are taken to be equal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from storage_core.errors import InvalidRequestError
from storage_core.model import NO_ATTRIBUTES, Attributes

Compare: TypeAlias = Literal["time", "etag", "checksum"]
LeftOut: TypeAlias = Literal["headers", "metadata", "tags", "expiry"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a transfer of a tree takes and does; made by `make_rules`. It can be pickled if
    ``content_type`` can.

    Attributes:
        include: Patterns of which a key has to match one, if there are any.
        exclude: Patterns of which it may match none.
        compare: How two are compared; None transfers all, whatever the target has.
        delete: Delete from the target what the source does not have.
        max_delete: Delete nothing if it were more than so many; None for no limit.
        dry_run: Do nothing.
        content_type: Gives the media type of an upload.
        attributes: All else that is said of uploads.
        if_absent: What is there in the target stays and is a failure.
        leave_out: What copies do not take over.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    compare: Compare | None = None
    delete: bool = False
    max_delete: int | None = None
    dry_run: bool = False
    content_type: Callable[[str], str | None] | None = None
    attributes: Attributes = NO_ATTRIBUTES
    if_absent: bool = False
    leave_out: frozenset[LeftOut] = frozenset()


def make_rules(
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    compare: Compare | None = None,
    delete: bool = False,
    max_delete: int | None = None,
    dry_run: bool = False,
    content_type: Callable[[str], str | None] | None = None,
    attributes: Attributes = NO_ATTRIBUTES,
    if_absent: bool = False,
    leave_out: Iterable[LeftOut] = (),
) -> Rules:
    """The rules that a caller's arguments give.

    Raises:
        InvalidRequestError: an argument is none of its own.
    """
    if compare is not None and compare not in get_args(Compare):
        raise InvalidRequestError(f"compare {compare!r} is not one of {_names(Compare)}")
    left = frozenset(leave_out)
    for name in left.difference(get_args(LeftOut)):
        raise InvalidRequestError(f"leave_out {name!r} is not one of {_names(LeftOut)}")
    return Rules(
        _patterns(include, "include"),
        _patterns(exclude, "exclude"),
        compare,
        delete,
        _limit(max_delete, delete),
        dry_run,
        content_type,
        attributes,
        if_absent,
        left,
    )


def _limit(given: int | None, delete: bool) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise InvalidRequestError(f"max_delete {given!r} is not a number of objects, 0 or more")
    if not delete:
        raise InvalidRequestError("max_delete goes with delete=True")
    return given


def _patterns(given: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise InvalidRequestError(f"{what} is a sequence of patterns; write ({given!r},)")
    patterns = tuple(given)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise InvalidRequestError(f"{what} {pattern!r} is not a str")
    return patterns


def _names(literal: object) -> str:
    return ", ".join(repr(name) for name in get_args(literal))
