"""Checks of what a writer says about an object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from storage_core import keys
from storage_core.errors import InvalidRequestError
from storage_core.model import EMPTY, NO_ATTRIBUTES, NO_CONDITIONS, Attributes, Conditions

if TYPE_CHECKING:
    from storage_core.core.client import Client


def make_attributes(
    content_type: str | None,
    content_encoding: str | None,
    content_disposition: str | None,
    content_language: str | None,
    cache_control: str | None,
    metadata: Mapping[str, str] | None,
    tags: Mapping[str, str] | None,
    expires_at: datetime | None,
) -> Attributes:
    """The keyword arguments of the writing methods as one value."""
    if (
        content_type is None
        and content_encoding is None
        and content_disposition is None
        and content_language is None
        and cache_control is None
        and not metadata
        and not tags
        and expires_at is None
    ):
        return NO_ATTRIBUTES
    return Attributes(
        content_type,
        content_encoding,
        content_disposition,
        content_language,
        cache_control,
        metadata or EMPTY,
        tags or EMPTY,
        expires_at,
    )


def checked(client: Client, attributes: Attributes) -> Attributes:
    """The attributes normalised, or refused.

    Raises:
        InvalidMetadataError: malformed headers, metadata or tags.
        InvalidRequestError: ``expires_at`` is naive or not in the future.
        UnsupportedError: the profile does not keep what is given.
    """
    if attributes is NO_ATTRIBUTES:
        return attributes
    for name in Attributes.HEADERS:
        value = getattr(attributes, name)
        if value is not None:
            keys.check_header(name, value)
            if name != "content_type":
                client.require(client.capabilities.content_headers, name)
    if attributes.tags:
        client.require(client.capabilities.tags, "tags")
        keys.check_tags(attributes.tags, client.capabilities.max_tags)
    if attributes.expires_at is not None:
        client.require(client.capabilities.object_expiry, "expires_at")
        check_aware("expires_at", attributes.expires_at)
        if attributes.expires_at <= client.now():
            raise InvalidRequestError("expires_at is not in the future")
    if not attributes.metadata and not attributes.tags:
        return attributes
    # Copies, as the caller's own mappings may change.
    metadata = keys.normalize_metadata(attributes.metadata, client.capabilities.max_metadata_bytes)
    return replace(attributes, metadata=metadata or EMPTY, tags=dict(attributes.tags) or EMPTY)


def check_aware(name: str, moment: datetime) -> None:
    """Refuse a datetime without a time zone."""
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidRequestError(
            f"{name} {moment!r} is not an aware datetime; add a time zone, such as UTC"
        )


def write_conditions(if_absent: bool, if_match: str | None) -> Conditions:
    """Conditions of a write.

    Raises:
        InvalidRequestError: both are given, which no state can satisfy.
    """
    if if_match is None:
        return Conditions(if_none_match="*") if if_absent else NO_CONDITIONS
    if if_absent:
        raise InvalidRequestError("if_absent and if_match exclude each other; give one")
    return Conditions(if_match=if_match)


def read_conditions(
    if_match: str | None,
    if_none_match: str | None,
    if_modified_since: datetime | None,
    if_unmodified_since: datetime | None,
) -> Conditions:
    """Conditions of a read."""
    if (
        if_match is None
        and if_none_match is None
        and if_modified_since is None
        and if_unmodified_since is None
    ):
        return NO_CONDITIONS
    for name, moment in (
        ("if_modified_since", if_modified_since),
        ("if_unmodified_since", if_unmodified_since),
    ):
        if moment is not None:
            check_aware(name, moment)
    return Conditions(if_match, if_none_match, if_modified_since, if_unmodified_since)
