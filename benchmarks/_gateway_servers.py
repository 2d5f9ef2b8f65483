"""Servers of one file, as `gateway.py` measures them: each a process of its own on the loopback.

python benchmarks/_gateway_servers.py APPLICATION PORT   (an application of this file)
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

LINK_SECRET = "a secret of the benchmarks, thirty-two bytes"

COMMAND = "import sys; from storage_core.cli import main; sys.exit(main())"

NGINX = """
daemon off; worker_processes 1; user root; pid {folder}/pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off; sendfile {sendfile}; keepalive_requests 1000000000;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port}; location / {{ root {files}; }} }}
}}
"""


@dataclass
class Contestant:
    """A server under measurement.

    Attributes:
        kind: ``nginx``, ``gateway`` or ``peer``.
        words: What to start it with, further than the kind says.
        links: Profile whose links it takes; None for plain paths.
        ranges: Whether it can answer them.
        process: It, once started.
    """

    name: str
    kind: str
    words: tuple[str, ...] = ()
    links: str | None = None
    ranges: bool = True
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


def contestants(*, peers: bool) -> Iterator[Contestant]:
    """nginx, the gateway on disk and on S3, and what else serves files, if asked for."""
    if shutil.which("nginx"):
        yield Contestant("nginx, sendfile off", "nginx", ("off",))
        yield Contestant("nginx, sendfile on", "nginx", ("on",))
    else:
        print("skipped: nginx is not here, so there is no reference (apt install nginx-light)")
    yield Contestant("gateway, local disk", "gateway", links="disk")
    yield Contestant("gateway, S3", "gateway", links="s3")
    if not peers:
        return
    me = (sys.executable, __file__)
    yield Contestant("gateway without sendfile", "peer", (*me, "without sendfile"), links="disk")
    yield Contestant("uvicorn, 256 KiB pieces", "peer", (*me, "pieces"))
    yield Contestant("uvicorn, FileResponse", "peer", (*me, "FileResponse"))
    if find_spec("granian"):
        granian = (sys.executable, "-m", "granian", "--interface", "asgi", "--log-level", "error")
        application = "_gateway_servers:{}"
        yield Contestant(
            "granian, 256 KiB pieces", "peer", (*granian, application.format("pieces"))
        )
        by_path = (*granian, application.format("by_path"))
        yield Contestant("granian, pathsend", "peer", by_path, ranges=False)
    if find_spec("hypercorn"):
        hypercorn = (sys.executable, "-m", "hypercorn", "-k", "uvloop", "_gateway_servers:pieces")
        yield Contestant("hypercorn, 256 KiB pieces", "peer", hypercorn)


class Servers:
    """``with Servers(chosen, s3_url) as folder:`` runs them over the files of ``folder/files``
    and the profiles of ``folder/storage.toml``.

    Args:
        chosen: Gets ports and processes.
        s3_url: The service behind the profile ``s3``.
    """

    def __init__(self, chosen: list[Contestant], s3_url: str) -> None:
        self._chosen = chosen
        self._s3_url = s3_url

    def __enter__(self) -> Path:
        self._temporary = tempfile.TemporaryDirectory()
        folder = Path(self._temporary.name)
        folder.chmod(0o755)
        (folder / "files").mkdir()
        (folder / "storage.toml").write_text(_configuration(folder, self._s3_url))
        try:
            for contestant in self._chosen:
                _start(contestant, folder)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return folder

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        running = [one.process for one in self._chosen if one.process is not None]
        for process in running:
            process.terminate()
        for process in running:
            process.wait(40)
        self._temporary.cleanup()


def _configuration(folder: Path, s3_url: str) -> str:
    # JSON's strings are TOML's. Nothing is synced: it is not the disk that is measured.
    def text(value: object) -> str:
        return json.dumps(str(value))

    links = f'route = "gateway"\nbase_url = "http://bench"\nkeys = {{ k = {text(LINK_SECRET)} }}'
    return "\n".join(
        (
            '[profiles.disk]\ndriver = "local"\nfsync = false',
            f"root = {text(folder / 'root')}",
            f"[profiles.disk.links]\n{links}",
            f'[profiles.s3]\ndriver = "s3"\nregion = "us-east-1"\nendpoint_url = {text(s3_url)}',
            'access_key_id = "AKIDEXAMPLE"\nsecret_access_key = "secret"',
            f"[profiles.s3.links]\n{links}",
        )
    )


def _start(contestant: Contestant, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        contestant.port = free.getsockname()[1]
    with open(folder / "log", "ab") as log:
        contestant.process = subprocess.Popen(
            _command(contestant, folder),
            env={**os.environ, "BENCH_FOLDER": str(folder)},
            cwd=Path(__file__).parent,
            stdout=log,
            stderr=log,
        )
    for _ in range(600):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", contestant.port)).close()
            return
        if contestant.process.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"{contestant.name} did not start: {(folder / 'log').read_text()[-2000:]}")


def _command(contestant: Contestant, folder: Path) -> list[str]:
    """What starts it on its port."""
    port = str(contestant.port)
    if contestant.kind == "nginx":
        own = folder / f"nginx-{contestant.words[0]}"
        own.mkdir()
        config = own / "nginx.conf"
        values = {"folder": own, "files": folder / "files", "port": port}
        config.write_text(NGINX.format(sendfile=contestant.words[0], **values))
        return ["nginx", "-c", str(config)]
    if contestant.kind == "gateway":
        assert contestant.links is not None
        place = ["--config", str(folder / "storage.toml"), "--profile", contestant.links]
        return [sys.executable, "-c", COMMAND, "serve", *place, "--port", port]
    flags = {"granian": ["--port", port], "hypercorn": ["-b", f"127.0.0.1:{port}"]}
    module = contestant.words[2] if contestant.words[1] == "-m" else ""
    return [*contestant.words, *flags.get(module, [port])]


def cpu_seconds(root: int) -> float:
    """CPU time of a process and all below it, with what their ended threads used."""
    total, waiting = 0.0, [root]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError):
            # The clock of a process, as clock_getcpuclockid(3) has it: finer than ``stat``.
            total += time.clock_gettime(~pid << 3 | 2)
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return total


class Client:
    """The compiled `_http_client.c`."""

    def __enter__(self) -> Client:
        self._folder = tempfile.TemporaryDirectory()
        self._program = Path(self._folder.name) / "http_client"
        source = Path(__file__).with_name("_http_client.c")
        compiler = shlex.split(os.environ.get("CC", "cc"))
        subprocess.run([*compiler, "-O2", "-o", self._program, source], check=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def run(self, port: int, requests: bytes, count: int, connections: int) -> dict[str, float]:
        """Send ``count`` of the requests, in turns; what the program tells."""
        words = [str(self._program), str(port), str(connections), str(count)]
        done = subprocess.run(words, input=requests, stdout=subprocess.PIPE, check=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found


# --- applications that send a file in ordinary ways -----------------------------------


async def pieces(scope: MutableMapping[str, Any], _receive: Any, send: Any) -> None:
    """256 KiB at a time, read on the loop: the least an application in Python can do."""
    fd = os.open(os.environ["BENCH_FOLDER"] + "/files" + scope["path"], os.O_RDONLY)
    try:
        start, stop, headers = 0, os.fstat(fd).st_size, dict(scope["headers"])
        status = 200
        if b"range" in headers:
            start, last = map(int, headers[b"range"].removeprefix(b"bytes=").split(b"-"))
            stop, status = last + 1, 206
        length = [(b"content-length", b"%d" % (stop - start))]
        await send({"type": "http.response.start", "status": status, "headers": length})
        while start < stop:
            data = os.pread(fd, min(256 * 1024, stop - start), start)
            start += len(data)
            await send({"type": "http.response.body", "body": data, "more_body": start < stop})
    finally:
        os.close(fd)


async def by_path(scope: MutableMapping[str, Any], _receive: Any, send: Any) -> None:
    """ASGI's ``http.response.pathsend``, which knows no ranges."""
    path = os.environ["BENCH_FOLDER"] + "/files" + scope["path"]
    length = [(b"content-length", b"%d" % os.path.getsize(path))]  # noqa: ASYNC240
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.pathsend", "path": path})


async def file_response(scope: Any, receive: Any, send: Any) -> None:
    """Starlette's own."""
    from starlette.responses import FileResponse

    path = os.environ["BENCH_FOLDER"] + "/files" + scope["path"]
    await FileResponse(path)(scope, receive, send)


def serve(name: str, port: int) -> None:
    """Be a server of this file."""
    if name == "without sendfile":
        from storage_core.gateway import ServedProfile, listen, protocol
        from storage_core.gateway import serve as serve_links

        vars(protocol)["ZERO_COPY"] = "none"  # the application finds no extension it knows
        config = os.environ["BENCH_FOLDER"] + "/storage.toml"
        serve_links(ServedProfile("disk", config), listen("127.0.0.1", port))
        return
    import uvicorn

    app = {"pieces": pieces, "FileResponse": file_response}[name]
    uvicorn.run(app, port=port, access_log=False, log_level="warning", lifespan="off")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
