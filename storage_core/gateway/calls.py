"""Requests to facades: find the operation, authenticate, carry it out, reply."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_to_bytes

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.routing import compile_path

from storage_core.access import credentials
from storage_core.errors import AuthenticationError
from storage_core.gateway.answers import GUARDS, RefusedError
from storage_core.gateway.exchange import outcome
from storage_core.gateway.facade import Call, Facade, Operation, Reply, TokenScheme, invalid
from storage_core.gateway.front import nothing_here

if TYPE_CHECKING:
    from storage_core.access.model import Actor
    from storage_core.gateway.exchange import Exchange
    from storage_core.gateway.limiting import Limiter
    from storage_core.gateway.service import Service

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NO_STORE = (b"cache-control", b"no-store")
_JSON = (b"content-type", b"application/json")


class Gate:
    """Who a request comes from.

    Args:
        service: Whose state knows the credentials.
        limiter: Limits of one client.
    """

    def __init__(self, service: Service, limiter: Limiter) -> None:
        self._service = service
        self.limiter = limiter

    async def actor(self, exchange: Exchange, schemes: tuple[TokenScheme, ...]) -> Actor:
        """Authenticate a request by the first scheme it uses.

        Raises:
            RefusedError: 401, alike for whatever is wrong; 429 for an address that was
                refused so too often.
        """
        tokens = (token for scheme in schemes if (token := scheme(exchange.headers)))
        token = next(tokens, None)
        failures = f"401 {exchange.client}"
        if token is not None:
            await self.limiter.check(failures)  # guesses cost the database nothing any more
            with suppress(AuthenticationError):
                service = self._service
                actor = await service.run(credentials.authenticate, service.state, token)
                exchange.credential_id = actor.credential_id
                return actor
        async with self.limiter.admit(failures):
            raise RefusedError(
                401,
                "unauthorized",
                "the request has no valid token",
                tuple((b"www-authenticate", s.challenge) for s in schemes if s.challenge),
            )


@dataclass(frozen=True, slots=True)
class _Route:
    operation: Operation
    query: Mapping[str, TypeAdapter[Any]]


@dataclass(frozen=True, slots=True)
class _Resource:
    """A path with all that can be done to it, by method."""

    pattern: re.Pattern[str]
    routes: Mapping[str, _Route]


def _resources(operations: tuple[Operation, ...]) -> tuple[_Resource, ...]:
    """The most definite paths first: ``/file/import`` is no ``/file/{id}``."""
    tables: dict[str, dict[str, _Route]] = {}
    for operation in operations:
        query = {one.name: TypeAdapter(one.kind) for one in operation.query}
        tables.setdefault(operation.path, {})[operation.method] = _Route(operation, query)
    paths = sorted(tables, key=lambda path: path.count("{"))
    return tuple(_Resource(compile_path(path)[0], tables[path]) for path in paths)


class Calls:
    """Answers requests below one mount of a facade.

    Args:
        service: What the operations work with.
        gate: Authenticates.
        facade: The facade.
        mount: The path.
        operations: What there is below it.
    """

    def __init__(
        self,
        service: Service,
        gate: Gate,
        facade: Facade,
        mount: str,
        operations: tuple[Operation, ...],
    ) -> None:
        self._service = service
        self._gate = gate
        self._facade = facade
        self._mount = mount
        self._resources = _resources(operations)

    def begin(self, exchange: Exchange) -> None:
        """From here on the request is the facade's, and refused in its way."""
        exchange.route = self._facade.name
        exchange.shape = self._facade.refusal

    async def answer(self, exchange: Exchange) -> None:
        """Answer a request.

        Raises:
            RefusedError: the answer is another one than success.
            StorageError: likewise.
        """
        actor = await self._gate.actor(exchange, (self._facade.token,))
        async with self._gate.limiter.admit(actor.credential_id):
            route, path = self._find(exchange)
            exchange.route = route.operation.name
            call = Call(
                service=self._service,
                operation=route.operation,
                actor=actor,
                request_id=exchange.request_id,
                path=path,
                query=_query(exchange.query, route.query),
                headers=exchange.headers,
                body=exchange.body,
            )
            reply = await self._carried_out(call)
            await _send(exchange, reply)

    def _find(self, exchange: Exchange) -> tuple[_Route, Mapping[str, str]]:
        """The operation a request is for, and the parameters of its path. It is matched as it
        was sent: decoded first, an encoded slash would become a separator."""
        below = exchange.path.removeprefix(self._mount) or "/"
        for resource in self._resources:
            if found := resource.pattern.match(below):
                route = resource.routes.get(exchange.method)
                if route is None:
                    raise _other_method(resource.routes)
                return route, {n: _decode(n, text) for n, text in found.groupdict().items()}
        raise nothing_here()

    async def _carried_out(self, call: Call) -> Reply:
        """The reply of an operation. A denial is an audit event; so is a change, also one that
        failed, which may have been made in part."""
        try:
            reply = await call.operation.handler(call)
        except BaseException as error:
            if isinstance(error, RefusedError) and error.status == 403:
                await self._record(call, "denied", call.needed[-1:])
            elif call.operation.is_change and call.needed:
                await self._record(call, outcome(error), call.needed)
            raise
        if call.operation.is_change:
            await self._record(call, "ok", call.needed)
        return reply

    async def _record(self, call: Call, result: str, needed: list[tuple[str, str]]) -> None:
        target = "/".join(value for value in call.path.values() if value)
        for action, resource in needed or [(call.operation.name, target)]:
            await self._service.record(call.actor, action, resource, result, call.request_id)


