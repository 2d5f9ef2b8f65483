"""Tokens of share links: JWT (RFC 7519) signed by HS512, as keg-storage writes them."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from storage_core.compat.keg.utils import missing
from storage_core.errors import PermissionDeniedError

ALGORITHM: Final = "HS512"


class LinkTokenError(PermissionDeniedError):
    """A token is malformed, was not signed by this backend, or has expired."""


class ShareLinkOperation(enum.Flag):
    """What a link allows; operations combine by ``|``."""

    download = enum.auto()
    upload = enum.auto()
    remove = enum.auto()

    @classmethod
    def as_operation(cls, obj: str | ShareLinkOperation) -> ShareLinkOperation:
        """An operation, or the one that letters mean: ``d``, ``u``, ``r``.

        Raises:
            ValueError: it is neither, or names none. A word such as ``"upload"`` is refused: its
                letters would allow more than it says.
        """
        if isinstance(obj, cls):
            operation = obj
        elif not isinstance(obj, str):
            raise ValueError(  # noqa: TRY004 - as keg-storage
                f"as_operation() accepts only {cls.__name__} or str arguments"
            )
        else:
            letters = {str(one): one for one in cls}
            if unknown := sorted(set(obj) - letters.keys()):
                raise ValueError(
                    f"operation {obj!r} has the letter {unknown[0]!r}; use d (download),"
                    " u (upload) and r (remove)"
                )
            operation = cls(0)
            for letter in obj:
                operation |= letters[letter]
        if not operation:
            raise ValueError("a link needs an operation: download, upload or remove")
        return operation

    def __str__(self) -> str:
        return "".join(one.name[0] for one in ShareLinkOperation if one in self and one.name)


class InternalLinkTokenData(NamedTuple):
    """What a token says.

    Attributes:
        path: The file.
        operations: What may be done to it.
        output_path: Name under which a download is saved.
    """

    path: str
    operations: ShareLinkOperation
    output_path: str | None = None

    def serialize(self) -> dict[str, str]:
        """The token's claims."""
        claims = {"key": self.path, "op": str(self.operations)}
        return claims if self.output_path is None else claims | {"output_path": self.output_path}

    @classmethod
    def deserialize(cls, data: Mapping[str, Any]) -> InternalLinkTokenData:
        """The token with these claims.

        Raises:
            LinkTokenError: they are not those of such a token.
        """
        path, letters, name = data.get("key"), data.get("op"), data.get("output_path")
        if not isinstance(path, str) or not isinstance(letters, str):
            raise LinkTokenError("the token does not say what it allows")
        if name is not None and not (isinstance(name, str) and name.isprintable()):
            raise LinkTokenError("the token names a file that can not be")
        try:
            return cls(path, ShareLinkOperation.as_operation(letters), name)
        except ValueError as error:
            raise LinkTokenError(f"the token does not say what it allows: {error}") from None

    @property
    def allow_upload(self) -> bool:
        """Whether the file may be written."""
        return ShareLinkOperation.upload in self.operations

    @property
    def allow_download(self) -> bool:
        """Whether the file may be read."""
        return ShareLinkOperation.download in self.operations

    @property
    def allow_remove(self) -> bool:
        """Whether the file may be deleted."""
        return ShareLinkOperation.remove in self.operations


def token_key(
    name: str, secret: bytes, digest_method: Callable[..., Any] = hashlib.sha512
) -> bytes:
    """The signing key of a backend: another one for each name and secret."""
    key: bytes = digest_method(f"{name}signer".encode() + secret).digest()
    return key


def sign_token(data: InternalLinkTokenData, key: bytes, *, issued: int, expires: int) -> str:
    """Sign a token.

    Args:
        data: What it says.
        key: Of `token_key`.
        issued: Unix seconds.
        expires: Unix seconds from which on it is refused.

    Raises:
        ValueError: `InternalLinkTokenData.output_path` has control characters, which a header
            can not hold.
    """
    jwt = _jwt()
    if data.output_path is not None and not data.output_path.isprintable():
        raise ValueError(f"output_path {data.output_path!r} is not printable")
    claims: dict[str, Any] = {**data.serialize(), "iat": issued, "exp": expires}
    token: str = jwt.encode(claims, key, algorithm=ALGORITHM)
    return token


def read_token(token: str, key: bytes, now: datetime) -> InternalLinkTokenData:
    """Check a token and say what it allows. No algorithm but HS512 is accepted, whatever the
    token's header says.

    Raises:
        LinkTokenError: it is not good.
    """
    jwt = _jwt()
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            # Time is told by our own clock, below; `iat` allows nothing.
            options={"require": ["exp"], "verify_exp": False, "verify_iat": False},
        )
    except (jwt.PyJWTError, ValueError) as error:  # such as a text that has no UTF-8 form
        raise LinkTokenError("the token was not signed for this backend") from error
    expires = claims["exp"]
    if not isinstance(expires, int) or now.timestamp() >= expires:
        raise LinkTokenError("the token has expired")
    return InternalLinkTokenData.deserialize(claims)


def _jwt() -> Any:
    try:
        import jwt
    except ImportError as error:
        raise missing(error, "signing share links", "keg") from error
    return jwt
