"""What a gateway can be told: the table ``[gateway]``, or arguments in code.

The annotations hold the bounds that a configuration is checked against; the docstrings are
what its reference and JSON schema say. Nothing here imports pydantic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from annotated_types import Ge, Gt, Le

from storage_core.core.settings import PYDANTIC
from storage_core.errors import ConfigError

GIB: Final = 1024**3
MIB: Final = 1024**2
MAX_LINK_SECONDS: Final = 7 * 24 * 3600

FacadeName: TypeAlias = Literal["z3", "appfile"]

_MOUNT = re.compile(r"(?:/[A-Za-z0-9._~-]+)+", re.ASCII)
_RESERVED = frozenset(("o", "p", "health", "ready", "metrics", "openapi.json", "docs"))


class SettingError(ConfigError, ValueError):
    """A value that can not work; a ValueError too, which pydantic gives its place."""


class SecretText:
    """Marks text that is never shown."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(core_schema), "format": "password"}


Secret: TypeAlias = Annotated[str, SecretText()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Z3Settings:
    """Settings of the facade `z3`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = PYDANTIC

    path: str = "/v1/z3"
    """Path below which its routes lie."""
    profile: str = ""
    """Profile that keeps the objects; empty for the first one served."""
    bucket: str = ""
    """Physical bucket that all logical buckets share, each as a prefix. Empty: each logical
    bucket has a physical one of its own."""
    link_seconds: Annotated[int, Ge(1), Le(MAX_LINK_SECONDS)] = 900
    """Life of the links it makes."""

    def __post_init__(self) -> None:
        segments = self.path.split("/")
        bad = set(segments) & {".", ".."} or _RESERVED & {*segments[1:2]}
        if not _MOUNT.fullmatch(self.path) or bad:
            raise SettingError(
                "z3.path must begin with '/', not end with it, and be none of the gateway's own"
                f" paths ({', '.join(sorted(_RESERVED))})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSettings:
    """Settings of the file import: the facade `appfile` and its workers."""

    __pydantic_config__: ClassVar[dict[str, Any]] = PYDANTIC

    file_types: tuple[str, ...] = ("cc5",)
    """File types that the facade takes, by the names of their importers."""
    workers: Annotated[int, Ge(0), Le(64)] = 1
    """Threads in each gateway process that import; 0 leaves it to `storage imports work`."""
    database: Secret = field(default="", repr=False)
    """Where imported rows go: a URL as of `gateway.database`. Empty: `imported.db` beside the
    gateway's SQLite, or the gateway's own PostgreSQL."""
    link_seconds: Annotated[int, Ge(1), Le(MAX_LINK_SECONDS)] = 900
    """Life of upload links."""
    lease_seconds: Annotated[float, Gt(0), Le(86400)] = 60.0
    """Seconds after which a job of a worker that gave no sign of life is taken by another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Settings of a gateway.

    Raises:
        ConfigError: a value that can not work.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = PYDANTIC

    base_url: str | None = None
    """Where clients reach the gateway, such as `https://files.example.org`; links it makes
    begin with it. Without one, the address it listens at."""
    profiles: tuple[str, ...] = ()
    """Profiles it serves; the default profile when empty. Links of the first one lie at
    `/o/…`, those of every other one at `/p/NAME/o/…`."""
    facades: tuple[FacadeName, ...] = ()
    """Services it offers. Without any it redeems links and needs no database."""
    database: Secret = field(default="", repr=False)
    """Where projects, credentials, policies and jobs are kept: `sqlite:///PATH`, or
    `postgresql://USER:PASSWORD@HOST/NAME` when there is more than one gateway. Empty: an
    SQLite database in the user's data folder."""
    log_format: Literal["text", "json"] = "text"
    """How `storage serve` writes its log: lines for people, or a JSON object a line."""
    metrics: bool = True
    """Whether figures are kept and shown at `/metrics`. Only a gateway with facades has them."""
    tracing: bool = False
    """Whether spans are sent by OpenTelemetry, which `OTEL_…` variables say the way to."""
    requests_per_minute: Annotated[int, Gt(0)] | None = None
    """Requests of one client a minute, in each process; further ones are answered 429. A
    client is a credential, or an address where there is none."""
    max_client_requests: Annotated[int, Gt(0)] | None = None
    """Requests of one client at a time, in each process; further ones are answered 429."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose `X-Forwarded-For` is believed; `*` for all, as over a Unix
    socket."""
    max_json_body: Annotated[int, Gt(0)] = MIB
    """Largest JSON body in bytes; a larger one is answered 413."""
    max_body_size: Annotated[int, Gt(0)] = 5 * GIB
    """Largest body of an upload in bytes; a larger one is answered 413."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may use the gateway, such as `https://app.example.org`, or `*` for
    all. Empty: browsers only follow links."""
    root_path: str = ""
    """Path below which a proxy in front publishes the gateway without removing it, such as
    `/files`."""
    stall_timeout: Annotated[float, Gt(0)] = 60.0
    """Seconds a client may send nothing of its body, or take nothing of a reply, before it is
    given up."""
    min_rate: Annotated[int, Gt(0)] = 500
    """Bytes per second a client must send of a body on average, not counting the first
    `stall_timeout`, and take of a reply in each one."""
    drain_timeout: Annotated[float, Gt(0)] = 30.0
    """Seconds that transfers under way have to end after a stop was asked."""
    max_connections: Annotated[int, Gt(0)] | None = 256
    """Connections and requests at a time in one process, further ones being answered 503. A
    transfer needs up to three descriptors, and an upload to a storage that blocks a thread."""
    z3: Z3Settings = field(default_factory=Z3Settings)
    """The facade `z3`."""
    imports: ImportSettings = field(default_factory=ImportSettings)
    """The file import."""

    def __post_init__(self) -> None:
        if self.root_path and (self.root_path[0] != "/" or self.root_path[-1] == "/"):
            raise SettingError(
                f"root_path {self.root_path!r} must begin with '/' and not end with it"
            )
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise SettingError(f"{name} is {value}; it must be positive")
        for name in ("profiles", "facades"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise SettingError(f"{name} names one twice")
        for proxy in self.trusted_proxies:
            _check_proxy(proxy)
        if self.base_url is not None:
            object.__setattr__(self, "base_url", _base_url(self.base_url))

    def database_url(self) -> str:
        """`database`, or where it is by default: beside the folder of the profile ``local``,
        which can not hold anything else.

        Raises:
            ConfigError: there is no home directory.
        """
        if self.database:
            return self.database
        from storage_core.config.discover import user_data_folder

        folder = user_data_folder()
        return f"sqlite:///{folder.with_name(f'{folder.name}-gateway') / 'state.db'}"


_POSITIVE: Final = (
    "requests_per_minute",
    "max_client_requests",
    "max_json_body",
    "max_body_size",
    "stall_timeout",
    "min_rate",
    "drain_timeout",
    "max_connections",
)

SECRETS: Final = frozenset({("database",), ("imports", "database")})
"""Keys of the table that are never shown."""


def _check_proxy(text: str) -> None:
    from ipaddress import ip_network

    if text == "*":
        return
    try:
        ip_network(text)
    except ValueError as error:
        raise SettingError(
            f"trusted_proxies must be addresses, networks such as 10.0.0.0/8, or '*': {error}"
        ) from None


def _base_url(text: str) -> str:
    from storage_core.core.settings import LinkSettings

    try:
        return LinkSettings(base_url=text).base_url or text
    except ValueError as error:
        raise SettingError(str(error).removeprefix("links.")) from None
