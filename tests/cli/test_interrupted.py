"""Ctrl-C and SIGTERM in the middle of a transfer, the same command again, and `transfers`."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import storage_core
from storage_conformance.proxy import FaultyProxy, Seen, stall, stall_body
from storage_core.cli import status
from storage_core.transfer.journal import journals
from tests.cli.conftest import SCRIPT, cli, process
from tests.servers import Server
from tests.servers.fixtures import moto  # noqa: F401 - found by its name
from tests.waiting import wait_until

MIB = 1024**2
PART = 5 * MIB
PARTS = 4
DATA = os.urandom(PARTS * PART - 7)
ONE_BY_ONE = ("--part-size", "5MiB", "--concurrency", "1")


@pytest.fixture
def proxy(moto: Server, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:  # noqa: F811
    """Before an S3 service that is the profile `s3`, with an empty bucket `pears`."""
    monkeypatch.setenv("STORAGE_STATE_DIR", str(workspace / "state"))
    with FaultyProxy(moto.endpoint) as proxy:
        settings = {**moto.profiles["default"], "endpoint_url": proxy.url}
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        with (workspace / "storage.toml").open("a", encoding="utf-8") as config:
            config.write("\n".join(("", "[profiles.s3]", *lines, "retry.attempts = 1", "")))
        with storage_core.open(config=moto.profiles["default"]) as direct:
            direct.create_bucket("pears", exist_ok=True)
            yield proxy
            direct.delete_bucket("pears", force=True)


def started(*arguments: str) -> subprocess.Popen[bytes]:
    """A command on its way; each line of its output comes at once."""
    return subprocess.Popen(
        [SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def interrupted_after_a_line(
    arguments: tuple[str, ...], number: signal.Signals
) -> tuple[int, bytes, str]:
    """Run a command and send it a signal when it has told of one object: before, it may be
    stored and not counted yet. Its status, its output and what else it said."""
    with started(*arguments) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        child.send_signal(number)
        rest, errors = child.communicate(timeout=120)
    return child.returncode, first + rest, errors.decode()


def interrupted(
    arguments: tuple[str, ...], when: Callable[[], object], number: signal.Signals = signal.SIGINT
) -> tuple[int, str]:
    """Run a command and send it a signal at some moment; its status and what it said."""
    child = started(*arguments)
    with child:
        try:
            wait_until(lambda: when() or child.poll() is not None)
            child.send_signal(number)
            _, errors = child.communicate(timeout=120)
        finally:
            child.kill()
    return child.returncode, errors.decode()


def done_parts() -> int:
    """Parts that the one journal tells of."""
    found = journals()
    return found[0].done // PART if found else 0


def sent_parts(seen: list[Seen]) -> int:
    return sum(item.method == "PUT" and "partNumber=" in item.target for item in seen)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, status.INTERRUPTED), (signal.SIGTERM, status.TERMINATED)],
)
def test_an_upload_goes_on_where_it_was_interrupted(
    proxy: FaultyProxy, workspace: Path, number: signal.Signals, code: int
):
    (workspace / "big").write_bytes(DATA)
    command = ("put", "big", "s3:pears/", *ONE_BY_ONE)
    proxy.inject(None, None, None, stall())  # the session, two parts, and the third never ends
    before = len(proxy.seen)
    result, said = interrupted(
        command, lambda: done_parts() == 2 and sent_parts(proxy.seen[before:]) == 3, number
    )
    assert result == code
    # The part that was sent and not answered counts in what was moved, and not in the journal.
    told = r"storage: interrupted after 1[05]\.0/20\.0 MiB; run the same command again to go on\n"
    assert re.fullmatch(told, said)
    (left,) = cli("transfers", "--json").ok().records
    assert (left["kind"], left["done"], left["size"]) == ("upload", 2 * PART, len(DATA))
    assert (left["target"], left["profile"]) == ("pears/big", "s3")
    assert left["in_use"] is False
    assert "10.0/20.0 MiB" in cli("transfers").ok().text
    before = len(proxy.seen)
    assert process(*command).ok().text == "stored s3:pears/big (20.0 MiB)\n"
    assert sent_parts(proxy.seen[before:]) == PARTS - 2
    assert storage_core.open("s3").bucket("pears").get("big").read() == DATA
    assert cli("transfers").ok().lines == []


def test_a_download_goes_on_where_it_was_interrupted(proxy: FaultyProxy, workspace: Path):
    storage_core.open("s3").bucket("pears").put("big", DATA)
    command = ("get", "s3:pears/big", "big", *ONE_BY_ONE)
    proxy.inject(None, None, None, stall_body(PART // 2))
    result, said = interrupted(command, lambda: not proxy.pending and done_parts())
    assert result == status.INTERRUPTED
    assert "interrupted after" in said
    assert "run the same command again to go on" in said
    assert not (workspace / "big").exists()
    (left,) = journals()
    assert left.partial is not None
    assert left.partial.exists()
    kept = left.done
    with storage_core.open("s3"):
        before = len(proxy.seen)
    process(*command).ok()
    reads = [item for item in proxy.seen[before:] if item.method == "GET"]
    assert len(reads) == PARTS - kept // PART
    assert (workspace / "big").read_bytes() == DATA
    assert cli("transfers").ok().lines == []
    assert not list(workspace.glob(".*storage-part*"))


def test_without_resume_nothing_is_kept(proxy: FaultyProxy, workspace: Path):
    (workspace / "big").write_bytes(DATA)
    command = ("put", "big", "s3:pears/", "--no-resume", *ONE_BY_ONE)
    before = len(proxy.seen)
    proxy.inject(None, None, stall())
    result, said = interrupted(command, lambda: sent_parts(proxy.seen[before:]) == 2)
    assert result == status.INTERRUPTED
    assert said.endswith("; nothing was stored\n")
    assert cli("transfers").ok().lines == []
    assert cli("uploads", "ls", "s3:pears").ok().lines == []


def test_clean_gives_up_what_was_interrupted(proxy: FaultyProxy, workspace: Path):
    (workspace / "big").write_bytes(DATA)
    storage_core.open("s3").bucket("pears").put("there", DATA)

    def half_uploaded() -> bool:
        return done_parts() == 1 and sent_parts(proxy.seen[before:]) == 2

    def in_use() -> bool:
        if not half_uploaded():
            return False
        assert [item.in_use for item in journals()] == [True]
        assert "under way" in cli("transfers", "clean").ok().stderr
        return True

    proxy.inject(None, None, stall())
    before = len(proxy.seen)
    interrupted(("put", "big", "s3:pears/", *ONE_BY_ONE), in_use, signal.SIGKILL)
    proxy.inject(None, None, stall_body(PART // 2))
    interrupted(
        ("get", "s3:pears/there", *ONE_BY_ONE),
        lambda: not proxy.pending and all(item.done for item in journals()[1:]),
        signal.SIGKILL,
    )
    partial = [item.partial for item in journals() if item.partial is not None]
    assert len(cli("transfers", "list").ok().lines) == 2

    assert cli("transfers", "clean", "--older-than", "1h").ok().lines == []
    assert len(journals()) == 2
    assert len(cli("uploads", "ls", "s3:pears").ok().lines) == 1

    config = (workspace / "storage.toml").read_text("utf-8")
    moved = config.replace(proxy.url, "http://127.0.0.1:9")
    (workspace / "storage.toml").write_text(moved, "utf-8")
    done = cli("transfers", "clean")
    assert done.status == status.CONFIG
    assert "does not lead to" in done.stderr
    assert [item.kind for item in journals()] == ["upload"]
    (workspace / "storage.toml").write_text(config, "utf-8")

    assert cli("transfers", "clean").ok().lines[0].startswith("gave up: upload of ")
    assert journals() == []
    assert cli("uploads", "ls", "s3:pears").ok().lines == []
    assert len(partial) == 1
    assert not partial[0].exists()
    assert cli("transfers", "clean").ok().lines == []


def test_a_second_signal_ends_it_at_once(proxy: FaultyProxy, workspace: Path):
    """While what the first one asked for, to give the upload up, is never answered."""
    (workspace / "big").write_bytes(DATA)
    before = len(proxy.seen)
    proxy.inject(None)

    def gives_up() -> bool:
        return any(item.method == "DELETE" for item in proxy.seen[before:])

    def ended() -> bool:
        child.send_signal(signal.SIGINT)
        return child.poll() is not None

    with proxy.always(stall()), started("put", "big", "s3:pears/", "--no-resume") as child:
        wait_until(lambda: sent_parts(proxy.seen[before:]))
        child.send_signal(signal.SIGINT)
        wait_until(gives_up)
        wait_until(ended)
        assert child.stderr is not None
        # It did not come to the end of unwinding, where the first one is told of.
        assert child.stderr.read() == b""
    assert child.returncode == status.INTERRUPTED


SLOW = ("put", "-r", "tree", "fruit/t/", "--concurrency", "1", "--bandwidth", "10")
"""After the first of the files of `tree` the second one would wait for minutes."""


def tree(workspace: Path) -> None:
    (workspace / "tree").mkdir()
    for number in range(6):
        (workspace / "tree" / f"{number}.txt").write_bytes(b"x" * 9000)


def test_a_tree_says_how_far_it_came(fruit: str, workspace: Path):
    tree(workspace)
    result, told, said = interrupted_after_a_line(SLOW, signal.SIGINT)
    assert result == status.INTERRUPTED
    assert told == b"stored fruit/t/0.txt (8.8 KiB)\n"
    summary, last = said.splitlines()
    assert summary.startswith("1 object, 8.8 KiB (")
    assert last.startswith("storage: interrupted after 1 of 6 objects, 8.8/52.7 KiB; run the same")
    assert "storage sync" in last
    done = process("sync", "./tree", "fruit/t/", "--json").ok()
    assert (done.summary["objects"], done.summary["unchanged"]) == (5, 1)


def test_an_interrupted_json_run_ends_with_its_sum(fruit: str, workspace: Path):
    tree(workspace)
    result, output, errors = interrupted_after_a_line(("--json", *SLOW), signal.SIGTERM)
    assert result == status.TERMINATED
    *objects, summary = map(json.loads, output.splitlines())
    assert [item["key"] for item in objects] == ["t/0.txt"]
    assert (summary["objects"], summary["interrupted"]) == (1, True)
    assert "run the same command" in json.loads(errors)["interrupted"]["message"]


def test_a_terminal_is_left_as_it_was(fruit: str, workspace: Path):
    (workspace / "big").write_bytes(bytes(12 * MIB))
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [SCRIPT, "put", "big", "fruit/", "--bandwidth", "512K"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says by EIO that the other side is closed
        while select.select([master], [], [], 120)[0] and (piece := os.read(master, 65536)):
            asked = b"/12.0 MiB" in shown
            shown += piece
            if not asked and b"/12.0 MiB" in shown:
                child.send_signal(signal.SIGINT)
    os.close(master)
    assert child.wait(120) == status.INTERRUPTED
    text = shown.decode()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "storage: interrupted" in text[text.rindex("\x1b[?25h") :]
    assert "Traceback" not in text
