"""How bodies leave: by the kernel where it can, in pieces elsewhere, the same bytes always."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

import storage_core
from storage_conformance.memory import MemoryDriver
from storage_core.gateway import (
    GatewaySettings,
    Server,
    background,
    create_app,
    serve_background,
)
from storage_core.gateway import server as server_module
from storage_core.gateway.protocol import GatewayProtocol
from tests.gateway.clients import Raw, request
from tests.gateway.conftest import SETTINGS
from tests.waiting import wait_until

MEBIBYTE = 1024 * 1024
BIG = os.urandom(MEBIBYTE) * 24


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the stretches the kernel sent."""
    sizes: list[int] = []
    real = os.sendfile

    def counted(*args: Any) -> int:
        count = real(*args)
        sizes.append(count)
        return count

    monkeypatch.setattr(os, "sendfile", counted)
    return sizes


def test_large_bodies_are_sent_by_the_kernel(bucket: storage_core.Bucket, sent: list[int]):
    bucket.put("k", BIG)
    assert request(bucket.presign("k")).body == BIG
    # The client may have the last bytes before they are counted.
    wait_until(lambda: sum(sent) >= len(BIG))
    assert sum(sent) == len(BIG)
    sent.clear()
    ranged = request(bucket.presign("k"), headers={"Range": f"bytes=1000-{9 * MEBIBYTE}"})
    assert ranged.body == BIG[1000 : 9 * MEBIBYTE + 1]
    wait_until(lambda: sum(sent) >= len(ranged.body))
    assert sum(sent) == len(ranged.body)


def test_small_bodies_are_not(bucket: storage_core.Bucket, sent: list[int]):
    bucket.put("k", b"small")
    assert request(bucket.presign("k")).body == b"small"
    assert sent == []


def make_plain(app: Any, settings: GatewaySettings) -> uvicorn.Server:
    """A server that knows nothing of the extension."""
    config = uvicorn.Config(app, http=H11Protocol, loop="asyncio", ws="none", log_config=None)
    return uvicorn.Server(config)


def make_on_asyncio(app: Any, settings: GatewaySettings) -> uvicorn.Server:
    config = uvicorn.Config(app, http=GatewayProtocol, loop="asyncio", ws="none", log_config=None)
    return uvicorn.Server(config)


@pytest.mark.parametrize(("make", "by_kernel"), [(make_plain, False), (make_on_asyncio, True)])
def test_other_loops_and_servers(
    storage: storage_core.Storage,
    server: Server,
    sent: list[int],
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Any, GatewaySettings], uvicorn.Server],
    by_kernel: bool,
):
    monkeypatch.setattr(background, "make_server", make)
    with serve_background(storage, settings=SETTINGS):
        bucket = storage.create_bucket("other-" + make.__name__.replace("_", "-"))
        assert request(bucket.presign("k", method="PUT"), body=BIG[: 3 * MEBIBYTE]).status == 200
        assert request(bucket.presign("k")).body == BIG[: 3 * MEBIBYTE]
        ranged = request(bucket.presign("k"), headers={"Range": "bytes=5-2000000"})
        assert ranged.body == BIG[5:2000001]
        assert bool(sent) is by_kernel
        assert storage.bucket("other").presign("k").url != server.base_url


@pytest.fixture
def memory() -> Iterator[storage_core.Bucket]:
    """A storage without files."""
    driver = MemoryDriver(MemoryDriver.settings_model()(name="gateway"))
    links = storage_core.LinkSettings(keys={"k1": b"0123456789abcdef"})
    with (
        storage_core.open_driver(driver, links=links) as storage,
        serve_background(storage, settings=SETTINGS),
    ):
        yield storage.create_bucket("memory", exist_ok=True)


def test_a_storage_without_files(memory: storage_core.Bucket, sent: list[int]):
    assert request(memory.presign("k", method="PUT"), body=BIG[: 3 * MEBIBYTE]).status == 200
    assert request(memory.presign("k")).body == BIG[: 3 * MEBIBYTE]
    ranged = request(memory.presign("k"), headers={"Range": "bytes=-100000"})
    assert ranged.body == BIG[3 * MEBIBYTE - 100_000 : 3 * MEBIBYTE]
    assert sent == []


# --- slow and vanishing clients -------------------------------------------------------


@pytest.fixture(params=["file", "memory"])
def large(request: pytest.FixtureRequest) -> storage_core.Bucket:
    """A bucket with an object that no socket buffer holds."""
    name = "bucket" if request.param == "file" else "memory"
    bucket: storage_core.Bucket = request.getfixturevalue(name)
    bucket.put("k", BIG)
    return bucket


