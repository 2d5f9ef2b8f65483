"""Settings, and the account they lead to."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest
from pydantic import ValidationError

from storage_azure.credentials import EMULATOR, Account, resolve
from storage_azure.driver import AzureDriver
from storage_azure.settings import AzureSettings
from storage_core.errors import ConfigError

KEY = base64.b64encode(b"a key of no account").decode()
ENVIRONMENT = {
    "AZURE_STORAGE_ACCOUNT_NAME": "fromenv",
    "AZURE_STORAGE_ACCOUNT_KEY": KEY,
}


@pytest.mark.parametrize(
    ("values", "account", "endpoint", "kind"),
    [
        ({"account_name": "acc", "account_key": KEY}, "acc", "https://acc.blob.core.windows.net",
         "key"),
        ({"account_name": "acc", "sas_token": "?sv=1&sig=x"}, "acc",
         "https://acc.blob.core.windows.net", "sas"),
        ({"account_name": "acc", "anonymous": True}, "acc", "https://acc.blob.core.windows.net",
         "anonymous"),
        ({"account_name": "acc"}, "acc", "https://acc.blob.core.windows.net", "token"),
        ({"endpoint_url": "http://127.0.0.1:10000/dev/", "account_key": KEY}, "dev",
         "http://127.0.0.1:10000/dev", "key"),
        ({"endpoint_url": "https://acc.blob.core.chinacloudapi.cn", "account_key": KEY}, "acc",
         "https://acc.blob.core.chinacloudapi.cn", "key"),
        ({"connection_string": f"AccountName=acc;AccountKey={KEY};EndpointSuffix=x.example"},
         "acc", "https://acc.blob.x.example", "key"),
        ({"connection_string": "BlobEndpoint=https://acc.blob.x.example/;"
          "SharedAccessSignature=sv=1&sig=x"}, "acc", "https://acc.blob.x.example", "sas"),
        ({"connection_string": "UseDevelopmentStorage=true"}, EMULATOR,
         f"http://127.0.0.1:10000/{EMULATOR}", "key"),
    ],
)  # fmt: skip
def test_accounts(values: dict[str, object], account: str, endpoint: str, kind: str) -> None:
    settings = AzureSettings.model_validate(values)
    access = resolve(settings, ENVIRONMENT)
    assert (access.account, access.endpoint, access.environment) == (account, endpoint, False)
    opened = Account(settings, "blocking")
    assert {
        "key": opened.key is not None,
        "sas": bool(opened.sas),
        "token": opened.tokens is not None,
        "anonymous": access.anonymous,
    } == {name: name == kind for name in ("key", "sas", "token", "anonymous")}


def test_the_environment_counts_only_where_no_account_is_set() -> None:
    access = resolve(AzureSettings(), ENVIRONMENT)
    assert (access.account, access.key, access.environment) == ("fromenv", KEY, True)
    assert not resolve(AzureSettings(account_name="acc"), ENVIRONMENT).key


def test_describe_tells_where_the_account_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert "from the environment" in AzureDriver(AzureSettings()).describe()
    assert "fromenv" in AzureDriver(AzureSettings()).describe()
    assert KEY not in AzureDriver(AzureSettings()).describe()


def test_no_account_is_told_with_the_names_to_set() -> None:
    with pytest.raises(ConfigError, match="account_name"):
        resolve(AzureSettings(), {})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"account_name": "a", "account_key": KEY, "sas_token": "sig=x"}, "different ways"),
        ({"account_name": "a", "anonymous": True, "account_key": KEY}, "different ways"),
        ({"account_name": "a", "client_secret": "x", "client_id": "y"}, "tenant_id"),
        ({"connection_string": "AccountName=a", "account_name": "a"}, "remove"),
        ({"account_name": "not an account"}, "account_name"),
        ({"endpoint_url": "https://a.example/?sig=x"}, "sas_token"),
        ({"endpoint_url": "ftp://a.example"}, "endpoint_url"),
        ({"account_nam": "a"}, "account_nam"),
    ],
)
def test_contradictions_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AzureSettings.model_validate(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"connection_string": "nonsense"}, "malformed"),
        ({"connection_string": "EndpointSuffix=x"}, "names neither"),
        ({"account_name": "a", "account_key": "not base64"}, "account_key"),
        ({"account_name": "a", "sas_token": "sv=1"}, "sas_token"),
        ({"endpoint_url": "http://a.example"}, "https only"),
    ],
)
def test_what_can_not_work_is_told_at_open(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Account(AzureSettings.model_validate(values), "blocking")
    assert "not base64 of" not in str(caught.value)


def test_without_a_key_no_links_are_declared() -> None:
    def signs(**values: object) -> bool:
        settings = AzureSettings.model_validate({"account_name": "a", **values})
        return bool(AzureDriver(settings).capabilities.presign)

    assert signs(account_key=KEY)
    assert signs(), "a token gets a key delegated"
    assert not signs(sas_token="sig=x")
    assert not signs(anonymous=True)


def test_secrets_do_not_show() -> None:
    settings = AzureSettings(account_name="a", account_key=KEY)
    account = Account(settings, "blocking")
    for shown in (settings, account.access, account.key, AzureDriver(settings)):
        assert KEY not in repr(shown)


def test_the_driver_loads_no_sdk() -> None:
    code = (
        "import sys, storage_azure.driver;"
        "print([name for name in ('adlfs', 'azure', 'fsspec', 'aiohttp', 'pydantic')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
