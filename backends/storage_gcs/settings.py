"""The GCS driver's part of a profile."""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict, Field, Secret, SecretStr, model_validator

from storage_core.http.settings import HttpSettings, is_endpoint
from storage_gcs.names import Options

GOOGLE = "https://storage.googleapis.com"
EMULATOR_VARIABLE = "STORAGE_EMULATOR_HOST"


class GcsSettings(BaseModel):
    """Settings of ``driver = "gcs"``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: SecretStr | Secret[dict[str, str]] | None = Field(
        default=None,
        description="Who asks: `google_default` (environment, gcloud, the machine's account),"
        " `cloud` (the machine's account alone), `anon` (nobody, for public buckets), the path"
        " of a service account's or user's JSON file, that JSON as text or table, or an access"
        " token. Without it `google_default`, and `anon` where `STORAGE_EMULATOR_HOST` counts.",
    )
    project: str | None = Field(
        default=None,
        description="Project whose buckets are listed and created. Without it that of the"
        " credentials, or `GOOGLE_CLOUD_PROJECT`.",
    )
    endpoint_url: str | None = Field(
        default=None,
        description="Address of the service, such as `http://127.0.0.1:4443`. Without it"
        " `STORAGE_EMULATOR_HOST`, else Google's.",
    )
    user_project: str | None = Field(
        default=None,
        description="Project that pays for requests, for buckets whose requesters pay.",
    )
    location: str | None = Field(
        default=None,
        description="Where buckets are created, such as `europe-west3`; Google's own default"
        " is `US`.",
    )
    storage_class: str | None = Field(
        default=None,
        description="Class of what is written, such as `NEARLINE`; of buckets it is the"
        " default class. Without it the bucket's own.",
    )
    kms_key_name: str | None = Field(
        default=None,
        description="Cloud KMS key for what is written:"
        " `projects/P/locations/L/keyRings/R/cryptoKeys/K`. Without it the bucket's own.",
    )
    service_account_email: str | None = Field(
        default=None,
        description="Account in whose name links are signed by Google (IAM signBlob), for"
        " credentials that hold no key; they need iam.serviceAccounts.signBlob on it.",
    )
    iam_endpoint_url: str = Field(
        default="https://iamcredentials.googleapis.com",
        description="Address of the IAM Credentials API, which signs for `service_account_email`.",
    )
    hmac_access_id: str | None = Field(
        default=None, description="Access id of an HMAC key to sign links with."
    )
    hmac_secret: SecretStr | None = Field(default=None, description="Secret of `hmac_access_id`.")
    versions: bool = Field(
        default=False,
        description="Whether the buckets keep old versions; buckets created by this profile"
        " then do, others must have Object Versioning on.",
    )
    http: HttpSettings = Field(
        default_factory=HttpSettings, description="Connections: timeouts, TLS, proxy, limits."
    )

    @model_validator(mode="after")
    def _consistent(self) -> GcsSettings:
        for wrong, remedy in (
            (
                (self.hmac_access_id is None) != (self.hmac_secret is None),
                "hmac_access_id and hmac_secret go together; set both",
            ),
            (
                self.endpoint_url is not None and not is_endpoint(self.endpoint_url),
                "endpoint_url is no address such as https://gcs.example.org, without query, user",
            ),
            (
                not is_endpoint(self.iam_endpoint_url),
                "iam_endpoint_url is no address such as https://iamcredentials.googleapis.com",
            ),
        ):
            if wrong:
                raise ValueError(remedy)
        return self

    @property
    def emulator(self) -> str | None:
        """Address of the environment's emulator, where the profile names no endpoint."""
        host = os.environ.get(EMULATOR_VARIABLE)
        if self.endpoint_url is not None or not host:
            return None
        return host if "://" in host else f"http://{host}"

    @property
    def url(self) -> str:
        """Address of the service."""
        return self.endpoint_url or self.emulator or GOOGLE

    @property
    def source(self) -> str | dict[str, str]:
        """Where credentials come from: see `token`."""
        if self.token is None:
            return "google_default" if self.emulator is None else "anon"
        return self.token.get_secret_value()

    def options(self) -> Options:
        """What requests need."""
        return Options(self.versions, self.storage_class, self.kms_key_name)
