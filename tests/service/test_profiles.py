"""Several profiles behind one gateway."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import storage_core
from storage_core.access import buckets
from storage_core.config.gateway import Z3Settings
from storage_core.errors import ConfigError
from storage_core.gateway import GatewaySettings, Server, serve_background
from storage_core.gateway.source import ServedProfile
from storage_core.state import State, open_state
from storage_core.state.tables import buckets as table
from tests.gateway.clients import request
from tests.service.users import User, new_user

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
    settings = GatewaySettings(
        facades=("z3",),
        database=f"sqlite:///{tmp_path}/state.db",
        z3=Z3Settings(profile="none"),
    )
    with pytest.raises(ConfigError, match=r"z3\.profile 'none' is not served"):
        serve_background(ServedProfile("one", config), settings=settings)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = open_state(f"sqlite:///{tmp_path}/state.db")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def archive(storages: list[storage_core.Storage], state: State, tmp_path: Path) -> Iterator[Server]:
    """A server whose facade keeps its objects in the second profile."""
    settings = GatewaySettings(
        facades=("z3",),
        database=f"sqlite:///{tmp_path}/state.db",
        z3=Z3Settings(profile="two"),
    )
    with serve_background(storages, settings=settings) as server:
        yield server


def sign(server: Server, user: User, action: str) -> str:
    answer = user.ask(f"{server.base_url}/v1/z3/fruit/k", "POST", {"action": action})
    assert answer.status == 200, answer
    url: str = json.loads(answer.body)["signedUrl"]
    return url


def move(state: State, user: User, profile: str) -> None:
    """Have the row of the bucket say that it is in another profile."""
    bucket = buckets.get(state, user.principal.project_id, "fruit")
    with state.write() as connection:
        connection.execute(table.update().where(table.c.id == bucket.id).values(profile=profile))


def test_links_of_a_facade_in_a_further_profile(
    archive: Server, state: State, storages: list[storage_core.Storage]
):
    user = new_user(state)
    assert user.ask(f"{archive.base_url}/v1/z3/fruit", "PUT").status == 200
    upload, download = sign(archive, user, "upload"), sign(archive, user, "download")
    assert upload.startswith(f"{archive.base_url}/p/two/o/")
    assert request(upload, "PUT", body=b"x").status == 200
    assert request(download).body == b"x"
    bucket = buckets.get(state, user.principal.project_id, "fruit")
    assert bucket.profile == "two"
    assert storages[1].bucket(bucket.physical).get("k").read() == b"x"
    first = request(download.replace("/p/two/o/", "/o/"))
    assert (first.status, first.code) == (403, "link_signature")
    for profile in ("one", ""):  # the row is what counts, and no profile is not any profile
        move(state, user, profile)
        answer = request(download)
        assert (answer.status, answer.code) == (404, "bucket_not_found")
    move(state, user, "two")
    assert request(download).body == b"x"


def test_a_bucket_in_a_profile_that_is_not_served(
    archive: Server, state: State, caplog: pytest.LogCaptureFixture
):
    """It says so, to the log with what to do, and without a traceback for each request."""
    user = new_user(state)
    url = f"{archive.base_url}/v1/z3/fruit"
    assert user.ask(url, "PUT").status == 200
    move(state, user, "elsewhere")
    with caplog.at_level(logging.WARNING, "storage_core.gateway"):
        for method, path in (("GET", ""), ("POST", "/k"), ("DELETE", "/k"), ("DELETE", "")):
            body = {"action": "upload"} if method == "POST" else None
            answer = user.ask(url + path, method, body)
            assert answer.status == 503, (method, path, answer)
            assert "elsewhere" not in answer.body.decode()
    assert "'elsewhere' is not served; add it to gateway.profiles" in caplog.text
    told = [record for record in caplog.records if record.name.startswith("storage_core")]
    assert told
    assert not any(record.exc_info for record in told)
