"""What a profile says about connections: the table ``http`` of every driver over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Connections of a driver over HTTP: how many, how long, by which way."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "use_attribute_docstrings": True,
    }

    transport: Literal["lean", "library"] = "lean"
    """`lean` is the library's own thin HTTP/1.1; `library` uses urllib3 on the blocking face
    and aiohttp on the async face, for networks that need what only they can do."""
    connect_timeout: Annotated[float, Gt(0)] = 10.0
    """Seconds a connection may take to be made, TLS included."""
    read_timeout: Annotated[float, Gt(0)] = 60.0
    """Seconds without a byte from or to the service after which a request fails."""
    idle_timeout: Annotated[float, Ge(0)] = 50.0
    """Seconds a connection may lie idle and still be used again; 0 uses each only once."""
    max_connections: Annotated[int, Ge(1)] = 128
    """Connections to one host at a time; further requests wait for one."""
    verify: bool = True
    """Whether the service's TLS certificate is checked. Switch it off for tests only."""
    ca_file: str | None = None
    """Certificates (PEM) to trust instead of the system's."""
    client_cert: str | None = None
    """Certificate (PEM) that the client shows."""
    client_key: str | None = None
    """Key of `client_cert`, where that file does not hold it."""
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    """Proxy for all requests, such as `http://proxy.example.org:3128`; credentials in it are
    sent to the proxy alone."""
    trust_env: bool = True
    """Whether `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` count where `proxy` is
    not set."""
    expect_continue: Annotated[int, Ge(0)] = 1024 * 1024
    """Bytes from which an upload waits for the service's consent (`Expect: 100-continue`)
    before its body is sent, so that a refusal costs no transfer. 0 never waits."""


def is_endpoint(url: str) -> bool:
    """Whether a setting is the address of a service: an http or https URL with a host, and with
    no credentials, query or fragment."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        valid = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return (
        valid
        and parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and parts.username is None
        and not parts.query
        and not parts.fragment
        and url.isascii()
        and url.isprintable()
        and " " not in url
    )
