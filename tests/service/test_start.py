"""`storage serve` with facades: the first start, several workers, and an end that loses nothing."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from storage_core.access import audit, projects
from storage_core.state import open_state
from tests.gateway.clients import Raw, request
from tests.service.test_pages import value_of
from tests.service.users import ask
from tests.waiting import wait_until

SCRIPT = str(Path(sys.executable).with_name("storage"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and an empty folder to start in."""
    for name in [name for name in os.environ if name.startswith(("STORAGE_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return tmp_path / "home"


@contextmanager
def serving(log: Path, *arguments: str) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
    """A running `storage serve`, and what it said until it had an address."""
    with log.open("a") as errors:
        process = subprocess.Popen(
            [SCRIPT, "serve", "--port", "0", "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        said: dict[str, Any] = {}
        assert process.stdout is not None
        while "address" not in said:
            line = process.stdout.readline()
            assert line, log.read_text()
            said |= json.loads(line)
        wait_until(lambda: request(f"{said['address']}/ready").status == 200)
        yield said, process
    finally:
        process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(120)
    assert process.returncode == 0


def test_one_command_starts_it_and_shows_the_token_once(home: Path, tmp_path: Path):
    log = tmp_path / "log"
    with serving(log, "--facade", "z3", "--facade", "appfile") as (said, process):
        token = said["token"]
        assert (said["project"], said["user"]) == ("default", "admin")
        assert said["facades"] == ["z3", "appfile"]
        bucket = f"{said['address']}/v1/z3/fruit"
        assert ask(bucket, "PUT", token).status == 200
        link = json.loads(ask(f"{bucket}/k", "POST", token, {"action": "upload"}).body)
        assert link["signedUrl"].startswith(f"{said['address']}/o/")
        assert request(link["signedUrl"], "PUT", body=b"kept").status == 200
        stop(process)
    database = home / ".local/share/storage-core-gateway/state.db"
    assert database.stat().st_mode & 0o077 == 0
    assert not any(token.encode() in path.read_bytes() for path in database.parent.iterdir())
    with serving(log, "--facade", "z3") as (said, _):
        assert "token" not in said
        found = ask(f"{said['address']}/v1/z3/fruit", "GET", token)
        assert [entry["key"] for entry in json.loads(found.body)] == ["fruit/k"]
    assert token not in log.read_text()
    assert "sc-signature" not in log.read_text()


def test_the_token_is_shown_to_people_and_when_quiet(tmp_path: Path):
    process = subprocess.Popen(
        [SCRIPT, "serve", "--port", "0", "--quiet", "--facade", "z3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("token of the user admin, shown this once: sc_")
    finally:
        process.kill()
        process.communicate()


def test_figures_of_several_workers_are_one(tmp_path: Path):
    """Whichever worker answers tells the figures of all, also of those that were killed; but
    what those were doing is over."""
    with serving(tmp_path / "log", "--facade", "z3", "--workers", "2") as (said, process):
        url, token = said["address"], said["token"]
        count = "storage_gateway_request_seconds_count"

        def answered() -> float:
            figures = ask(f"{url}/metrics", "GET", token).body.decode()
            return value_of(figures, count, route="z3.list_buckets", status="200")

        for _ in range(20):
            assert ask(f"{url}/v1/z3", "GET", token).status == 200
        wait_until(lambda: answered() == 20)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [
            int(child)
            for child in children
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        assert ask(f"{url}/v1/z3/fruit", "PUT", token).status == 200
        link = json.loads(ask(f"{url}/v1/z3/fruit/k", "POST", token, {"action": "upload"}).body)
        parts = urlsplit(link["signedUrl"])
        held = Raw(socket.create_connection((parts.hostname, parts.port), timeout=60))
        held.head("PUT", link["signedUrl"], "Content-Length: 1", "Expect: 100-continue")
        assert held.socket.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 100"

        def active() -> float:
            figures = ask(f"{url}/metrics", "GET", token).body.decode()
            return value_of(figures, "storage_gateway_active_requests")

        # The one that is held, and this; the other worker may still have to note an end.
        wait_until(lambda: active() == 2)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        held.close()
        wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
        wait_until(lambda: active() == 1)
        for _ in range(8):
            assert answered() == 20
        stop(process)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_graceful_stop_loses_no_audit_event(tmp_path: Path, workers: str):
    """Of every change that was acknowledged, while the stop comes, there is an event."""
    database = f"sqlite:///{tmp_path}/state.db"
    arguments = ("--facade", "z3", "--workers", workers, "--database", database)
    acknowledged: list[str] = []
    with serving(tmp_path / "log", *arguments) as (said, process):

        def work(number: int) -> None:
            for turn in range(10_000):
                name = f"bucket-{number}-{turn}"
                try:
                    answer = ask(f"{said['address']}/v1/z3/{name}", "PUT", said["token"])
                except (OSError, http.client.HTTPException):
                    return
                if answer.status == 200:
                    acknowledged.append(name)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(acknowledged) >= 40)
        stop(process)
        for thread in threads:
            thread.join()
    state = open_state(database)
    project = projects.by_name(state, "default")
    events = audit.list_events(state, project.id, limit=10_000)
    state.close()
    recorded = {event.target for event in events if event.action == "Z3:CreateBucket"}
    assert {f"Z3:{name}" for name in acknowledged} <= recorded


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_an_import_that_was_ordered_comes_to_its_end(tmp_path: Path, ending: signal.Signals):
    """Once, whenever and however its gateway ends: by the next one, if not by this."""
    database = f"sqlite:///{tmp_path}/state.db"
    (tmp_path / "gateway.toml").write_text(
        f'[profiles.p]\ndriver = "local"\nroot = "root"\nfsync = false\n'
        f'[gateway]\nfacades = ["z3", "appfile"]\ndatabase = "{database}"\n'
        "imports.lease_seconds = 5\n"
    )
    arguments = ("--config", str(tmp_path / "gateway.toml"))
    rows = "".join(f"10|{number}|somebody\n" for number in range(5_000))
    head = "00|example|cc5|20260301120000|ref\n01|people|w|b|test|U\n02|code\n03|code|name\n"
    with serving(tmp_path / "log", *arguments) as (said, process):
        url, token = said["address"], said["token"]
        assert ask(f"{url}/v1/z3/fruit", "PUT", token).status == 200
        file = {"WorkspaceId": "w", "BucketId": "fruit", "FileName": "a.cc5txt", "ActionId": "a"}
        made = json.loads(ask(f"{url}/appfile/file/path", "POST", token, file).body)["Data"]
        body = f"{head}{rows}99|5000\n".encode()
        assert request(made["Url"], "PUT", body=body).status == 200
        order = {"ActionId": "a", "FileId": made["FileId"], "FileType": "cc5"}
        assert ask(f"{url}/appfile/file/import", "POST", token, order).status == 200
        process.send_signal(ending)
        process.wait(120)
    with serving(tmp_path / "log", *arguments) as (said, process):
        found: dict[str, Any] = {}

        def ended() -> bool:
            answer = ask(f"{said['address']}/appfile/file/{made['FileId']}", "GET", token)
            found.update(json.loads(answer.body)["Data"]["File"])
            return found["Status"] in {"Imported", "Failed"}

        wait_until(ended)
        stop(process)
    assert (found["Status"], found["RowsOk"]) == ("Imported", 5_000), found
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("module", ["sqlalchemy", "alembic", "limits", "prometheus_client"])
def test_a_missing_extra_is_named(tmp_path: Path, module: str):
    code = f"""
import sys
sys.modules[{module!r}] = None
from storage_core.errors import ConfigError
from storage_core.gateway import GatewaySettings, prepare, serve_background
profile = {{"driver": "local", "root": {str(tmp_path / "root")!r}, "fsync": False}}
settings = GatewaySettings(facades=("z3",), database="sqlite:///{tmp_path}/state.db", requests_per_minute=9)
for start in (prepare, lambda settings: serve_background(profile, settings=settings)):
    try:
        start(settings)
    except ConfigError as error:
        print(error)
with serve_background(profile) as server:
    print("links")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    lines = done.stdout.splitlines()
    assert lines[-1] == "links", done.stderr
    assert lines[:-1], done.stderr
    assert all("pip install 'storage-core[gateway]'" in line for line in lines[:-1]), lines


def test_tracing_without_its_extra(tmp_path: Path):
    code = f"""
import sys
sys.modules["opentelemetry"] = None
from storage_core.gateway import GatewaySettings, serve_background
profile = {{"driver": "local", "root": {str(tmp_path / "root")!r}}}
try:
    serve_background(profile, settings=GatewaySettings(tracing=True))
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert "ConfigError" in done.stdout
    assert "pip install 'storage-core[otel]'" in done.stdout


def test_what_can_not_start_says_why(tmp_path: Path):
    for arguments, says in (
        (("--facade", "z4"), "z4"),
        (("--facade", "z3", "--database", "mysql://x/y"), "database is not a URL"),
        (("--facade", "z3", "--database", "postgresql://u:hunter2@127.0.0.1:9/x"), "127.0.0.1"),
        (("--facade", "z3", "--base-url", "files.example.org"), "base_url"),
        (("--facade", "z3", "--host", "0.0.0.0"), "set gateway.base_url"),
        (("--facade", "z3", "--host", "::"), "set gateway.base_url"),
    ):
        done = subprocess.run(
            [SCRIPT, "serve", "--port", "0", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode != 0
        assert says in done.stderr
        assert "Traceback" not in done.stderr
        assert "hunter2" not in done.stderr + done.stdout
        assert "token" not in done.stdout  # it is shown once, so not before it can be used


def test_at_all_addresses_links_lead_where_base_url_says(tmp_path: Path):
    url = "https://files.example.org"
    arguments = ("--facade", "z3", "--host", "0.0.0.0", "--base-url", url)
    with serving(tmp_path / "log", *arguments) as (said, _):
        bucket = f"{said['address']}/v1/z3/fruit"
        assert ask(bucket, "PUT", said["token"]).status == 200
        link = json.loads(ask(f"{bucket}/k", "POST", said["token"], {"action": "upload"}).body)
        assert link["signedUrl"].startswith(f"{url}/o/")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_quiet_logs_no_request(tmp_path: Path, workers: str):
    log = tmp_path / "log"
    with serving(log, "--facade", "z3", "--quiet", "--workers", workers) as (said, process):
        for _ in range(8):
            assert request(f"{said['address']}/health").status == 200
        stop(process)
    assert "/health" not in log.read_text()