def _other_method(allowed: Iterable[str]) -> RefusedError:
    names = sorted(allowed)
    headers = ((b"allow", ", ".join(names).encode()),)
    return RefusedError(405, "method_not_allowed", f"this takes {' and '.join(names)}", headers)


def _query(text: str, known: Mapping[str, TypeAdapter[Any]]) -> Mapping[str, Any]:
    if not text or not known:
        return {}
    values = {}
    problems = []
    for name, value in _pairs(text):
        if name in known:
            try:
                values[name] = known[name].validate_strings(value)
            except ValidationError as error:
                problems.append((name, error.errors(include_input=False)[0]["msg"]))
    if problems:
        raise invalid(problems)
    return values


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    try:
        yield from parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise invalid([("", "the query is not UTF-8 or has too many parameters")]) from None


def _decode(name: str, text: str) -> str:
    if "%" not in text and text.isascii():
        return text
    try:
        if not _BAD_ESCAPE.search(text):
            return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeError:
        pass
    raise invalid([(name, "the path is not UTF-8 or has a malformed percent-encoding")])


async def _send(exchange: Exchange, reply: Reply) -> None:
    if any(b"\n" in value or b"\r" in value for _, value in reply.headers):
        raise ValueError("a header of the reply holds a line break")
    headers = [*reply.headers, _NO_STORE, *GUARDS]
    if reply.stream is not None:
        await _send_stream(exchange, reply.status, [*headers, _JSON], reply.stream)
        return
    data = b"" if reply.value is None else to_json(reply.value)
    if data:
        headers.append(_JSON)
    if reply.status != 204:
        headers.append((b"content-length", b"%d" % len(data)))
    await exchange.start(reply.status, headers)
    await exchange.write(data)


async def _send_stream(
    exchange: Exchange,
    status: int,
    headers: list[tuple[bytes, bytes]],
    stream: AsyncIterator[bytes],
) -> None:
    gone = asyncio.ensure_future(exchange.disconnected())
    try:
        async with aclosing(stream) as pieces:  # type: ignore[type-var]
            # Before the reply has begun a failure can still be told.
            piece = await anext(pieces, None)
            await exchange.start(status, headers)
            while piece is not None:
                if gone.done():
                    return
                if piece:
                    await exchange.write(piece, more=True)
                piece = await anext(pieces, None)
        await exchange.write(b"")
    finally:
        gone.cancel()
