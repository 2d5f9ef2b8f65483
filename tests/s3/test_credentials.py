"""Who signs: static keys without s3fs, all else from the botocore session it makes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage_core.errors import AuthenticationError, ConfigError
from storage_s3.credentials import Account, Found, find_credentials
from storage_s3.settings import S3Settings
from storage_s3.signing import Keys

VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without credentials; its AWS folder is returned."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


def opened(settings: S3Settings, find=None) -> Account:
    account = Account(settings, "blocking", find)
    with pytest.raises(StopIteration):
        account.open().send(None)  # it never suspends
    return account


def got(account: Account):
    with pytest.raises(StopIteration) as stopped:
        account.get().send(None)
    return stopped.value.value


def test_static_keys() -> None:
    account = opened(
        S3Settings(access_key_id="AKID", secret_access_key="s", session_token="t", region="eu-a")
    )
    assert account.signer is not None
    assert account.signer.keys == Keys("AKID", "s", "t")
    assert account.signer.region == account.region == "eu-a"
    assert got(account) is account.signer
    assert account.endpoint.url == "https://s3.eu-a.amazonaws.com"
    assert not account.refused(account.signer)


def test_anonymous() -> None:
    account = opened(S3Settings(anonymous=True, endpoint_url="http://127.0.0.1:9"))
    assert account.anonymous
    assert account.signer is None
    assert got(account) is None
    assert not account.refused(None)
    assert account.endpoint.addressing == "path"


def test_static_keys_import_no_sdk() -> None:
    program = (
        "import sys\n"
        "from storage_s3.credentials import Account\n"
        "from storage_s3.settings import S3Settings\n"
        "account = Account(S3Settings(access_key_id='a', secret_access_key='b'), 'blocking')\n"
        "try:\n    account.open().send(None)\nexcept StopIteration:\n    pass\n"
        "account.signer.presign('GET', 'h', '/a', '', {}, 9, 0)\n"
        "print([m for m in ('s3fs', 'fsspec', 'botocore', 'aiohttp') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    account = opened(S3Settings())
    assert account.signer is not None
    assert account.signer.keys == Keys("AKENV", "secret", "token")
    assert account.region == "eu-west-3"
    assert account.endpoint.url == "https://s3.eu-west-3.amazonaws.com"


def test_profile_with_region_and_endpoint(nobody: Path) -> None:
    nobody.joinpath("config").write_text(
        "[profile mine]\nregion = eu-south-1\nendpoint_url = http://127.0.0.1:9000\n"
        "aws_access_key_id = AKPROF\naws_secret_access_key = secret\n"
    )
    account = opened(S3Settings(aws_profile="mine"))
    assert account.signer is not None
    assert account.signer.keys == Keys("AKPROF", "secret")
    assert account.region == "eu-south-1"
    assert account.endpoint.url == "http://127.0.0.1:9000"


def test_under_a_running_loop_on_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    async def main() -> None:
        blocking = opened(S3Settings())
        assert blocking.signer is not None
        account = Account(S3Settings(), "asyncio")
        await account.open()
        signer = await account.get()
        assert signer is not None
        assert signer.keys.access_key_id == "AKENV"

    asyncio.run(main())


def process_profile(folder: Path, lifetime: float) -> Path:
    """A profile whose keys come from a program that counts its calls."""
    counter = folder / "calls"
    program = folder / "program.py"
    program.write_text(
        "import json, pathlib, time\n"
        f"counter = pathlib.Path({str(counter)!r})\n"
        "calls = len(counter.read_text()) if counter.exists() else 0\n"
        "counter.write_text('x' * (calls + 1))\n"
        f"end = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + {lifetime}))\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'AK{calls}', 'SecretAccessKey': 's',\n"
        "                  'SessionToken': 't', 'Expiration': end}))\n"
    )
    folder.joinpath("config").write_text(
        f"[profile program]\ncredential_process = {json.dumps(sys.executable)} {program}\n"
    )
    return counter


def test_temporary_keys_are_kept_and_renewed_when_refused(nobody: Path) -> None:
    counter = process_profile(nobody, 3600)
    account = opened(S3Settings(aws_profile="program"))
    first = account.signer
    assert first is not None
    assert first.keys == Keys("AK0", "s", "t")
    assert got(account) is first
    assert counter.read_text() == "x"

    assert account.refused(first)
    assert account.signer is None
    second = got(account)
    assert second.keys.access_key_id == "AK1"
    # A request that went out with the old keys finds the new ones there already.
    assert not account.refused(first)
    assert account.signer is second


def test_temporary_keys_end(nobody: Path) -> None:
    process_profile(nobody, 5000)
    found = find_credentials(S3Settings(aws_profile="program"))
    assert found.expires is not None
    assert 4000 < found.expires - time.time() <= 5000


def test_the_same_keys_again_are_no_help() -> None:
    calls: list[int] = []

    def find(_settings: S3Settings) -> Found:
        calls.append(1)
        return Found(Keys("AKID", "secret"), None, "eu-a", None)

    account = opened(S3Settings(), find)
    assert account.refused(account.signer)
    again = got(account)
    assert not account.refused(again)
    assert len(calls) == 2


def test_no_credentials_anywhere() -> None:
    with pytest.raises(ConfigError, match=r"access_key_id.*aws_profile.*anonymous = true"):
        Account(S3Settings(), "blocking").open().send(None)


def test_unknown_profile() -> None:
    with pytest.raises(ConfigError, match="missing-one"):
        Account(S3Settings(aws_profile="missing-one"), "blocking").open().send(None)


def test_a_source_that_fails(nobody: Path) -> None:
    nobody.joinpath("config").write_text("[profile broken]\ncredential_process = /bin/false\n")
    with pytest.raises(AuthenticationError, match="credentials could not be had"):
        Account(S3Settings(aws_profile="broken"), "blocking").open().send(None)


def test_without_s3fs_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"pip install 'storage-core\[s3\]'"):
        Account(S3Settings(), "blocking").open().send(None)


def test_filesystem_of_the_account() -> None:
    account = opened(
        S3Settings(
            access_key_id="AKID",
            secret_access_key="secret",
            endpoint_url="http://127.0.0.1:9000",
            requester_pays=True,
            storage_class="STANDARD_IA",
        )
    )
    filesystem = account.filesystem()
    assert (filesystem.key, filesystem.secret) == ("AKID", "secret")
    assert filesystem.endpoint_url == "http://127.0.0.1:9000"
    assert filesystem.req_kw == {"RequestPayer": "requester"}
    assert filesystem.s3_additional_kwargs == {"StorageClass": "STANDARD_IA"}
