"""Redeeming links: one request, one verified link, one operation on one object."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from storage_core.gateway import reading, writing
from storage_core.gateway.answers import RefusedError
from storage_core.gateway.exchange import outcome
from storage_core.links import LinkClaims, verify_link

if TYPE_CHECKING:
    from storage_core.gateway.exchange import Exchange
    from storage_core.gateway.issuers import Vouched
    from storage_core.gateway.limiting import Limiter
    from storage_core.gateway.profiles import OpenProfile

_OPERATIONS = {
    "GET": reading.get,
    "HEAD": reading.head,
    "PUT": writing.put,
    "DELETE": writing.delete,
}
_CHANGES = frozenset(("PUT", "DELETE"))


class Issuers(Protocol):
    """Who knows the issuers of links that facades made."""

    def look_up(self, exchange: Exchange, claims: LinkClaims, profile: str) -> Awaitable[Vouched]:
        """Refuse unless the link's issuer still may; see `storage_core.gateway.issuers`."""

    def record(self, exchange: Exchange, vouched: Vouched, result: str) -> Awaitable[None]:
        """A change by such a link was made, or failed."""


class Redeemer:
    """Redeems links.

    Args:
        now: The clock.
        limiter: Limits of one client.
        issuers: None for a gateway without facades, which refuses links that name an issuer.
    """

    def __init__(
        self, now: Callable[[], datetime], limiter: Limiter, issuers: Issuers | None
    ) -> None:
        self._now = now
        self._limiter = limiter
        self._issuers = issuers

    async def redeem(self, exchange: Exchange, profile: OpenProfile, path: str) -> None:
        """Answer a request for a link.

        Args:
            exchange: The request.
            profile: The profile it came to.
            path: Its path below the profile's mount, as it was sent.

        Raises:
            RefusedError: the answer is another one than success.
            StorageError: likewise.
        """
        exchange.route = "link"
        claims = verify_link(exchange.method, path, exchange.query, profile.keys, self._now())
        exchange.link_id = claims.id
        if claims.issuer:
            await self._vouched(exchange, profile, claims)
        else:
            async with self._room(exchange.client):
                await _carry_out(exchange, profile, claims)

    async def _vouched(self, exchange: Exchange, profile: OpenProfile, claims: LinkClaims) -> None:
        if self._issuers is None:
            raise RefusedError(403, "link_issuer", "this server does not know the link's issuer")
        vouched = await self._issuers.look_up(exchange, claims, profile.name)
        async with self._room(vouched.actor.credential_id):
            result = "redeemed"
            try:
                await _carry_out(exchange, profile, claims)
            except BaseException as error:
                result = outcome(error)
                raise
            finally:
                if claims.method in _CHANGES:
                    await self._issuers.record(exchange, vouched, result)

    def _room(self, client: str) -> AbstractAsyncContextManager[None]:
        return self._limiter.admit(client) if self._limiter.is_on else nullcontext()


async def _carry_out(exchange: Exchange, profile: OpenProfile, claims: LinkClaims) -> None:
    bucket = profile.storage.bucket(claims.bucket)
    if claims.upload_id is not None:
        await writing.put_part(exchange, bucket, claims)
    else:
        await _OPERATIONS[claims.method](exchange, bucket, claims)
