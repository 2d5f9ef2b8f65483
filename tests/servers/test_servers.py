"""The servers as parts: they start, tell where they are, and never outlive their owner."""

import os
import signal
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import SERVERS, MissingServerError, base, moto, radosgw
from tests.servers.base import Processes, Server, StartError, started
from tests.servers.fixtures import serve
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(pids: list[int]) -> None:
    wait_until(lambda: not any(map(alive, pids)))


@contextmanager
def foreground(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.servers", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str], last: str = "secret_access_key") -> tuple[list[int], dict]:
    """The pids and the settings a server in the foreground prints, up to the last of them."""
    assert process.stdout is not None
    lines: list[str] = []
    while not any(line.startswith(last) for line in lines):
        line = process.stdout.readline()
        assert line, "it ended"
        lines.append(line)
    pids = lines[0].partition("processes ")[2].partition(",")[0].split()
    return list(map(int, pids)), tomllib.loads("".join(lines))


def test_a_server_answers_and_stops():
    with moto.start() as server:
        with urllib.request.urlopen(f"{server.endpoint}/moto-api/data.json", timeout=60) as answer:
            assert answer.status == 200
        assert all(map(alive, server.pids))
        assert server.label == f"moto {server.version}"
        folder = server.logs[0].parent
    assert not any(map(alive, server.pids))
    assert not folder.exists()


def test_in_the_foreground_it_prints_a_profile_that_works():
    with foreground("moto") as process:
        pids, settings = told(process)
        profiles = settings["profiles"]
        assert profiles["moto"]["driver"] == "s3"
        with urllib.request.urlopen(profiles["moto"]["endpoint_url"], timeout=60) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 143
        wait_until_gone(pids)


def test_a_killed_owner_takes_its_servers_along():
    with foreground("moto") as process:
        pids, _ = told(process)
        process.kill()
        process.wait(PATIENCE)
        wait_until_gone(pids)


def test_what_a_killed_owner_left_is_swept_at_the_next_start():
    with foreground("moto") as process:
        told(process)
        left = {run.name for run in (base.CACHE / "run").glob("moto-*")}
        process.kill()
        process.wait(PATIENCE)
    with moto.start() as server:
        here = {run.name for run in (base.CACHE / "run").glob("moto-*")}
        assert server.logs[0].parent.name in here
        assert server.logs[0].parent.name not in left
        # Those of runs beside this one stay; the killed one's is among what was swept.
        assert left - here


def test_a_server_that_fails_tells_what_it_wrote():
    def launch(processes: Processes) -> Server:
        processes.spawn("sad", sys.executable, "-c", "print('no such thing'); raise SystemExit(3)")
        processes.wait("sad", lambda: False)
        raise AssertionError

    with pytest.raises(StartError, match=r"3 times: sad ended with 3:\nno such thing"):
        started(launch, "sad").__enter__()


def test_a_start_is_tried_again():
    tries: list[int] = []

    def launch(processes: Processes) -> Server:
        tries.append(1)
        if len(tries) < 3:
            raise StartError("the port was taken")
        return processes.server("glad", "1", "http://127.0.0.1:9", {})

    with started(launch, "glad") as server:
        assert server.label == "glad 1"
    assert len(tries) == 3


def test_what_is_installed_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(base, "CACHE", tmp_path)

    def half(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("the network is down")

    with pytest.raises(MissingServerError, match="the network is down"):
        base.installed("thing", half)
    assert not (tmp_path / "thing").exists()
    assert base.installed("thing", lambda folder: (folder / "whole").touch()) == tmp_path / "thing"
    assert [file.name for file in (tmp_path / "thing").iterdir()] == ["whole"]
    assert base.installed("thing", half) == tmp_path / "thing"


def test_ports_are_free_and_differ():
    ports = base.free_ports(20)
    assert len(set(ports)) == 20
    assert all(10_000 <= port < 32_000 for port in ports)


@pytest.mark.skipif(sys.platform != "linux", reason="sockets with names of their own are Linux's")
def test_a_port_is_given_to_one_process():
    (port,) = base.free_ports(1)
    code = f"""
from tests.servers import base
chosen, wanted = base.random.randrange, [{port}]
base.random.randrange = lambda *limits: wanted.pop() if wanted else chosen(*limits)
print(*base.free_ports(1), wanted)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    given, left = done.stdout.split()
    assert left == "[]"  # it was considered
    assert int(given) != port


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_what_is_missing_skips_but_fails_continuous_integration(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(radosgw, "PROGRAMS", ("no-such-program",))
    with pytest.raises(outcome, match="no-such-program not found: apt-get install"):
        next(serve("radosgw"))


def test_every_server_has_a_name_that_starts_it():
    assert set(SERVERS) == {
        "moto", "azurite", "fake-gcs-server", "strict-gcs", "radosgw", "swift", "postgres"
    }  # fmt: skip
