"""Addresses: ``profile:bucket/key``, or ``bucket/key`` on the default profile.

The key is everything after the first ``/``, byte for byte: ``b//x`` is the key ``/x`` of the
bucket ``b``. A ``:`` counts only before the first ``/``.
"""

from __future__ import annotations

from dataclasses import dataclass

from storage_core.cli.status import UsageError

STANDARD_STREAM = "-"
FORMS = "write bucket/key, or profile:bucket/key"


@dataclass(frozen=True, slots=True)
class Address:
    """A place in a profile.

    Attributes:
        profile: Name of the profile, None for the default one.
        bucket: Name of the bucket; empty for the profile as a whole.
        key: Key, or prefix of keys; empty for the bucket as a whole.
    """

    profile: str | None
    bucket: str
    key: str = ""

    def __str__(self) -> str:
        profile = "" if self.profile is None else f"{self.profile}:"
        return f"{profile}{self.bucket}/{self.key}" if self.key else f"{profile}{self.bucket}"

    def at(self, key: str) -> Address:
        """The same bucket with another key."""
        return Address(self.profile, self.bucket, key)

    @property
    def is_group(self) -> bool:
        """Whether it names a bucket or a prefix of whole segments rather than one object."""
        return not self.key or self.key.endswith("/")

    @property
    def last_segment(self) -> str:
        """The key after its last ``/``; empty if it ends with one."""
        return self.key.rpartition("/")[2]


def parse(text: str) -> Address:
    """Read an address of any form: of a profile, a bucket, a prefix or an object.

    Raises:
        UsageError: it is none.
    """
    if text == STANDARD_STREAM:
        raise UsageError(f"'-' is standard input or output and no address here; {FORMS}")
    head, slash, key = text.partition("/")
    profile, colon, bucket = head.rpartition(":")
    if colon and slash and not bucket and key.startswith("/"):
        raise UsageError(f"{text!r} is a URL; {FORMS}, with a profile for that place")
    if colon and not profile:
        raise UsageError(f"{text!r} has nothing before its ':'; {FORMS}")
    if slash and not bucket:
        raise UsageError(f"{text!r} names no bucket before its '/'; {FORMS}")
    return Address(profile if colon else None, bucket, key)


def parse_bucket(text: str) -> Address:
    """Read the address of a bucket; a ``/`` after its name is allowed.

    Raises:
        UsageError: it is none.
    """
    address = parse(text)
    if not address.bucket:
        raise UsageError(f"{text!r} names no bucket; write bucket, or profile:bucket")
    if address.key:
        raise UsageError(f"{text!r} names an object; this command takes a bucket")
    return address


def parse_within_bucket(text: str) -> Address:
    """Read the address of a bucket, a prefix or an object.

    Raises:
        UsageError: it is none.
    """
    address = parse(text)
    if not address.bucket:
        raise UsageError(f"{text!r} names no bucket; {FORMS}")
    return address


def parse_object(text: str) -> Address:
    """Read the address of an object.

    Raises:
        UsageError: it is none.
    """
    address = parse_within_bucket(text)
    if not address.key:
        raise UsageError(f"{text!r} names a bucket; this command takes an object: {FORMS}")
    return address


def parse_group(text: str) -> Address:
    """Read what many objects are in: a bucket, or a prefix that ends with ``/``.

    A prefix that ends within a name would take ``logs-old`` along with ``logs``.

    Raises:
        UsageError: it is neither.
    """
    address = parse_within_bucket(text)
    if not address.is_group:
        raise UsageError(
            f"a bucket or a prefix that ends with '/' goes here; {text!r} would take keys along"
            f" that only begin alike. Write {text + '/'!r}"
        )
    return address


def target_for(address: Address, name: str) -> Address:
    """Where an object goes: below a bucket or prefix under its own name, else there exactly.

    Args:
        address: The target as given.
        name: Last segment of the source.

    Raises:
        UsageError: the name is needed and empty.
    """
    if not address.is_group:
        return address
    if not name:
        raise UsageError(f"the source has no name to use below {address}; write the whole key")
    return address.at(address.key + name)
