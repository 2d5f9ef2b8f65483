"""The S3 driver's part of a profile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from storage_core.http.settings import HttpSettings, is_endpoint
from storage_core.model import Capabilities
from storage_s3.presets import PRESETS, Preset, capabilities

PresetName = Literal["aws", "r2", "ceph", "minio", "swift", "moto", "generic"]
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


class Options(NamedTuple):
    """Settings as requests need them, worked out once.

    Attributes:
        read: Headers of every request about an object or a bucket.
        write: Headers of requests that make an object: put, create upload, copy target.
        signed_payload: Whether bodies are hashed and signed; else their bytes rest on TLS.
        checksums: Whether ``x-amz-checksum-*`` headers are sent and asked for.
    """

    read: Mapping[str, str]
    write: Mapping[str, str]
    signed_payload: bool
    checksums: bool


class S3Settings(BaseModel):
    """Settings of ``driver = "s3"``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    preset: PresetName | None = Field(
        default=None,
        description="The service: `aws`, `r2` (Cloudflare), `ceph`, `minio`, `swift`, `moto` or"
        " `generic`. It sets addressing, checksum behaviour and capabilities. Without it `aws`"
        " when there is no `endpoint_url`, `generic` when there is one.",
    )
    endpoint_url: str | None = Field(
        default=None,
        description="Address of the service, such as `https://s3.example.org`. Not needed for"
        " Amazon S3.",
    )
    region: str | None = Field(
        default=None,
        description="Region of the buckets, such as `eu-central-1`. Without it that of the"
        " credentials' profile, `AWS_REGION` or `AWS_DEFAULT_REGION`, else `us-east-1`.",
    )
    access_key_id: str | None = Field(
        default=None,
        description="Access key. Without it credentials come from where boto3 finds them:"
        " environment, `~/.aws`, single sign-on, web identity, the machine's role.",
    )
    secret_access_key: SecretStr | None = Field(
        default=None, description="Secret of `access_key_id`."
    )
    session_token: SecretStr | None = Field(
        default=None, description="Token that goes with temporary keys."
    )
    aws_profile: str | None = Field(
        default=None,
        description="Profile of `~/.aws/config` to take credentials, region and endpoint from;"
        " a role it assumes is assumed.",
    )
    anonymous: bool = Field(
        default=False, description="Whether requests go unsigned, for public buckets."
    )
    addressing: Literal["auto", "virtual", "path"] = Field(
        default="auto",
        description="Whether the host (`virtual`) or the path names the bucket; `auto` is what"
        " the preset says.",
    )
    dualstack: bool = Field(
        default=False, description="Whether Amazon's endpoints with IPv6 are used."
    )
    fips: bool = Field(default=False, description="Whether Amazon's FIPS 140 endpoints are used.")
    requester_pays: bool = Field(
        default=False, description="Whether the caller consents to pay for requests."
    )
    expected_bucket_owner: str | None = Field(
        default=None,
        description="Account id that must own a bucket; requests to another's are refused.",
    )
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = Field(
        default=None,
        description="Encryption by the service of what is written; without it the bucket's"
        " own default.",
    )
    kms_key_id: str | None = Field(
        default=None, description="Key for `aws:kms`: its ARN or id; without it the service's own."
    )
    bucket_key: bool | None = Field(
        default=None, description="Whether `aws:kms` uses a key of the bucket, which costs less."
    )
    storage_class: str | None = Field(
        default=None, description="Class of what is written, such as `STANDARD_IA`."
    )
    acl: str | None = Field(
        default=None,
        description="Canned ACL of what is written, such as `bucket-owner-full-control`. None"
        " is sent by default: buckets without ACLs refuse them.",
    )
    payload: Literal["auto", "signed", "unsigned"] = Field(
        default="auto",
        description="Whether bodies are part of the signature. `auto` signs them over plain"
        " http; over TLS they are protected, and hashing them costs time. `unsigned` over plain"
        " http saves that time where nobody can change what is on its way.",
    )
    checksum: Literal["auto", "crc32c", "none"] = Field(
        default="auto",
        description="Whether the service checks and keeps a CRC32C of every object"
        " (`x-amz-checksum-crc32c`); `auto` is what the preset says.",
    )
    versions: bool = Field(
        default=False,
        description="Whether the buckets keep old versions; switch it on where versioning is"
        " enabled on them.",
    )
    min_part_size: Annotated[int, Field(ge=1)] = Field(
        default=5 * 1024**2,
        description="Least size in bytes of a part other than the last.",
    )
    http: HttpSettings = Field(
        default_factory=HttpSettings, description="Connections: timeouts, TLS, proxy, limits."
    )

    @model_validator(mode="after")
    def _consistent(self) -> S3Settings:
        for wrong, remedy in _contradictions(self):
            if wrong:
                raise ValueError(remedy)
        return self

    @property
    def static(self) -> bool:
        """Whether the profile itself says who signs, so that nobody need be asked."""
        return self.anonymous or self.access_key_id is not None

    @property
    def service(self) -> Preset:
        """The preset that counts."""
        return PRESETS[self.preset_name]

    @property
    def preset_name(self) -> str:
        """Name of the preset that counts."""
        return self.preset or ("aws" if self.endpoint_url is None else "generic")

    def default_region(self) -> str | None:
        """The region, as far as profile, environment and preset tell; None for Amazon S3
        without any."""
        return (
            self.region
            or self.service.region
            or next((found for name in REGION_VARIABLES if (found := os.environ.get(name))), None)
        )

    def options(self, scheme: str) -> Options:
        """What requests need.

        Args:
            scheme: Of the endpoint, ``https`` or ``http``.
        """
        read = {
            name: value
            for name, value in (
                ("x-amz-request-payer", "requester" if self.requester_pays else None),
                ("x-amz-expected-bucket-owner", self.expected_bucket_owner),
            )
            if value is not None
        }
        write = {
            name: value
            for name, value in (
                ("x-amz-server-side-encryption", self.sse),
                ("x-amz-server-side-encryption-aws-kms-key-id", self.kms_key_id),
                (
                    "x-amz-server-side-encryption-bucket-key-enabled",
                    None if self.bucket_key is None else str(self.bucket_key).lower(),
                ),
                ("x-amz-storage-class", self.storage_class),
                ("x-amz-acl", self.acl),
            )
            if value is not None
        }
        return Options(
            read=read,
            write={**read, **write},
            signed_payload=self.payload == "signed"
            or (self.payload == "auto" and scheme != "https"),
            checksums=self.checksums,
        )

    @property
    def checksums(self) -> bool:
        """Whether the service's checksum headers are used."""
        return self.service.checksums if self.checksum == "auto" else self.checksum == "crc32c"

    def capabilities(self) -> Capabilities:
        """What the profile can do."""
        return capabilities(
            self.service,
            versions=self.versions,
            checksums=self.checksums,
            anonymous=self.anonymous,
            min_part_size=self.min_part_size,
        )


