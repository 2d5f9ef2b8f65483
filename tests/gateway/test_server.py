"""The server as processes: addresses, several workers, signals, an end without losses."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import storage_core
from storage_conformance.memory import MemoryDriver
from storage_core.gateway import GatewaySettings, listen, serve_background
from tests.gateway.clients import Raw, request
from tests.waiting import wait_until

PROGRAM = """
import sys
from storage_core.gateway import GatewaySettings, listen, serve

if __name__ == "__main__":
    root, workers, unix = sys.argv[1:]
    listener = listen(unix=unix or None)
    print(listener.base_url, flush=True)
    settings = GatewaySettings(drain_timeout=30, stall_timeout=30)
    profile = {"driver": "local", "root": root, "fsync": False}
    serve(profile, listener, workers=int(workers), settings=settings)
    print("ended", flush=True)
"""


@dataclass
class Running:
    process: subprocess.Popen[str]
    base_url: str
    storage: storage_core.Storage

    def workers(self) -> set[int]:
        """Worker processes: the supervisor's children but multiprocessing's own helper."""
        found = set()
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.add(int(child))
        return found

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=90)
        return self.process.returncode, out, err


@contextlib.contextmanager
def running(tmp_path: Path, workers: int = 1, unix: str = "") -> Iterator[Running]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    root = tmp_path / "root"
    process = subprocess.Popen(
        [sys.executable, str(program), str(root), str(workers), unix],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        assert base_url.startswith("http://"), process.communicate(timeout=60)
        profile = {
            "driver": "local",
            "root": str(root),
            "fsync": False,
            "links": {"base_url": base_url},
        }
        with storage_core.open(config=profile) as storage:
            yield Running(process, base_url, storage)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_port_zero_stop_and_exit_status(tmp_path: Path):
    with running(tmp_path) as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", server.base_url)
        bucket = server.storage.create_bucket("fruit")
        bucket.put("k", b"x")
        assert request(bucket.presign("k")).body == b"x"
        code, out, _ = server.stop()
        assert (code, out) == (0, "ended\n")


def test_interrupt_ends_it_as_well(tmp_path: Path):
    with running(tmp_path, workers=2) as server:
        wait_until(lambda: request(server.base_url + "/health").status == 200)
        code, out, _ = server.stop(signal.SIGINT)
        assert (code, out) == (0, "ended\n")


def refuses(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == errno.ECONNREFUSED


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_lets_transfers_end(tmp_path: Path, workers: int):
    """A download and an upload under way end whole; new connections are refused."""
    with running(tmp_path, workers) as server, contextlib.ExitStack() as connections:
        bucket = server.storage.create_bucket("fruit")
        body = os.urandom(1024 * 1024) * 32
        bucket.put("big", body)
        host, port = server.base_url.removeprefix("http://").split(":")

        def connect() -> Raw:
            return connections.enter_context(
                contextlib.closing(Raw(socket.create_connection((host, int(port)), timeout=60)))
            )

        download, upload, idle = connect(), connect(), connect()
        download.head("GET", bucket.presign("big").url)
        first = download.socket.recv(65536)
        url = bucket.presign("new", method="PUT").url
        upload.head("PUT", url, "Content-Length: 6", "Expect: 100-continue")
        assert upload.socket.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 100"  # it is under way
        upload.send(b"123")
        idle.head("GET", server.base_url + "/health")
        assert idle.answer().status == 200

        stopped: list[tuple[int, str, str]] = []
        stopper = threading.Thread(target=lambda: stopped.append(server.stop()))
        stopper.start()
        assert idle.closed()
        wait_until(lambda: refuses(host, int(port)))
        upload.send(b"456")
        answer = upload.answer()
        assert answer.status == 200
        assert upload.closed()
        received = bytearray(first)
        while piece := download.socket.recv(1024 * 1024):
            received += piece
        assert bytes(received).partition(b"\r\n\r\n")[2] == body
        stopper.join()
        assert stopped[0][:2] == (0, "ended\n")
        assert bucket.get("new").read() == b"123456"


def test_several_workers_serve_one_root(tmp_path: Path):
    with running(tmp_path, workers=2) as server:
        bucket = server.storage.create_bucket("fruit")
        wait_until(lambda: len(server.workers()) == 2)
        links = [bucket.presign("one", method="PUT", if_absent=True) for _ in range(24)]
        statuses: list[int] = []

        def put(number: int) -> None:
            statuses.append(request(links[number], body=b"%d" % number).status)

        threads = [threading.Thread(target=put, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] + [412] * 23
        for number in range(40):
            body = b"%d" % number
            assert request(bucket.presign("k", method="PUT"), body=body).status == 200
            assert request(bucket.presign("k")).body == body
        assert server.stop()[0] == 0


def test_a_killed_worker_is_replaced(tmp_path: Path):
    with running(tmp_path, workers=2) as server:
        wait_until(lambda: len(server.workers()) == 2)
        wait_until(lambda: request(server.base_url + "/health").status == 200)
        before = server.workers()
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: len(server.workers()) == 2 and server.workers() != before)
        for _ in range(10):
            assert request(server.base_url + "/health").status == 200
        code, _, err = server.stop()
        assert code == 0
        assert "status -9" in err


def test_hangup_replaces_the_workers(tmp_path: Path):
    with running(tmp_path, workers=2) as server:
        wait_until(lambda: len(server.workers()) == 2)
        wait_until(lambda: request(server.base_url + "/health").status == 200)
        before = server.workers()
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(server.workers()) == 2 and not server.workers() & before)
        assert request(server.base_url + "/health").status == 200
        assert server.stop()[0] == 0


def test_hangup_ends_a_single_process_gracefully(tmp_path: Path):
    """Whoever keeps it running starts it anew; nothing under way is cut off."""
    with running(tmp_path) as server:
        bucket = server.storage.create_bucket("fruit")
        host, port = server.base_url.removeprefix("http://").split(":")
        upload = Raw(socket.create_connection((host, int(port)), timeout=60))
        url = bucket.presign("new", method="PUT").url
        upload.head("PUT", url, "Content-Length: 6", "Expect: 100-continue")
        assert upload.socket.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 100"
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: refuses(host, int(port)))
        upload.send(b"123456")
        assert upload.answer().status == 200
        upload.close()
        out, _ = server.process.communicate(timeout=90)
        assert (server.process.returncode, out) == (0, "ended\n")
        assert bucket.get("new").read() == b"123456"


def test_a_hangup_of_all_processes_leaves_workers_to_their_supervisor(tmp_path: Path):
    """As a terminal sends it; none dies of it."""
    with running(tmp_path, workers=2) as server:
        wait_until(lambda: len(server.workers()) == 2)
        wait_until(lambda: request(server.base_url + "/health").status == 200)
        bucket = server.storage.create_bucket("fruit")
        host, port = server.base_url.removeprefix("http://").split(":")
        uploads = [Raw(socket.create_connection((host, int(port)), timeout=60)) for _ in range(8)]
        for number, upload in enumerate(uploads):
            url = bucket.presign(f"{number}", method="PUT").url
            upload.head("PUT", url, "Content-Length: 1", "Expect: 100-continue")
            assert upload.socket.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 100"
        for worker in server.workers():
            os.kill(worker, signal.SIGHUP)
        for upload in uploads:
            upload.send(b"x")
            assert upload.answer().status == 200
            upload.close()
        code, _, err = server.stop()
        assert code == 0
        assert "died" not in err


def test_workers_do_not_outlive_their_supervisor(tmp_path: Path):
    with running(tmp_path, workers=2) as server:
        wait_until(lambda: len(server.workers()) == 2)
        wait_until(lambda: request(server.base_url + "/health").status == 200)
        workers = server.workers()
        server.process.kill()
        server.process.communicate()
        wait_until(lambda: not any(os.path.exists(f"/proc/{worker}") for worker in workers))


def test_a_unix_socket(tmp_path: Path):
    name = str(tmp_path / "s")
    # A name left behind by a killed server does not stand in the way.
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(name)
    dead.close()
    with running(tmp_path, unix=name) as server:
        assert os.stat(name).st_mode & 0o777 == 0o600
        bucket = server.storage.create_bucket("fruit")
        bucket.put("k", b"x" * 100_000)
        url = bucket.presign("k").url
        shown = subprocess.run(
            ["curl", "-sS", "--unix-socket", name, url], capture_output=True, check=True
        )
        assert shown.stdout == b"x" * 100_000
        with pytest.raises(storage_core.ConfigError, match=re.escape(name)):
            listen(unix=name)
        assert server.stop()[0] == 0
    assert not os.path.exists(name)


def test_an_ordinary_file_is_never_taken_for_a_dead_socket(tmp_path: Path):
    name = tmp_path / "precious"
    name.write_text("x")
    with pytest.raises(storage_core.ConfigError, match="precious"):
        listen(unix=str(name))
    assert name.read_text() == "x"


def test_addresses_that_can_not_be_had():
    with contextlib.closing(listen()) as taken:
        port = int(taken.base_url.rpartition(":")[2])
        for host, wrong in (("127.0.0.1", port), ("203.0.113.1", 0), ("127.0.0.1", 99999)):
            with pytest.raises(storage_core.ConfigError, match=re.escape(f"{host}:{wrong}")):
                listen(host, wrong)


def test_ipv6():
    listener = listen("::1")
    assert re.fullmatch(r"http://\[::1\]:\d+", listener.base_url)
    listener.close()


def test_a_profile_that_can_not_be_opened(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(storage_core.ConfigError, match="could not start") as caught:
        serve_background({"driver": "local", "root": str(blocked)})
    assert caught.value.__cause__ is not None
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    for workers in ("1", "2"):
        done = subprocess.run(
            [sys.executable, str(program), str(blocked), workers, ""],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 1
        assert "ConfigError" in done.stderr
        assert "could not start" in done.stderr


class Keyless(MemoryDriver):
    """A driver that leaves link keys to the profile, as those of services do."""

    def link_keys(self) -> None:  # type: ignore[override]
        return None


def test_no_keys_no_server():
    with (
        storage_core.open_driver(Keyless(MemoryDriver.settings_model()())) as storage,
        pytest.raises(storage_core.ConfigError, match=r"links\.keys"),
    ):
        serve_background(storage)


def test_a_served_storage_signs_for_its_server_only_while_it_runs(
    local_profile: dict[str, object],
):
    with storage_core.open(config=local_profile) as storage:
        bucket = storage.create_bucket("fruit")
        with serve_background(storage) as server:
            assert bucket.presign("k").url.startswith(server.base_url + "/o/fruit/k?")
            assert repr(server) == f"<Server {server.base_url}>"
        with pytest.raises(storage_core.ConfigError, match=r"links\.base_url"):
            bucket.presign("k")
        server.stop()


def test_closing_the_storage_does_not_disturb_its_server(local_profile: dict[str, object]):
    with storage_core.open(config=local_profile) as storage:
        bucket = storage.create_bucket("fruit")
        bucket.put("k", b"x")
        server = serve_background(storage)
        link = bucket.presign("k")
    with server:
        assert request(link).body == b"x"


@pytest.mark.parametrize(
    "settings",
    [
        {"max_body_size": 0},
        {"stall_timeout": -1},
        {"drain_timeout": 0},
        {"root_path": "x"},
        {"root_path": "/x/"},
        {"max_connections": 0},
        {"min_rate": 0},
    ],
)
def test_settings_that_can_not_work(settings: dict[str, object]):
    with pytest.raises(storage_core.ConfigError, match=next(iter(settings))):
        GatewaySettings(**settings)  # type: ignore[arg-type]


def test_behind_a_prefix(local_profile: dict[str, object]):
    """A proxy publishes the server below a path, and passes that on."""
    settings = GatewaySettings(root_path="/files")
    with (
        storage_core.open(config=local_profile) as storage,
        serve_background(storage, settings=settings) as server,
    ):
        bucket = storage.create_bucket("fruit")
        bucket.put("a/ b", b"x")
        url = bucket.presign("a/ b").url
        assert request(url).body == b"x"
        assert request(url.replace(server.base_url, server.base_url + "/files")).body == b"x"
        assert request(url.replace("/o/", "/other/o/")).status == 404


def test_connections_are_limited_unless_told_otherwise():
    assert GatewaySettings().max_connections


def test_too_many_connections(local_profile: dict[str, object]):
    """Idle ones count; probes are answered all the same, for else the process would be killed
    for having much to do."""
    settings = GatewaySettings(max_connections=2)
    with serve_background(local_profile, settings=settings) as server:
        host, port = server.base_url.removeprefix("http://").split(":")
        held = [Raw(socket.create_connection((host, int(port)), timeout=60)) for _ in range(2)]
        page = server.base_url + "/o/a/b"
        wait_until(lambda: request(page).status == 503)
        answer = request(page, headers={"X-Request-Id": "r1"})
        assert (answer.status, answer.code) == (503, "too_many_connections")
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["x-request-id"] == "r1"
        assert answer.headers.get_all("connection") == ["close"]
        for probe in ("/health", "/ready"):
            assert request(server.base_url + probe).status == 200
        for connection in held:
            connection.close()
        wait_until(lambda: request(page).status == 403)


# --- CORS -----------------------------------------------------------------------------

ORIGIN = "https://app.example.org"


def test_cors_of_an_allowed_origin(bucket: storage_core.Bucket):
    link = bucket.presign("k", method="PUT")
    preflight = request(
        link,
        "OPTIONS",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    put = request(link, headers={"Origin": ORIGIN}, body=b"x" * 100_000)
    assert put.status == 200
    assert "ETag" in put.headers["access-control-expose-headers"]
    get = request(bucket.presign("k"), headers={"Origin": ORIGIN})
    assert get.headers["access-control-allow-origin"] == ORIGIN
    assert get.body == b"x" * 100_000
    refused = request(bucket.presign("k").url + "x", headers={"Origin": ORIGIN})
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (403, ORIGIN)


def test_cors_of_another_origin(bucket: storage_core.Bucket):
    bucket.put("k", b"x")
    headers = {"Origin": "https://evil.example.org", "Access-Control-Request-Method": "GET"}
    assert request(bucket.presign("k"), "OPTIONS", headers=headers).status == 400
    answer = request(bucket.presign("k"), headers=headers)
    assert answer.headers["access-control-allow-origin"] is None


def test_no_cors_unless_asked_for(local_profile: dict[str, object]):
    with (
        storage_core.open(config=local_profile) as storage,
        serve_background(storage),
    ):
        link = storage.create_bucket("fruit").presign("k")
        headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
        preflight = request(link, "OPTIONS", headers=headers)
        assert (preflight.status, preflight.code) == (403, "link_verb")
        assert preflight.headers["access-control-allow-origin"] is None
