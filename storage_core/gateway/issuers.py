"""Links made by facades: whether who vouches for one still may, looked up at redemption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage_core.access import buckets, credentials
from storage_core.errors import BucketNotFoundError
from storage_core.gateway.answers import RefusedError

if TYPE_CHECKING:
    from storage_core.access.model import Actor
    from storage_core.gateway.exchange import Exchange
    from storage_core.gateway.facade import Facade
    from storage_core.gateway.service import Service
    from storage_core.links import LinkClaims
    from storage_core.state import State


@dataclass(frozen=True, slots=True)
class Vouched:
    """A link whose issuer is still known.

    Attributes:
        actor: Who asked for it.
        action: What it is for, such as ``Z3:PutObject``.
        resource: On what.
    """

    actor: Actor
    action: str
    resource: str


class StateIssuers:
    """The issuers of links as the state knows them; see `redeem.Issuers`.

    Args:
        service: Whose state that is.
        facades: Those of this gateway, by name.
    """

    def __init__(self, service: Service, facades: Mapping[str, Facade]) -> None:
        self._service = service
        self._facades = facades

    async def look_up(self, exchange: Exchange, claims: LinkClaims, profile: str) -> Vouched:
        service = self._service
        vouched = await service.run(look_up, service.state, self._facades, claims, profile)
        actor, action = vouched.actor, vouched.action
        exchange.credential_id = actor.credential_id
        if not actor.allows(action, vouched.resource):
            await self.record(exchange, vouched, "denied")
            raise RefusedError(
                403,
                "access_denied",
                f"the policies of the link's issuer do not allow {action} here",
            )
        return vouched

    async def record(self, exchange: Exchange, vouched: Vouched, result: str) -> None:
        await self._service.record(
            vouched.actor, vouched.action, vouched.resource, result, exchange.request_id
        )


def look_up(
    state: State, facades: Mapping[str, Facade], claims: LinkClaims, profile: str
) -> Vouched:
    """Look up the issuer of a verified link; what his policies allow is another question.

    Args:
        state: The state.
        facades: Those of this gateway, by name.
        claims: What the link says.
        profile: The profile it came to.

    Raises:
        RefusedError: 403, when the credential is revoked or expired, or its principal inactive.
        BucketNotFoundError: the logical bucket is gone.
    """
    facade_name, _, rest = claims.issuer.partition(":")
    credential_id, _, bucket_id = rest.partition(":")
    facade = facades.get(facade_name)
    action = facade.link_actions.get(claims.method) if facade else None
    if facade is None or action is None:
        raise RefusedError(403, "link_issuer", "this server does not know the link's issuer")
    actor = credentials.actor_of(state, credential_id)
    if actor is None:
        raise RefusedError(403, "link_revoked", "the credential that made the link is not valid")
    bucket = buckets.by_id(state, bucket_id)
    if (
        bucket is None
        or bucket.project_id != actor.project_id
        or bucket.physical != claims.bucket
        or bucket.profile != profile
        or not claims.key.startswith(bucket.prefix)
    ):
        raise BucketNotFoundError
    resource = facade.link_resource(bucket.name, claims.key.removeprefix(bucket.prefix))
    return Vouched(actor, action, resource)
