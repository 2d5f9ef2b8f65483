"""Bodies by turns in one thread, connections that end meanwhile, and whole trees."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_core.errors import ClosedError, StorageError, UnavailableError
from storage_core.http.interface import Response
from storage_core.http.response import MOST
from storage_core.runtime import drive
from storage_core.runtime.team import Team
from tests.http.certificates import Authority
from tests.http.conftest import serve  # noqa: F401 - found by its name
from tests.http.hostile.answers import BIG, DONE, OK, chunked, plain, then
from tests.http.hostile.clients import Pieces, fetch, request, whole
from tests.http.hostile.server import GoneError, Peer
from tests.servers.base import Server as Service
from tests.transfer.strands import (  # noqa: F401 - fixtures are found by their names
    acquired,
    alone,
    by_turns,
    carry,
    nothing_left,
)
from tests.transfer.test_strands_wires import (  # noqa: F401 - fixtures are found by their names
    SETTINGS,
    Start,
    authority,
    opened,
    tls,
)
from tests.transfer.trees import make_folder, objects_in
from tests.waiting import PATIENCE

pytestmark = [by_turns, pytest.mark.timeout(120), pytest.mark.usefixtures("alone")]
BODY = BIG[: 5 * MOST + 1]


async def filled(response: Response) -> bytes:
    """The body by one buffer."""
    buffer, found = memoryview(bytearray(3 * MOST)), b""
    while count := await response.readinto(buffer):
        found += buffer[:count]
    return found


READERS = {
    "read": whole,
    "little": lambda response: whole(response, 5000),  # the rest of a record stays with TLS
    "readinto": filled,
    "body": lambda response: response.body(1 << 24),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("framing", [plain, chunked])
def test_others_go_on_between_any_two_pieces(
    serve: Start,  # noqa: F811
    tls: ssl.SSLContext | None,  # noqa: F811
    authority: Authority,  # noqa: F811
    reader: str,
    framing: Any,
) -> None:
    """A part of the head, a part of the body; the rest is sent after another's request."""
    steps = [threading.Semaphore(0) for _ in range(2)]
    ends = (9, 40, 1000, MOST + 70_000, len(BODY))

    def large(peer: Peer) -> None:
        peer.request()
        answer, start = framing(BODY), 0
        for end in (*ends, len(answer)):
            peer.send(answer[start:end])
            start = end
            steps[0].release()
            assert steps[1].acquire(timeout=PATIENCE)
        peer.gone()

    def small(peer: Peer) -> None:
        with suppress(GoneError):
            while True:
                peer.request()
                assert steps[0].acquire(timeout=PATIENCE)
                peer.send(plain())
                steps[1].release()

    server = serve(large, small, tls=tls)
    found: list[bytes] = []
    with opened(replace(SETTINGS, ca_file=str(authority.file))) as transport:

        async def takes(_: Team) -> None:
            found.append(await READERS[reader](await transport.send(request(server))))

        async def asks(team: Team) -> None:
            for _ in range(len(ends) + 1):
                assert await fetch(transport, request(server)) == (200, DONE)

        carry(takes, asks)
        assert transport.connections == 2
    assert found == [BODY]


