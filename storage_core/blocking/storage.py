"""`Storage` of the blocking face, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from storage_core.blocking.bucket import Bucket
from storage_core.blocking.listing import Listing
from storage_core.core.storage import StorageCore
from storage_core.model import BucketInfo, Capabilities
from storage_core.opening import ConfigSource, Recipe, from_profile, from_url
from storage_core.runtime import BlockingRuntime, for_blocking_face

if TYPE_CHECKING:
    from types import TracebackType

    from storage_core.core.settings import LinkSettings, RetryPolicy
    from storage_core.driver import Driver


class Storage:
    """The buckets of one profile.

    Made by `storage_core.open` and `storage_core.open_url`. It is a context manager, can be
    shared between threads, survives a fork, and a pickled one opens again where it arrives.
    """

    __slots__ = ("_client", "_core", "_recipe", "_runtime")

    def __init__(self, recipe: Recipe) -> None:
        runtime: BlockingRuntime = for_blocking_face(recipe.driver)
        self._recipe = recipe
        self._runtime = runtime
        self._client = recipe.client(runtime)
        self._core = StorageCore(self._client)
        try:
            runtime.run(self._client.open())
        except BaseException:
            runtime.close()
            raise

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return self._client.profile

    @property
    def driver(self) -> Driver:
        """The driver underneath, layers included."""
        return self._client.driver

    @property
    def capabilities(self) -> Capabilities:
        """What this profile can do."""
        return self._client.capabilities

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._client.closed

    @property
    def default_bucket(self) -> str | None:
        """Name of the bucket the URL named, if the storage was opened by one."""
        return self._recipe.bucket

    def bucket(self, name: str) -> Bucket:
        """A bucket that exists already; nothing is asked or created.

        Raises:
            InvalidBucketNameError: no service has buckets of such a name.
        """
        return Bucket(self, self._core.bucket(name))

    def create_bucket(self, name: str, *, exist_ok: bool = False) -> Bucket:
        """Create a bucket.

        Args:
            name: 3 to 63 of ``[a-z0-9-]`` (`storage_core.keys.check_bucket_name`).
            exist_ok: Return an existing bucket instead of failing.

        Raises:
            InvalidBucketNameError: the name is not portable.
            BucketExistsError: it exists and ``exist_ok`` is false.
        """
        return Bucket(self, self._runtime.run(self._core.create_bucket(name, exist_ok)))

    def delete_bucket(self, name: str, *, force: bool = False) -> None:
        """Delete a bucket.

        Args:
            name: Name of the bucket.
            force: Delete its objects and versions and abort its uploads first.

        Raises:
            BucketNotFoundError: there is none.
            BucketNotEmptyError: it holds something and ``force`` is false.
        """
        self._runtime.run(self._core.delete_bucket(name, force))

    def bucket_exists(self, name: str) -> bool:
        """Whether there is such a bucket; an error other than "not found" is raised."""
        return self._runtime.run(self._core.bucket_exists(name))

    def list_buckets(self, *, prefix: str = "") -> Listing[BucketInfo]:
        """Buckets of the account in ascending order, lazily."""
        return Listing(self._runtime, self._core.list_buckets(prefix))

    def fsspec_filesystem(self) -> Any:
        """The fsspec filesystem of the profile's account (s3fs, adlfs, gcsfs), for libraries that
        take one. It is fsspec's: errors, retries, caches and paths are its own.

        Raises:
            UnsupportedError: the driver has none, or the profile has a prefix, which the paths
                of such a filesystem would not have.
            ConfigError: the package it needs is not installed.
        """
        self._client.check_open()
        return self._client.driver.filesystem()

    def close(self) -> None:
        """Release what the storage holds; may be called twice. Calls after it raise
        `ClosedError`."""
        if not self._client.closed:
            try:
                self._runtime.run(self._client.close())
            finally:
                self._runtime.close()

    def __enter__(self) -> Storage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        return Storage, (self._recipe,)

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<Storage {self.profile!r}: {self.driver.describe()}{state}>"


def open(profile: str | None = None, *, config: ConfigSource = None) -> Storage:  # noqa: A001
    """Open a profile.

    Args:
        profile: Its name; None takes ``default_profile``, and without any configuration the
            built-in profile ``local`` under the user data directory.
        config: Path of a configuration, one that is loaded already, or the table of a single
            profile as a mapping such as ``{"driver": "local", "root": "data"}``. None looks
            at the usual places (see the configuration page).

    Raises:
        ConfigError: something in the configuration is wrong; the message names the place.
        ProfileNotFoundError: there is no such profile.
        DriverNotFoundError: its driver is not installed.
    """
    return Storage(from_profile(profile, config))


def open_url(url: str) -> Storage:
    """Open a profile written as a URL, such as ``file:///srv/data``.

    Raises:
        ConfigError: the URL does not name a driver or a setting is wrong.
    """
    return Storage(from_url(url))


def open_driver(
    driver: Driver,
    *,
    profile: str = "driver",
    retry: RetryPolicy | None = None,
    links: LinkSettings | None = None,
    capabilities: Mapping[str, Any] | None = None,
    now: Callable[[], datetime] | None = None,
) -> Storage:
    """Open a driver made by hand, for tests and embedding.

    Args:
        driver: Not opened yet; the storage opens and closes it.
        profile: Name for messages.
        retry: Retry policy, the default one if None.
        links: Settings of gateway links, none if None.
        capabilities: Corrections of what the driver declares, by name.
        now: The clock for links and expiry, the system's if None.
    """
    return Storage(
        Recipe(
            driver, profile=profile, retry=retry, links=links, capabilities=capabilities, now=now
        )
    )
