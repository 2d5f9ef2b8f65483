"""Names and metadata that can be stored (docs: buckets#naming, objects#naming, quotas)."""

from __future__ import annotations

import ipaddress
import re

from tests.servers.gcs_gate.errors import RefusedError, invalid
from tests.servers.gcs_gate.state import Attributes

BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]*[a-z0-9]")
LOCATIONS = re.compile(r"[A-Z]+(-[A-Z]+[0-9]+)?|[A-Z]+[0-9]+|[A-Z]+-[A-Z]+[0-9]?")
STORAGE_CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
LARGEST_METADATA = 8 << 10
"""Bytes of all custom metadata of an object, names and values (docs: quotas#objects)."""


def check_bucket(name: str) -> str:
    """A name for a new bucket."""
    wrong = (
        not BUCKET.fullmatch(name)
        or not all(0 < len(part) <= 63 for part in name.split("."))
        or not 3 <= len(name) <= (222 if "." in name else 63)
        or ".-" in name
        or "-." in name
        or name.startswith("goog")
        or "google" in name
        or "g00gle" in name
        or _is_address(name)
    )
    if wrong:
        raise RefusedError(
            400,
            "InvalidBucketName",
            "invalid",
            f"Invalid bucket name: '{name}'",
            details="The specified bucket is not valid.",
        )
    return name


def check_object(name: str) -> str:
    """A name for an object."""
    if not name:
        raise invalid("Required object name", code="InvalidArgument")
    if len(name.encode()) > 1024:
        raise RefusedError(
            400,
            "KeyTooLong",
            "invalid",
            f"The maximum object length is 1024 characters, but got a name with "
            f"{len(name.encode())} characters.",
        )
    if "\r" in name or "\n" in name:
        raise invalid("Disallowed unicode characters present in object name")
    if name in {".", ".."} or name.startswith(".well-known/acme-challenge/"):
        raise invalid(f"Invalid object name {name!r}")
    return name


def check_attributes(attributes: Attributes) -> Attributes:
    """Metadata of an object: its size, its storage class."""
    size = sum(len(key.encode()) + len(text.encode()) for key, text in attributes.metadata.items())
    if size > LARGEST_METADATA:
        raise RefusedError(
            400,
            "MetadataTooLarge",
            "invalid",
            f"The custom metadata of {size} bytes is larger than {LARGEST_METADATA} bytes.",
        )
    if "" in attributes.metadata:
        raise invalid("a name of custom metadata is empty")
    if attributes.storage_class is not None:
        check_storage_class(attributes.storage_class)
    return attributes


def check_storage_class(name: str) -> str:
    """One of the classes (docs: storage-classes)."""
    if name not in STORAGE_CLASSES:
        raise RefusedError(
            400, "InvalidStorageClass", "invalid", f"Invalid storage class {name!r}."
        )
    return name


def check_location(name: str) -> str:
    """A place for a bucket (docs: locations); only its form is known here."""
    upper = name.upper()
    if not LOCATIONS.fullmatch(upper):
        raise RefusedError(
            400,
            "InvalidLocationConstraint",
            "invalid",
            "The specified location constraint is not valid.",
            details=name,
        )
    return upper


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
