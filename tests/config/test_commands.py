"""`storage config`, called as the command line calls it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from storage_core.cli import config as commands
from storage_core.config import load_config
from storage_core.errors import ConfigError

SECRET = "correct-horse-battery"
ACME = f'[profiles.dev]\ndriver = "acme"\nsecret_key = "{SECRET}"\nregion = "[red]eu"\n'


@pytest.fixture(autouse=True)
def _site(site):
    return site


def test_show_prints_fields_that_tools_can_cut(write, capsys):
    path = write(ACME)
    assert commands.show("dev", config=path) == commands.OK
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["dev", "driver", "acme", f"{path}:2"],
        ["dev", "secret_key", "**********", f"{path}:3"],
        ["dev", "region", "[red]eu", f"{path}:4"],
    ]


def test_show_json(write, capsys):
    path = write(ACME)
    assert commands.show(config=path, as_json=True, defaults=True) == commands.OK
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"profile": "dev", "key": "driver", "value": "acme", "source": f"{path}:2"} in rows
    assert {"profile": "dev", "key": "mode", "value": "safe", "source": "default"} in rows


def test_show_draws_a_table_on_a_terminal(write, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    commands.show("dev", config=write(ACME))
    text = screen.getvalue()
    assert "setting" in text
    assert "[red]eu" in text
    assert SECRET not in text


def test_check_says_what_is_wrong(write, capsys):
    path = write('[profiles.dev]\ndriver = "acme"\nregoin = "x"\n')
    assert commands.check(config=path) == commands.WRONG
    out = capsys.readouterr().out
    assert out.startswith(f"error: dev: {path}:3: profiles.dev.regoin: unknown setting")
    assert len(out.splitlines()) == 1, "a misspelt name is not called a secret too"
    assert commands.check(config=path, as_json=True) == commands.WRONG
    finding = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (finding["level"], finding["profile"]) == ("error", "dev")


def test_a_driver_that_is_not_there_has_its_line(write, capsys):
    path = write('[profiles.dev]\ndriver = "acne"\n')
    assert commands.check(config=path) == commands.WRONG
    assert f"dev: {path}:2: profiles.dev.driver: no driver is called" in capsys.readouterr().out


def test_check_is_content(write, capsys):
    path = write('[profiles.dev]\ndriver = "acme"\n')
    assert commands.check(config=path) == commands.OK
    assert capsys.readouterr().out == f"{path}: 3 profiles, nothing wrong\n"


def test_schema_is_json(capsys):
    assert commands.schema() == commands.OK
    assert json.loads(capsys.readouterr().out)["title"] == "storage-core configuration"


def test_path(capsys, home):
    assert commands.path() == commands.WRONG
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{home}/.config/storage-core/storage.toml" in captured.err
    Path("storage.toml").write_text(ACME)
    assert commands.path() == commands.OK
    assert capsys.readouterr().out == f"{Path('storage.toml').absolute()}\n"


def test_trust_and_its_withdrawal(capsys):
    path = Path("storage.toml").absolute()
    path.write_text('[profiles.dev]\ndriver = "acme"\nregion = "eu"\n')
    with pytest.raises(ConfigError, match="storage config trust"):
        load_config().profile("dev")
    assert commands.trust() == commands.OK
    out = capsys.readouterr().out
    assert f"{path}:2: dev.driver uses your credentials" in out
    assert f"{path}: trusted" in out
    assert load_config().profile("dev").driver == "acme"
    assert commands.trust(path, forget=True) == commands.OK
    assert "no longer trusted" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="storage config trust"):
        load_config().profile("dev")


def test_trust_needs_something_to_trust():
    with pytest.raises(ConfigError, match="no configuration to trust"):
        commands.trust()
    with pytest.raises(ConfigError, match="can not be read"):
        commands.trust(Path("gone.toml"))
