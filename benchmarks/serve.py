"""Large objects over HTTP: CPU of the serving process per GB, next to nginx.

    python benchmarks/serve.py [--rounds N] [--size MIB] [--only TEXT] [--small]

Servers run as processes of their own on the loopback, over one object in the page cache. A
client here sends a request and has the kernel drop the answer (``MSG_TRUNC``), so that hardly
any time goes into it. Each round visits every server in turn: once for the whole object,
then for all of it in ranges of 8 and of 64 MiB. CPU is user and system time of the server's
processes from ``/proc``; the figure is the median over the rounds, and the ratio is to nginx
with ``sendfile off`` in the same run. nginx comes from apt (``apt install nginx-light``);
granian and hypercorn are shown where they are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MIB = 1024 * 1024
TICK = os.sysconf("SC_CLK_TCK")
RANGES = {"whole": 0, "8 MiB": 8 * MIB, "64 MiB": 64 * MIB}

NGINX = """
daemon off; worker_processes 1; user root; pid {folder}/pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off; sendfile {sendfile}; keepalive_requests 1000000;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{
    listen 127.0.0.1:{port};
    location = /large {{ alias {large}; }}
    location = /small {{ alias {small}; }}
  }}
}}
"""


# --- applications that send a file in ordinary ways -----------------------------------


async def pieces(scope: MutableMapping[str, Any], _receive: Any, send: Any) -> None:
    """256 KiB at a time, read on the loop: the least an application in Python can do."""
    fd = os.open(os.environ["BENCH_FOLDER"] + scope["path"], os.O_RDONLY)
    try:
        start, stop, headers = 0, os.fstat(fd).st_size, dict(scope["headers"])
        if b"range" in headers:
            start, last = map(int, headers[b"range"].removeprefix(b"bytes=").split(b"-"))
            stop = last + 1
        length = [(b"content-length", b"%d" % (stop - start))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        while start < stop:
            data = os.pread(fd, min(256 * 1024, stop - start), start)
            start += len(data)
            await send({"type": "http.response.body", "body": data, "more_body": start < stop})
    finally:
        os.close(fd)


async def by_path(scope: MutableMapping[str, Any], _receive: Any, send: Any) -> None:
    """ASGI's ``http.response.pathsend``, which knows no ranges."""
    path = os.environ["BENCH_FOLDER"] + scope["path"]
    length = [(b"content-length", b"%d" % os.path.getsize(path))]  # noqa: ASYNC240
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.pathsend", "path": path})


async def file_response(scope: Any, receive: Any, send: Any) -> None:
    """Starlette's own."""
    from starlette.responses import FileResponse

    await FileResponse(os.environ["BENCH_FOLDER"] + scope["path"])(scope, receive, send)


def run(name: str, port: int) -> None:
    """Be a server, in a process of its own."""
    folder = os.environ["BENCH_FOLDER"]
    if name in ("links", "links, no sendfile"):
        from storage_core.gateway import listen, protocol, serve

        if name != "links":
            protocol.ZERO_COPY = "none"  # the application finds no extension it knows
        profile = {"driver": "local", "root": folder + "/root"}
        serve(profile, listen("127.0.0.1", port))
        return
    import uvicorn

    app = {"pieces": pieces, "FileResponse": file_response}[name]
    uvicorn.run(app, port=port, access_log=False, log_level="warning", lifespan="off")


# --- contestants ----------------------------------------------------------------------


@dataclass
class Contestant:
    """A server under measurement.

    Attributes:
        links: Whether objects are asked for by signed links.
        ranges: Whether it can answer them.
        cpu: Seconds per GB for each of `RANGES`.
    """

    name: str
    command: list[str]
    links: bool = False
    ranges: bool = True
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    cpu: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in RANGES})
    speed: list[float] = field(default_factory=list)
    small: list[float] = field(default_factory=list)


def contestants() -> Iterator[Contestant]:
    me = [sys.executable, __file__, "--run"]
    if shutil.which("nginx"):
        yield Contestant("nginx, sendfile off", ["nginx", "off"])
        yield Contestant("nginx, sendfile on", ["nginx", "on"])
    yield Contestant("storage serve", [*me, "links"], links=True)
    yield Contestant("storage serve without sendfile", [*me, "links, no sendfile"], links=True)
    yield Contestant("uvicorn, 256 KiB pieces", [*me, "pieces"])
    yield Contestant("uvicorn, Starlette FileResponse", [*me, "FileResponse"])
    if find_spec("granian"):
        granian = [sys.executable, "-m", "granian", "--interface", "asgi", "--log-level", "error"]
        yield Contestant("granian, 256 KiB pieces", [*granian, "serve:pieces"])
        yield Contestant("granian, pathsend", [*granian, "serve:by_path"], ranges=False)
    if find_spec("hypercorn"):
        hypercorn = [sys.executable, "-m", "hypercorn", "-k", "uvloop", "serve:pieces"]
        yield Contestant("hypercorn, 256 KiB pieces", hypercorn)


def command(contestant: Contestant, folder: Path) -> list[str]:
    """What starts it on its port."""
    words, port = contestant.command, contestant.port
    if words[0] == "nginx":
        own = folder / f"nginx-{words[1]}"
        own.mkdir()
        config = own / "nginx.conf"
        config.write_text(
            NGINX.format(
                folder=own,
                sendfile=words[1],
                port=port,
                large=folder / "large",
                small=folder / "small",
            )
        )
        return ["nginx", "-c", str(config)]
    if "granian" in words:
        return [*words, "--port", str(port)]
    if "hypercorn" in words:
        return [*words, "-b", f"127.0.0.1:{port}"]
    return [*words, str(port)]


