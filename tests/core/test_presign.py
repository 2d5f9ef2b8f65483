"""Which link is signed by whom, what it may bind, and what is refused before that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage_core import Bucket, Link, LinkSettings
from storage_core.errors import (
    ConfigError,
    InvalidKeyError,
    InvalidMetadataError,
    InvalidRequestError,
    UnsupportedError,
)
from storage_core.links import LinkKeys, verify_link
from storage_core.requests import PresignRequest
from tests.core.conftest import Opener
from tests.core.drivers import Scripted

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASE = "https://files.example.org/s"
KEYS = {"k1": b"0123456789abcdef0123456789abcdef"}
LINKS = LinkSettings(BASE, KEYS)
METHODS = ("GET", "HEAD", "PUT", "DELETE")
BINDS = ("content_type", "content_length", "checksum", "filename", "version", "if_absent")


class Signing(Scripted):
    """Signs links by itself."""

    def __init__(self, **named: Any) -> None:
        named.setdefault("presign", frozenset(METHODS))
        named.setdefault("presign_part", True)
        named.setdefault("presign_binds", frozenset(BINDS))
        super().__init__(**named)
        self.signed: list[PresignRequest] = []

    async def presign(self, request: PresignRequest) -> Link:
        self.signed.append(request)
        expires = request.now + timedelta(seconds=request.expires_in)
        return Link("https://native.example.org/?sig=1", request.method, {}, expires)


def made(opened: Opener, driver: Scripted | None = None, **options: Any) -> tuple[Any, Bucket]:
    driver = driver or Scripted()
    options.setdefault("links", LINKS)
    bucket = opened(driver, now=lambda: NOW, **options).create_bucket("fruit")
    driver.calls.clear()
    return driver, bucket


def is_native(link: Link) -> bool:
    return link.url.startswith("https://native.")


@pytest.mark.parametrize("method", METHODS)
def test_without_a_signature_of_the_drivers_the_gateway_does_it(opened: Opener, method: Any):
    driver, bucket = made(opened)
    link = bucket.presign("a b/é", method=method, expires_in=60)
    assert (link.method, link.expires_at) == (method, NOW + timedelta(seconds=60))
    path, _, query = link.url.removeprefix(BASE).partition("?")
    grant = verify_link(method, path, query, LinkKeys(KEYS), NOW)
    assert (grant.bucket, grant.key) == ("fruit", "a b/é")
    assert driver.calls == []  # signed without any request


@pytest.mark.parametrize("method", METHODS)
def test_a_driver_that_signs_does_it(opened: Opener, method: Any):
    driver, bucket = made(opened, Signing())
    link = bucket.presign("a", method=method)
    assert is_native(link)
    assert driver.signed == [PresignRequest("fruit", "a", method, 900, NOW)]
    assert driver.calls == []


def test_each_way_for_the_methods_it_can(opened: Opener):
    _driver, bucket = made(opened, Signing(presign=frozenset(("GET",)), presign_part=False))
    assert is_native(bucket.presign("a"))
    assert not is_native(bucket.presign("a", method="PUT"))
    upload = bucket.create_upload("a")
    assert not is_native(upload.presign_part(1))


def test_a_profile_can_ask_for_the_gateway(opened: Opener):
    driver, bucket = made(opened, Signing(), links=LinkSettings(BASE, KEYS, "gateway"))
    assert not is_native(bucket.presign("a", filename="x"))
    assert driver.signed == []


def test_the_drivers_own_keys_are_used_where_the_profile_has_none(opened: Opener):
    driver, bucket = made(opened, links=LinkSettings(BASE))
    link = bucket.presign("a")
    path, _, query = link.url.removeprefix(BASE).partition("?")
    keys = LinkKeys(driver.link_keys())
    assert verify_link("GET", path, query, keys, NOW).key == "a"


def test_what_the_profile_lacks_is_named(inline: Opener):
    _, bucket = made(inline, links=LinkSettings(None, KEYS), profile="archive")
    with pytest.raises(ConfigError, match=r"links\.base_url.*--profile archive") as caught:
        bucket.presign("a")
    assert (caught.value.operation, caught.value.key) == ("presign", "a")

    class Keyless(Scripted):
        def link_keys(self) -> Any:
            return None

    _, bucket = made(inline, Keyless(), links=LinkSettings(BASE))
    with pytest.raises(ConfigError, match=r"set links\.keys"):
        bucket.presign("a")


BOUND: dict[str, tuple[str, Any]] = {
    "content_type": ("PUT", "text/csv"),
    "content_length": ("PUT", 5),
    "checksum": ("PUT", ("sha256", "ab" * 32)),
    "filename": ("GET", "a.csv"),
    "version": ("GET", "v1"),
    "if_absent": ("PUT", True),
}


@pytest.mark.parametrize("name", BINDS)
def test_a_rule_that_can_not_be_bound_is_refused(inline: Opener, name: str):
    method, value = BOUND[name]
    others = frozenset(BINDS) - {name}
    driver, bucket = made(inline, Signing(presign_binds=others, versions=True))
    with pytest.raises(UnsupportedError, match=f"{name} in its own links"):
        bucket.presign("a", **{"method": method, name: value})
    assert driver.signed == []
    driver, bucket = made(inline, Signing(versions=True))
    assert is_native(bucket.presign("a", **{"method": method, name: value}))
    assert getattr(driver.signed[0], name) == value
    driver, bucket = made(inline, Scripted(versions=True))
    assert not is_native(bucket.presign("a", **{"method": method, name: value}))


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"method": "POST"}, InvalidRequestError, "GET, HEAD, PUT, DELETE"),
        ({"method": "get"}, InvalidRequestError, "GET, HEAD, PUT, DELETE"),
        ({"expires_in": 0}, InvalidRequestError, "1 to 604800"),
        ({"expires_in": 604801}, InvalidRequestError, "1 to 604800"),
        ({"expires_in": 1.5}, InvalidRequestError, "1 to 604800"),
        ({"content_length": 5}, InvalidRequestError, "only be bound to a PUT"),
        ({"checksum": ("sha256", "ab" * 32)}, InvalidRequestError, "only be bound to a PUT"),
        ({"if_absent": True}, InvalidRequestError, "only be bound to a PUT"),
        ({"filename": "a", "method": "PUT"}, InvalidRequestError, "on a GET link"),
        ({"filename": ""}, InvalidRequestError, "not printable"),
        ({"filename": "a\r\nb"}, InvalidRequestError, "not printable"),
        ({"content_type": "a\nb", "method": "PUT"}, InvalidMetadataError, "content_type"),
        ({"content_length": -1, "method": "PUT"}, InvalidRequestError, "not a number of bytes"),
        ({"content_length": "5", "method": "PUT"}, InvalidRequestError, "not a number of bytes"),
        ({"checksum": ("sha256", "xy"), "method": "PUT"}, InvalidRequestError, "64 hexadecimal"),
        ({"checksum": ("sha3", "ab"), "method": "PUT"}, UnsupportedError, "sha3"),
        ({"checksum": "sha256", "method": "PUT"}, InvalidRequestError, "a pair"),
        ({"checksum": 5, "method": "PUT"}, InvalidRequestError, "a pair"),
        ({"version": "v1"}, UnsupportedError, "versions"),
    ],
)
@pytest.mark.parametrize("driver", [Scripted, Signing])
def test_bad_rules(inline: Opener, driver: Any, options: dict[str, Any], error: Any, says: str):
    made_driver, bucket = made(inline, driver())
    with pytest.raises(error, match=says):
        bucket.presign("a", **options)
    assert made_driver.calls == []
    assert getattr(made_driver, "signed", []) == []


def test_keys(inline: Opener):
    _, bucket = made(inline)
    bucket.presign("a/../b")  # which may be there
    with pytest.raises(InvalidKeyError):
        bucket.presign("a/../b", method="PUT")  # but can not be made
    for method in METHODS:
        with pytest.raises(InvalidKeyError):
            bucket.presign("", method=method)  # type: ignore[arg-type]


def test_a_link_for_a_part(opened: Opener):
    driver, bucket = made(opened, Signing(presign_binds=frozenset(("content_length",))))
    upload = bucket.create_upload("a")
    assert is_native(upload.presign_part(7, expires_in=60, content_length=5))
    request = driver.signed[0]
    assert (request.method, request.part_number, request.content_length) == ("PUT", 7, 5)
    assert request.upload_id
    assert upload.id.endswith(request.upload_id)
    with pytest.raises(UnsupportedError, match="checksum"):
        upload.presign_part(7, checksum=("md5", "00" * 16))


def test_a_driver_that_fails_to_sign(opened: Opener):
    class Broken(Signing):
        async def presign(self, request: PresignRequest) -> Link:
            raise ConfigError("anonymous credentials can not sign")

    _, bucket = made(opened, Broken())
    with pytest.raises(ConfigError, match="presign fruit/a: anonymous"):
        bucket.presign("a")
