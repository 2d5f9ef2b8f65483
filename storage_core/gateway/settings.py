"""What a link server can be told."""

from __future__ import annotations

from dataclasses import dataclass

from storage_core.errors import ConfigError

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Settings of a link server.

    Attributes:
        max_body_size: Largest request body in bytes; a larger one is answered 413.
        cors_origins: Origins whose pages may use links, such as ``https://app.example.org``,
            or ``*`` for all. Empty: browsers only follow links.
        root_path: Path below which a proxy in front publishes the server without removing
            it, such as ``/files``.
        stall_timeout: Seconds a client may send nothing of its body, or take nothing of a
            reply, before it is given up.
        min_rate: Bytes per second a client must send of a body on average, not counting the
            first `stall_timeout`, and take of a reply in each one.
        drain_timeout: Seconds that transfers under way have to end after a stop was asked.
        max_connections: Connections and requests at a time in one worker, further ones
            being answered 503. A transfer needs up to three descriptors, and an upload to
            a storage that blocks a thread. None for no limit.

    Raises:
        ConfigError: a value that can not work.
    """

    max_body_size: int = 5 * GIB
    cors_origins: tuple[str, ...] = ()
    root_path: str = ""
    stall_timeout: float = 60.0
    min_rate: int = 500
    drain_timeout: float = 30.0
    max_connections: int | None = 256

    def __post_init__(self) -> None:
        if self.root_path and (self.root_path[0] != "/" or self.root_path[-1] == "/"):
            raise ConfigError(
                f"root_path {self.root_path!r} must begin with '/' and not end with it"
            )
        for name in ("max_body_size", "stall_timeout", "min_rate", "drain_timeout"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive")
        if self.max_connections is not None and self.max_connections < 1:
            raise ConfigError("max_connections must be at least 1")
