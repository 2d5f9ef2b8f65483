"""From a profile, a URL or a driver to an opened client: what both faces' `open` share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from storage_core.core.client import Client, utc_now
from storage_core.core.settings import LinkSettings, RetryPolicy

if TYPE_CHECKING:
    from storage_core.config import Config, ProfileConfig
    from storage_core.driver import Driver
    from storage_core.runtime import Runtime

ConfigSource: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | Config | None"


class Recipe:
    """Everything an opened storage was made from, so that it can be made again in another
    process; picklable as long as the clock is."""

    __slots__ = ("bucket", "capabilities", "driver", "links", "now", "profile", "retry")

    def __init__(
        self,
        driver: Driver,
        *,
        profile: str,
        retry: RetryPolicy | None = None,
        links: LinkSettings | None = None,
        capabilities: Mapping[str, Any] | None = None,
        bucket: str | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.driver = driver
        self.profile = profile
        self.retry = retry or RetryPolicy()
        self.links = links or LinkSettings()
        self.capabilities = dict(capabilities or {})
        self.bucket = bucket
        self.now = now or utc_now

    def client(self, runtime: Runtime) -> Client:
        """A client, not opened yet."""
        return Client(
            self.driver,
            runtime,
            profile=self.profile,
            retry=self.retry,
            links=self.links,
            overrides=self.capabilities,
            now=self.now,
        )

    def with_links(self, links: LinkSettings) -> Recipe:
        """The same with other link settings."""
        return Recipe(
            self.driver,
            profile=self.profile,
            retry=self.retry,
            links=links,
            capabilities=self.capabilities,
            bucket=self.bucket,
            now=self.now,
        )


def from_profile(profile: str | None, config: ConfigSource) -> Recipe:
    """The recipe of a named profile, or of one given as a mapping."""
    from storage_core.config import Config, ProfileConfig, load_config

    if isinstance(config, Mapping):
        if profile is not None:
            return from_config(ProfileConfig.from_mapping(config, name=profile))
        return from_config(ProfileConfig.from_mapping(config))
    loaded = config if isinstance(config, Config) else load_config(config)
    return from_config(loaded.profile(profile))


def from_url(url: str) -> Recipe:
    """The recipe of a profile written as a URL."""
    from storage_core.config import ProfileConfig

    return from_config(ProfileConfig.from_url(url))


def from_config(profile: ProfileConfig) -> Recipe:
    """Load the profile's driver and put the profile's layers around it."""
    from storage_core.config import driver_settings, load_class

    driver_class = load_class(profile)
    driver: Driver = driver_class(driver_settings(profile, driver_class))
    if profile.prefix or profile.bucket_prefix:
        from storage_core.layers.prefix import PrefixLayer

        driver = PrefixLayer(driver, profile.prefix, profile.bucket_prefix)
    return Recipe(
        driver,
        profile=profile.name,
        retry=profile.retry,
        links=profile.links,
        capabilities=profile.capabilities,
        bucket=profile.bucket,
    )
