"""``storage serve``: the link server."""

import os
import sys

from storage_core.cli.session import Session, This


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    unix: str | None = None,
    workers: int = 1,
    cors_origin: list[str] | None = None,
    max_body_size: int | None = None,
    max_connections: int | None = None,
    root_path: str = "",
    session: This,
) -> None:
    """Serve presigned links of a profile until interrupted.

    The server speaks plain HTTP: put a proxy with TLS before it, and set links.base_url of the
    profile to the proxy's address. Without that setting links lead to this server directly.

    Args:
        host: Address to listen at; only this machine reaches the default.
        port: Port to listen at; 0 takes a free one. The address is shown.
        unix: Listen at a Unix socket of this name instead.
        workers: Processes that serve.
        cors_origin: Origin whose pages may use links, such as https://app.example.org; may be
            repeated.
        max_body_size: Largest body of an upload, in bytes.
        max_connections: Connections that each of the processes serves at a time.
        root_path: Path below which a proxy publishes the server, such as /files.
    """
    from storage_core.gateway import GatewaySettings, ServedProfile, listen
    from storage_core.gateway import serve as run

    default = GatewaySettings()
    settings = GatewaySettings(
        cors_origins=tuple(cors_origin or ()),
        root_path=root_path,
        max_body_size=default.max_body_size if max_body_size is None else max_body_size,
        max_connections=default.max_connections if max_connections is None else max_connections,
    )
    _log_to_standard_error(session)
    name = session.profile_name()
    session.storage()  # what is wrong with the profile is told before the address
    listener = listen(host, port, unix=unix)
    place = listener.base_url if unix is None else f"unix:{unix}"
    session.out.done(
        {"serving": name, "address": place, "pid": os.getpid()},
        f"serving {name} at {place}",
    )
    if unix is None and session.config.profile(name).links.base_url is None:
        session.out.note(f'other processes make links for it with links.base_url = "{place}"')
    sys.stdout.flush()  # whoever started the server may wait for the address
    run(ServedProfile(name, session.config_path), listener, workers=workers, settings=settings)


def _log_to_standard_error(session: Session) -> None:
    import logging

    level = logging.WARNING if session.out.quiet else logging.INFO
    logging.basicConfig(
        stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
