"""HTTP transports side by side: ours, the libraries', and bare sockets as the floor.

    python benchmarks/transports.py [--quick] [TASK ...]

The service (`_s3_server.c`) is compiled and started here. Contenders take turns in every
round; figures are medians of the client's CPU, per operation or per GB, and the ratio to bare
sockets, which check and parse nothing. Compare ratios within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import itertools
import os
import socket
import statistics
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp
import urllib3

from benchmarks._s3_server import Server
from storage_core.http import HttpSettings, Origin, Request, Transport, open_transport
from storage_core.runtime import drive

KIB = bytes(1024)
PIECE = 256 * 1024
HEADERS = {
    "x-amz-date": "20260101T000000Z",
    "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
    "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request,"
    " SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=" + "0" * 64,
}


@dataclass(frozen=True)
class Task:
    """What each contender does.

    Attributes:
        method: GET, HEAD or PUT.
        count: Operations in a round.
        width: How many at a time; more than one is for asyncio alone.
        size: Bytes of the body; it is streamed in pieces if it is large.
    """

    name: str
    method: str
    count: int
    width: int = 1
    size: int = 1024

    @property
    def large(self) -> bool:
        return self.size > PIECE

    @property
    def target(self) -> str:
        return f"/bucket/key-{self.size}"


class Pieces:
    """A large body."""

    begun = False

    def __init__(self, size: int) -> None:
        self.size = size

    async def __aiter__(self):
        for piece in pieces(self.size):
            yield piece


def pieces(size: int):
    return itertools.repeat(bytes(PIECE), size // PIECE)


# --- contenders ---------------------------------------------------------------------------


def sockets(url: str) -> Callable[[Task], None]:
    """No parser: the floor."""
    origin = Origin.of(url)
    sock = socket.create_connection((origin.host, origin.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    fields = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    buffer = bytearray(1024 * 1024)

    def run(task: Task) -> None:
        length = f"Content-Length: {task.size}\r\n" if task.method == "PUT" else ""
        head = f"{task.method} {task.target} HTTP/1.1\r\nHost: {origin.authority}\r\n"
        small = KIB if task.method == "PUT" and not task.large else b""
        data = (head + fields + length + "\r\n").encode() + small
        expected = task.size if task.method == "GET" else 0
        for _ in range(task.count):
            sock.sendall(data)
            if task.method == "PUT" and task.large:
                for piece in pieces(task.size):
                    sock.sendall(piece)
            got = sock.recv(65536)
            left = expected - (len(got) - got.index(b"\r\n\r\n") - 4)
            while left:
                left -= sock.recv_into(buffer, min(left, len(buffer)))

    return run


async def one(transport: Transport, asked: Request, large: bool) -> None:
    """One operation by our interface."""
    response = await transport.send(asked)
    assert response.status == 200
    if large:
        while await response.read(PIECE):
            pass
    elif response.data is None:
        await response.body(2048)


def asked(task: Task, origin: Origin) -> Request:
    body = (Pieces(task.size) if task.large else KIB) if task.method == "PUT" else None
    return Request(task.method, origin, task.target, HEADERS, body)


def ours(transport: str) -> Callable[[str], Callable[[Task], None]]:
    def open_one(url: str) -> Callable[[Task], None]:
        origin = Origin.of(url)
        settings = HttpSettings(transport=transport, trust_env=False)  # type: ignore[arg-type]
        opened = drive(open_transport("blocking", settings))

        def run(task: Task) -> None:
            for _ in range(task.count):
                drive(one(opened, asked(task, origin), task.large))

        return run

    return open_one


def by_urllib3(url: str) -> Callable[[Task], None]:
    pool = urllib3.connection_from_url(url, retries=False)

    def run(task: Task) -> None:
        for _ in range(task.count):
            body = KIB if not task.large else pieces(task.size)
            headers = HEADERS | {"Content-Length": str(task.size)}
            put = task.method == "PUT"
            answer = pool.urlopen(
                task.method, task.target, body=body if put else None,
                headers=headers if put else HEADERS, preload_content=not task.large,
            )  # fmt: skip
            if task.large:
                while answer.read(PIECE):
                    pass
                answer.release_conn()

    return run


def by_httpx(url: str) -> Callable[[Task], None]:
    import httpx  # type: ignore[import-not-found]

    client = httpx.Client(base_url=url, trust_env=False, timeout=60)

    def run(task: Task) -> None:
        for _ in range(task.count):
            if task.method == "PUT":
                body = pieces(task.size) if task.large else KIB
                headers = HEADERS | {"Content-Length": str(task.size)}
                client.put(task.target, content=body, headers=headers)
                continue
            with client.stream(task.method, task.target, headers=HEADERS) as answer:
                for _ in answer.iter_raw():
                    pass

    return run


Main = Callable[[str, Task], Coroutine[Any, Any, float]]


async def spread(task: Task, work: Callable[[], Coroutine[Any, Any, None]]) -> float:
    """Do the work in ``width`` tasks; CPU seconds."""

    async def several() -> None:
        for _ in range(task.count // task.width):
            await work()

    # Connections, imports and the like come before.
    await asyncio.gather(*(work() for _ in range(task.width)))
    begun = time.process_time()
    await asyncio.gather(*(several() for _ in range(task.width)))
    return time.process_time() - begun


def ours_async(transport: str) -> Main:
    async def main(url: str, task: Task) -> float:
        origin = Origin.of(url)
        settings = HttpSettings(transport=transport, trust_env=False)  # type: ignore[arg-type]
        opened = await open_transport("asyncio", settings)
        try:
            return await spread(task, lambda: one(opened, asked(task, origin), task.large))
        finally:
            await opened.close()

    return main


async def by_aiohttp(url: str, task: Task) -> float:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=128)) as session:

        async def work() -> None:
            data: Any = None
            headers = HEADERS
            if task.method == "PUT":
                data = Pieces(task.size).__aiter__() if task.large else KIB
                headers = HEADERS | {"Content-Length": str(task.size)}
            async with session.request(
                task.method, url + task.target, data=data, headers=headers
            ) as answer:
                if task.large:
                    async for _ in answer.content.iter_any():
                        pass
                else:
                    await answer.read()

        return await spread(task, work)


BLOCKING: dict[str, Callable[[str], Callable[[Task], None]]] = {
    "sockets": sockets,
    "lean": ours("lean"),
    "library transport (urllib3)": ours("library"),
    "urllib3": by_urllib3,
}
if importlib.util.find_spec("httpx") is not None:
    BLOCKING["httpx"] = by_httpx
ASYNC: dict[str, Main] = {
    "lean": ours_async("lean"),
    "library transport (aiohttp)": ours_async("library"),
    "aiohttp": by_aiohttp,
}


def loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    import uvloop

    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


# --- measuring ----------------------------------------------------------------------------


def contenders(url: str, task: Task) -> dict[str, Callable[[], float]]:
    """CPU seconds of one round, by name."""
    found: dict[str, Callable[[], float]] = {}

    def timed(run: Callable[[Task], None]) -> Callable[[], float]:
        def measure() -> float:
            begun = time.process_time()
            run(task)
            return time.process_time() - begun

        return measure

    for name, make in BLOCKING.items():
        if task.width == 1 or name == "sockets":
            run = make(url)
            run(Task(task.name, task.method, 1, 1, task.size))
            found[name if name == "sockets" else f"blocking {name}"] = timed(run)
    for loop_name, factory in loops().items():
        for name, main in ASYNC.items():

            def measure(main: Main = main, factory: Any = factory) -> float:
                with asyncio.Runner(loop_factory=factory) as runner:
                    return runner.run(main(url, task))

            found[f"{loop_name} {name}"] = measure
    return found


def show(url: str, task: Task, rounds: int) -> None:
    """One table."""
    taken: dict[str, list[float]] = {}
    measures = contenders(url, task)
    for _ in range(rounds):
        for name, measure in measures.items():
            taken.setdefault(name, []).append(measure())
    unit, scale = ("s CPU per GB", 1e9 / task.size) if task.large else ("us CPU", 1e6 / task.count)
    floor = statistics.median(taken["sockets"])
    print(f"\n{task.name}, {unit} (x sockets), median of {rounds} rounds")
    for name, values in sorted(taken.items(), key=lambda item: statistics.median(item[1])):
        middle = statistics.median(values)
        print(f"  {name:40} {middle * scale:9.2f}  {middle / floor:6.2f}")


def main() -> None:
    """Run the tasks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller")
    parser.add_argument("tasks", nargs="*", help="names or parts of names; all by default")
    options = parser.parse_args()
    few, rounds = (320, 5) if options.quick else (1920, 11)
    large = (1 << 28) if options.quick else (1 << 30)
    tasks = [
        *(
            Task(f"{method} 1 KiB, {width} at a time", method, few, width)
            for width in (1, 64)
            for method in ("GET", "HEAD", "PUT")
        ),
        Task("GET large, streamed", "GET", 1, size=large),
        Task("PUT large, streamed", "PUT", 1, size=large),
    ]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with Server() as server:
        for task in tasks:
            if not options.tasks or any(part in task.name for part in options.tasks):
                show(server.url, task, 3 if task.large else rounds)


if __name__ == "__main__":
    main()
