"""Addresses of buckets and objects, etags, and the keys the driver keeps for itself."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from storage_core.errors import InvalidKeyError
from storage_core.http.interface import Origin

HIDDEN: Final = ".storage-core/"
"""What begins so is the driver's own: parts become an object there before it is published."""

_ACME = ".well-known/acme-challenge/"
_PLAIN = re.compile(r"[A-Za-z0-9._~-]*").fullmatch
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._~/-]*").fullmatch
_ETAG = re.compile(r"([1-9][0-9]{0,18})-([1-9][0-9]{0,18})").fullmatch
_GENERATION = re.compile(r"[1-9][0-9]{0,18}").fullmatch
_MAX_PLACES = 10_000


# --- etags and versions ---------------------------------------------------------------


class State(NamedTuple):
    """What tells one state of an object from all others.

    GCS numbers the contents of an object by `generation` and, within one, its metadata by
    `metageneration`. Our etag is the two, as ``"1700000000000000-1"``: unlike the service's
    own it means the same in all its APIs, and every precondition can be made of it.
    """

    generation: str
    metageneration: str

    @property
    def etag(self) -> str:
        return f"{self.generation}-{self.metageneration}"


NEVER: Final = State("1", "1")
"""A state no object is ever in: generations are microseconds of the epoch."""


def state_of(etag: str) -> State:
    """The state an etag names; `NEVER` for what is no etag of ours."""
    found = _ETAG(etag)
    return State(*found.groups()) if found else NEVER


def is_generation(version: str) -> bool:
    """Whether the text can be a version."""
    return _GENERATION(version) is not None


# --- keys -----------------------------------------------------------------------------


def encode_text(text: str) -> str:
    """Text as one segment of a path, or in a query: UTF-8, percent-encoded, ``/`` too."""
    return text if _PLAIN(text) else quote(text, safe="")


def encode_key(key: str) -> str:
    """A key as one segment of a path.

    Raises:
        InvalidKeyError: GCS has no objects of such a name.
    """
    if _PLAIN(key):
        if key not in {".", ".."}:
            return key
    elif "\n" not in key and "\r" not in key:
        return quote(key, safe="")
    raise InvalidKeyError(
        f"GCS has no objects named {key!r}: '.', '..' and names with line breaks can not be",
        key=key,
    )


def encode_path(key: str) -> str:
    """A key in the path of a link: ``/`` stays, as Google's own signers leave it."""
    return key if _PLAIN_PATH(key) else quote(key, safe="/~")


def check_own(key: str) -> None:
    """Refuse to make an object among the driver's own.

    Raises:
        InvalidKeyError: the key begins with `HIDDEN`, or as GCS itself reserves it.
    """
    if key.startswith("."):
        for beginning, whose in ((HIDDEN, "the GCS driver's own"), (_ACME, "reserved by GCS")):
            if key.startswith(beginning):
                raise InvalidKeyError(
                    f"keys that begin with {beginning!r} are {whose}; choose another", key=key
                )


# --- addresses ------------------------------------------------------------------------


class Place(NamedTuple):
    """Paths of a bucket in the JSON API (itself, uploads) and in the XML API."""

    json: str
    upload: str
    xml: str

    def resource(self, key: str) -> str:
        """Path of an object in the JSON API."""
        return f"{self.json}/o/{encode_key(key)}"

    def object(self, key: str) -> str:
        """Path of an object in the XML API."""
        return f"{self.xml}/{encode_key(key)}"


class Endpoint:
    """Address of the service.

    Args:
        url: Absolute; a path in it stands before those of all requests.

    Raises:
        ValueError: the URL is none.
    """

    def __init__(self, url: str) -> None:
        self.origin = Origin.of(url)
        self.base = urlsplit(url).path.rstrip("/")
        self.buckets = f"{self.base}/storage/v1/b"
        self._places: dict[str, Place] = {}

    def __repr__(self) -> str:
        return f"<Endpoint {self.url}>"

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return self.origin.url + self.base

    def bucket(self, name: str) -> Place:
        """Address of a bucket; computed once for each."""
        place = self._places.get(name)
        if place is None:
            if len(self._places) >= _MAX_PLACES:
                self._places.clear()
            encoded = encode_text(name)
            self._places[name] = place = Place(
                f"{self.buckets}/{encoded}",
                f"{self.base}/upload/storage/v1/b/{encoded}/o",
                f"{self.base}/{encoded}",
            )
        return place


# --- settings -------------------------------------------------------------------------


class Options(NamedTuple):
    """Settings as requests need them, worked out once.

    Attributes:
        versions: Whether answers tell versions.
        storage_class: Of what is written, None for the bucket's own.
        kms_key_name: Key for what is written, None for the bucket's own.
    """

    versions: bool
    storage_class: str | None
    kms_key_name: str | None
