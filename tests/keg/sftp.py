"""A real SFTP server in a thread, which knows one user by his key."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def serving(
    folder: Path, files: Path, methods: dict[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Serve a folder; the arguments of an `SFTPStorage`.

    Args:
        folder: What is served, as the whole of the user's file system.
        files: Where keys are written.
        methods: Of `asyncssh.SFTPServer`, to be had instead of its own.
    """
    import asyncssh

    host_key = asyncssh.generate_private_key("ssh-ed25519")
    user_key = asyncssh.generate_private_key("ssh-ed25519")
    user_key.write_private_key(str(files / "id"))
    user_key.write_public_key(str(files / "id.pub"))

    connections: list[asyncssh.SSHServerConnection] = []

    class Server(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            connections.append(conn)

    sftp_server = type("SFTPServer", (asyncssh.SFTPServer,), methods or {})

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.create_server(
            Server,
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            authorized_client_keys=str(files / "id.pub"),
            sftp_factory=lambda channel: sftp_server(channel, chroot=str(folder).encode()),
        )

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
    port = server.get_port()
    public = host_key.export_public_key().decode().strip()
    (files / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")

    async def stop() -> None:
        server.close()
        await server.wait_closed()
        for connection in connections:
            connection.abort()
            await connection.wait_closed()

    try:
        yield {
            "host": "127.0.0.1",
            "username": "anybody",
            "key_filename": str(files / "id"),
            "known_hosts_fpath": str(files / "known_hosts"),
            "port": port,
        }
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
