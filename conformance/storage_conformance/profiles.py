"""Opening the profile under test: on either face, again, otherwise, in another process."""

from __future__ import annotations

import pickle
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import storage_core
from storage_conformance.faces import Portal, as_blocking
from storage_core import Bucket, BucketNotFoundError, LinkSettings, RetryPolicy, Storage, aio
from storage_core.driver import Driver
from storage_core.layers.prefix import PrefixLayer

T = TypeVar("T")

LAYERS: Mapping[str, Callable[[Driver], Driver]] = {
    "prefix": lambda driver: PrefixLayer(driver, "layer/prefix-", "pfx-"),
}
"""Layers a run can put around any profile, by name."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a case wants otherwise than the profile has it; see `Openings.open`."""

    now: Callable[[], datetime] | None = None
    capabilities: Mapping[str, object] | None = None
    link_keys: Mapping[str, bytes] | None = None
    base_url: str | None = None
    retry: RetryPolicy | None = None
    endpoint: tuple[str, str] | None = None
    """Name of a setting of the driver, and the URL it has instead of the profile's."""


@dataclass(frozen=True)
class ProfileSpec:
    """How the profile under test is opened. Picklable if its driver is.

    Attributes:
        profile: A name in the configuration, the table of a profile, or a driver.
        config: Configuration a name is looked up in; None looks at the usual places.
        layers: Names of `LAYERS` to put around the driver, inner ones first.
    """

    profile: str | Mapping[str, Any] | Driver
    config: str | None = None
    layers: tuple[str, ...] = ()

    def open(self, changes: Changes | None = None) -> Storage:
        """The profile on the blocking face."""
        opened: Storage = self._open(storage_core, changes)
        return opened

    def open_async(self, changes: Changes | None = None) -> aio.AsyncStorage:
        """The profile on the async face; to be entered or awaited."""
        opened: aio.AsyncStorage = self._open(aio, changes)
        return opened

    def _open(self, face: Any, changes: Changes | None) -> Any:
        if changes or self.layers or isinstance(self.profile, Driver):
            changes = changes or Changes()
            driver, corrections = self._parts()
            if changes.endpoint is not None:
                driver = _redirected(driver, *changes.endpoint)
            return face.open_driver(
                driver,
                profile=self.name,
                retry=changes.retry,
                links=LinkSettings(changes.base_url, changes.link_keys or {}),
                now=changes.now,
                capabilities={**corrections, **(changes.capabilities or {})},
            )
        if isinstance(self.profile, str):
            return face.open(self.profile, config=self.config)
        return face.open(config=self.profile)

    def driver(self) -> Driver:
        """The profile's driver with its layers, not opened."""
        return self._parts()[0]

    def _parts(self) -> tuple[Driver, Mapping[str, object]]:
        """The driver with its layers, and the profile's own corrections of capabilities."""
        corrections: Mapping[str, object] = {}
        if isinstance(self.profile, Driver):
            driver = self.profile
        else:
            with replace(self, layers=()).open() as storage:
                driver = _copy(storage.driver)
                corrections = storage._recipe.capabilities
        for name in self.layers:
            driver = LAYERS[name](driver)
        return driver, corrections

    @property
    def name(self) -> str:
        """Name for reports."""
        if isinstance(self.profile, str):
            return self.profile
        return self.profile.name if isinstance(self.profile, Driver) else self.profile["driver"]


def _copy(driver: Driver) -> Driver:
    """A driver of the same settings that opens and closes by itself."""
    copied = pickle.loads(pickle.dumps(driver))
    assert isinstance(copied, Driver)
    return copied


def innermost(driver: Driver) -> Driver:
    """The driver below all layers."""
    while (inner := getattr(driver, "inner", None)) is not None:
        driver = inner
    return driver


def _redirected(driver: Driver, setting: str, url: str) -> Driver:
    """The same driver, its service reached elsewhere."""
    inner = getattr(driver, "inner", None)
    if inner is not None:
        driver.inner = _redirected(inner, setting, url)  # type: ignore[attr-defined]
        return driver
    return type(driver)(driver.settings.model_copy(update={setting: url}))


def layers_of(driver: Driver) -> list[str]:
    """Names of the layers around a driver, the outermost first."""
    found = []
    while (inner := getattr(driver, "inner", None)) is not None:
        found.append(type(driver).__name__.removesuffix("Layer").lower())
        driver = inner
    return found


class Openings:
    """All storages one case opens, on one face; closed together, with the buckets removed.

    Args:
        spec: The profile.
        face: ``"blocking"`` or ``"async"``.

    Attributes:
        link_keys: Keys of gateway links, for drivers that keep none of their own.
    """

    link_keys: Mapping[str, bytes] | None = None

    def __init__(self, spec: ProfileSpec, face: str) -> None:
        self.spec = spec
        self._stack = ExitStack()
        self._portal: Portal | None = None
        if face == "async":
            self._portal = Portal()
            self._stack.callback(self._portal.close)
        self._buckets: list[str] = []

    def open(
        self,
        *,
        now: Callable[[], datetime] | None = None,
        capabilities: Mapping[str, object] | None = None,
        link_keys: Mapping[str, bytes] | None = None,
        base_url: str | None = None,
        retry: RetryPolicy | None = None,
        endpoint: tuple[str, str] | None = None,
    ) -> Storage:
        """Open the profile (again): the same objects, closed at the end of the case.

        Args:
            now: Clock for links and expiry.
            capabilities: Corrections of the declared capabilities.
            link_keys: Keys of gateway links instead of the driver's own.
            base_url: Where gateway links lead.
            retry: Retry policy, the default one if None.
            endpoint: A setting of the driver and the URL it is to have.
        """
        if base_url:
            link_keys = link_keys or self.link_keys
        changes = Changes(now, capabilities, link_keys, base_url, retry, endpoint)
        wanted = None if changes == Changes() else changes
        opened = (
            self.spec.open(wanted)
            if self._portal is None
            else as_blocking(self._portal.run(self.spec.open_async(wanted)), self._portal)
        )
        self._stack.callback(opened.close)
        return opened

    def enter(self, context: AbstractContextManager[T]) -> T:
        """Enter a context that ends with the case."""
        return self._stack.enter_context(context)

    def make_bucket(self, storage: Storage) -> Bucket:
        """A new bucket of a random name, removed at the end of the case."""
        return storage.create_bucket(self.bucket_name())

    def bucket_name(self) -> str:
        """A random name; a bucket of that name is removed at the end of the case."""
        name = f"conf-{secrets.token_hex(8)}"
        self._buckets.append(name)
        return name

    def close(self, storage: Storage) -> None:
        """Remove the buckets and close everything."""
        with self._stack:
            if storage.closed and self._buckets:
                storage = self.open()
            for name in self._buckets:
                try:
                    storage.delete_bucket(name, force=True)
                except BucketNotFoundError:
                    continue
