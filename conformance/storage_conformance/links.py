"""Servers for gateway links, so that cases can redeem what the profile signs."""

from __future__ import annotations

import pickle
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from storage_conformance.profiles import Changes, Openings, ProfileSpec
from storage_core import Storage


@contextmanager
def link_server(spec: ProfileSpec, keys: Mapping[str, bytes] | None = None) -> Iterator[str]:
    """A server for the profile on a free port of the loopback; gives its address."""
    from storage_core.gateway import serve_background

    with (
        spec.open(Changes(link_keys=keys) if keys else None) as storage,
        serve_background(storage) as server,
    ):
        yield server.base_url


@dataclass(frozen=True, slots=True)
class Redeemer:
    """What redeems links of a profile.

    Attributes:
        base_url: Address of the suite's link server; None where the service does it itself.
        keys: Keys for drivers that keep none of their own.
    """

    base_url: str | None = None
    keys: Mapping[str, bytes] | None = None


class LinkServers:
    """The link server of the profile that was used last: most cases in a row have the same."""

    def __init__(self) -> None:
        self._running = ExitStack()
        self._spec = b""
        self._redeemer = Redeemer()

    def redeemer(self, spec: ProfileSpec) -> Redeemer:
        """What redeems links of the profile."""
        wanted = pickle.dumps(spec)
        if wanted != self._spec:
            self.close()
            self._redeemer = self._start(spec)
            self._spec = wanted
        return self._redeemer

    def _start(self, spec: ProfileSpec) -> Redeemer:
        with spec.open() as storage:
            if storage.capabilities.presign:
                return Redeemer()
            has_keys = bool(storage.driver.link_keys())
        keys = None if has_keys else {"suite": secrets.token_bytes(32)}
        return Redeemer(self._running.enter_context(link_server(spec, keys)), keys)

    def close(self) -> None:
        """Stop the server."""
        self._spec = b""
        self._running.close()


@dataclass(frozen=True, slots=True)
class Links:
    """How the links of the profile under test are redeemed.

    Attributes:
        base_url: Address of the suite's link server; None with native links.
    """

    base_url: str | None
    openings: Openings

    @property
    def native(self) -> bool:
        """Whether the service redeems links by itself."""
        return self.base_url is None

    def open(self, link_keys: Mapping[str, bytes]) -> tuple[Storage, str]:
        """The same objects behind another link server, which knows just these keys."""
        base_url = self.openings.enter(link_server(self.openings.spec, link_keys))
        return self.openings.open(link_keys=link_keys, base_url=base_url), base_url
