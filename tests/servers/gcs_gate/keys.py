"""Accounts, their keys, tokens and roles: who may call, and what they may do."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers.gcs_gate.clock import Clock

SCOPE = "https://www.googleapis.com/auth/"
FULL = "devstorage.full_control"
WRITE = "devstorage.read_write"
READ = "devstorage.read_only"
PLATFORM = "cloud-platform"
IAM = "iam"
SCOPES = tuple(SCOPE + name for name in (FULL, WRITE, READ, PLATFORM, IAM))

_READ = {"storage.objects.get", "storage.objects.list"}
_CREATE = {"storage.objects.create", "storage.multipartUploads.create"} | {
    f"storage.multipartUploads.{verb}" for verb in ("abort", "listParts")
}
_OBJECTS = (
    _READ
    | _CREATE
    | {
        "storage.objects.delete",
        "storage.objects.update",
        "storage.multipartUploads.list",
    }
)
_BUCKETS = {
    f"storage.buckets.{verb}"
    for verb in ("create", "delete", "get", "list", "update", "getIamPolicy", "setIamPolicy")
}
ROLES: dict[str, set[str]] = {
    "roles/storage.objectViewer": _READ,
    "roles/storage.objectCreator": _CREATE,
    "roles/storage.objectUser": _OBJECTS,
    "roles/storage.objectAdmin": _OBJECTS,
    "roles/storage.admin": _OBJECTS | _BUCKETS,
    "roles/storage.legacyBucketReader": {
        "storage.buckets.get",
        "storage.objects.list",
        "storage.multipartUploads.list",
    },
    "roles/iam.serviceAccountTokenCreator": {"iam.serviceAccounts.signBlob"},
    "roles/storage.legacyObjectReader": {"storage.objects.get"},
}
"""Permissions of the roles that can be granted here (docs: access-control/iam-roles)."""


@dataclass
class Account:
    """A service account: public keys by key id, roles by project."""

    email: str
    project: str
    roles: dict[str, set[str]] = field(default_factory=dict)
    public_keys: dict[str, rsa.RSAPublicKey] = field(default_factory=dict)
    _system: rsa.RSAPrivateKey | None = None

    def system_key(self) -> tuple[str, rsa.RSAPrivateKey]:
        """The key that the service itself signs with (signBlob); nobody else has it."""
        if self._system is None:
            self._system = rsa.generate_private_key(65537, 2048)
            self.public_keys[f"system-{self.email}"] = self._system.public_key()
        return f"system-{self.email}", self._system


@dataclass(frozen=True)
class Token:
    """An access token."""

    email: str
    expires: float
    scopes: frozenset[str]

    def allows(self, *names: str) -> bool:
        """Whether it has one of the scopes."""
        return any(SCOPE + name in self.scopes for name in names)


@dataclass
class Keyring:
    """All accounts."""

    clock: Clock
    accounts: dict[str, Account] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    hmac: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, email: str, project: str, role: str | None) -> Account:
        """Register an account, with a role in its project or without any."""
        if role is not None and role not in ROLES:
            raise ValueError(f"unknown role {role!r}; there are {', '.join(sorted(ROLES))}")
        account = self.accounts.setdefault(email, Account(email, project))
        if role is not None:
            account.roles.setdefault(project, set()).add(role)
        return account

    def new_key(self, account: Account, origin: str) -> dict[str, Any]:
        """A key of one's own, as the file that the console hands out
        (docs: iam/docs/keys-create-delete)."""
        private = rsa.generate_private_key(65537, 2048)
        key_id = secrets.token_hex(20)
        account.public_keys[key_id] = private.public_key()
        pem = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return {
            "type": "service_account",
            "project_id": account.project,
            "private_key_id": key_id,
            "private_key": pem.decode(),
            "client_email": account.email,
            "client_id": str(abs(hash(account.email)) % 10**21),
            "auth_uri": f"{origin}/auth",
            "token_uri": f"{origin}/token",
            "universe_domain": "googleapis.com",
        }

    def add_public_key(self, account: Account, pem: bytes) -> str:
        """A key whose private half somebody else has."""
        key = serialization.load_pem_public_key(pem)
        if not isinstance(key, rsa.RSAPublicKey):
            raise TypeError("not the public half of an RSA key")
        key_id = secrets.token_hex(20)
        account.public_keys[key_id] = key
        return key_id

    def new_token(
        self,
        email: str,
        *,
        seconds: float = 3600,
        scopes: Iterable[str] = SCOPES,
        text: str | None = None,
    ) -> str:
        """An access token."""
        made = text or f"ya29.{secrets.token_urlsafe(32)}"
        expires = self.clock.now() + seconds
        self.tokens[made] = Token(email, expires, frozenset(scopes))
        return made

    def new_hmac(self, email: str) -> tuple[str, str]:
        """Access id and secret (docs: authentication/hmackeys)."""
        access_id = "GOOG1E" + base64.b32encode(secrets.token_bytes(35)).decode()[:55]
        secret = base64.b64encode(secrets.token_bytes(30)).decode()
        self.hmac[access_id] = (secret, email)
        return access_id, secret

    def account_allowed(self, email: str, permission: str, project: str) -> bool:
        """Whether a role in the project has the permission."""
        account = self.accounts.get(email)
        roles = account.roles.get(project, set()) if account else set()
        return any(permission in ROLES[role] for role in roles)


def bindings_allow(bindings: list[dict[str, Any]], members: set[str], permission: str) -> bool:
    """Whether a bucket's policy grants it (docs: access-control/iam)."""
    return any(
        permission in ROLES[binding["role"]] and members & set(binding["members"])
        for binding in bindings
    )


def dump(resource: dict[str, Any]) -> str:
    """A key file."""
    return json.dumps(resource, indent=2)
