"""Start the gate: ``python -m tests.servers.gcs_gate --port 0 --credentials key.json``."""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
import tempfile
from pathlib import Path

import uvicorn

from tests.servers.gcs_gate import VERSION, keys
from tests.servers.gcs_gate.gate import Gate, Options
from tests.servers.gcs_gate.keys import Keyring
from tests.servers.gcs_gate.server import Application


def main() -> None:
    """Listen until stopped; the first line written is the address."""
    arguments = _parser().parse_args()
    # uvicorn stops in order and raises the signal again; the folder has to go after that.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((arguments.host, arguments.port))
    host, port = listener.getsockname()[:2]
    with tempfile.TemporaryDirectory(dir=arguments.spool) as folder:
        options = Options(
            arguments.project, arguments.domain, arguments.rewrite_bytes, arguments.verbose
        )
        gate = Gate(Path(folder), options)
        origin = f"http://{host}:{port}"
        _register(gate, arguments, origin)
        listener.listen(1024)
        if arguments.profiles:
            _write_profiles(gate, Path(arguments.profiles), origin)
        print(origin, flush=True)
        config = uvicorn.Config(
            Application(gate),
            http="httptools",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _register(gate: Gate, arguments: argparse.Namespace, origin: str) -> None:
    """Accounts, their key files, tokens, and keys made elsewhere."""
    project = arguments.project
    for name, role, email, path in arguments.account:
        account = gate.keyring.add(email, project, None if role == "none" else role)
        Path(path).write_text(keys.dump(gate.keyring.new_key(account, origin)))
        gate.keyring.new_token(email, text=f"{name}-token", seconds=10 * 365 * 86400)
    for email, path in arguments.public_key:
        account = gate.keyring.add(email, project, None)
        gate.keyring.add_public_key(account, Path(path).read_bytes())
    for email, access_id, secret in arguments.hmac:
        gate.keyring.hmac[access_id] = (secret, email)
    for email, token, seconds in arguments.token:
        gate.keyring.new_token(email, text=token, seconds=float(seconds))


def _write_profiles(gate: Gate, path: Path, origin: str) -> None:
    """Profiles of the GCS driver: one that may do everything, one whose account has no role,
    one whose key is not that of its account."""
    keyring, project = gate.keyring, gate.options.project
    made = {}
    for name, role in (("default", "roles/storage.admin"), ("denied", None)):
        email = f"{name}@{project}.iam.gserviceaccount.com"
        made[name] = keyring.new_key(keyring.add(email, project, role), origin)
    stranger = Keyring(gate.clock)
    other = stranger.new_key(stranger.add("other", project, None), origin)
    made["wrong_credentials"] = {**made["default"], "private_key": other["private_key"]}
    told = {
        name: {"driver": "gcs", "endpoint_url": origin, "project": project, "token": key}
        for name, key in made.items()
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"version": VERSION, "profiles": told}))
    partial.rename(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.gcs_gate", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--project", default="gate-project")
    parser.add_argument("--domain", default="localhost", help="BUCKET.DOMAIN addresses a bucket")
    parser.add_argument("--spool", default=None, help="folder for bodies above 64 KiB")
    parser.add_argument(
        "--rewrite-bytes",
        type=int,
        default=1 << 30,
        metavar="N",
        help="bytes that one call of rewriteTo copies at most",
    )
    parser.add_argument(
        "--profiles",
        metavar="FILE",
        help="make accounts and write profiles of the GCS driver for them: default, denied and "
        "wrong_credentials",
    )
    parser.add_argument("--verbose", action="store_true", help="a line for each request")
    parser.add_argument(
        "--account",
        action="append",
        default=[],
        nargs=4,
        metavar=("NAME", "ROLE", "EMAIL", "KEYFILE"),
        help='an account: role such as roles/storage.admin or "none"; writes its key file and '
        "registers the token NAME-token",
    )
    parser.add_argument(
        "--public-key",
        action="append",
        default=[],
        nargs=2,
        metavar=("EMAIL", "PEM"),
        help="a key whose private half is elsewhere",
    )
    parser.add_argument(
        "--hmac", action="append", default=[], nargs=3, metavar=("EMAIL", "ID", "SECRET")
    )
    parser.add_argument(
        "--token", action="append", default=[], nargs=3, metavar=("EMAIL", "TOKEN", "SECONDS")
    )
    return parser


if __name__ == "__main__":
    main()