def test_what_tls_has_of_a_record_is_not_waited_for(
    serve: Start,  # noqa: F811
    authority: Authority,  # noqa: F811
) -> None:
    """The rest of a record that was read in part makes no socket readable."""

    def one_record(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Content-Length: 12000\r\n\r\n")
        peer.send(BODY[:12_000])
        peer.gone()

    server = serve(one_record, tls=authority.server_context("127.0.0.1"))
    found: list[bytes] = []
    with opened(replace(SETTINGS, ca_file=str(authority.file))) as transport:

        async def takes(_: Team) -> None:
            found.append(await whole(await transport.send(request(server)), 5000))

        async def other(team: Team) -> None:
            await team.sleep(0)

        carry(takes, other)
    assert found == [BODY[:12_000]]


def test_what_came_before_a_break_is_not_lost(serve: Start) -> None:  # noqa: F811
    """As without turns, so that a reader goes on from there."""
    steps = [threading.Event() for _ in range(4)]

    def breaks(peer: Peer) -> None:
        peer.request()
        for number, data in enumerate((OK + b"Content-Length: 100000\r\n\r\n", BODY[:50_000])):
            peer.send(data)
            steps[2 * number].set()
            assert steps[2 * number + 1].wait(PATIENCE)
        peer.reset()

    def small(peer: Peer) -> None:
        for number in range(2):
            peer.request()
            assert steps[2 * number].wait(PATIENCE)
            for _ in range(2):  # so that what is there is taken
                peer.send(plain())
                peer.request()
            steps[2 * number + 1].set()
            peer.send(plain())
        peer.gone()

    server = serve(breaks, small)
    with opened() as transport:

        async def takes(_: Team) -> None:
            response = await transport.send(request(server))
            buffer = memoryview(bytearray(100_000))
            count = await response.readinto(buffer)
            assert buffer[:count] == BODY[:50_000]
            with pytest.raises(UnavailableError):
                await response.readinto(buffer[count:])

        async def asks(team: Team) -> None:
            for _ in range(6):
                await fetch(transport, request(server))

        carry(takes, asks)
        assert transport.connections == 1


@pytest.mark.parametrize("expect", [0, 1 << 20])
@pytest.mark.parametrize("kind", ["memory", "pieces", "chunked"])
def test_an_upload_waits_by_turns(
    serve: Start,  # noqa: F811
    tls: ssl.SSLContext | None,  # noqa: F811
    authority: Authority,  # noqa: F811
    kind: str,
    expect: int,
) -> None:
    """More than the sockets hold, which is not read before another has asked."""
    asked = threading.Event()
    seen: list[int] = []

    def large(peer: Peer) -> None:
        head = peer.head()
        assert asked.wait(PATIENCE)
        if head.get("expect"):
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        size = head.get("content-length")
        seen.append(len(peer.chunks() if size is None else peer.read(int(size))))
        peer.send(plain())
        peer.gone()

    def small(peer: Peer) -> None:
        peer.request()
        asked.set()
        peer.send(plain())
        peer.gone()

    server = serve(large, small, tls=tls)
    settings = replace(SETTINGS, ca_file=str(authority.file), expect_continue=expect)
    with opened(settings) as transport:

        async def puts(_: Team) -> None:
            halves = BIG[: len(BIG) // 2], BIG[len(BIG) // 2 :]
            body = BIG if kind == "memory" else Pieces(*halves)
            if kind == "chunked":
                body = Pieces(*halves, size=None)
            assert await fetch(transport, request(server, "PUT", body=body)) == (200, DONE)

        async def asks(_: Team) -> None:
            assert await fetch(transport, request(server)) == (200, DONE)

        carry(puts, asks)
    assert seen == [len(BIG)]


def test_an_answer_may_come_before_an_upload_ended(
    serve: Start,  # noqa: F811
    tls: ssl.SSLContext | None,  # noqa: F811
    authority: Authority,  # noqa: F811
) -> None:
    asked = threading.Event()

    def refuses(peer: Peer) -> None:
        peer.head()
        assert asked.wait(PATIENCE)
        peer.send(plain(b"no", status=b"403 Forbidden"))
        peer.gone()

    def small(peer: Peer) -> None:
        peer.request()
        asked.set()
        peer.send(plain())
        peer.gone()

    server = serve(refuses, small, tls=tls)
    settings = replace(SETTINGS, ca_file=str(authority.file), expect_continue=0)
    with opened(settings) as transport:

        async def puts(_: Team) -> None:
            assert await fetch(transport, request(server, "PUT", body=BIG)) == (403, b"no")

        async def asks(_: Team) -> None:
            assert await fetch(transport, request(server)) == (200, DONE)

        carry(puts, asks)
        assert transport.connections == 1


def test_a_number_of_a_descriptor_is_used_again(serve: Start) -> None:  # noqa: F811
    """Each answer is the last of its connection, and the next one gets its number."""
    last = [then(plain(b"%d" % number, b"Connection: close")) for number in range(60)]
    server = serve(*last)
    found: list[bytes] = []
    with opened() as transport:

        async def work(team: Team) -> None:
            for _ in range(20):
                found.append((await fetch(transport, request(server)))[1])

        carry(work, work, work)
        assert len(set(transport.made)) < len(transport.made) == 60
        assert transport.connections == 0
    assert sorted(map(int, found)) == list(range(60))


@pytest.mark.parametrize("where", ["strand", "thread"])
def test_a_storage_closed_meanwhile(serve: Start, where: str) -> None:  # noqa: F811
    """Who waits for an answer hears of it, and who waits for a connection."""
    asked = threading.Semaphore(0)
    ended: list[type[Exception]] = []

    def silent(peer: Peer) -> None:
        peer.request()
        asked.release()
        peer.gone()

    server = serve(silent, silent)
    with opened(replace(SETTINGS, max_connections=2)) as transport:

        async def waits(_: Team) -> None:
            try:
                await fetch(transport, request(server))
            except StorageError as error:
                ended.append(type(error))

        def close() -> None:
            for _ in range(2):
                assert asked.acquire(timeout=PATIENCE)
            drive(transport.close())

        async def closes(team: Team) -> None:
            if where == "strand":
                await acquired(team, asked, 2)
                drive(transport.close())
            else:
                threading.Thread(target=close).start()

        pool = transport._station(request(server).origin).pool
        carry(waits, waits, waits, waits, closes)
        assert len(pool) == pool._granted == 0
    assert sorted(found.__name__ for found in ended) == sorted(
        [ClosedError.__name__] * 2 + [UnavailableError.__name__] * 2
    )


def test_a_callback_may_ask_the_same_storage(moto: Service, tmp_path: Path) -> None:
    files = {f"{number:03}": b"%d" % number for number in range(100)}
    folder = make_folder(tmp_path / "up", files)
    heard: dict[str, int] = {}
    with storage_core.open(config=dict(moto.profile)) as storage:
        bucket = storage.create_bucket("strands", exist_ok=True)

        def on_outcome(outcome: storage_core.Outcome) -> None:
            heard[outcome.key] = bucket.head(outcome.key).size

        bucket.upload_tree(folder, on_outcome=on_outcome)
        assert heard == {key: len(data) for key, data in files.items()}
        assert objects_in(bucket) == files
        heard.clear()
        bucket.download_tree("", tmp_path / "down", on_outcome=on_outcome)
        assert heard == {key: len(data) for key, data in files.items()}


_TREE = """
import json, os, signal, sys, threading
import storage_core
from tests.transfer.strands import watches
from tests.waiting import wait_until

signal.signal(signal.SIGINT, signal.default_int_handler)
storage = storage_core.open(config=json.loads(sys.argv[1]))
before = watches()
try:
    storage.bucket("fruit").upload_tree(sys.argv[2])
except KeyboardInterrupt:
    wait_until(lambda: threading.active_count() == 1)  # the last is through with its job
    print("interrupted", watches() == before)
storage.close()
"""


def test_an_interrupted_tree_leaves_nothing(serve: Start, tmp_path: Path) -> None:  # noqa: F811
    """Ctrl-C while one thread waits for many answers."""
    asked = threading.Semaphore(0)

    def silent(peer: Peer) -> None:
        with suppress(GoneError):  # connected, but stopped before it asked
            peer.head()
            asked.release()
            peer.gone()

    folder = make_folder(tmp_path, {f"{number:03}": b"1" for number in range(40)})
    server = serve(spare=silent)
    config = {
        "driver": "s3",
        "endpoint_url": f"http://127.0.0.1:{server.port}",
        "access_key_id": "id",
        "secret_access_key": "secret",
        "region": "us-east-1",
    }
    command = [sys.executable, "-c", _TREE, json.dumps(config), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(20):
            assert asked.acquire(timeout=PATIENCE)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE)
    assert said == "interrupted True\n"
