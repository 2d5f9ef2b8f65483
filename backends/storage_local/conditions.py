"""Preconditions of RFC 9110 section 13, checked against a record."""

from __future__ import annotations

from datetime import datetime

from storage_core.errors import NotModifiedError, PreconditionFailedError
from storage_core.model import Conditions
from storage_local.record import Record, to_datetime


def check_read(conditions: Conditions, record: Record) -> None:
    """Check the conditions of a read of an existing object.

    Raises:
        PreconditionFailedError: ``if_match`` or ``if_unmodified_since`` does not hold.
        NotModifiedError: ``if_none_match`` or ``if_modified_since`` does not hold.
    """
    if message := _unmet_guard(conditions, record):
        raise PreconditionFailedError(message, status=412)
    if message := _unmet_change(conditions, record):
        raise NotModifiedError(message, status=304)


def check_write(conditions: Conditions, record: Record | None) -> None:
    """Check the conditions of a write against what is there, None for nothing.

    Raises:
        PreconditionFailedError: one does not hold.
    """
    message: str | None
    if record is None:
        message = None if conditions.if_match is None else "if_match: there is no object"
    else:
        message = _unmet_guard(conditions, record) or _unmet_change(conditions, record)
    if message:
        raise PreconditionFailedError(message, status=412)


def _unmet_guard(conditions: Conditions, record: Record) -> str | None:
    wanted = conditions.if_match
    if wanted is not None:
        if wanted not in {"*", record.etag}:
            return f"if_match: the etag is {record.etag!r}, not {wanted!r}"
    elif (moment := conditions.if_unmodified_since) is not None and _modified(
        record, moment
    ) > moment:
        return f"if_unmodified_since: the object was modified at {to_datetime(record.modified)}"
    return None


def _unmet_change(conditions: Conditions, record: Record) -> str | None:
    unwanted = conditions.if_none_match
    if unwanted is not None:
        if unwanted == "*":
            return "if_absent: the object exists"
        if unwanted == record.etag:
            return f"if_none_match: the etag is {unwanted!r}"
    elif (moment := conditions.if_modified_since) is not None and _modified(
        record, moment
    ) <= moment:
        return f"if_modified_since: the object was modified at {to_datetime(record.modified)}"
    return None


def _modified(record: Record, moment: datetime) -> datetime:
    """The time to compare with ``moment``: in whole seconds where that is all it has, since
    HTTP dates have no more."""
    modified = to_datetime(record.modified)
    return modified if moment.microsecond else modified.replace(microsecond=0)
