"""Where requests go: one address for the account, and one for each bucket."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Literal, NamedTuple

from storage_core.http.interface import Origin
from storage_s3.signing import encode_key

# Names that are one label of a host name, or several (RFC 1123).
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{1,61}[a-z0-9])").fullmatch
_LABELS = re.compile(r"[a-z0-9]([a-z0-9.-]{1,61}[a-z0-9])").fullmatch

# Partitions of AWS by the beginning of their regions; all others are `amazonaws.com`.
_PARTITIONS = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
}

_MAX_PLACES = 10_000


class Place(NamedTuple):
    """Address of a bucket.

    Attributes:
        origin: Where to connect.
        host: What the ``Host`` header says.
        path: Path of the bucket without a slash at its end: empty where the host names it.
        url: The origin's.
    """

    origin: Origin
    host: str
    path: str
    url: str

    @property
    def root(self) -> str:
        """Path of requests about the bucket itself."""
        return self.path or "/"

    def object(self, key: str) -> str:
        """Path of an object."""
        return f"{self.path}/{encode_key(key)}"


class Endpoint:
    """Address of an account.

    Args:
        url: Absolute; a path in it stands before those of all requests.
        addressing: Whether a bucket is named by the host (``virtual``) or the path. Buckets
            that no host name can hold are addressed by path in any case.

    Raises:
        ValueError: the URL is none.
    """

    def __init__(self, url: str, addressing: Literal["virtual", "path"]) -> None:
        from urllib.parse import urlsplit

        self.origin = Origin.of(url)
        self.base = urlsplit(url).path.rstrip("/")
        self.addressing = addressing
        self._virtual = addressing == "virtual" and not _numeric(self.origin.host)
        self._places: dict[str, Place] = {}

    def __repr__(self) -> str:
        return f"<Endpoint {self.url} {self.addressing}>"

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return self.origin.url + self.base

    @property
    def root(self) -> str:
        """Path of requests about the account."""
        return f"{self.base}/"

    def bucket(self, name: str) -> Place:
        """Address of a bucket; computed once for each."""
        place = self._places.get(name)
        if place is None:
            if len(self._places) >= _MAX_PLACES:
                self._places.clear()
            self._places[name] = place = self._place(name)
        return place

    def _place(self, name: str) -> Place:
        origin = self.origin
        # No certificate covers a name with a dot below the service's own host.
        fits = _LABEL if origin.scheme == "https" else _LABELS
        if self._virtual and fits(name) and ".." not in name:
            authority = f"{name}.{origin.authority}"
            virtual = Origin(origin.scheme, f"{name}.{origin.host}", origin.port, authority)
            return Place(virtual, authority, self.base, virtual.url)
        return Place(origin, origin.authority, f"{self.base}/{encode_key(name)}", origin.url)


def aws_url(region: str, *, dualstack: bool = False, fips: bool = False) -> str:
    """Endpoint of Amazon S3 in a region. The global one redirects and is signed for
    ``us-east-1``; a regional one always works."""
    suffix = next(
        (suffix for start, suffix in _PARTITIONS.items() if region.startswith(start)),
        "amazonaws.com",
    )
    service = f"s3{'-fips' if fips else ''}{'.dualstack' if dualstack else ''}"
    return f"https://{service}.{region}.{suffix}"


def _numeric(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
