"""Several gateway processes, `storage serve` each, on one database and one store, behind a proxy."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage_core.state import State, open_state
from tests.gateway.clients import request
from tests.servers.base import profile_text
from tests.service.round_robin import RoundRobin
from tests.waiting import wait_until

SCRIPT = Path(sys.executable).with_name("storage")
PATIENCE = 120.0
"""Seconds that things may take on a busy machine; a test has more."""
LINK_KEY = "a-link-key-that-all-gateways-share-0123456789"


@dataclass
class Gateway:
    """One process.

    Attributes:
        told: What it said at its start: its address, and the first one a token.
    """

    process: subprocess.Popen[str]
    log: Path
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return str(self.told["address"])

    def listen(self) -> None:
        """Wait until it has told all that."""
        assert self.process.stdout is not None
        while "address" not in self.told:
            line = self.process.stdout.readline()
            assert line, f"it ended:\n{self.log.read_text()}"
            self.told |= json.loads(line)

    def is_ready(self) -> bool:
        """Whether it says so."""
        assert self.process.poll() is None, f"it ended:\n{self.log.read_text()}"
        with contextlib.suppress(OSError, http.client.HTTPException):
            return request(f"{self.url}/ready").status == 200
        return False

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        self.process.communicate()


@dataclass
class Fleet:
    """Gateways that serve the same.

    Attributes:
        url: The proxy's, with which all links begin.
        state: The database they share, opened by the test.
        tokens: That gateways told at their start.
    """

    folder: Path
    url: str
    proxy: RoundRobin
    state: State
    gateways: list[Gateway] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def start(self, count: int = 1) -> list[Gateway]:
        """Start further gateways, all at once, and wait until they are ready."""
        first = len(list(self.folder.glob("gateway-*.log")))
        started = [
            _spawn(self.folder / "storage.toml", self.folder / f"gateway-{first + number}.log")
            for number in range(count)
        ]
        self.gateways += started
        for gateway in started:
            gateway.listen()
            if "token" in gateway.told:
                self.tokens.append(str(gateway.told["token"]))
        for gateway in started:
            wait_until(gateway.is_ready, PATIENCE)
        self.proxy.backends = [gateway.url for gateway in self.gateways]
        return started

    def kill(self, gateway: Gateway) -> None:
        """Kill one, which the proxy only learns by its silence."""
        gateway.kill()
        self.gateways.remove(gateway)

    def at(self, gateway: Gateway, url: str) -> str:
        """A link as one of the gateways is reached directly."""
        assert url.startswith(self.url + "/"), url
        return gateway.url + url.removeprefix(self.url)

    def logs(self) -> str:
        """All that the gateways wrote."""
        return "\n".join(log.read_text() for log in sorted(self.folder.glob("gateway-*.log")))


@contextmanager
def fleet(
    folder: Path, profile: Mapping[str, Any], database: str, count: int = 2
) -> Iterator[Fleet]:
    """Gateways with both facades over one profile."""
    proxy = RoundRobin()
    with ExitStack() as stack:
        url = stack.enter_context(proxy.running())
        gateway = {
            "base_url": url,
            "database": database,
            "facades": ["z3", "appfile"],
            "log_format": "json",
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in gateway.items()]
        config = folder / "storage.toml"
        config.write_text(
            "\n".join(
                [
                    'default_profile = "shared"',
                    "[gateway]",
                    *lines,
                    profile_text("shared", profile),
                    "[profiles.shared.links.keys]",
                    f'k1 = "{LINK_KEY}"',
                    "",
                ]
            )
        )
        config.chmod(0o600)
        state = open_state(database)
        stack.callback(state.close)
        made = Fleet(folder, url, proxy, state)
        try:
            made.start(count)
            yield made
        finally:
            for one in made.gateways:
                one.kill()


def _spawn(config: Path, log: Path) -> Gateway:
    with log.open("w") as errors:
        process = subprocess.Popen(
            [SCRIPT, "serve", "--config", str(config), "--port", "0", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    return Gateway(process, log)
