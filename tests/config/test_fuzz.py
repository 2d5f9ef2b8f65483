"""Whatever a configuration or the environment says: a profile, or a ConfigError."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage_core.config import ProfileConfig, driver_settings, load_config
from storage_core.config.check import check
from storage_core.config.show import describe
from storage_core.errors import ConfigError
from storage_core.plugins import load_driver

SECRET = "correct-horse-battery"
QUICK = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

TOML = st.lists(
    st.sampled_from(
        ["[profiles.dev]", "[[profiles.dev]]", "[profiles]", "[profiles.dev.links.keys]",
         "[profiles.dev.retry]", "[tool.storage.profiles.dev]", 'driver = "acme"', "driver = 1",
         'default_profile = "dev"', f'secret_key = "{SECRET}"', f'k = "{SECRET}"', "a.b.c = 1",
         f'region = "!{SECRET}"', "zones = [1, [2, {a = 3}]]", "x = 1979-05-27", "t = nan",
         "cap = 1e400", "attempts = 99999999999999999999", '"" = 1', '"a\\u0000b" = 2',
         f'text = """\n[profiles.x]\n{SECRET}"""', "'''", '"""', "[", "]", "=", "#",
         'region = "${env:HOME}${file:/etc/hostname}$${"', 'region = "${"', "profiles.a.b = 1"]
    )
    | st.text(max_size=6),
    max_size=12,
).map("\n".join)  # fmt: skip

YAML = st.lists(
    st.sampled_from(
        ["profiles:", "  dev:", "    driver: acme", f"    secret_key: {SECRET}", "    - 1",
         "    region: &a !x", "    x: *a", "    <<: *a", "    y: 2020-01-01", "    z: ~",
         "    ? [a]", "    : b", "    1: 2", "    on: off", f"    region: '!{SECRET}'", "---",
         "    w: !!binary aGVsbG8=", "    s: !!set {a}", "    big: 1:2:3", "\t", "%YAML 9.9"]
    )
    | st.text(max_size=6),
    max_size=12,
).map("\n".join)  # fmt: skip


@pytest.fixture(autouse=True)
def _site(site):
    return site


def configure(profile: ProfileConfig) -> Any:
    return driver_settings(profile, load_driver(profile.driver))


def said(call: Callable[[], Any]) -> Any:
    """The result, None for a ConfigError; neither may show the secret."""
    result, text = None, ""
    try:
        result = call()
    except ConfigError as error:
        text = str(error)
    assert SECRET not in text + repr(result)
    return result


def use(path) -> None:
    """All that a program does with a configuration; what it says must hold no secret."""
    config = said(lambda: load_config(path))
    if config is None:
        return
    assert SECRET not in repr(config)
    assert SECRET not in repr(describe(config, defaults=True))
    assert SECRET not in repr(check(config))
    for name in config.names:
        profile = said(partial(config.profile, name))
        if profile is not None:
            said(partial(configure, profile))


def test_the_walk_reaches_a_working_profile(write):
    path = write(f'[profiles.dev]\ndriver = "acme"\nsecret_key = "{SECRET}"\n')
    use(path)
    made = configure(load_config(path).profile())
    assert made.secret_key.get_secret_value() == SECRET


@QUICK
@given(TOML)
def test_toml(tmp_path, text):
    path = tmp_path / "fuzz.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    use(path)


@QUICK
@given(YAML)
def test_yaml(tmp_path, text):
    path = tmp_path / "fuzz.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    use(path)


@settings(QUICK, max_examples=150)
@given(st.binary(max_size=60), st.sampled_from(["fuzz.toml", "fuzz.yaml"]))
def test_bytes(tmp_path, data, name):
    (tmp_path / name).write_bytes(data)
    use(tmp_path / name)


VARIABLES = st.dictionaries(
    st.lists(
        st.sampled_from(["PROFILES", "DEV", "dev", "__", "_", "DRIVER", "LINKS", "KEYS", "K", "X",
                         "RETRY", "CAP", "POOL", "SIZE", "SECRET_KEY", "ZONES", "-", "é"]),
        max_size=6,
    ).map(lambda parts: "STORAGE_PROFILES__DEV" + "".join(parts)),
    st.one_of(
        st.sampled_from(["acme", "1", SECRET, "{}", "[", '{"a": 1}', "null", "${env:HOME}", "é"]),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
        st.just("\udcff"),
    ),
    max_size=5,
)  # fmt: skip


@QUICK
@given(VARIABLES)
def test_environment(write, variables):
    path = write('[profiles.dev]\ndriver = "acme"\npool.size = 2\n')
    os.environ.update(variables)
    try:
        use(path)
    finally:
        for name in variables:
            os.environ.pop(name, None)
