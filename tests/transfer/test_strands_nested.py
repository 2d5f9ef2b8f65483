"""What is called inside of a job that takes turns with others."""

from __future__ import annotations

from pathlib import Path

import pytest

import storage_core
from storage_core import Outcome
from storage_core.runtime.strands import Stopped
from storage_core.runtime.team import Team, ThreadTeam
from storage_core.transfer.memory import Memory
from tests.http.hostile.server import GoneError, Peer, Server
from tests.transfer.strands import alone, by_turns, carry, nothing_left  # noqa: F401 - fixtures

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


@pytest.mark.parametrize("connections", [1, 2])
def test_a_callback_gets_a_connection_where_all_are_with_the_others(
    tmp_path: Path, connections: int
) -> None:
    for number in range(12):
        (tmp_path / str(number)).write_bytes(b"1")
    asked: list[str] = []
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
            bucket = storage.bucket("fruit")

            def ask(outcome: Outcome) -> None:
                asked.append(bucket.head(outcome.key).key)

            report = bucket.upload_tree(tmp_path, on_outcome=ask)
    assert report.transferred == 12
    assert sorted(asked) == sorted(str(number) for number in range(12))


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
