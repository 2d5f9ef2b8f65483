"""``storage serve``: the gateway."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from typing import TYPE_CHECKING, Literal

from storage_core.cli.session import Session, This

if TYPE_CHECKING:
    from storage_core.gateway import GatewaySettings, Listener


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    unix: str | None = None,
    workers: int = 1,
    facade: list[Literal["z3", "appfile"]] | None = None,
    database: str | None = None,
    base_url: str | None = None,
    cors_origin: list[str] | None = None,
    max_body_size: int | None = None,
    max_connections: int | None = None,
    root_path: str | None = None,
    session: This,
) -> None:
    """Serve presigned links of profiles, and services on them, until interrupted.

    The table [gateway] of the configuration says the rest, and what no option here does. The
    server speaks plain HTTP: put a proxy with TLS before it, and set gateway.base_url, and
    links.base_url of the profiles, to the proxy's address. Without that setting links lead to
    this server directly.

    With a facade it needs a database; the first start on an empty one shows the token of the
    user admin, once.

    Args:
        host: Address to listen at; only this machine reaches the default.
        port: Port to listen at; 0 takes a free one. The address is shown.
        unix: Listen at a Unix socket of this name instead.
        workers: Processes that serve.
        facade: Service to offer; may be repeated.
        database: URL of the services' database, such as sqlite:////srv/state.db. One that
            holds a password belongs in $STORAGE_GATEWAY__DATABASE: others see arguments.
        base_url: Where clients reach it, such as https://files.example.org.
        cors_origin: Origin whose pages may use it, such as https://app.example.org; may be
            repeated.
        max_body_size: Largest body of an upload, in bytes.
        max_connections: Connections that each of the processes serves at a time.
        root_path: Path below which a proxy publishes the server, such as /files.
    """
    from storage_core.gateway import ServedProfile, listen, prepare
    from storage_core.gateway import serve as run
    from storage_core.gateway.logs import configure

    given = {
        "facades": None if facade is None else tuple(facade),
        "database": database,
        "base_url": base_url,
        "cors_origins": None if cors_origin is None else tuple(cors_origin),
        "max_body_size": max_body_size,
        "max_connections": max_connections,
        "root_path": root_path,
    }
    settings = dataclasses.replace(
        session.config.gateway(),
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
    )
    configure(settings.log_format, logging.WARNING if session.out.quiet else logging.INFO)
    names = _profiles(session, settings)
    for name in names:
        session.storage(name)  # what is wrong with a profile is told before the address
    listener = listen(host, port, unix=unix)
    try:
        listener.check(settings)  # before a token is made and shown
        token = prepare(settings)
        _announce(session, settings, names, listener, token)
    except BaseException:
        listener.close()
        raise
    sources = [ServedProfile(name, session.config_path) for name in names]
    run(sources, listener, workers=workers, settings=settings)


def _profiles(session: Session, settings: GatewaySettings) -> tuple[str, ...]:
    """The profile of ``--profile``, else those of the configuration."""
    if session.profile is not None or not settings.profiles:
        return (session.profile_name(),)
    return settings.profiles


def _announce(
    session: Session,
    settings: GatewaySettings,
    names: tuple[str, ...],
    listener: Listener,
    token: str | None,
) -> None:
    out = session.out
    if token is not None:  # the only time that anybody sees it, so also when quiet
        out.result(
            {"project": "default", "user": "admin", "token": token},
            f"token of the user admin, shown this once: {token}",
        )
    place = listener.base_url if listener.unix is None else f"unix:{listener.unix}"
    services = f" with {', '.join(settings.facades)}" if settings.facades else ""
    out.done(
        {
            "serving": names[0],
            "profiles": list(names),
            "facades": list(settings.facades),
            "address": place,
            "pid": os.getpid(),
        },
        f"serving {', '.join(names)}{services} at {place}",
    )
    for number, name in enumerate(names if listener.unix is None else ()):
        if session.config.profile(name).links.base_url is None:
            url = place if number == 0 else f"{place}/p/{name}"
            out.note(f'other processes make links for it with links.base_url = "{url}"')
    sys.stdout.flush()  # whoever started the server may wait for the address
