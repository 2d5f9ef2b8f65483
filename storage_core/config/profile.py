"""What a profile says, resolved and checked: all that core needs to know of a configuration.

Nothing here imports pydantic, so a profile made from a URL stays cheap. The annotations are
what `storage_core.config.validate` checks options against and what the reference and the
JSON schema are made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from storage_core.core.settings import PYDANTIC, LinkSettings, RetryPolicy
from storage_core.errors import InvalidRequestError

SECRET_MASK = "**********"  # noqa: S105 - what stands for a secret, as pydantic prints it

SourceKind: TypeAlias = Literal["file", "environment", "url", "code", "built-in", "default"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from.

    Attributes:
        kind: The sort of place.
        name: Absolute path of the configuration, or name of the environment variable; else
            empty.
        line: Line in the configuration, from 1; None where there is none.
    """

    kind: SourceKind
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if self.kind == "file":
            return f"{self.name}:{self.line}" if self.line else self.name
        return f"${self.name}" if self.kind == "environment" else self.kind


@dataclass(frozen=True, kw_only=True)
class ProfileOptions:
    """The options that every profile takes, whatever its driver."""

    __pydantic_config__: ClassVar[dict[str, Any]] = PYDANTIC

    prefix: str = ""
    """Put in front of every key, and taken off again: the profile sees only what lies under
    it. A plain string; end it with `/` for whole segments."""
    bucket_prefix: str = ""
    """Put in front of every bucket name, and taken off again."""
    links: LinkSettings = field(default_factory=LinkSettings)
    """Presigned links."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    """Retries and time limits."""
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    """What the driver declares it can do, corrected for this service: names and values of
    `storage_core.model.Capabilities`."""

    def __post_init__(self) -> None:
        from storage_core.keys import check_bucket_name, check_key

        try:
            if self.prefix:
                # A key completes the last segment, so only what lies before it is judged.
                check_key(self.prefix + "x")
        except InvalidRequestError:
            raise ValueError(
                "prefix can not begin a key: it is too long, or holds a control character or a"
                " '.' or '..' between slashes"
            ) from None
        try:
            if self.bucket_prefix:
                check_bucket_name(self.bucket_prefix + "xxx")
        except InvalidRequestError:
            raise ValueError(
                "bucket_prefix can not begin a bucket's name: use a-z, 0-9 and single '-', at"
                " most 60 of them, beginning with a letter or digit"
            ) from None


@dataclass(frozen=True, kw_only=True, repr=False)
class ProfileConfig(ProfileOptions):
    """A profile, resolved: references are replaced, options are checked.

    The driver's own settings are still as written; `driver_settings` checks them against the
    driver's model. They may hold secrets, so the repr leaves their values out.
    """

    name: str
    """The profile's name, or the URL's scheme."""
    driver: str
    """Name of the driver's entry point."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The driver's settings by name, as written."""
    bucket: str | None = None
    """The bucket a URL named."""
    sources: Mapping[str, Source] = field(default_factory=dict, repr=False)
    """Where each value comes from, by dotted name."""
    sensitive: frozenset[str] = field(default=frozenset(), repr=False)
    """Texts that came from references; no message may repeat them."""

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], *, name: str = "code", references: bool = False
    ) -> ProfileConfig:
        """Make a profile from values written in code.

        Args:
            values: As the table ``[profiles.<name>]`` of a configuration: ``driver``, the
                options of every profile, and the driver's settings.
            name: Name shown in messages.
            references: Replace ``${env:NAME}`` and ``${file:PATH}``. Off by default, since
                values in code may come from elsewhere; then they are taken as they stand.

        Raises:
            ConfigError: no driver, an unknown name, or a value of the wrong type.
        """
        from storage_core.config.resolve import profile_from_mapping

        return profile_from_mapping(values, name=name, references=references)

    @classmethod
    def from_url(cls, url: str) -> ProfileConfig:
        """Make a profile from a URL; see `storage_core.config.url` for the forms.

        Raises:
            ConfigError: the URL is malformed, holds credentials in front of the host, or
                names something unknown.
            DriverNotFoundError: no driver has the scheme's name.
        """
        from storage_core.config.url import profile_from_url

        return profile_from_url(url)

    def source(self, *keys: str) -> Source:
        """Where the value at ``keys`` comes from: its own source, that of the first value in
        its table, or that of the table around it."""
        name = ".".join(keys)
        inside = (source for key, source in self.sources.items() if key.startswith(f"{name}."))
        if found := self.sources.get(name) or next(inside, None):
            return found
        return self.source(*keys[:-1]) if keys else Source("default")

    def __repr__(self) -> str:
        settings = ", ".join(self.settings)
        return f"<ProfileConfig {self.name!r}: driver {self.driver!r}, settings {settings or '-'}>"
