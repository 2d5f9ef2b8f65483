"""`storage imports`."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Done, cli
from tests.imports.world import SCRIPT, World, cc5, closed, wait_until
from tests.waiting import PATIENCE


@pytest.fixture(autouse=True)
def configured(site, monkeypatch) -> None:
    monkeypatch.setenv("STORAGE_CONFIG", str(site.config))
    monkeypatch.setenv("TZ", "UTC")


def run(world: World, *arguments: str) -> Done:
    return cli("imports", *arguments, "--project", world.project.name)


def test_list(world):
    first = world.submit(cc5("10|1|Ann|x"))
    world.work()
    world.ended(first)
    for workers in world.running:
        workers.stop()
    second = world.submit(b"1\n", "plain", name="other.txt")
    newest, oldest = run(world, "list", "--json").ok().records
    assert (newest["id"], newest["state"], newest["file_name"]) == (
        second.id,
        "queued",
        "other.txt",
    )
    assert (oldest["id"], oldest["state"], oldest["error_line"]) == (first.id, "failed", 5)
    assert not {"worker", "lease_until", "project_id"} & set(oldest)
    lines = run(world, "list").ok().lines
    assert [line.split("\t")[2:4] for line in lines] == [
        ["other.txt", "queued"],
        ["people.txt", "failed"],
    ]
    assert "line 5: column 'age'" in lines[1]
    assert [r["id"] for r in run(world, "list", "--active", "--json").ok().records] == [second.id]
    assert len(run(world, "list", "--limit", "1").ok().lines) == 1


def test_show(world):
    job = world.submit(cc5("10|1|Ann|3", "90|2"))
    world.work()
    world.ended(job)
    for wanted in (job.id, job.file_id):
        (found,) = run(world, "show", wanted, "--json").ok().records
        assert (found["id"], found["state"], found["rows_total"]) == (job.id, "imported", 2)
        assert found["path"].startswith("//people/")
    text = run(world, "show", job.id).ok().text
    assert "rows      2 (1 put, 1 deleted)\n" in text
    assert f"file      {job.file_id}\n" in text


def test_what_is_not_there(world):
    file = world.register()
    assert run(world, "show", "unknown").status == 3
    assert "no import of the file" in run(world, "show", file.id).stderr
    assert run(world, "watch", "unknown").status == 3
    assert cli("imports", "list", "--project", "no-such").status == 3
    for wrong in (("list", "--limit", "0"), ("watch", "--every", "x")):
        assert run(world, *wrong).status == 2
    assert cli("imports", "work", "--threads", "0").status == 2


def test_other_projects_are_unseen(world):
    job = world.submit(b"1\n", "plain")
    world.work()
    world.ended(job)
    assert cli("imports", "show", job.id, "--project", other(world)).status == 3


def other(world: World) -> str:
    from storage_core.access import projects

    return projects.create(world.state, f"other-{world.project.name}").name


def test_watch_without_imports(world):
    done = run(world, "watch").ok()
    assert (done.text, done.stderr) == ("", "no import is under way\n")


def test_watch_tells_of_changes_as_json_lines(world, gate):
    rows = b"".join(b"%d\n" % number for number in range(2500))
    good = world.submit(rows, "gated", metadata=gate, name="good.txt")
    with ExitStack() as stack:
        process = watching(world, stack, "--json")
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert (first["id"], first["state"]) == (good.id, "queued")
        world.work()
        told = [first]
        while told[-1]["rows_total"] < 2499:
            told.append(json.loads(process.stdout.readline()))
        assert told[-1]["state"] == "processing"
        Path(gate["gate"]).touch()
        told += map(json.loads, process.stdout)
        assert process.wait(PATIENCE) == 0
    assert told[-1]["state"] == "imported"
    assert told[-1]["rows_total"] == 2500
    assert len({json.dumps(record) for record in told}) == len(told)


def watching(
    world: World, stack: ExitStack, *arguments: str, **options: Any
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [SCRIPT, "imports", "watch", "--project", world.project.name, *arguments],
        text=True,
        **{"stdout": subprocess.PIPE, **options},
    )
    closed(process, stack)
    return process


def test_watch_ends_with_a_failure_if_one_failed(world):
    good = world.submit(b"1\n", "plain", name="good.txt")
    bad = world.submit(b"1\n", "cc5", name="bad.txt")
    world.work()
    world.ended(good)
    world.ended(bad)
    done = run(world, "watch", good.id, bad.file_id)
    assert done.status == 1
    assert done.lines == [
        f"{good.id}  good.txt  imported  1 row",
        f"{bad.id}  bad.txt  failed  line {world.job(bad).error_line}: {world.job(bad).error}",
    ]
    assert run(world, "watch", good.id).status == 0


def test_watch_on_a_terminal(world, gate):
    job = world.submit(b"1\n2\n", "gated", metadata=gate, name="a [bold] name.txt")
    world.work()
    wait_until(Path(gate["reached"]).exists, "the importer")
    seen = bytearray()
    outer, inner = pty.openpty()
    with ExitStack() as stack:
        stack.callback(os.close, outer)
        env = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
        process = watching(world, stack, stdout=inner, stderr=inner, env=env)
        os.close(inner)
        while b"processing" not in seen:
            seen += os.read(outer, 65536)
        Path(gate["gate"]).touch()
        with suppress(OSError):  # the other side is closed
            while piece := os.read(outer, 65536):
                seen += piece
        assert process.wait(PATIENCE) == 0
    assert b"a [bold] name.txt" in seen
    assert b"imported" in seen
    assert world.job(job).state == "imported"
