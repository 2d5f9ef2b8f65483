"""The transports of libraries: how they are chosen, and what they need."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from storage_core.errors import ConfigError
from storage_core.http import open_transport
from storage_core.runtime import drive
from tests.http.hostile.answers import DONE, plain, then, tolerant
from tests.http.hostile.clients import KINDS, QUICK, Client, fetch, request
from tests.waiting import PATIENCE

LIBRARY = replace(QUICK, transport="library")
BLOCKING = next(kind for kind in KINDS if kind.name == "urllib3")


@pytest.mark.parametrize(
    ("io", "package"), [("blocking", "urllib3"), ("asyncio", "aiohttp"), ("asyncio", "yarl")]
)
def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch, io, package: str):
    """Said with the command that installs it, and mended by it without a restart."""
    for module in [name for name in sys.modules if name.startswith("storage_core.http.")]:
        if module.rpartition(".")[2] in {"aiohttp", "aiohttp_request", "urllib3"}:
            monkeypatch.delitem(sys.modules, module)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, package, None)
        for module in [name for name in sys.modules if name.startswith(package + ".")]:
            without.setitem(sys.modules, module, None)
        with pytest.raises(ConfigError, match="pip install") as seen:
            drive(open_transport(io, LIBRARY))
        assert ("urllib3" if io == "blocking" else "aiohttp") in str(seen.value)
    if io == "blocking":
        drive(drive(open_transport(io, LIBRARY)).close())


@pytest.mark.parametrize("transport", ["lean", "library"])
def test_only_what_is_chosen_is_imported(transport: str):
    """Neither library costs a program anything that does not ask for it."""
    code = f"""
import sys
import storage_core, storage_core.http
from storage_core.http import HttpSettings, open_transport
assert not {{"aiohttp", "urllib3", "httptools", "ssl"}} & set(sys.modules), "too early"
try:
    open_transport("blocking", HttpSettings(transport={transport!r})).send(None)
except StopIteration:
    pass
assert ("urllib3" in sys.modules) == ({transport!r} == "library")
assert "aiohttp" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_is_said_at_the_end_of_the_interpreter(serve):
    """Also where nobody closes the transport."""
    server = serve(tolerant(then(plain())))
    code = f"""
import asyncio
from storage_core.http import HttpSettings, Origin, Request, open_transport
settings = HttpSettings(transport="library", trust_env=False)
async def main(io):
    transport = await open_transport(io, settings)
    response = await transport.send(Request("GET", Origin("http", "127.0.0.1", {server.port}, "x"), "/"))
    assert await response.body(100) == {DONE!r}
    return transport
try:
    main("blocking").send(None)
except StopIteration as stop:
    kept = stop.value
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fork(serve):
    """A child makes connections of its own, and leaves its parent's alone when it ends."""
    server = serve(then(plain(b"parent"), plain(b"parent")), then(plain(b"child")))

    async def main(transport):
        assert await fetch(transport, request(server)) == (200, b"parent")
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            signal.alarm(int(PATIENCE))
            status = 1
            try:
                found = await fetch(transport, request(server))
                await transport.close()
                status = 0 if found == (200, b"child") else 2
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)  # noqa: ASYNC222 - driven without a loop
        assert os.waitstatus_to_exitcode(ended) == 0
        assert await fetch(transport, request(server)) == (200, b"parent")

    Client(BLOCKING).run(main)


def test_a_fork_under_asyncio(serve):
    """A child has a loop of its own, and so a session; its parent's is not closed by it."""
    server = serve(then(plain(b"parent"), plain(b"parent")), then(plain(b"child")))

    async def parent():
        transport = await open_transport("asyncio", LIBRARY)
        assert await fetch(transport, request(server)) == (200, b"parent")
        return transport

    async def child(transport):
        found = await fetch(transport, request(server))
        await transport.close()
        return found

    async def again(transport):
        found = await fetch(transport, request(server))
        await transport.close()
        return found

    with asyncio.Runner() as runner:
        transport = runner.run(parent())
        pid = os.fork()
        if pid == 0:  # pragma: no cover - another process
            signal.alarm(int(PATIENCE))
            status = 1
            try:
                asyncio.set_event_loop(None)
                with asyncio.Runner() as own:
                    status = 0 if own.run(child(transport)) == (200, b"child") else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert runner.run(again(transport)) == (200, b"parent")
