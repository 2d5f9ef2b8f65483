"""What a profile says to core: how often to try again, and how to sign links.

The annotations hold the bounds that a configuration is checked against; the docstrings are
what its reference and JSON schema say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

PYDANTIC: dict[str, Any] = {"extra": "forbid", "use_attribute_docstrings": True}
"""How the configuration reads a table into one of these: unknown names are refused."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long core tries again: full jitter between growing delays."""

    __pydantic_config__: ClassVar[dict[str, Any]] = PYDANTIC

    attempts: Annotated[int, Ge(1), Le(100)] = 5
    """Tries of one call in all; 1 never repeats."""
    base: Annotated[float, Gt(0), Le(3600)] = 0.1
    """Upper bound of the first wait, in seconds; it doubles with each try."""
    cap: Annotated[float, Gt(0), Le(3600)] = 20.0
    """Upper bound of any wait, in seconds, unless the service asks for a longer one."""
    budget: Annotated[float, Ge(0)] = 100.0
    """Repeats the whole profile may have in store; each costs one, each success gives back a
    tenth. An outage therefore costs a bounded number of extra requests."""
    deadline: Annotated[float, Gt(0)] | None = None
    """Seconds one call may take with all its tries; without one there is no limit. A call's
    own `deadline` comes first."""

    def __post_init__(self) -> None:
        if self.cap < self.base:
            raise ValueError("retry.cap is below retry.base")


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Settings of presigned links."""

    __pydantic_config__: ClassVar[dict[str, Any]] = PYDANTIC

    base_url: str | None = None
    """Where the gateway that redeems links is reached, such as `https://files.example.org`.
    `storage serve` sets it for the links it makes itself."""
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Secrets that sign gateway links, by key id, each of 16 bytes or more. The last one
    signs, all verify, so a key is rotated by adding one. The local driver makes its own when
    there are none."""
    route: Literal["native", "gateway"] = "native"
    """`native` lets the service sign where it can; `gateway` sends every link through the
    gateway, which can bind every rule."""

    def __post_init__(self) -> None:
        if self.base_url is not None:
            object.__setattr__(self, "base_url", _base_url(self.base_url))
        if self.keys:
            from storage_core.errors import ConfigError
            from storage_core.links import LinkKeys

            try:
                LinkKeys(self.keys)
            except ConfigError as error:
                raise ValueError(f"{error.message}; make one with: openssl rand -hex 32") from None


def _base_url(text: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("links.base_url is not an http:// or https:// URL with a host")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("links.base_url holds a query, a fragment or credentials; remove them")
    _ = parts.port  # ValueError for one out of range
    return text.rstrip("/")
