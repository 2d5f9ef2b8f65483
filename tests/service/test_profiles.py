"""Several profiles behind one gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import storage_core
from storage_core.errors import ConfigError
from storage_core.gateway import GatewaySettings, serve_background
from storage_core.gateway.source import ServedProfile
from tests.gateway.clients import request

CONFIG = """
[gateway]
profiles = ["one", "two"]
[profiles.one]
driver = "local"
root = "one"
fsync = false
[profiles.two]
driver = "local"
root = "two"
fsync = false
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "named.toml"
    path.write_text(CONFIG, "utf-8")
    return str(path)


@pytest.fixture
def storages(config: str) -> Iterator[list[storage_core.Storage]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(storage_core.open(name, config=config)) for name in ("one", "two")
        ]


def test_the_first_lies_at_the_top_and_every_other_below_its_name(
    storages: list[storage_core.Storage],
):
    with serve_background(storages) as server:
        for storage, mount in zip(storages, ("/o/", "/p/two/o/"), strict=True):
            bucket = storage.create_bucket("fruit")
            link = bucket.presign("a/ä b", method="PUT")
            assert link.url.startswith(f"{server.base_url}{mount}fruit/")
            assert request(link, body=storage.profile.encode()).status == 200
            assert request(bucket.presign("a/ä b")).body == storage.profile.encode()
    for storage in storages:
        with pytest.raises(ConfigError, match=r"links\.base_url"):
            storage.bucket("fruit").presign("k")


def test_a_link_is_good_for_its_own_profile_only(storages: list[storage_core.Storage]):
    with serve_background(storages) as server:
        urls = []
        for storage in storages:
            storage.create_bucket("fruit").put("k", storage.profile.encode())
            urls.append(storage.bucket("fruit").presign("k").url)
        first, second = urls
        for url in (
            first.replace("/o/", "/p/two/o/"),
            second.replace("/p/two/o/", "/o/"),
        ):
            answer = request(url)
            assert (answer.status, answer.code) == (403, "link_signature")
        for url in (
            first.replace("/o/", "/p/one/o/"),  # each has one place
            second.replace("/two/", "/three/"),
            second.replace("/two/", "/tw%6f/"),
            second.replace("/p/two/", "/p/two//"),
            f"{server.base_url}/p/two",
            f"{server.base_url}/p/",
        ):
            assert request(url).status in {403, 404}, url
            assert request(url).status == 404 or "//" in url


def test_profiles_of_a_configuration(config: str, storages: list[storage_core.Storage]):
    """Another process signs for the address that its configuration names."""
    sources = [ServedProfile(name, config) for name in ("two", "one")]
    storages[0].create_bucket("fruit").put("k", b"one")
    with serve_background(sources) as server:
        links = f'[profiles.one.links]\nbase_url = "{server.base_url}/p/one"\n'
        path = Path(config)
        path.write_text(path.read_text("utf-8") + links, "utf-8")
        with storage_core.open("one", config=config) as signer:
            assert request(signer.bucket("fruit").presign("k")).body == b"one"


def test_profiles_that_share_a_key_are_refused(config: str, tmp_path: Path):
    path = tmp_path / "named.toml"
    key = "0123456789abcdef0123456789abcdef"
    for name in ("one", "two"):
        text = re.sub(rf"(?m)^root = .{name}.$", rf'\g<0>\nlinks.keys = {{ {name} = "{key}" }}', path.read_text("utf-8"))  # fmt: skip
        path.write_text(text, "utf-8")
    sources = [ServedProfile(name, config) for name in ("one", "two")]
    with pytest.raises(
        ConfigError, match="the profiles 'one' and 'two' share a link key"
    ) as caught:
        serve_background(sources)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("sources", "says"), [(["one", "one"], "same name"), ([], "no profile to serve")]
)
def test_what_can_not_be_served_together(config: str, sources: list[str], says: str):
    with pytest.raises(ConfigError, match=says):
        serve_background([ServedProfile(name, config) for name in sources])


def test_z3_lies_in_a_profile_that_is_served(config: str, tmp_path: Path):
    settings = GatewaySettings(facades=("z3",), database=f"sqlite:///{tmp_path}/state.db")
    object.__setattr__(settings.z3, "profile", "none")
    with pytest.raises(ConfigError, match=r"z3\.profile 'none' is not served"):
        serve_background(ServedProfile("one", config), settings=settings)
