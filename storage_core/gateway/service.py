"""`Service`: what the operations of facades work with."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from storage_core.errors import ClosedError
from storage_core.gateway.profiles import Profiles
from storage_core.links import sign_link
from storage_core.requests import PresignRequest

if TYPE_CHECKING:
    from storage_core.access.buckets import LogicalBucket
    from storage_core.access.model import Actor
    from storage_core.aio import AsyncStorage
    from storage_core.gateway.settings import GatewaySettings
    from storage_core.gateway.trail import Trail
    from storage_core.model import Link, Method
    from storage_core.state import State

P = ParamSpec("P")
T = TypeVar("T")

READERS: Final = 8
WRITERS: Final = 4
"""Threads of one process that wait for the database. Those that write have their own: where one
has to wait for a lock, requests that only read go on."""

CLOSE_SECONDS: Final = 15.0
"""Longest time that the database is waited for at the end."""
_SETTLE_SECONDS: Final = 5.0
TRAIL_SECONDS: Final = CLOSE_SECONDS - _SETTLE_SECONDS
"""The part of it that the audit trail has."""


class Service:
    """The state, the storages and the clock of a running gateway.

    Attributes:
        settings: As it was started with.
        base_url: Where clients reach it; links begin with it.
        now: The clock, in UTC: of links, credentials and jobs alike.
        profiles: What it serves.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        profiles: Profiles,
        *,
        base_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self.base_url = base_url
        self.now = now
        self.profiles = profiles
        self._state: State | None = None
        self._trail: Trail | None = None
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="storage-core-read")
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="storage-core-write")
        self._calls: set[asyncio.Future[Any]] = set()

    @property
    def state(self) -> State:
        """The opened state.

        Raises:
            ClosedError: the gateway is not running, or has no facades and so no state.
        """
        if self._state is None:
            raise ClosedError("the gateway has no database open")
        return self._state

    @property
    def trail(self) -> Trail:
        """Where audit events are left; see `state`."""
        if self._trail is None:
            raise ClosedError("the gateway has no database open")
        return self._trail

    @property
    def default_profile(self) -> str:
        """Name of the first profile."""
        return self.profiles.first

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that waits, such as for the database to be read, in a thread."""
        return await self._call(self._readers, functools.partial(function, *args, **kwargs))

    async def change(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that writes to the database, in a thread."""
        return await self._call(self._writers, functools.partial(function, *args, **kwargs))

    def _call(self, threads: ThreadPoolExecutor, call: Callable[[], T]) -> asyncio.Future[T]:
        future = asyncio.get_running_loop().run_in_executor(threads, call)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        return future

    def storage(self, profile: str = "") -> AsyncStorage:
        """The opened storage of a profile; of the first one without a name.

        Raises:
            ProfileNotFoundError: it is not served here.
        """
        return self.profiles.find(profile).storage

    def sign(
        self,
        bucket: LogicalBucket,
        key: str,
        *,
        method: Method,
        facade: str,
        actor: Actor,
        expires_in: int,
        content_type: str | None = None,
        filename: str | None = None,
    ) -> Link:
        """Make a gateway link to an object of a logical bucket; offline.

        It is good as long as its issuer is: the credential, its principal and its policies,
        and the bucket, are looked up at redemption.

        Args:
            bucket: The logical bucket.
            key: Key inside it.
            method: What the link is for.
            facade: Name of the facade that vouches for it.
            actor: Who asked for it.
            expires_in: Seconds.
            content_type: On PUT what the body must be; None binds none.
            filename: On GET the name to save under.

        Raises:
            InvalidRequestError: a key that can not be, or rules that do not go together.
            ProfileNotFoundError: the bucket's profile is not served here.
        """
        profile = self.profiles.find(bucket.profile)
        request = PresignRequest(
            bucket=bucket.physical,
            key=bucket.prefix + key,
            method=method,
            expires_in=expires_in,
            now=self.now(),
            content_type=content_type,
            filename=filename,
        )
        issuer = f"{facade}:{actor.credential_id}:{bucket.id}"
        return sign_link(self.base_url + profile.mount, profile.keys, request, issuer=issuer)

    async def record(
        self, actor: Actor, action: str, target: str, result: str, request_id: str
    ) -> None:
        """Leave an audit event; it is written in the background, before a graceful stop ends.

        Args:
            actor: Who.
            action: What, such as ``Z3:PutObject``.
            target: On what, such as ``Z3:fruit/apple.txt``.
            result: ``ok``, ``denied``, or ``redeemed`` for what a link did.
            request_id: Of the request, as the log has it.
        """
        from storage_core.access import audit

        await self.trail.add(
            audit.event(
                self.state,
                actor.project_id,
                action,
                target,
                result,
                principal_id=actor.principal_id,
                credential_id=actor.credential_id,
                request_id=request_id,
            )
        )

    def attach(self, state: State, trail: Trail) -> None:
        """Give it the opened state; the frame does, at the start."""
        self._state = state
        self._trail = trail

    async def settle(self) -> None:
        """Wait until the database is not in use any more, or it was for too long."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=_SETTLE_SECONDS)

    def close(self) -> None:
        """End its threads; one that still waits for the database ends when it gives up."""
        self._state = self._trail = None
        for threads in (self._readers, self._writers):
            threads.shutdown(wait=False, cancel_futures=True)
