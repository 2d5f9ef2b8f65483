"""A real SFTP server on a free port of the loopback interface, below one folder.

python -m tests.fsspec.sftp_server FOLDER      prints its port and serves until it is stopped
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PASSWORD = "secret"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[dict[str, Any]]:
    """Runs one in a process of its own; the table of a profile."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.fsspec.sftp_server", str(folder)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield {
                "driver": "fsspec",
                "protocol": "sftp",
                "root": "/store",
                "options": {"host": "127.0.0.1", "port": port, "username": "anybody"},
                "secrets": {"password": PASSWORD},
            }
        finally:
            process.terminate()


async def serve(folder: str) -> None:
    import asyncssh

    class Server(asyncssh.SSHServer):
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return password == PASSWORD

    server = await asyncssh.create_server(
        Server,
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=folder.encode()),
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
