"""Settings, and who asks because of them."""

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

import storage_core
from storage_core.errors import ConfigError
from storage_core.runtime import drive
from storage_gcs.credentials import Account
from storage_gcs.driver import GcsDriver
from storage_gcs.settings import GOOGLE, GcsSettings


def opened(**settings):
    account = Account(GcsSettings(**settings), "blocking")
    drive(account.open())
    return account


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def test_defaults():
    settings = GcsSettings()
    assert (settings.url, settings.source) == (GOOGLE, "google_default")
    assert not settings.versions


@pytest.mark.parametrize("host", ["127.0.0.1:4443", "http://127.0.0.1:4443"])
def test_emulator(monkeypatch, host):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", host)
    settings = GcsSettings()
    assert (settings.url, settings.source) == ("http://127.0.0.1:4443", "anon")
    there = GcsSettings(endpoint_url="https://gcs.example.org")
    assert (there.url, there.source) == ("https://gcs.example.org", "google_default")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"endpoint_url": "gcs.example.org"}, "endpoint_url"),
        ({"endpoint_url": "http://user@h"}, "endpoint_url"),
        ({"endpoint_url": "http://h?x=1"}, "endpoint_url"),
        ({"iam_endpoint_url": "x"}, "iam_endpoint_url"),
        ({"hmac_access_id": "a"}, "hmac_secret"),
        ({"hmac_secret": "a"}, "hmac_access_id"),
        ({"bucket": "b"}, "bucket"),
    ],
)
def test_refused(settings, named):
    with pytest.raises(ValidationError, match=named):
        GcsSettings(**settings)


def test_secrets_do_not_show():
    info = {"type": "service_account", "private_key": "very-secret"}
    for token in ("very-secret", info):
        settings = GcsSettings(token=token, hmac_access_id="id", hmac_secret="very-secret")
        driver = GcsDriver(settings)
        for text in (repr(settings), str(settings), repr(driver), driver.describe()):
            assert "very-secret" not in text


def test_access_token():
    account = opened(token="ya29.abc", user_project="payer")
    assert account.headers == {
        "authorization": "Bearer ya29.abc",
        "x-goog-user-project": "payer",
    }
    assert not account.refused(account.headers)


def test_anonymous():
    account = opened(token="anon")
    assert account.headers == {}
    assert account.anonymous


def test_project(monkeypatch):
    with pytest.raises(ConfigError, match="set project"):
        opened(token="anon").project()
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "of-environment")
    assert opened(token="anon").project() == "of-environment"
    assert opened(token="anon", project="mine").project() == "mine"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can not be read"),
        ("no json", "no JSON object"),
        ("[]", "no JSON object"),
        ('{"type": "external_account"}', "GOOGLE_APPLICATION_CREDENTIALS"),
        ('{"type": "service_account"}', "can not be used"),
        ('{"type": "authorized_user"}', "can not be used"),
    ],
)
def test_key_files(tmp_path, content, said):
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=said):
        opened(token=str(file))
    if content is not None and content.startswith("{"):
        for token in (content, json.loads(content)):
            with pytest.raises(ConfigError, match=said):
                opened(token=token)


def test_no_credentials(monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(ConfigError, match="no Google credentials were found"):
        opened()


def test_nothing_is_imported_for_nobody_and_for_tokens():
    code = """
import sys, storage_core
for token in ("anon", "ya29.token"):
    with storage_core.open(config={"driver": "gcs", "token": token}) as storage:
        assert not storage.capabilities.presign
found = {"google.auth", "gcsfs", "fsspec", "aiohttp", "requests", "urllib3"} & set(sys.modules)
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_the_driver_module_is_light():
    code = """
import sys, storage_gcs.driver
found = {"asyncio", "pydantic", "google.auth", "gcsfs", "urllib.request"} & set(sys.modules)
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_who_can_sign():
    plain = {"driver": "gcs", "endpoint_url": "http://127.0.0.1:9"}
    with storage_core.open(config={**plain, "token": "t"}) as storage:
        assert storage.capabilities.presign == frozenset()
    for more in (
        {"token": "t", "service_account_email": "a@example.org"},
        {"token": "anon", "hmac_access_id": "id", "hmac_secret": "s"},
    ):
        with storage_core.open(config={**plain, **more}) as storage:
            assert storage.capabilities.presign == {"GET", "HEAD", "PUT", "DELETE"}
            assert storage.capabilities.presign_part


def test_schema_and_docs():
    schema = GcsSettings.model_json_schema()
    for name, field in schema["properties"].items():
        assert field.get("description"), name
