"""The S3 driver's settings: what they resolve to, and which contradict each other."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from storage_s3.presets import CAPABILITIES, PRESETS
from storage_s3.settings import PresetName, S3Settings

KEYS = {"access_key_id": "AKID", "secret_access_key": "the-secret"}
HERE = "http://127.0.0.1:9000"


def test_without_an_endpoint_it_is_amazon() -> None:
    assert S3Settings().preset_name == "aws"
    assert S3Settings(endpoint_url=HERE).preset_name == "generic"
    assert S3Settings(endpoint_url=HERE, preset="ceph").preset_name == "ceph"


def test_every_preset_can_be_chosen() -> None:
    assert set(PRESETS) == set(get_args(PresetName))
    for name in PRESETS:
        settings = S3Settings(preset=name, endpoint_url=HERE)
        assert settings.service is PRESETS[name]
        settings.capabilities()


def test_secrets_are_not_shown() -> None:
    settings = S3Settings(**KEYS, session_token="the-token")
    assert "the-secret" not in repr(settings)
    assert "the-token" not in repr(settings)


def test_every_setting_is_described() -> None:
    for name, field in S3Settings.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"access_key_id": "AKID"}, "secret_access_key"),
        ({"secret_access_key": "s"}, "access_key_id"),
        ({"session_token": "t"}, "session_token goes with"),
        ({**KEYS, "anonymous": True}, "anonymous and access_key_id"),
        ({"aws_profile": "p", "anonymous": True}, "anonymous and aws_profile"),
        ({**KEYS, "aws_profile": "p"}, "access_key_id and aws_profile"),
        ({"preset": "minio"}, "needs endpoint_url"),
        ({"endpoint_url": "s3.example.org"}, "endpoint_url is no address"),
        ({"endpoint_url": "https://user:word@s3.example.org"}, "endpoint_url is no address"),
        ({"endpoint_url": "https://s3.example.org:port"}, "endpoint_url is no address"),
        ({"endpoint_url": "https://s3.example.org/?a=b"}, "endpoint_url is no address"),
        ({"endpoint_url": HERE, "dualstack": True}, "dualstack"),
        ({"kms_key_id": "k"}, "kms_key_id needs"),
        ({"sse": "AES256", "bucket_key": True}, "bucket_key needs"),
        ({"region": "eu central"}, "region is no region"),
        ({"preset": "r2", "endpoint_url": HERE, "versions": True}, "keeps no versions"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_contradictions_name_the_remedy(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named) as caught:
        S3Settings.model_validate(settings)
    assert "the-secret" not in str(caught.value)


def test_headers_of_requests() -> None:
    settings = S3Settings(
        requester_pays=True,
        expected_bucket_owner="111122223333",
        sse="aws:kms",
        kms_key_id="key",
        bucket_key=True,
        storage_class="STANDARD_IA",
        acl="bucket-owner-full-control",
    )
    options = settings.options("https")
    assert options.read == {
        "x-amz-request-payer": "requester",
        "x-amz-expected-bucket-owner": "111122223333",
    }
    assert options.write == {
        **options.read,
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "key",
        "x-amz-server-side-encryption-bucket-key-enabled": "true",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-acl": "bucket-owner-full-control",
    }
    assert S3Settings().options("https")[:2] == ({}, {})


@pytest.mark.parametrize(
    ("payload", "scheme", "signed"),
    [
        ("auto", "https", False),
        ("auto", "http", True),
        ("signed", "https", True),
        ("unsigned", "http", False),
    ],
)
def test_payload_signing(payload: str, scheme: str, signed: bool) -> None:
    settings = S3Settings.model_validate({"payload": payload})
    assert settings.options(scheme).signed_payload is signed


def test_region_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert S3Settings().default_region() == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert S3Settings().default_region() == "eu-west-2"
    assert S3Settings(region="eu-west-3").default_region() == "eu-west-3"
    # Other services have one region; the environment is about Amazon's.
    assert S3Settings(endpoint_url=HERE).default_region() == "us-east-1"
    assert S3Settings(endpoint_url=HERE, preset="r2").default_region() == "auto"
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert S3Settings().default_region() is None


def test_capabilities_follow_preset_and_settings() -> None:
    assert S3Settings(versions=True).capabilities().versions
    plain = S3Settings().capabilities()
    assert plain.conditions == CAPABILITIES.conditions
    assert plain.default_checksum == "crc32c"

    generic = S3Settings(endpoint_url=HERE).capabilities()
    assert not generic.allows("put", "if_absent")
    assert not generic.presign_binds & {"checksum", "if_absent"}
    assert generic.default_checksum is None
    asked = S3Settings(endpoint_url=HERE, checksum="crc32c").capabilities()
    assert "checksum" in asked.presign_binds
    assert not S3Settings(checksum="none").checksums
    assert "checksum" not in S3Settings(checksum="none").capabilities().presign_binds

    anonymous = S3Settings(anonymous=True).capabilities()
    assert not anonymous.presign
    assert not anonymous.presign_part

    swift = S3Settings(preset="swift", endpoint_url=HERE).capabilities()
    assert not swift.allows("put", "if_absent")
    assert not swift.tags
    assert S3Settings(min_part_size=100).capabilities().min_part_size == 100
