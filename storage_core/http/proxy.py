"""Which proxy a request goes through: the settings' one, or the environment's."""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from storage_core.errors import ConfigError, UnavailableError
from storage_core.http.interface import Origin
from storage_core.http.settings import HttpSettings


class Proxy(NamedTuple):
    """A proxy.

    Attributes:
        scheme: ``http``, or ``https`` where it is spoken to over TLS.
        host: What to connect to, without brackets.
        port: Likewise.
        authorization: Value of ``Proxy-Authorization``; a secret.
    """

    scheme: str
    host: str
    port: int
    authorization: str | None = None

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Proxy {self.name}>"

    def connect_request(self, origin: Origin) -> bytes:
        """What asks for a tunnel to an origin (RFC 9110 section 9.3.6)."""
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        place = f"{host}:{origin.port}"
        extra = f"Proxy-Authorization: {self.authorization}\r\n" if self.authorization else ""
        return f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{extra}\r\n".encode("ascii")

    def check_tunnel(self, origin: Origin, status: int) -> None:
        """Raise for the proxy's own answer, unless it opened a tunnel.

        Raises:
            ConfigError: the proxy refuses.
            UnavailableError: the proxy can not reach the origin now.
        """
        if 200 <= status < 300:
            return
        place = f"{origin.host}:{origin.port}"
        if status >= 500:
            raise UnavailableError(
                f"proxy {self.name} can not connect to {place}: status {status}", unsent=True
            )
        remedy = (
            "give user name and password in the proxy's URL"
            if status == 407
            else "it may not allow this host or port; see no_proxy"
        )
        raise ConfigError(
            f"proxy {self.name} refused to connect to {place} with status {status}: {remedy}",
            unsent=True,
        )


class Proxies:
    """The choice among proxies, by scheme and host.

    The environment is that of the moment of construction. Of each variable the name in lower
    case counts first; ``HTTP_PROXY`` in upper case is ignored under CGI, where a request can
    set it.

    Args:
        settings: Their ``proxy`` is used for all requests; otherwise the environment's
            variables if ``trust_env``.

    Raises:
        ConfigError: what is set is no proxy that can be used.
    """

    def __init__(self, settings: HttpSettings, environment: Mapping[str, str] = os.environ) -> None:
        self._by_scheme: dict[str, Proxy | None] = {}
        self._bypass: tuple[str, ...] = ()
        if settings.proxy is not None:
            proxy = parse_proxy(settings.proxy, "proxy", settings.transport)
            self._by_scheme = {"http": proxy, "https": proxy}
        elif settings.trust_env:
            for scheme in ("http", "https"):
                found = self._variable(environment, f"{scheme}_proxy")
                name, url = found or self._variable(environment, "all_proxy") or ("", "")
                if url:
                    self._by_scheme[scheme] = parse_proxy(url, name, settings.transport)
            bypass = self._variable(environment, "no_proxy")
            self._bypass = tuple(re.split(r"[\s,]+", bypass[1].lower())) if bypass else ()

    @staticmethod
    def _variable(environment: Mapping[str, str], name: str) -> tuple[str, str] | None:
        if (value := environment.get(name)) is not None:
            return name, value.strip()
        upper = name.upper()
        if upper == "HTTP_PROXY" and "REQUEST_METHOD" in environment:
            return None
        value = environment.get(upper)
        return None if value is None else (upper, value.strip())

    def find(self, origin: Origin) -> Proxy | None:
        """The proxy for an origin, None to connect directly."""
        proxy = self._by_scheme.get(origin.scheme)
        if proxy is None or any(bypasses(rule, origin) for rule in self._bypass if rule):
            return None
        return proxy


def parse_proxy(url: str, name: str, transport: str = "lean") -> Proxy:
    """Read a proxy's URL; without a scheme it is an http one.

    Args:
        url: May hold user name and password, percent-encoded.
        name: The setting or variable it comes from, for messages.
        transport: That is to use it.

    Raises:
        ConfigError: it can not be used. The message does not show the URL.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host = parts.hostname
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if not host or not host.isascii() or re.search(r"[\s\x00-\x1f]", url):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{name} is not a proxy's URL, such as http://proxy.example.org:3128"
        ) from None
    if parts.scheme != "http" and (parts.scheme, transport) != ("https", "library"):
        hint = '; set transport = "library" for this one' if parts.scheme == "https" else ""
        raise ConfigError(
            f"{name}: {parts.scheme}:// proxies can not be used, http:// ones can{hint}"
        )
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(parts.scheme, host, port, authorization)


def bypasses(rule: str, origin: Origin) -> bool:
    """Whether an item of NO_PROXY takes an origin out.

    An item is ``*``, a host name (which stands for all names under it too, with or without a
    dot or ``*.`` before it), an IP address or a network such as ``10.0.0.0/8``; each may have
    a port.
    """
    if rule == "*":
        return True
    host = origin.host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    try:
        if address is not None:
            return address in ipaddress.ip_network(rule.strip("[]"), strict=False)
    except ValueError:
        pass
    name, colon, port = rule.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.startswith("[")):
        if int(port) != origin.port:
            return False
        rule = name
    rule = rule.strip("[]")
    if address is not None:
        try:
            return address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    rule = rule.removeprefix("*").strip(".")
    return bool(rule) and (host == rule or host.endswith("." + rule))
