"""The clients run, say what they are, and the snippets send what their pages show."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import clients
from tests.clients import SNIPPETS
from tests.clients.fixtures import Node

CSV = "fruit-and-vegetable-consumption-in-california-residents-2012-2013-.csv"


class Recorder(BaseHTTPRequestHandler):
    """Answers everything with a signed URL to itself, and keeps what it was sent."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, dict[str, str], bytes]]

    def answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen.append((self.command, self.path, headers, self.body()))
        body = json.dumps({"signedUrl": f"http://{self.headers['host']}/signed"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = answer  # noqa: N815 - names of the base class

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def recorder() -> Iterator[tuple[str, list[tuple[str, str, dict[str, str], bytes]]]]:
    seen: list[tuple[str, str, dict[str, str], bytes]] = []
    handler = type("Handler", (Recorder,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()


def test_scripts_have_the_packages_arguments_and_variables(node: Node, tmp_path: Path):
    script = tmp_path / "script.js"
    script.write_text(
        'const { default: Oystehr } = require("@oystehr/sdk");\n'
        'const axios = require("axios");\n'
        "console.log(typeof Oystehr, axios.VERSION, process.argv[2], process.env.COLOR);\n"
    )
    done = node(script, "an argument", env={"COLOR": "green"})
    wanted = json.loads((clients.PACKAGES / "package.json").read_text())["dependencies"]
    assert done.stdout == f"function {wanted['axios']} an argument green\n", done.stderr


def test_a_script_that_fails_or_hangs(node: Node, tmp_path: Path):
    script = tmp_path / "script.js"
    script.write_text("console.error('no'); process.exitCode = 3;")
    done = node(script)
    assert (done.returncode, done.stderr) == (3, "no\n")
    script.write_text("setInterval(() => {}, 1000);")
    with pytest.raises(subprocess.TimeoutExpired):
        node(script, timeout=1)


def test_the_import_example_streams_without_a_length(node: Node, tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 1000)
    with recorder() as (url, seen):
        done = node(SNIPPETS / "appfile_upload.js", f"{url}/k?sig=1", file)
    assert done.stdout == "File uploaded successfully: 200\n", done.stderr
    ((method, path, headers, body),) = seen
    assert (method, path, body) == ("PUT", "/k?sig=1", file.read_bytes())
    assert headers["content-type"] == "application/octet-stream"
    assert headers["transfer-encoding"] == "chunked"


def test_the_keg_example_sends_its_content_type(node: Node, tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1000)
    with recorder() as (url, seen):
        done = node(SNIPPETS / "keg_upload.js", f"{url}/k?sig=1", file)
    assert done.stdout == "200\n", done.stderr
    ((method, path, headers, body),) = seen
    assert (method, path, body) == ("PUT", "/k?sig=1", file.read_bytes())
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-length"] == "1000"


def test_the_z3_example_goes_all_its_way(tmp_path: Path):
    (tmp_path / CSV).write_bytes(b"Year,Age Group\r\n2012,Adolescent (12-17)\r\n")
    with recorder() as (url, seen):
        done = subprocess.run(
            [sys.executable, SNIPPETS / "z3.py", url, "a-token"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2] == f"{url}/signed"
    bucket = "/v1/z3/fruit-vegetables"
    assert [(method, path) for method, path, _, _ in seen] == [
        ("PUT", bucket),
        ("POST", f"{bucket}/{CSV}"),
        ("PUT", "/signed"),
        ("POST", f"{bucket}/{CSV}"),
        ("GET", bucket),
    ]
    assert seen[0][2]["authorization"] == "Bearer a-token"
    assert "content-type" not in seen[1][2]
    assert seen[1][3] == b'{"action": "upload"}'
    assert "content-type" not in seen[2][2]
    assert seen[2][3] == (tmp_path / CSV).read_bytes()
