"""What one run of the command line shares between its parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from storage_core.cli.output import Output
from storage_core.cli.status import FAILURE, Failed
from storage_core.errors import (
    AuthenticationError,
    BucketNotFoundError,
    ConfigError,
    QuotaExceededError,
    StorageError,
    TransientError,
)

if TYPE_CHECKING:
    from storage_core import Bucket, Storage
    from storage_core.cli.address import Address
    from storage_core.config import Config

# After these every further object would fail alike.
_HOPELESS = (
    AuthenticationError,
    BucketNotFoundError,
    ConfigError,
    QuotaExceededError,
    TransientError,
)


def is_hopeless(error: Exception) -> bool:
    """Whether what was tried on one object would fail alike for every further one."""
    return isinstance(error, _HOPELESS)


class Session:
    """The configuration, the storages opened so far, and what has failed.

    Args:
        config: Path of the configuration, None to look for one.
        profile: Name of the profile of addresses that name none.
        out: Where results and errors go.
    """

    def __init__(self, config: str | None, profile: str | None, out: Output) -> None:
        self.config_path = config
        self.profile = profile
        self.out = out
        self._config: Config | None = None
        self._storages: dict[str, Storage] = {}
        self._failures: set[int] = set()

    @property
    def config(self) -> Config:
        """The configuration, read when first asked for."""
        if self._config is None:
            from storage_core.config import load_config

            self._config = load_config(self.config_path)
        return self._config

    def profile_name(self, name: str | None = None) -> str:
        """The profile meant by an address or option."""
        return name or self.profile or self.config.default_profile

    def storage(self, profile: str | None = None) -> Storage:
        """The opened storage of a profile; opened once, closed at the end of the run."""
        import storage_core

        name = self.profile_name(profile)
        if name not in self._storages:
            self._storages[name] = storage_core.open(name, config=self.config)
        return self._storages[name]

    def bucket(self, address: Address) -> Bucket:
        """The bucket of an address."""
        return self.storage(address.profile).bucket(address.bucket)

    @contextmanager
    def attempt(self, context: str = "") -> Iterator[None]:
        """One of several: a failure is told and kept for `check`, and the next one follows,
        unless it would fail for the same reason."""
        try:
            yield
        except (StorageError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            self._failures.add(self.out.error(error, context))
            if is_hopeless(error):
                self.check()

    def failed(self, error: Exception, context: str = "") -> None:
        """Tell of a failure that does not end the command."""
        self._failures.add(self.out.error(error, context))

    def check(self) -> None:
        """End the command if something failed.

        Raises:
            Failed: with the status all failures share, `FAILURE` if they differ.
        """
        if self._failures:
            raise Failed(self._failures.pop() if len(self._failures) == 1 else FAILURE)

    def close(self) -> None:
        """Close what was opened."""
        while self._storages:
            self._storages.popitem()[1].close()


This = Annotated[Session, Parameter(parse=False)]
"""Type of the argument by which a command receives the session."""