@pytest.fixture
def connect() -> Iterator[Callable[[str], Raw]]:
    """Opens connections that take little at a time."""
    with contextlib.ExitStack() as opened:

        def narrow(url: str) -> Raw:
            host, port = url.split("/")[2].split(":")
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            plain.settimeout(60)
            plain.connect((host, int(port)))
            return opened.enter_context(contextlib.closing(Raw(plain)))

        yield narrow


def test_a_slow_reader_gets_all(local_profile: dict[str, object], connect: Callable[[str], Raw]):
    """In all it is slower than the limit, though never still for nearly that long."""
    settings = GatewaySettings(stall_timeout=5.0)
    with storage_core.open(config=local_profile) as storage:
        bucket = storage.create_bucket("fruit")
        bucket.put("k", BIG)
        with serve_background(storage, settings=settings):
            url = bucket.presign("k").url
            connection = connect(url)
            connection.head("GET", url)
            received = bytearray()
            for _ in range(12):
                time.sleep(0.5)  # slowness is what this is about
                received += connection.socket.recv(200_000)
            while len(received) < len(BIG) or not received.endswith(BIG[-64:]):
                received += connection.socket.recv(MEBIBYTE)
            assert bytes(received).partition(b"\r\n\r\n")[2] == BIG


def descriptors() -> set[str]:
    """What this process, and the server in it, has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return found


def test_a_reader_that_stops_is_given_up(hasty: storage_core.Bucket, connect: Callable[[str], Raw]):
    hasty.put("k", BIG)
    url = hasty.presign("k").url
    before = descriptors()
    connection = connect(url)
    connection.head("GET", url)
    assert connection.socket.recv(12) == b"HTTP/1.1 200"
    # The server closes the file: there is more of it than any socket buffers.
    wait_until(lambda: not any(map(os.path.isabs, descriptors() - before)))
    assert connection.closed()
    connection.close()
    wait_until(lambda: descriptors() <= before)


def test_a_reader_that_takes_too_little_is_given_up(
    local_profile: dict[str, object], connect: Callable[[str], Raw]
):
    """It takes something all the time, though less than it must."""
    settings = GatewaySettings(stall_timeout=0.5, min_rate=1024**3)
    with storage_core.open(config=local_profile) as storage:
        bucket = storage.create_bucket("fruit")
        bucket.put("k", BIG)
        with serve_background(storage, settings=settings):
            url = bucket.presign("k").url
            connection = connect(url)
            connection.head("GET", url)
            received = 0
            with contextlib.suppress(ConnectionError):
                while piece := connection.socket.recv(100_000):
                    received += len(piece)
                    time.sleep(0.05)
            assert 0 < received < len(BIG)


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_a_reader_that_goes_away(
    large: storage_core.Bucket, connect: Callable[[str], Raw], how: str
):
    url = large.presign("k").url
    before = descriptors()
    connection = connect(url)
    connection.head("GET", url)
    assert connection.socket.recv(12) == b"HTTP/1.1 200"
    if how == "reset":
        linger_zero = b"\1\0\0\0\0\0\0\0"
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
    if how == "half":
        connection.socket.shutdown(socket.SHUT_WR)
        connection.closed()
    connection.close()
    wait_until(lambda: descriptors() <= before)
    assert request(url).body == BIG


def test_many_readers_at_once(bucket: storage_core.Bucket):
    bucket.put("k", BIG)
    url = bucket.presign("k").url
    answers: list[bool] = []

    def read() -> None:
        answers.append(request(url).body == BIG)

    threads = [threading.Thread(target=read) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 16


def test_an_object_replaced_or_deleted_while_it_is_sent(
    bucket: storage_core.Bucket, connect: Callable[[str], Raw]
):
    """The reader keeps the bytes it began with."""
    for change in (lambda: bucket.put("k", b"new"), lambda: bucket.delete("k")):
        bucket.put("k", BIG)
        url = bucket.presign("k").url
        connection = connect(url)
        connection.head("GET", url)
        assert connection.socket.recv(12) == b"HTTP/1.1 200"
        change()
        rest = bytearray()
        while len(rest) < len(BIG) or not rest.endswith(BIG[-64:]):
            rest += connection.socket.recv(MEBIBYTE)
        assert bytes(rest).partition(b"\r\n\r\n")[2] == BIG
        connection.close()


def test_the_server_is_the_one_with_the_extension(local_profile: dict[str, object]):
    app = create_app(local_profile)
    config = server_module.make_server(app, GatewaySettings()).config
    assert isinstance(config.http, type)
    assert issubclass(config.http, GatewayProtocol)
    assert config.access_log is False
