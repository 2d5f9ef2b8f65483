"""A bucket of any profile of the configuration as a backend."""

from __future__ import annotations

from dataclasses import replace

from storage_core.blocking.bucket import Bucket
from storage_core.blocking.storage import Storage
from storage_core.compat.keg.backends.bucket import BucketStorage
from storage_core.opening import ConfigSource, from_profile


class StorageProfile(BucketStorage):
    """A bucket on any backend of this library.

    Where the profile says ``links.base_url`` and ``links.keys``, links are gateway links, which
    bind every rule; else they are the service's own.

    Args:
        bucket: Name of the bucket, which exists, or an opened `storage_core.Bucket`.
        profile: Profile of the configuration; None for the default one.
        config: As for `storage_core.open`.
        linked_endpoint: As `InternalLinksStorageBackend`: with it links are tokens.
        secret_key: Likewise.
        name: What the application calls it; the bucket's name if None.
    """

    def __init__(
        self,
        bucket: str | Bucket,
        profile: str | None = None,
        *,
        config: ConfigSource = None,
        linked_endpoint: str | None = None,
        secret_key: bytes | str | None = None,
        name: str | None = None,
    ) -> None:
        self._given = bucket if isinstance(bucket, Bucket) else None
        if self._given is not None and (profile is not None or config is not None):
            raise ValueError("an opened bucket has its profile; leave out profile and config")
        bucket_name = bucket if isinstance(bucket, str) else bucket.name
        super().__init__(
            name=bucket_name if name is None else name,
            opener=lambda: self._given or open_bucket(bucket_name, profile, config),
            linked_endpoint=linked_endpoint,
            secret_key=secret_key,
        )

    def close(self) -> None:
        """As `StorageBackend.close`; a bucket that was given stays open."""
        if self._given is None:
            super().close()


def open_bucket(name: str, profile: str | None, config: ConfigSource) -> Bucket:
    """Open a profile, its links going to its gateway if it has one."""
    recipe = from_profile(profile, config)
    if recipe.links.base_url is not None and recipe.links.keys:
        recipe = recipe.with_links(replace(recipe.links, route="gateway"))
    return Storage(recipe).bucket(name)
