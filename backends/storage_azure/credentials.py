"""Which account, where it is, and what opens it.

Keys, SAS tokens and anonymous access need nothing else. Token credentials (a service principal,
or Azure's default chain) come from adlfs, which is imported then and only then.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from storage_azure.signing import SharedKey
from storage_core.errors import AuthenticationError, ConfigError
from storage_core.http.credentials import Credentials, Fetched
from storage_core.http.interface import Origin

if TYPE_CHECKING:
    from adlfs import AzureBlobFileSystem

    from storage_azure.settings import AzureSettings
    from storage_core.driver import IO

SCOPE: Final = "https://storage.azure.com/.default"
SUFFIX: Final = "core.windows.net"
EMULATOR: Final = "devstoreaccount1"
# The emulator's key is published by its makers and the same everywhere.
EMULATOR_KEY: Final = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

VARIABLES: Final = {
    "connection_string": "AZURE_STORAGE_CONNECTION_STRING",
    "account_name": "AZURE_STORAGE_ACCOUNT_NAME",
    "account_key": "AZURE_STORAGE_ACCOUNT_KEY",
    "sas_token": "AZURE_STORAGE_SAS_TOKEN",
    "client_id": "AZURE_STORAGE_CLIENT_ID",
    "client_secret": "AZURE_STORAGE_CLIENT_SECRET",
    "tenant_id": "AZURE_STORAGE_TENANT_ID",
}
"""Setting to the environment variable that stands in for it where no account is set."""


class Access(NamedTuple):
    """An account and what opens it.

    Attributes:
        account: Its name.
        endpoint: URL of its blob service, without a slash at the end.
        key: In base64, or empty.
        sas: Shared access signature without ``?``, or empty.
        client: Id, secret and tenant of a principal; parts may be empty.
        anonymous: Whether requests go without credentials.
        environment: Whether the environment told all this.
    """

    account: str
    endpoint: str
    key: str = ""
    sas: str = ""
    client: tuple[str, str, str] = ("", "", "")
    anonymous: bool = False
    environment: bool = False

    def __repr__(self) -> str:
        return f"Access({self.account!r}, {self.endpoint!r})"


def resolve(settings: AzureSettings, environ: Mapping[str, str] | None = None) -> Access:
    """The account that settings, or else the environment, tell of.

    Raises:
        ConfigError: none, or the connection string is malformed.
    """
    environ = os.environ if environ is None else environ
    values = {
        "connection_string": _shown(settings.connection_string),
        "account_name": settings.account_name or "",
        "account_key": _shown(settings.account_key),
        "sas_token": _shown(settings.sas_token),
        "client_id": settings.client_id or "",
        "client_secret": _shown(settings.client_secret),
        "tenant_id": settings.tenant_id or "",
        "endpoint_url": settings.endpoint_url or "",
    }
    environment = not any(
        values[name] for name in ("connection_string", "account_name", "endpoint_url")
    )
    if environment:
        for name, variable in VARIABLES.items():
            values[name] = values[name] or environ.get(variable, "")
    if text := values["connection_string"]:
        values |= _connection(text)
    endpoint = values["endpoint_url"].rstrip("/")
    account = values["account_name"] or _account_of(endpoint)
    if not account:
        raise ConfigError(
            "no storage account: set account_name, connection_string or endpoint_url"
            " (or AZURE_STORAGE_ACCOUNT_NAME or AZURE_STORAGE_CONNECTION_STRING)"
        )
    return Access(
        account,
        endpoint or f"https://{account}.blob.{SUFFIX}",
        values["account_key"],
        values["sas_token"].lstrip("?").strip("&"),
        (values["client_id"], values["client_secret"], values["tenant_id"]),
        settings.anonymous,
        environment,
    )


NO_ADLFS = (
    "without a key or SAS the account needs adlfs, which is not installed:"
    " pip install 'storage-core[azure]'"
)


def _shown(secret: Any) -> str:
    return secret.get_secret_value() if secret is not None else ""


def _connection(text: str) -> dict[str, str]:
    """Settings of a connection string ("Configure Azure Storage connection strings")."""
    fields: dict[str, str] = {}
    for part in text.strip().strip(";").split(";"):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise ConfigError(
                "connection_string is malformed: it is Name=Value;Name=Value, as the portal"
                " shows it"
            )
        fields[name.strip().lower()] = value.strip()
    if fields.get("usedevelopmentstorage", "").lower() == "true":
        proxy = fields.get("developmentstorageproxyuri", "http://127.0.0.1").rstrip("/")
        fields = {
            "accountname": EMULATOR,
            "accountkey": EMULATOR_KEY,
            "blobendpoint": f"{proxy}:10000/{EMULATOR}",
        }
    account, endpoint = fields.get("accountname", ""), fields.get("blobendpoint", "")
    if account and not endpoint:
        scheme = fields.get("defaultendpointsprotocol", "https")
        suffix = fields.get("endpointsuffix", SUFFIX)
        endpoint = f"{scheme}://{account}.blob.{suffix}"
    if not endpoint:
        raise ConfigError("connection_string names neither AccountName nor BlobEndpoint")
    return {
        "account_name": account,
        "endpoint_url": endpoint,
        "account_key": fields.get("accountkey", ""),
        "sas_token": fields.get("sharedaccesssignature", ""),
    }


def _account_of(endpoint: str) -> str:
    """The account an endpoint is that of: the path's, or the host's first word."""
    if not endpoint:
        return ""
    parts = urlsplit(endpoint)
    return parts.path.strip("/").partition("/")[0] or (parts.hostname or "").partition(".")[0]


class Account:
    """What the driver needs of an account for its requests.

    Attributes:
        access: As settings or environment tell it.
        origin: Where requests go.
        base: What paths begin with: empty, or ``/account`` where the path names it.
        key: Signs requests and links, if there is one.
        sas: Parameters that go along with every request, encoded; or empty.
        tokens: Bearer tokens, where there is nothing else.
    """

    def __init__(self, settings: AzureSettings, io: IO) -> None:
        access = resolve(settings)
        self.access = access
        try:
            self.origin = Origin.of(access.endpoint)
        except ValueError:
            raise ConfigError(
                "the account's blob endpoint is not an http:// or https:// URL"
            ) from None
        self.base = urlsplit(access.endpoint).path.rstrip("/")
        self.key = SharedKey(access.account, access.key) if access.key else None
        self.sas = _checked_sas(access.sas) if access.sas and not access.key else ""
        self.tokens: Credentials[str] | None = None
        self._filesystem: AzureBlobFileSystem | None = None
        if self.key is None and not self.sas and not access.anonymous:
            if self.origin.scheme != "https":
                raise ConfigError(
                    "token credentials go over https only; set account_key or sas_token, or"
                    " anonymous = true, for this endpoint"
                )
            if find_spec("adlfs") is None:
                raise ConfigError(NO_ADLFS)
            self.tokens = Credentials(self._fetch, io)

    @property
    def sas_expiry(self) -> str | None:
        """Until when the SAS is good, as it says itself."""
        return dict(parse_qsl(self.sas)).get("se") if self.sas else None

    def filesystem(self) -> AzureBlobFileSystem:
        """The same account as a filesystem of adlfs, for libraries that take one.

        Raises:
            ConfigError: adlfs is not installed.
        """
        if self._filesystem is None:
            self._filesystem = self._made()
        return self._filesystem

    def _made(self) -> AzureBlobFileSystem:
        try:
            from adlfs import AzureBlobFileSystem
        except ImportError as error:
            raise ConfigError(NO_ADLFS) from error
        access = self.access
        client_id, client_secret, tenant_id = access.client
        if self.key is not None or self.sas:
            secret = (
                f"AccountKey={access.key}" if access.key else (f"SharedAccessSignature={self.sas}")
            )
            return AzureBlobFileSystem(
                account_name=access.account,
                connection_string=f"AccountName={access.account};BlobEndpoint={access.endpoint};"
                f"{secret}",
                skip_instance_cache=True,
                use_listings_cache=False,
            )
        options: dict[str, Any] = {"anon": access.anonymous}
        if client_secret:
            options.update(client_id=client_id, client_secret=client_secret, tenant_id=tenant_id)
        elif client_id:
            options.update(managed_identity_client_id=client_id)
        return AzureBlobFileSystem(
            account_name=access.account,
            account_host=access.endpoint.partition("://")[2],
            skip_instance_cache=True,
            use_listings_cache=False,
            **options,
        )

    def _fetch(self) -> Fetched[str]:
        """A new token; blocks."""
        credential = self.filesystem().sync_credential
        if credential is None:
            raise ConfigError(
                "no credentials: set account_key, sas_token or client_id, or anonymous = true"
            )
        try:
            token = credential.get_token(SCOPE)
        except Exception as error:
            # azure-identity's own errors say what every link of its chain tried.
            raise AuthenticationError(
                "no token for the storage account; check client_id, client_secret and tenant_id,"
                f" or log in with the Azure CLI ({type(error).__name__})"
            ) from error
        return Fetched(token.token, float(token.expires_on))


def _checked_sas(sas: str) -> str:
    if "sig=" not in sas or not sas.isascii() or any(c.isspace() for c in sas):
        raise ConfigError(
            "sas_token is no shared access signature: it is the query of a SAS URL, with"
            " sv=…&…&sig=…"
        )
    return sas
