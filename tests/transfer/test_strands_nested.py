"""What is called inside of a job that takes turns with others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import storage_core
from storage_core import Bucket, Outcome
from storage_core.http import HttpSettings
from storage_core.runtime.strands import Stopped, Strands
from storage_core.runtime.team import Team, ThreadTeam
from storage_core.transfer.memory import Memory
from storage_gcs.google_http import GoogleTransport
from tests.http.hostile.server import GoneError, Peer, Server
from tests.transfer.strands import alone, by_turns, carry, nothing_left, thread  # noqa: F401 - fixtures
from tests.waiting import PATIENCE

pytestmark = [by_turns, pytest.mark.timeout(120), pytest.mark.usefixtures("alone")]

HEAD = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "d41d8cd98f00b204e9800998ecf8427e"\r\n'
    b"Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n"
)


def answers(peer: Peer) -> None:
    """Every request, as if it were one for an empty object."""
    try:
        while True:
            peer.request()
            peer.send(HEAD)
    except GoneError:
        pass


@contextmanager
def serving(connections: int) -> Iterator[tuple[Server, Bucket]]:
    """A server, and a bucket on it that so many connections lead to at most."""
    with Server(spare=answers) as server:
        profile = {
            "driver": "s3",
            "endpoint_url": f"http://127.0.0.1:{server.port}",
            "access_key_id": "id",
            "secret_access_key": "s",
            "region": "us-east-1",
            "http": {"max_connections": connections, "read_timeout": 20},
        }
        with storage_core.open(config=profile) as storage:
            yield server, storage.bucket("fruit")


@pytest.mark.parametrize("connections", [1, 2])
def test_a_callback_gets_a_connection_where_all_are_with_the_others(
    tmp_path: Path, connections: int
) -> None:
    for number in range(12):
        (tmp_path / str(number)).write_bytes(b"1")
    asked: list[str] = []
    with serving(connections) as (_, bucket):

        def ask(outcome: Outcome) -> None:
            asked.append(bucket.head(outcome.key).key)

        report = bucket.upload_tree(tmp_path, on_outcome=ask)
    assert report.transferred == 12
    assert sorted(asked) == sorted(str(number) for number in range(12))


def test_a_callback_may_transfer_a_tree_and_no_connection_is_left_over(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}").write_bytes(b"1")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "a").write_bytes(b"2")
    with serving(2) as (server, bucket):
        told: list[str] = []

        def transfer(outcome: Outcome) -> None:
            told.append(outcome.key)
            if len(told) % 10 == 0:
                bucket.upload_tree(inner, "inner")
            else:
                bucket.head(outcome.key)

        report = bucket.upload_tree(tmp_path, exclude=["inner/*"], on_outcome=transfer)
        assert report.transferred == 40
        pools = bucket._core.client.driver._transport._stations.values()  # type: ignore[attr-defined]
        assert max(len(station.pool) for station in pools) <= 2
        del server


def test_another_librarys_request_waits_in_the_thread() -> None:
    """As that for a new token, which is made by code that can not give way."""
    answers: list[int] = []
    with serving(2) as (server, _):

        async def renews(_: Team) -> None:
            asked = GoogleTransport(HttpSettings())
            answers.append(asked(f"http://127.0.0.1:{server.port}/token").status)

        async def other(team: Team) -> None:
            await team.sleep(0.01)

        carry(renews, other, renews)
    assert answers == [200, 200]


def test_a_team_inside_may_wait_for_the_others() -> None:
    memory = Memory(1)
    ended: list[str] = []

    async def holds(team: Team) -> None:
        granted = await memory.reserve(team, 1, 1)
        await team.sleep(0.05)
        memory.release(granted)
        ended.append("holds")

    async def part(team: Team) -> None:
        memory.release(await memory.reserve(team, 1, 1))
        ended.append("part")

    async def inside(team: Team) -> None:
        inner = team.nested()
        await inner.together([part(inner), part(inner)])
        ended.append("inside")

    carry(holds, inside)
    assert ended == ["holds", "part", "part", "inside"]


def test_all_hear_of_a_failure_before_the_others_have_ended() -> None:
    heard: list[bool] = []

    async def waits(team: Team) -> None:
        assert isinstance(team, ThreadTeam)
        try:
            await team.turn().wait()
        except Stopped:
            heard.append(team._stop.is_set())
            raise

    async def fails(_: Team) -> None:
        raise OSError("this one fails")

    with pytest.raises(OSError, match="this one fails"):
        carry(waits, fails)
    assert heard == [True]


def test_a_call_that_was_set_aside_has_ended_before_its_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Strands, "_to_aside", property(lambda _: 1, lambda *_: None), raising=False)
    go_on, begun = threading.Event(), threading.Event()
    order: list[str] = []

    def slow() -> None:
        begun.set()
        assert go_on.wait(PATIENCE)
        order.append("call")

    async def calls(team: Team) -> None:
        try:
            await team.blocking(slow)
        finally:
            order.append("job")

    async def fails(team: Team) -> None:
        while not begun.is_set():
            await team.sleep(0.001)
        threading.Timer(0.05, go_on.set).start()
        raise OSError("this one fails")

    with pytest.raises(OSError, match="this one fails"):
        carry(calls, fails)
    assert order == ["call", "job"]


def test_calls_that_wait_get_threads_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each opens a pipe that the next one opens too: two at a time are needed."""
    # Whatever other threads of this process compute meanwhile.
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    names: set[str] = set()

    def late() -> None:
        threading.Event().wait(0.05)  # as for a disk

    def opens(mode: int) -> None:
        names.add(thread())
        os.close(os.open(pipe, mode))

    async def first(team: Team) -> None:
        await team.blocking(late)

    async def reads(team: Team) -> None:
        await team.blocking(opens, os.O_RDONLY)

    async def writes(team: Team) -> None:
        await team.blocking(opens, os.O_WRONLY)

    carry(first, reads, writes)
    assert names == {"storage-core-transfer-aside"}
