"""Who calls, and whether they may (docs: authentication, access-control/iam-json,
access-control/iam-xml)."""

from __future__ import annotations

from dataclasses import dataclass

from tests.servers.gcs_gate import keys, signing
from tests.servers.gcs_gate.errors import (
    RefusedError,
    denied,
    no_such_object,
    unauthenticated,
    undocumented,
    unimplemented,
)
from tests.servers.gcs_gate.keys import Keyring, Token, bindings_allow
from tests.servers.gcs_gate.state import Bucket, ObjectVersion
from tests.servers.gcs_gate.wire import Request

ANONYMOUS = "Anonymous caller"


@dataclass(frozen=True)
class Caller:
    """Who sent a request: an account, or nobody known. A token bounds what they may."""

    keyring: Keyring
    style: str
    email: str | None = None
    token: Token | None = None

    @property
    def owner(self) -> str:
        """Who owns what the caller makes."""
        return self.email or "allUsers"

    def need(self, permission: str, bucket: Bucket, version: ObjectVersion | None = None) -> None:
        """Refuse, unless the caller has the permission."""
        if not self.has(permission, bucket, version):
            kind = "object" if permission.startswith("storage.objects") else "bucket"
            raise self._denied(permission, f"Google Cloud Storage {kind}")

    def has(self, permission: str, bucket: Bucket, version: ObjectVersion | None = None) -> bool:
        """Whether the caller has the permission; scopes of a token have to fit too."""
        self._scope(permission)
        if permission == "storage.objects.get" and version is not None and version.public:
            return True
        if permission == "storage.objects.list" and bucket.listable_by_all:
            return True
        members = {"allUsers"}
        if self.email is not None:
            members |= {"allAuthenticatedUsers", f"serviceAccount:{self.email}"}
            if self.keyring.account_allowed(self.email, permission, bucket.project):
                return True
        return bindings_allow(bucket.bindings, members, permission)

    def need_in_project(self, permission: str, project: str) -> None:
        """The same for buckets that are to be made or listed."""
        self._scope(permission)
        if self.email is None or not self.keyring.account_allowed(self.email, permission, project):
            raise self._denied(permission, "Google Cloud project")

    def missing(self, bucket: Bucket, name: str) -> RefusedError:
        """What to say of an object that is not there: who may not list is not told."""
        if self.has("storage.objects.list", bucket):
            return no_such_object(bucket.name, name)
        return self._denied("storage.objects.get", "Google Cloud Storage object")

    def _denied(self, permission: str, resource: str) -> RefusedError:
        return denied(self.email or ANONYMOUS, permission, resource, self.style)

    def _scope(self, permission: str) -> None:
        """Scopes of the token (docs: oauth-scopes)."""
        if self.token is None:
            return
        if permission.rpartition(".")[2] in {"get", "list", "listParts"}:
            enough = self.token.allows(keys.READ, keys.WRITE, keys.FULL, keys.PLATFORM)
        elif permission.endswith("IamPolicy"):
            enough = self.token.allows(keys.FULL, keys.PLATFORM)
        else:
            enough = self.token.allows(keys.WRITE, keys.FULL, keys.PLATFORM)
        if not enough:
            raise RefusedError(
                403,
                "AccessDenied",
                "insufficientPermissions",
                "Request had insufficient authentication scopes."
                if self.style == "json"
                else "Access denied.",
                details="" if self.style == "json" else "Insufficient OAuth2 scope.",
                headers={
                    "WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", '
                    'error="insufficient_scope"'
                },
            )


def caller(keyring: Keyring, request: Request) -> Caller:
    """Who sent it.

    Raises:
        RefusedError: there is a credential, and it is not good.
    """
    style = request.style
    authorization = request.header("authorization")
    if request.param("oauth_token") or request.param("access_token"):
        raise unimplemented("a token in the query")
    if signing.is_signed_url(request):
        if style == "json":
            raise undocumented("a signed URL of the JSON API (docs: access-control/signed-urls)")
        if authorization:
            raise undocumented("Authorization together with a signed URL", "Authorization")
        return Caller(keyring, style, signing.verify_url(keyring, request))
    if not authorization:
        return Caller(keyring, style)
    kind, _, credential = authorization.partition(" ")
    if kind.startswith("GOOG4-"):
        if style == "json":
            raise undocumented("a V4 signature in the JSON API")
        return Caller(keyring, style, signing.verify_header(keyring, request))
    if kind != "Bearer":
        if kind in {"GOOG1", "AWS", "AWS4-HMAC-SHA256"}:
            raise unimplemented(f"Authorization: {kind}")
        raise unauthenticated("Invalid Credentials", style, "authError")
    token = valid_token(keyring, credential.strip(), style)
    return Caller(keyring, style, token.email, token)


def valid_token(keyring: Keyring, text: str, style: str) -> Token:
    """A token that is known and not over."""
    token = keyring.tokens.get(text)
    if token is None or token.expires <= keyring.clock.now():
        raise unauthenticated("Invalid Credentials", style, "authError")
    return token
