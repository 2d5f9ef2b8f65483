"""`LinkKeys`: the secrets that links are signed with."""

from __future__ import annotations

import binascii
import hmac
import re
import secrets
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from storage_core.errors import ConfigError

MIN_SECRET_BYTES: Final = 16

_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class LinkKeys:
    """Secrets that links are signed with: all of them verify, the last one signs.

    To rotate, add a key at the end; drop the old one when its last link has expired.

    Args:
        secrets: Key id to secret, oldest first. An id has 1 to 64 of ``A-Z a-z 0-9 . _ -``,
            a secret at least 16 bytes.

    Raises:
        ConfigError: no key, a malformed id, or a short secret.
    """

    __slots__ = ("_secrets", "newest")

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        if not secrets:
            raise ConfigError("there is no link key; set links.keys")
        for key_id, secret in secrets.items():
            if not _KEY_ID.fullmatch(key_id):
                raise ConfigError(f"link key id {key_id!r} is not 1 to 64 of A-Z a-z 0-9 . _ -")
            if len(secret) < MIN_SECRET_BYTES:
                raise ConfigError(
                    f"link key {key_id!r} has {len(secret)} bytes; use at least"
                    f" {MIN_SECRET_BYTES}, better 32 random ones"
                )
        self._secrets = MappingProxyType(dict(secrets))
        self.newest = next(reversed(self._secrets))
        """Id of the key that signs."""

    @classmethod
    def generate(cls) -> LinkKeys:
        """One new random key of 32 bytes."""
        return cls({secrets.token_hex(4): secrets.token_bytes(32)})

    def signature(self, key_id: str, message: bytes) -> str | None:
        """Signature of a message, None for a key that is not accepted."""
        secret = self._secrets.get(key_id)
        if secret is None:
            return None
        mac = hmac.digest(secret, message, "sha256")
        return binascii.b2a_base64(mac, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()

    def __iter__(self) -> Iterator[str]:
        return iter(self._secrets)

    def __len__(self) -> int:
        return len(self._secrets)

    def __repr__(self) -> str:
        return f"<LinkKeys {', '.join(self)}>"

    def __reduce__(self) -> tuple[object, ...]:
        return LinkKeys, (dict(self._secrets),)