def start(contestant: Contestant, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        contestant.port = free.getsockname()[1]
    contestant.process = subprocess.Popen(
        command(contestant, folder),
        env={**os.environ, "BENCH_FOLDER": str(folder)},
        cwd=Path(__file__).parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(400):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", contestant.port)).close()
            return
        time.sleep(0.05)
    raise SystemExit(f"{contestant.name} did not start")


# --- measuring ------------------------------------------------------------------------


def cpu_seconds(root: int) -> float:
    """User and system time of a process and all below it."""
    ticks, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
            for task in os.listdir(f"/proc/{pid}/task"):
                children = Path(f"/proc/{pid}/task/{task}/children").read_text()
                waiting += map(int, children.split())
    return ticks / TICK


def fetch(connection: socket.socket, target: str, byte_range: tuple[int, int] | None) -> int:
    """One request; the bytes of its answer."""
    line = f"Range: bytes={byte_range[0]}-{byte_range[1] - 1}\r\n" if byte_range else ""
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: bench\r\n{line}\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, rest = received.partition(b"\r\n\r\n")
    if head.split()[1] not in (b"200", b"206"):
        raise SystemExit(head.decode("latin-1"))
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    left = length - len(rest)
    scratch = bytearray(MIB)
    while left:
        got = connection.recv_into(scratch, min(left, MIB), socket.MSG_TRUNC)
        if not got:
            raise SystemExit("the connection ended early")
        left -= got
    return length


def visit(contestant: Contestant, target: str, size: int) -> None:
    """One round of large bodies."""
    assert contestant.process is not None
    with socket.create_connection(("127.0.0.1", contestant.port)) as connection:
        fetch(connection, target, (0, MIB) if contestant.ranges else None)
        for kind, step in RANGES.items():
            if step and not contestant.ranges:
                continue
            before, began, moved = cpu_seconds(contestant.process.pid), time.perf_counter(), 0
            for first in range(0, size, step or size):
                last = min(first + step, size)
                moved += fetch(connection, target, (first, last) if step else None)
            used = cpu_seconds(contestant.process.pid) - before
            contestant.cpu[kind].append(used / (moved / 1e9))
            if not step:
                contestant.speed.append(moved / 1e6 / (time.perf_counter() - began))


def visit_small(contestant: Contestant, target: str, count: int = 1000) -> None:
    """One round of 4 KiB bodies, one after the other on one connection."""
    assert contestant.process is not None
    with socket.create_connection(("127.0.0.1", contestant.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        before = cpu_seconds(contestant.process.pid)
        for _ in range(count):
            fetch(connection, target, None)
        used = cpu_seconds(contestant.process.pid) - before
        contestant.small.append(used / count * 1e6)


def make_objects(folder: Path, size: int) -> dict[str, str]:
    """Files and objects of the same bytes; the targets of links to the objects."""
    import storage_core

    block = os.urandom(MIB)
    with open(folder / "large", "wb") as file:
        file.writelines(block for _ in range(size // MIB))
    (folder / "small").write_bytes(block[:4096])
    links = {"base_url": "http://127.0.0.1"}
    profile = {"driver": "local", "root": str(folder / "root"), "links": links}
    targets = {}
    with storage_core.open(config=profile) as storage:
        bucket = storage.create_bucket("bench")
        for name in ("large", "small"):
            with open(folder / name, "rb") as body:
                bucket.put(name, body)
            parts = urlsplit(bucket.presign(name, expires_in=7 * 86400).url)
            targets[name] = f"{parts.path}?{parts.query}"
    return targets


def report(done: list[Contestant], *, small: bool) -> None:
    median = {c.name: statistics.median(c.cpu["whole"]) for c in done if c.cpu["whole"]}
    reference = median.get("nginx, sendfile off")
    titles = "".join(f"{kind:>10}" for kind in RANGES)
    print(f"{'CPU seconds per GB':34}{titles}{'x nginx':>10}{'MB/s':>8}")
    for contestant in done:
        cells = "".join(
            f"{statistics.median(values):10.3f}" if values else f"{'-':>10}"
            for values in contestant.cpu.values()
        )
        ratio = f"{median[contestant.name] / reference:10.2f}" if reference else f"{'?':>10}"
        print(f"{contestant.name:34}{cells}{ratio}{statistics.median(contestant.speed):8.0f}")
    if not reference:
        print("no nginx to compare with: apt install nginx-light")
    if small:
        print(f"\n{'CPU microseconds per 4 KiB get':34}")
        for contestant in done:
            print(f"{contestant.name:34}{statistics.median(contestant.small):10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--only", default="", help="contestants whose name holds this, and nginx")
    parser.add_argument("--small", action="store_true", help="4 KiB objects too")
    parser.add_argument("--run", nargs=2, metavar=("NAME", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers are stopped on the way out
    if options.run:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        run(options.run[0], int(options.run[1]))
        return
    chosen = [c for c in contestants() if options.only in c.name or "nginx" in c.name]
    size = options.size * MIB
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        targets = make_objects(folder, size)
        try:
            for contestant in chosen:
                start(contestant, folder)
            for _ in range(options.rounds):
                for contestant in chosen:
                    visit(contestant, targets["large"] if contestant.links else "/large", size)
                    if options.small:
                        target = targets["small"] if contestant.links else "/small"
                        visit_small(contestant, target)
        finally:
            for contestant in chosen:
                if contestant.process is not None:
                    contestant.process.send_signal(signal.SIGTERM)
            for contestant in chosen:
                if contestant.process is not None:
                    contestant.process.wait(20)
        report(chosen, small=options.small)


if __name__ == "__main__":
    main()
