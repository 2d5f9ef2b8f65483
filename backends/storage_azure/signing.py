"""Signatures: Shared Key for requests, shared access signatures (SAS) for links. Pure: the time
is passed in and nothing is sent.

Sources: "Authorize with Shared Key", "Create a service SAS" and "Create a user delegation SAS"
in the REST reference of Azure Storage.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from storage_azure.keys import quote_text
from storage_core.errors import ConfigError
from storage_core.model import EMPTY

API_VERSION: Final = "2023-11-03"
"""Version of the API, of requests and of signatures."""

Query: TypeAlias = tuple[tuple[str, str], ...]
"""Parameters as text, names in lower case and ascending."""

_SIGNED = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


class SharedKey:
    """An account and one of its keys.

    Args:
        account: Name of the storage account.
        key: In base64, as the portal shows it.

    Raises:
        ConfigError: the key is not base64.
    """

    __slots__ = ("_authorization", "_key", "account")

    def __init__(self, account: str, key: str) -> None:
        try:
            self._key = b64decode(key, validate=True)
        except ValueError:
            raise ConfigError(
                "account_key is not base64: copy the whole key, with the = at its end"
            ) from None
        self.account = account
        self._authorization = f"SharedKey {account}:"

    def __repr__(self) -> str:
        return f"SharedKey({self.account!r})"

    def sign(self, text: str) -> str:
        """Signature of a string to sign."""
        return _signature(self._key, text)

    def authorization(
        self, method: str, path: str, query: Query, headers: Mapping[str, str], length: int
    ) -> str:
        """Value of ``Authorization``.

        Args:
            method: Of HTTP.
            path: Of the URL as it is sent, percent-encoded.
            query: Not encoded.
            headers: Names in lower case. All that begin with ``x-ms-`` are signed, and those
                of HTTP that the service wants signed.
            length: Bytes of the body.
        """
        text = string_to_sign(self.account, method, path, query, headers, length)
        return self._authorization + _signature(self._key, text)


def _signature(key: bytes, text: str) -> str:
    return b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def string_to_sign(
    account: str, method: str, path: str, query: Query, headers: Mapping[str, str], length: int
) -> str:
    """What the signature of a request covers; arguments as for `SharedKey.authorization`."""
    own = [name for name in headers if name.startswith("x-ms-")]
    if len(own) > 1:
        own.sort(key=_header_order)
    signed = "".join([f"{name}:{headers[name]}\n" for name in own])
    sent = str(length) if length else ""
    if len(own) == len(headers):  # most requests have none of the others
        standard = f"\n\n{sent}\n\n\n\n\n\n\n\n"
    else:
        get = headers.get
        standard = "\n".join(
            [sent if name == "content-length" else get(name, "") for name in _SIGNED]
        )
    parameters = "".join([f"\n{name}:{value}" for name, value in query])
    return f"{method}\n{standard}\n{signed}/{account}{path}{parameters}"


@lru_cache(maxsize=1024)
def _header_order(name: str) -> str:
    """The service orders headers by language: ``-`` does not count, ``_`` comes before digits,
    these before letters."""
    return name.replace("-", "").replace("_", "!")


# --- links ----------------------------------------------------------------------------


class DelegationKey(NamedTuple):
    """A key that signs for a user, given by the service; see "Get User Delegation Key"."""

    object_id: str
    tenant_id: str
    start: str
    expiry: str
    service: str
    version: str
    value: str

    def __repr__(self) -> str:
        return f"DelegationKey({self.object_id!r}, expiry={self.expiry!r})"


class Grant(NamedTuple):
    """What a shared access signature allows.

    Attributes:
        permissions: Letters in the order of the reference, such as ``"r"`` or ``"cw"``.
        expiry: Until when, see `sas_time`.
        version: Of the blob, empty for the present one.
        answer: Headers the answer is to have: ``rscc``, ``rscd``, ``rsce``, ``rscl``, ``rsct``.
    """

    permissions: str
    expiry: str
    version: str = ""
    answer: Mapping[str, str] = EMPTY


_ANSWER = ("rscc", "rscd", "rsce", "rscl", "rsct")


def sas_time(moment: datetime) -> str:
    """A moment (UTC) as signatures have it, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def blob_sas(
    key: SharedKey | DelegationKey,
    account: str,
    container: str,
    name: str,
    grant: Grant,
    protocol: str = "",
) -> list[tuple[str, str]]:
    """Parameters of a signature for one blob, not encoded.

    Args:
        key: The account's key, or one delegated by a user.
        account: Name of the account.
        container: The container's name.
        name: The blob's, not encoded.
        grant: What is allowed.
        protocol: ``"https"`` to allow nothing else.
    """
    resource = "bv" if grant.version else "b"
    place = f"/blob/{account}/{container}/{name}"
    fields = [("sp", grant.permissions), ("se", grant.expiry)]
    if isinstance(key, SharedKey):
        middle: tuple[str, ...] = ("",)  # a stored policy's name
    else:
        named = (
            ("skoid", key.object_id),
            ("sktid", key.tenant_id),
            ("skt", key.start),
            ("ske", key.expiry),
            ("sks", key.service),
            ("skv", key.version),
        )
        fields += named
        # Authorized and other user's object ids and a correlation id are not used.
        middle = (*(value for _, value in named), "", "", "")
    answer = tuple(grant.answer.get(header, "") for header in _ANSWER)
    text = "\n".join(
        (
            grant.permissions,
            "",  # from when on
            grant.expiry,
            place,
            *middle,
            "",  # addresses
            protocol,
            API_VERSION,
            resource,
            grant.version,
            "",  # encryption scope
            *answer,
        )
    )
    if protocol:
        fields.append(("spr", protocol))
    fields += [("sv", API_VERSION), ("sr", resource)]
    if grant.version:
        fields.append(("versionid", grant.version))
    fields += [(header, value) for header, value in zip(_ANSWER, answer, strict=True) if value]
    signature = (
        key.sign(text) if isinstance(key, SharedKey) else _signature(b64decode(key.value), text)
    )
    return [("sig", signature), *fields]


def encode_query(fields: Iterable[tuple[str, str]]) -> str:
    """Parameters as a URL has them."""
    return "&".join([f"{quote_text(name)}={quote_text(value)}" for name, value in fields])
