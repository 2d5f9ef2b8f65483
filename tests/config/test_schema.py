"""The JSON schema for editors agrees with what is accepted."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from storage_core.config import ProfileOptions, driver_settings, load_config
from storage_core.config.gateway import GatewaySettings
from storage_core.config.schema import config_schema, reference_table
from storage_core.errors import ConfigError
from storage_core.plugins import load_driver

VALID = [
    'default_profile = "dev"\n[profiles.dev]\ndriver = "acme"\n',
    '[profiles.dev]\ndriver = "acme"\nzones = ["a"]\npool = { size = 3 }\nmode = "fast"\n',
    '[profiles.dev]\ndriver = "acme"\nverify = "${env:HOME}"\nsecret_key = "${file:/x}"\n',
    '[profiles.dev]\ndriver = "acme"\nprefix = "x/"\nretry = { attempts = 2, deadline = 1.5 }\n',
    '[profiles.dev]\ndriver = "acme"\nlinks = { route = "gateway", base_url = "https://x" }\n',
    '[profiles.dev]\ndriver = "acme"\nlinks.keys.k = "0123456789abcdef"\ncapabilities.tags = true',
    '[profiles.dev]\ndriver = "local"\nroot = "x"\nfsync = false\n',
]
WRONG = [
    'default = "dev"\n',
    "[profiles.dev]\n",
    '[profiles.dev]\ndriver = "nowhere"\n',
    '[profiles."a b"]\ndriver = "acme"\n',
    '[profiles.dev]\ndriver = "acme"\nregoin = "x"\n',
    '[profiles.dev]\ndriver = "acme"\nverify = "maybe"\n',
    '[profiles.dev]\ndriver = "acme"\nmode = "quick"\n',
    '[profiles.dev]\ndriver = "acme"\npool.size = 0\n',
    '[profiles.dev]\ndriver = "acme"\nretry.attempts = 0\n',
    '[profiles.dev]\ndriver = "acme"\nretry.tries = 1\n',
    '[profiles.dev]\ndriver = "acme"\nlinks.route = "x"\n',
    '[profiles.dev]\ndriver = "local"\n',
    '[profiles.dev]\ndriver = "local"\nroot = "x"\nregion = "y"\n',
]


@pytest.fixture
def schema(site) -> dict[str, Any]:
    return config_schema()


def configure(path: Path) -> None:
    profile = load_config(path).profile("dev")
    driver_settings(profile, load_driver(profile.driver))


def accepted(schema: dict[str, Any], text: str) -> bool:
    return Draft202012Validator(schema).is_valid(tomllib.loads(text))


def test_the_schema_is_one_and_is_json(schema):
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("text", VALID)
def test_what_works_is_valid(text, schema):
    assert accepted(schema, text)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_refused_is_invalid(text, schema, write):
    assert not accepted(schema, text)
    with pytest.raises(ConfigError):
        configure(write(text))


def test_descriptions_reach_the_editor(schema):
    properties = schema["$defs"]["driver.acme"]["properties"]
    assert properties["region"]["description"] == "Region of the account."
    assert properties["prefix"]["description"].startswith("Put in front of every key")


def test_a_driver_that_can_not_be_imported_takes_part(site):
    (site / "acme_storage.py").write_text("import no_such_module")
    schema = config_schema()
    assert "no_such_module" in schema["$defs"]["driver.acme"]["description"]
    assert accepted(schema, '[profiles.dev]\ndriver = "acme"\nanything = 1\n')


def test_the_tables_come_from_the_models(site):
    table = reference_table(load_driver("acme").settings_model())
    assert "| `region` | text | `eu` | Region of the account. |" in table
    assert "| `secret_key` | secret |  | The key's secret. |" in table
    assert "| `mode` | `fast` or `safe` | `safe` | How to write. |" in table
    assert "| `pool.size` | integer | `10` | Connections kept open. |" in table
    assert "| `verify` | boolean | `true` |" in table
    assert "| `zones` | list of text |  |" in table


REFERENCE = ["options", "gateway", "local", "memory", "s3", "azure", "gcs", "fsspec"]
OVER_HTTP = ["s3", "azure", "gcs"]
HTTP_ROW = "| `http."


def table_of(name: str) -> list[str]:
    tables: dict[str, Any] = {"options": ProfileOptions, "gateway": GatewaySettings}
    model = tables[name] if name in tables else load_driver(name).settings_model()
    return reference_table(model).splitlines()


def table_on_the_page(name: str) -> list[str]:
    page = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
    begin, end = f"<!-- begin {name} -->\n", f"\n<!-- end {name} -->"
    return page[page.index(begin) + len(begin) : page.index(end)].splitlines()


@pytest.mark.docs
@pytest.mark.parametrize("name", REFERENCE)
def test_the_reference_page_is_up_to_date(name):
    own = [row for row in table_of(name) if not row.startswith(HTTP_ROW)]
    assert table_on_the_page(name) == own


@pytest.mark.docs
@pytest.mark.parametrize("name", OVER_HTTP)
def test_the_connections_of_every_driver_are_on_the_reference_page(name):
    head, line, *rows = table_of(name)
    connections = [row for row in rows if row.startswith(HTTP_ROW)]
    assert connections
    assert table_on_the_page("http") == [head, line, *connections]
