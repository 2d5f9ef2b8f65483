"""Profiles as URLs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage_core.config import ProfileConfig, driver_settings
from storage_core.errors import ConfigError, DriverNotFoundError
from storage_core.plugins import load_driver

SECRET = "correct-horse-battery"


@pytest.fixture(autouse=True)
def _site(site):
    return site


def read(url: str) -> ProfileConfig:
    return ProfileConfig.from_url(url)


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("file:///srv/data", "/srv/data"),
        ("file://localhost/srv/data", "/srv/data"),
        ("file:/srv/data", "/srv/data"),
        ("file:data/x", "data/x"),
        ("file:///srv/a%20b%3Fc%23d", "/srv/a b?c#d"),
        ("file:///srv/%C3%A4", "/srv/ä"),
        ("file:///srv/%FF", "/srv/\udcff"),
        ("file:///srv/${env:HOME}", "/srv/${env:HOME}"),
        ("file:///srv/a+b", "/srv/a+b"),
        ("FILE:///srv", "/srv"),
    ],
)
def test_directories(url, root):
    profile = read(url)
    assert (profile.driver, profile.settings, profile.bucket) == ("local", {"root": root}, None)
    assert str(profile.source("root")) == "url"


def test_settings_and_options_in_the_query():
    profile = read("file:///srv?fsync=false&retry.attempts=1&prefix=a/&links.route=gateway")
    assert profile.settings == {"root": "/srv", "fsync": "false"}
    assert (profile.prefix, profile.retry.attempts) == ("a/", 1)
    assert profile.links.route == "gateway"


def test_a_service():
    profile = read("acme://fruit/2012/q1?endpoint_url=http://127.0.0.1:9000&verify=no&pool.size=3")
    assert (profile.name, profile.driver, profile.bucket) == ("acme", "acme", "fruit")
    assert profile.prefix == "2012/q1/"
    made: Any = driver_settings(profile, load_driver("acme"))
    assert made.endpoint_url == "http://127.0.0.1:9000"
    assert (made.verify, made.pool.size) == (False, 3)


@pytest.mark.parametrize("url", ["acme://", "acme:"])
def test_no_bucket(url):
    profile = read(url)
    assert (profile.bucket, profile.prefix, profile.settings) == (None, "", {})


def test_a_driver_may_read_its_own_urls(site):
    text = (site / "acme_storage.py").read_text()
    (site / "acme_storage.py").write_text(
        text + "\n    @classmethod\n    def settings_from_url(cls, url):\n"
        "        return {'region': url.partition('://')[2].partition('?')[0]}\n"
    )
    profile = read("acme://mars?mode=fast&prefix=x/")
    assert profile.settings == {"region": "mars", "mode": "fast"}
    assert (profile.prefix, profile.bucket) == ("x/", None)
    with pytest.raises(ConfigError, match="'region' twice"):
        read("acme://mars?region=venus")


def test_memory_by_name():
    assert read("memory://scratch?versions=true").settings == {
        "name": "scratch",
        "versions": "true",
    }
    assert read("memory://").driver == "memory"


def test_a_scheme_without_a_driver(uninstalled):
    uninstalled("gcs")
    with pytest.raises(DriverNotFoundError, match="did you mean 'acme'"):
        read("acne://bucket")
    with pytest.raises(DriverNotFoundError, match=r"storage-core\[gcs\]"):
        read("gs://bucket")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("/srv/data", "write file:///srv/data"),
        ("", "names no driver"),
        ("file://srv/data", "three slashes"),
        ("file://", "names no directory"),
        ("file:///srv%00", "names no directory"),
        ("file:///srv#x", "%23"),
        ("file:///srv#", "%23"),
        ("file:///srv\n", "control character"),
        ("file:///srv?root=/x", "'root' twice"),
        ("acme://b/x?prefix=y", "'prefix' twice"),
        (f"acme://me:{SECRET}@bucket", "credentials in front of its host"),
        (f"acme://{SECRET}@bucket", "credentials in front of its host"),
        ("acme://[::1", "malformed"),
        ("acme://b?region", "query is malformed"),
        ("acme://b?region=%FF", "query is malformed"),
        ("acme://b?" + "&".join(f"a{i}=1" for i in range(200)), "query is malformed"),
        ("acme://b?=x", "without a name"),
        ("acme://b?a..b=x", "without a name"),
        ("acme://b?a=1&a=2", "'a' twice"),
        ("acme://b?a=1&a.b=2", "'a.b' stands beside"),
        ("acme://b?a.b=1&a=2", "'a' stands beside"),
        ("acme://b?driver=local", "remove the parameter 'driver'"),
        ("acme://b?secret_key=${env:HOME}", "holds a reference"),
        ("acme://%FF", "not UTF-8"),
        (f"acme://b?secret_kye={SECRET}", "URL, secret_kye: unknown setting of the driver 'acme'"),
        (f"acme://b?verify={SECRET}", "URL, verify: input should be a valid boolean"),
        (f"acme://b?zones={SECRET}", "URL, zones: not the JSON"),
        (f"acme://b?links.keys.k={SECRET[:8]}", "make one with"),
        ("acme://b?retry.attempts=0", "URL, retry.attempts: "),
    ],
)
def test_refused(url, says):
    with pytest.raises(ConfigError) as caught:
        driver_settings(read(url), load_driver("acme"))
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_secret_in_the_query_stays_secret():
    profile = read(f"acme://b?secret_key={SECRET}")
    assert SECRET not in repr(profile)
    assert SECRET not in repr(driver_settings(profile, load_driver("acme")))


PIECES = st.lists(
    st.sampled_from(
        ["file:", "acme:", "//", "/", "?", "&", "=", "#", "@", ":", "%", "%2F", "[", "]", "..",
         "prefix", "retry.attempts", "root", "secret_key", "pool.size", "links.keys.k", ".", "1"]
    )
    | st.text(max_size=3),
    max_size=12,
)  # fmt: skip


@settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(PIECES)
def test_any_text_gives_a_profile_or_a_config_error(pieces):
    try:
        profile = read("".join(pieces))
        driver_settings(profile, load_driver("acme"))
    except ConfigError:
        pass
