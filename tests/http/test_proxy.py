"""Proxies: which one, and what goes through it."""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import suppress
from dataclasses import replace

import pytest

from storage_core.errors import ConfigError, OperationTimeoutError, UnavailableError
from storage_core.http import HttpSettings, Origin, Request
from storage_core.http.proxy import Proxies, bypasses, parse_proxy
from tests.http.certificates import Authority
from tests.http.hostile.answers import DONE, plain, then
from tests.http.hostile.clients import QUICK, fetch, request
from tests.http.hostile.server import Peer

HTTP = Origin.of("http://data.example.org")
HTTPS = Origin.of("https://data.example.org")


def found(environment, origin=HTTPS, **settings):
    proxy = Proxies(HttpSettings(**settings), environment).find(origin)
    return None if proxy is None else proxy.name


def test_the_environment_by_scheme():
    environment = {"HTTP_PROXY": "http://plain:1", "https_proxy": "secure:2"}
    assert found(environment, HTTP) == "plain:1"
    assert found(environment, HTTPS) == "secure:2"
    assert found({"HTTP_PROXY": "http://plain:1"}, HTTPS) is None
    assert found({"ALL_PROXY": "http://all:3"}, HTTPS) == "all:3"
    assert found({"all_proxy": "http://all:3", "http_proxy": ""}, HTTP) is None
    assert found({"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}) == "lower:1"
    assert found({"HTTPS_PROXY": "http://[::1]:3128"}) == "[::1]:3128"
    assert found({"HTTPS_PROXY": "http://upper"}) == "upper:80"
    assert found({}) is None


def test_a_request_can_not_set_the_proxy_of_a_cgi_script():
    environment = {"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil:1"}
    assert found(environment, HTTP) is None
    assert found(environment | {"http_proxy": "good:1"}, HTTP) == "good:1"


def test_settings_come_first_and_the_environment_can_be_left_out():
    environment = {"https_proxy": "http://env:1", "no_proxy": "*"}
    assert found(environment, proxy="http://set:2") == "set:2"
    assert found({"https_proxy": "http://env:1"}, trust_env=False) is None
    assert found({"https_proxy": "nonsense://env:1"}, trust_env=False) is None


@pytest.mark.parametrize(
    ("rule", "url", "expected"),
    [
        ("*", "http://a", True),
        ("example.org", "http://example.org", True),
        ("example.org", "http://a.b.example.org", True),
        (".example.org", "http://a.example.org", True),
        (".example.org", "http://example.org", True),
        ("*.example.org", "http://a.example.org", True),
        ("example.org", "http://badexample.org", False),
        ("example.org", "http://example.org.evil", False),
        ("example.org:8080", "http://example.org:8080", True),
        ("example.org:8080", "http://example.org", False),
        ("example.org:443", "https://example.org", True),
        ("EXAMPLE.org".lower(), "http://Example.ORG", True),
        ("10.0.0.0/8", "http://10.1.2.3", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.0.0.0/8", "http://ten.example.org", False),
        ("10.1.2.3", "http://10.1.2.3:99", True),
        ("10.1.2.3:98", "http://10.1.2.3:99", False),
        ("10.1.2.3:99", "http://10.1.2.3:99", True),
        ("10.1.2.3/99", "http://10.1.2.3", False),
        ("::1", "http://[::1]:5", True),
        ("[::1]", "http://[::1]:5", True),
        ("[::1]:5", "http://[::1]:5", True),
        ("[::1]:6", "http://[::1]:5", False),
        ("fe80::/10", "http://[fe81::1]", True),
        ("fe80::/10", "http://10.0.0.1", False),
        (".", "http://a", False),
        ("localhost", "http://localhost:1", True),
    ],
)
def test_no_proxy(rule, url, expected):
    assert bypasses(rule, Origin.of(url)) is expected
    environment = {"all_proxy": "http://p:1", "NO_PROXY": f"other, {rule.upper()} ,,x"}
    assert found(environment, Origin.of(url)) == (None if expected else "p:1")


@pytest.mark.parametrize(
    "url", ["", "http://", "http://:80", "http://a:x", "http://a:99999", "http://a b", "http://ä/"]
)
def test_what_is_no_proxy(url):
    with pytest.raises(ConfigError, match="my_setting"):
        parse_proxy(url, "my_setting")


@pytest.mark.parametrize("scheme", ["socks5", "socks4a", "ftp"])
def test_proxies_that_can_not_be_used(scheme):
    with pytest.raises(ConfigError, match=f"proxy: {scheme}://") as seen:
        Proxies(HttpSettings(proxy=f"{scheme}://user:hush@a:1"), {})
    assert "hush" not in str(seen.value)
    with pytest.raises(ConfigError, match="ALL_PROXY"):
        Proxies(HttpSettings(), {"ALL_PROXY": f"{scheme}://a:1"})


def test_a_proxy_over_tls_is_for_the_libraries():
    with pytest.raises(ConfigError, match='transport = "library"'):
        Proxies(HttpSettings(proxy="https://a:1"), {})
    proxy = Proxies(HttpSettings(proxy="https://a", transport="library"), {}).find(HTTPS)
    assert proxy is not None
    assert (proxy.scheme, proxy.port) == ("https", 443)


def test_credentials_are_decoded_and_not_shown():
    proxy = parse_proxy("http://us%40er:p%3Aw%20d@a:1", "proxy")
    assert proxy.authorization == "Basic " + base64.b64encode(b"us@er:p:w d").decode()
    assert "p:w d" not in repr(proxy)
    assert proxy.authorization not in f"{proxy!r} {proxy}"


def test_nothing_that_holds_secrets_shows_them():
    secret = "s3cr3t"
    asked = Request("GET", HTTPS, f"/b/k?sig={secret}", {"authorization": secret})
    assert repr(asked).endswith("/b/k>")
    assert secret not in f"{asked!r} {HttpSettings(proxy=f'http://u:{secret}@a:1')!r}"


def test_plain_requests_name_the_whole_url(client, serve):
    seen = []

    def script(peer: Peer) -> None:
        for _ in range(2):
            seen.append(peer.request()[0])
            peer.send(plain())
        peer.gone()

    proxy = serve(script)

    async def main(transport):
        for _ in range(2):
            asked = Request("GET", HTTP, "/a%20b?c", {"X": "y"})
            assert await fetch(transport, asked) == (200, DONE)

    client.run(main, replace(QUICK, proxy=f"http://us:pw@127.0.0.1:{proxy.port}"))
    for head in seen:
        assert head.target == "http://data.example.org/a%20b?c"
        assert head.get("host") == "data.example.org"
        assert head.get("proxy-authorization") == "Basic dXM6cHc="


def test_a_proxy_that_wants_a_password_for_plain_requests(client, serve):
    proxy = serve(then(plain(b"log in", status=b"407 Proxy Authentication Required")))

    async def main(transport):
        with pytest.raises(ConfigError, match="user name"):
            await fetch(transport, Request("GET", HTTP, "/"))

    client.run(main, replace(QUICK, proxy=f"http://127.0.0.1:{proxy.port}"))


def relays(seen, port, status=b"200 OK"):
    """Accept CONNECT and pass bytes on."""

    def script(peer: Peer) -> None:
        seen.append(peer.head())
        peer.send(b"HTTP/1.1 " + status + b"\r\nVia: test\r\n\r\n")
        other = socket.create_connection(("127.0.0.1", port))
        with other:
            back = threading.Thread(target=pump, args=(other, peer.socket), name="hostile-pump")
            back.start()
            pump(peer.socket, other)
            back.join()

    return script


def pump(source, sink):
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def test_secure_requests_go_through_a_tunnel(client, serve, tmp_path):
    authority = Authority(tmp_path, "trusted")
    seen: list = []
    heads: list = []

    def script(peer: Peer) -> None:
        for _ in range(2):
            heads.append(peer.request()[0])
            peer.send(plain())
        peer.gone()

    server = serve(script, tls=authority.server_context("data.example.org"))
    proxy = serve(relays(seen, server.port))
    origin = Origin.of(f"https://data.example.org:{server.port}")

    async def main(transport):
        for _ in range(2):
            assert await fetch(transport, Request("GET", origin, "/x")) == (200, DONE)

    url = f"http://us:pw@127.0.0.1:{proxy.port}"
    client.run(main, replace(QUICK, proxy=url, ca_file=str(authority.file)))
    (connect,) = seen
    assert (connect.method, connect.target) == ("CONNECT", origin.authority)
    assert connect.get("proxy-authorization") == "Basic dXM6cHc="
    assert [head.target for head in heads] == ["/x", "/x"]
    assert not any(head.get("proxy-authorization") for head in heads)


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (plain(b"x" * 90, status=b"407 Auth"), ConfigError, "user name"),
        (plain(b"", status=b"403 Forbidden"), ConfigError, "403"),
        (plain(b"", status=b"502 Bad Gateway"), UnavailableError, "502"),
        (b"nonsense\r\n\r\n", UnavailableError, "proxy"),
        (b"", UnavailableError, "proxy"),
    ],
)
def test_a_proxy_that_refuses(client, serve, answer, error, text):
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(answer)

    proxy = serve(script)

    async def main(transport):
        with pytest.raises(error, match=text) as seen:
            await fetch(transport, Request("PUT", HTTPS, "/?sig=hush", body=b"x"))
        assert seen.value.unsent
        assert "hush" not in str(seen.value)
        assert "pw" not in str(seen.value)

    client.run(main, replace(QUICK, proxy=f"http://us:pw@127.0.0.1:{proxy.port}"))


def test_a_proxy_that_is_not_there(client, nobody):
    async def main(transport):
        for origin in (HTTP, HTTPS):
            with pytest.raises(UnavailableError, match=f"proxy 127.0.0.1:{nobody}") as seen:
                await fetch(transport, Request("GET", origin, "/"))
            assert seen.value.unsent

    client.run(main, replace(QUICK, proxy=f"http://127.0.0.1:{nobody}"))


def test_a_proxy_that_stalls(client, serve):
    proxy = serve(spare=lambda peer: peer.gone())

    async def main(transport):
        for _ in range(100):  # on a busy machine the time may pass before there is a connection
            with pytest.raises(OperationTimeoutError) as seen:
                await fetch(transport, Request("GET", HTTPS, "/"))
            assert seen.value.unsent
            if proxy.accepted:
                break
        assert proxy.accepted

    url = f"http://127.0.0.1:{proxy.port}"
    client.run(main, replace(QUICK, proxy=url, connect_timeout=0.2, read_timeout=0.2))


def test_the_environment_reaches_the_transport(client, serve, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    proxy = serve(then(plain(b"by proxy")))
    server = serve(then(plain(b"directly")))
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    async def main(transport):
        assert await fetch(transport, Request("GET", HTTP, "/")) == (200, b"by proxy")
        assert await fetch(transport, request(server)) == (200, b"directly")

    client.run(main, replace(QUICK, trust_env=True))
