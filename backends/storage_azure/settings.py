"""The Azure driver's part of a profile."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from storage_core.http.settings import HttpSettings, is_endpoint


class AzureSettings(BaseModel):
    """Settings of ``driver = "azure"``.

    Where none of `connection_string`, `account_name` and `endpoint_url` is set, account and
    credentials come from the environment: ``AZURE_STORAGE_CONNECTION_STRING``,
    ``AZURE_STORAGE_ACCOUNT_NAME``, ``AZURE_STORAGE_ACCOUNT_KEY``, ``AZURE_STORAGE_SAS_TOKEN``,
    ``AZURE_STORAGE_CLIENT_ID``, ``AZURE_STORAGE_CLIENT_SECRET`` and
    ``AZURE_STORAGE_TENANT_ID``. As soon as one is set, the environment does not count.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    account_name: str | None = Field(
        default=None, description="Name of the storage account, such as `mystorage`."
    )
    account_key: SecretStr | None = Field(
        default=None, description="One of the account's two keys, in base64."
    )
    sas_token: SecretStr | None = Field(
        default=None,
        description="Shared access signature to use in place of a key: the query of a SAS URL,"
        " with or without `?`.",
    )
    connection_string: SecretStr | None = Field(
        default=None,
        description="Account, credentials and endpoint in one, as the portal shows it:"
        " `DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…`.",
    )
    client_id: str | None = Field(
        default=None,
        description="Application (client) id of a service principal; without `client_secret`"
        " that of a managed or workload identity.",
    )
    client_secret: SecretStr | None = Field(default=None, description="Secret of `client_id`.")
    tenant_id: str | None = Field(default=None, description="Directory (tenant) id of `client_id`.")
    anonymous: bool = Field(
        default=False,
        description="Whether requests go without credentials, for public containers. Without"
        " any credentials set, those of Azure's default chain are used: environment, workload"
        " identity, managed identity, Azure CLI.",
    )
    endpoint_url: str | None = Field(
        default=None,
        description="Address of the account's blob service, such as"
        " `https://mystorage.blob.core.windows.net` (the default for `account_name`) or"
        " `http://127.0.0.1:10000/devstoreaccount1`.",
    )
    versions: bool = Field(
        default=False,
        description="Whether the account keeps old versions; switch it on where blob"
        " versioning is enabled on the account.",
    )
    min_part_size: Annotated[int, Field(ge=1)] = Field(
        default=5 * 1024**2,
        description="Least size in bytes of a part other than the last.",
    )
    http: HttpSettings = Field(
        default_factory=HttpSettings, description="Connections: timeouts, TLS, proxy, limits."
    )

    @model_validator(mode="after")
    def _consistent(self) -> AzureSettings:
        for wrong, remedy in _contradictions(self):
            if wrong:
                raise ValueError(remedy)
        return self


def _contradictions(settings: AzureSettings) -> list[tuple[bool, str]]:
    """What can not stand together, and what to do about it."""
    principal = settings.client_secret is not None
    given = [
        name
        for name, present in (
            ("account_key", settings.account_key is not None),
            ("sas_token", settings.sas_token is not None),
            ("connection_string", settings.connection_string is not None),
            ("client_id", settings.client_id is not None),
            ("anonymous", settings.anonymous),
        )
        if present
    ]
    url = settings.endpoint_url
    return [
        (
            len(given) > 1,
            f"{' and '.join(given)} are different ways to authenticate; set one of them",
        ),
        (
            principal and (settings.client_id is None or settings.tenant_id is None),
            "client_secret needs client_id and tenant_id too",
        ),
        (
            settings.connection_string is not None
            and (settings.account_name is not None or url is not None),
            "connection_string tells account and endpoint already; remove those settings",
        ),
        (
            settings.account_name is not None and not _is_account(settings.account_name),
            "account_name is not the name of an account: 3 to 24 lower-case letters and digits",
        ),
        (
            url is not None and not is_endpoint(url),
            "endpoint_url is not a plain http:// or https:// URL; a SAS goes to sas_token",
        ),
    ]


def _is_account(name: str) -> bool:
    return name.isascii() and name.replace("-", "").isalnum() and 0 < len(name) <= 63
