"""Workers that die young, signals that come early, and workers that are renewed, under the
`storage serve` command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import storage_core
from tests.gateway.clients import request
from tests.gateway.test_server import Running, running
from tests.waiting import wait_until

SCRIPT = Path(sys.executable).with_name("storage")


def test_a_worker_that_dies_young_stops_nothing(tmp_path: Path):
    """As soon as one of them serves, the death of any is no reason to end."""
    with running(tmp_path, workers=2) as server:
        wait_until(lambda: request(server.base_url + "/health").status == 200)
        for _ in range(3):
            wait_until(lambda: len(server.workers()) == 2)
            victim = min(server.workers())
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda gone=victim: gone not in server.workers())  # type: ignore[misc]
            assert request(server.base_url + "/health").status == 200
        code, _, err = server.stop()
        assert code == 0
        assert err.count("status -9") == 3


def test_a_hangup_while_workers_start_is_none_of_their_business(tmp_path: Path):
    with running(tmp_path, workers=2) as server:
        wait_until(lambda: len(server.workers()) == 2)
        for worker in server.workers():
            os.kill(worker, signal.SIGHUP)
        wait_until(lambda: request(server.base_url + "/health").status == 200)
        code, _, err = server.stop()
        assert code == 0
        assert "worker" not in err


def test_a_stop_that_comes_before_the_server_listens_for_it_is_not_lost(tmp_path: Path):
    code = f"""
import signal
from storage_core.gateway import GatewaySettings, create_app, listen, server
made = server.make_server(
    create_app({{"driver": "local", "root": {str(tmp_path / "root")!r}}}), GatewaySettings()
)
with server._swallowed_signals(made):
    signal.raise_signal(signal.SIGTERM)
    made.run(sockets=[listen().socket])
print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


@dataclass
class Service:
    """`storage serve` over a configuration that can be changed."""

    running: Running
    config: Path
    log: Path

    def write(self, *keys: str, broken: bool = False) -> None:
        secrets = "\n".join(f'{key} = "{key * 16}"' for key in keys)
        self.config.write_text(
            f'[profiles.p]\ndriver = "local"\nroot = "{self.config.parent / "root"}"\n'
            f"fsync = false\n{'nonsense = 1' if broken else ''}\n[profiles.p.links.keys]\n{secrets}\n"
        )

    def redeemed(self) -> bool:
        """Whether a link signed by the newest key of the configuration is good, asked of both
        workers as far as chance allows."""
        with storage_core.open("p", config=str(self.config)) as storage:
            url = storage.bucket("fruit").presign("k").url
        return all(request(url).status == 200 for _ in range(8))


@contextmanager
def serving(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    config, log = folder / "named.toml", folder / "log"
    service = Service(None, config, log)  # type: ignore[arg-type]
    service.write("aa")
    with storage_core.open("p", config=str(config)) as storage, log.open("w") as errors:
        storage.create_bucket("fruit").put("k", b"x")
        process = subprocess.Popen(
            [
                str(SCRIPT), "serve", "--config", str(config), "--profile", "p",
                "--port", "0", "--workers", "2", "--json",
            ],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            address = json.loads(process.stdout.readline())["address"]
            monkeypatch.setenv("STORAGE_PROFILES__P__LINKS__BASE_URL", address)
            service.running = Running(process, address, storage)
            wait_until(lambda: len(service.running.workers()) == 2)
            wait_until(service.redeemed)
            yield service
        finally:
            process.kill()
            process.communicate()


def test_a_renewal_reads_the_configuration_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with serving(tmp_path, monkeypatch) as service:
        server, before = service.running, service.running.workers()
        service.write("aa", "bb")
        assert not service.redeemed()
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(server.workers()) == 2 and not server.workers() & before)
        assert service.redeemed()
        assert server.stop()[0] == 0


def test_a_configuration_that_does_not_work_renews_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with serving(tmp_path, monkeypatch) as service:
        server, before = service.running, service.running.workers()
        service.write("aa", broken=True)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "not renewed" in service.log.read_text())
        assert "nonsense" in service.log.read_text()
        wait_until(lambda: server.workers() == before)
        for _ in range(8):
            assert request(server.base_url + "/health").status == 200
        service.write("bb")  # mended
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(server.workers()) == 2 and not server.workers() & before)
        assert service.redeemed()
        assert server.stop()[0] == 0
