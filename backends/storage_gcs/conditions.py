"""Conditions: as parameters of the JSON API, and held against an answer."""

from __future__ import annotations

from storage_core.errors import NotModifiedError, PreconditionFailedError
from storage_core.model import NO_CONDITIONS, Conditions, ObjectInfo
from storage_gcs.names import state_of

ABSENT = (("ifGenerationMatch", "0"),)


def write_parameters(conditions: Conditions) -> tuple[tuple[str, str], ...]:
    """Conditions of a write on its target."""
    if conditions is NO_CONDITIONS:
        return ()
    if conditions.if_absent:
        return ABSENT
    return match_parameters(conditions.if_match)


def match_parameters(etag: str | None) -> tuple[tuple[str, str], ...]:
    """The condition that an object is in the state of an etag."""
    if etag is None:
        return ()
    state = state_of(etag)
    return (
        ("ifGenerationMatch", state.generation),
        ("ifMetagenerationMatch", state.metageneration),
    )


def source_parameters(etag: str | None) -> tuple[tuple[str, str], ...]:
    """The same of the source of a copy."""
    if etag is None:
        return ()
    state = state_of(etag)
    return (
        ("ifSourceGenerationMatch", state.generation),
        ("ifSourceMetagenerationMatch", state.metageneration),
    )


def check_read(conditions: Conditions, info: ObjectInfo) -> None:
    """Hold the conditions of a read against what one answer tells of an object, in the order
    of RFC 9110 section 13.2.2: an etag, where given, decides before a time.

    Raises:
        PreconditionFailedError: another object than expected.
        NotModifiedError: still the object the caller has.
    """
    if conditions.if_match is not None:
        if conditions.if_match != info.etag:
            raise PreconditionFailedError("the object is not the one expected", status=412)
    elif (
        conditions.if_unmodified_since is not None
        and info.modified > conditions.if_unmodified_since
    ):
        raise PreconditionFailedError("the object was modified since", status=412)
    if conditions.if_none_match is not None:
        if conditions.if_none_match == info.etag:
            raise NotModifiedError("the object is the one the caller has", status=304)
    elif conditions.if_modified_since is not None and info.modified <= conditions.if_modified_since:
        raise NotModifiedError("the object was not modified since", status=304)


def check_source(conditions: Conditions, info: ObjectInfo) -> None:
    """As `check_read` for the source of a copy, where nothing is "not modified"."""
    try:
        check_read(conditions, info)
    except NotModifiedError as error:
        raise PreconditionFailedError(error.message, status=412) from error


def check_write(conditions: Conditions, info: ObjectInfo | None) -> None:
    """Hold the conditions of a write against its target as it was a moment ago.

    Raises:
        PreconditionFailedError: one does not hold.
    """
    if conditions.if_absent and info is not None:
        raise PreconditionFailedError("the object exists already", status=412)
    if conditions.if_match is not None and (info is None or conditions.if_match != info.etag):
        raise PreconditionFailedError("the object is missing or not the one expected", status=412)