def _contradictions(settings: S3Settings) -> list[tuple[bool, str]]:
    """Pairs of settings that can not both be meant, and what to do about them."""
    keys = settings.access_key_id is not None
    secret = settings.secret_access_key is not None
    aws = settings.preset_name == "aws"
    return [
        (keys and not secret, "access_key_id is set without secret_access_key; set both"),
        (secret and not keys, "secret_access_key is set without access_key_id; set both"),
        (
            settings.session_token is not None and not keys,
            "session_token goes with access_key_id and secret_access_key; set them too",
        ),
        (
            settings.anonymous and keys,
            "anonymous and access_key_id exclude each other; remove one",
        ),
        (
            settings.anonymous and settings.aws_profile is not None,
            "anonymous and aws_profile exclude each other; remove one",
        ),
        (
            keys and settings.aws_profile is not None,
            "access_key_id and aws_profile exclude each other; remove one",
        ),
        (
            settings.endpoint_url is None and settings.aws_profile is None and not aws,
            "this preset needs endpoint_url, the address of the service",
        ),
        (
            settings.endpoint_url is not None and not is_endpoint(settings.endpoint_url),
            "endpoint_url is no address such as https://s3.example.org, without query and user",
        ),
        (
            settings.endpoint_url is not None and (settings.dualstack or settings.fips),
            "dualstack and fips choose among Amazon's endpoints; remove them or endpoint_url",
        ),
        (
            settings.kms_key_id is not None and not (settings.sse or "").startswith("aws:kms"),
            "kms_key_id needs sse = 'aws:kms'",
        ),
        (
            settings.bucket_key is not None and settings.sse != "aws:kms",
            "bucket_key needs sse = 'aws:kms'",
        ),
        (
            settings.region is not None and not _is_region(settings.region),
            "region is no region's name; Amazon's look like eu-central-1",
        ),
        (
            settings.versions and settings.service.overrides.get("versions") is False,
            f"preset {settings.preset_name!r} keeps no versions; remove the setting versions",
        ),
    ]


def _is_region(region: str) -> bool:
    return region.isascii() and region.replace("-", "").replace("_", "").isalnum()
