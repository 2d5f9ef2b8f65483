"""The table [gateway]: read, checked, overridden, shown, and trusted like the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage_core.cli import config as commands
from storage_core.config import load_config
from storage_core.config.check import check
from storage_core.config.gateway import GatewaySettings
from storage_core.config.schema import config_schema
from storage_core.config.show import describe
from storage_core.errors import ConfigError

PROFILES = """
[profiles.dev]
driver = "memory"
[profiles.archive]
driver = "memory"
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a configuration that is named, so that it is trusted."""
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> Path:
        path = tmp_path / "named.toml"
        path.write_text(f"{text}\n{PROFILES}", "utf-8")
        return path

    return written


def test_without_a_table_there_are_defaults(write):
    settings = load_config(write("")).gateway()
    assert settings == GatewaySettings()
    assert settings.database_url().endswith("-gateway/state.db")


def test_a_table_is_read(write, tmp_path: Path):
    path = write("""
[gateway]
base_url = "https://files.example.org/"
profiles = ["dev", "archive"]
facades = ["z3", "appfile"]
database = "sqlite:///state/state.db"
requests_per_minute = 600
z3.path = "/v2/z3"
z3.profile = "archive"
[gateway.imports]
file_types = ["cc5", "csv"]
workers = 0
""")
    settings = load_config(path).gateway()
    assert settings.base_url == "https://files.example.org"
    assert settings.profiles == ("dev", "archive")
    assert settings.facades == ("z3", "appfile")
    assert settings.database_url() == f"sqlite:///{tmp_path}/state/state.db"
    assert settings.requests_per_minute == 600
    assert (settings.z3.path, settings.z3.profile) == ("/v2/z3", "archive")
    assert settings.imports.file_types == ("cc5", "csv")
    assert settings.imports.workers == 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('facade = ["z3"]', "gateway.facade: unknown setting; did you mean 'facades'?"),
        ('z3.pth = "/z"', "gateway.z3.pth: unknown setting; did you mean 'path'?"),
        ('facades = ["z4"]', "gateway.facades: input should be 'z3' or 'appfile'"),
        ('facades = ["z3", "z3"]', "gateway.facades: facades names one twice"),
        ("max_json_body = 0", "gateway.max_json_body: input should be greater than 0"),
        ('z3.path = "/o/z3"', "gateway.z3.path: z3.path must begin with '/'"),
        ('z3.path = "z3"', "gateway.z3.path: z3.path must begin with '/'"),
        ('base_url = "files"', "gateway.base_url: base_url is not an http:// or https:// URL"),
        ('root_path = "x"', "gateway.root_path: root_path 'x' must begin with '/'"),
        (
            'profiles = ["devv"]',
            "gateway.profiles: there is no profile 'devv'; did you mean 'dev'?",
        ),
        ('z3.profile = "none"', "gateway.z3.profile: there is no profile 'none'"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(write, line: str, says: str):
    path = write(f"[gateway]\n{line}")
    with pytest.raises(ConfigError) as caught:
        load_config(path).gateway()
    assert str(caught.value).startswith(f"{path}:2: {says}")
    assert [f.message for f in check(load_config(path)) if f.level == "error"] == [
        str(caught.value)
    ]


def test_z3_needs_a_profile_that_is_served(write):
    path = write('[gateway]\nprofiles = ["dev"]\nz3.profile = "archive"')
    with pytest.raises(ConfigError, match=r"not among gateway\.profiles"):
        load_config(path).gateway()


def test_it_has_to_be_a_table(write):
    with pytest.raises(ConfigError, match=r":1: gateway is not a table; write \[gateway\]"):
        load_config(write("gateway = 3"))


def test_the_environment_comes_first(write, monkeypatch: pytest.MonkeyPatch):
    path = write('[gateway]\nfacades = ["z3"]\nmax_json_body = 10\nz3.link_seconds = 10')
    monkeypatch.setenv("STORAGE_GATEWAY__MAX_JSON_BODY", "20")
    monkeypatch.setenv("STORAGE_GATEWAY__FACADES", '["z3", "appfile"]')
    monkeypatch.setenv("STORAGE_GATEWAY__Z3__LINK_SECONDS", "30")
    monkeypatch.setenv("STORAGE_GATEWAY__METRICS", "false")
    settings = load_config(path).gateway()
    assert settings.max_json_body == 20
    assert settings.facades == ("z3", "appfile")
    assert settings.z3.link_seconds == 30
    assert settings.metrics is False


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("STORAGE_GATEWAY__FACADES", "z3", "$STORAGE_GATEWAY__FACADES: not the JSON"),
        ("STORAGE_GATEWAY__FACADE", "z3", "$STORAGE_GATEWAY__FACADE: unknown setting"),
        ("STORAGE_GATEWAY__", "z3", "$STORAGE_GATEWAY__: names no setting of the gateway"),
        ("STORAGE_GATEWAY", "z3", "$STORAGE_GATEWAY: names no setting of the gateway"),
        ("STORAGE_GATEWAY__MIN_RATE", "fast", "$STORAGE_GATEWAY__MIN_RATE: input should be"),
    ],
)
def test_what_is_wrong_in_the_environment(
    write, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_config(write("")).gateway()
    assert str(caught.value).startswith(says)


def test_a_password_is_neither_shown_nor_told(write, monkeypatch: pytest.MonkeyPatch):
    secret = "hunter2hunter2"
    path = write(
        f'[gateway]\ndatabase = "postgresql://app:{secret}@db/x?password={secret}"\nmetricz = 1'
    )
    config = load_config(path)
    rows = {row.key: row for row in describe(config) if row.profile == "[gateway]"}
    assert rows["database"].value.startswith("postgresql://")
    assert "@db/x" in rows["database"].value
    assert rows["database"].source == f"{path}:2"
    findings = check(config)
    assert any("holds a password in clear" in finding.message for finding in findings)
    with pytest.raises(ConfigError) as caught:
        config.gateway()
    for text in (str(caught.value), repr(config), *map(str, [*rows.values(), *findings])):
        assert secret not in text
    settings = GatewaySettings(database=f"postgresql://app:{secret}@db/x")
    assert secret not in repr(settings)
    monkeypatch.setenv("STORAGE_GATEWAY__DATABASE", secret)
    shown = [row.value for row in describe(load_config(write(""))) if row.key == "database"]
    assert shown == ["**********"]


def test_a_reference_to_a_password(write, monkeypatch: pytest.MonkeyPatch):
    path = write('[gateway]\ndatabase = "postgresql://app:${env:DB_PASSWORD}@db/x"')
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    assert load_config(path).gateway().database == "postgresql://app:hunter2@db/x"
    assert not [f for f in check(load_config(path)) if "clear" in f.message]
    monkeypatch.delenv("DB_PASSWORD")
    with pytest.raises(ConfigError, match=r":2: gateway.database.*DB_PASSWORD"):
        load_config(path).gateway()


def test_defaults_are_shown_when_asked_for(write):
    rows = {r.key: r for r in describe(load_config(write("")), defaults=True)}
    assert rows["max_json_body"].value == "1048576"
    assert rows["imports.file_types"].value == "[cc5]"
    assert rows["z3.path"].is_default


@pytest.mark.parametrize(
    "line",
    [
        'database = "sqlite:///inside.db"',
        'base_url = "https://elsewhere.example.org"',
        'cors_origins = ["*"]',
        'trusted_proxies = ["*"]',
        "tracing = true",
        'imports.database = "sqlite:///rows.db"',
        'z3.bucket = "${env:HOME}"',
    ],
)
def test_a_configuration_that_lies_in_the_folder_has_to_be_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = folder / "storage.toml"
    path.write_text(f"[gateway]\n{line}\n{PROFILES}", "utf-8")
    config = load_config()
    with pytest.raises(ConfigError) as caught:
        config.gateway()
    key = line.partition(" ")[0]
    assert f"{path}:2: gateway.{key}" in str(caught.value)
    assert "storage config trust" in str(caught.value)
    config.profile("dev")  # nothing is wrong with it
    assert commands.trust() == 0
    assert f"{path}:2: gateway.{key.partition('.')[0]}" in capsys.readouterr().out
    load_config().gateway()


def test_proxies_are_addresses_or_networks(write):
    good = ("127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8", "*")
    assert GatewaySettings(trusted_proxies=good).trusted_proxies == good
    for bad in ("proxy.example.org", "10.0.0.1/8", "10.0.0", "", "10.0.0.0/33"):
        with pytest.raises(ConfigError, match="trusted_proxies must be addresses"):
            GatewaySettings(trusted_proxies=("127.0.0.1", bad))
    with pytest.raises(ConfigError, match=r":2: gateway\b.*trusted_proxies"):
        load_config(write('[gateway]\ntrusted_proxies = ["proxy"]')).gateway()


def test_what_is_harmless_needs_no_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "storage.toml").write_text(
        f'[gateway]\nfacades = ["z3"]\nprofiles = ["dev"]\nmax_json_body = 9\n{PROFILES}', "utf-8"
    )
    assert load_config().gateway().facades == ("z3",)


def test_the_schema_knows_the_table(write):
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(config_schema())
    good = {"gateway": {"facades": ["z3"], "z3": {"path": "/z"}, "max_json_body": "${env:N}"}}
    assert not list(validator.iter_errors(good))
    wrongs: list[object] = [{"facades": ["z4"]}, {"fasades": []}, {"z3": {"pth": "x"}}]
    for wrong in wrongs:
        assert list(validator.iter_errors({"gateway": wrong})), wrong
