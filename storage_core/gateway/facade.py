"""What a facade is made of: tables of operations, and the shape of its errors.

    async def list_buckets(call: Call) -> Reply: ...

    LIST = Operation(name="z3.list_buckets", method="GET", path="/", handler=list_buckets, …)
    facade = Facade(name="z3", mounts=(("/v1/z3", (LIST, …)),), refusal=…, …)

The frame routes, authenticates, limits, counts and logs; a handler only does its work and
raises the library's errors. The OpenAPI document is made from the same tables.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from storage_core.gateway.answers import RefusedError
from storage_core.model import Method

if TYPE_CHECKING:
    from storage_core.access.model import Actor
    from storage_core.gateway.service import Service
    from storage_core.gateway.uploads import RequestBody

M = TypeVar("M", bound=BaseModel)

HeaderPairs: TypeAlias = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        status: HTTP status.
        value: What is sent as JSON: anything pydantic can write. None sends no body.
        headers: Further headers, names in lower case.
        stream: JSON in pieces, instead of a value, for what is too large for memory. What it
            raises cuts the connection off; it is closed when the client goes.
    """

    status: int = 200
    value: object | None = None
    headers: HeaderPairs = ()
    stream: AsyncIterator[bytes] | None = None


@dataclass(frozen=True, slots=True)
class TokenScheme:
    """Where a request carries its token.

    Attributes:
        name: Of the scheme, in the OpenAPI document.
        description: Its Security Scheme Object there.
        read: Finds the token among headers with lower-case names; None without one.
        challenge: What a 401 says in WWW-Authenticate; empty for nothing.
    """

    name: str
    description: Mapping[str, str]
    read: Callable[[Mapping[str, str]], str | None]
    challenge: bytes = b""

    def __call__(self, headers: Mapping[str, str]) -> str | None:
        return self.read(headers)


def _bearer(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


BEARER: Final = TokenScheme(
    "bearer", {"type": "http", "scheme": "bearer"}, _bearer, b'Bearer realm="storage"'
)
"""``Authorization: Bearer …`` (RFC 6750)."""

API_KEY: Final = TokenScheme(
    "apiKey",
    {"type": "apiKey", "in": "header", "name": "x-api-key"},
    lambda headers: headers.get("x-api-key", "").strip() or None,
)
"""``x-api-key: …``."""


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of the query.

    Attributes:
        kind: The type it is read as, such as ``bool`` or a ``Literal``; what does not read is
            refused with 400.
    """

    name: str
    description: str
    kind: Any = str


class Handler(Protocol):
    """What carries out an operation."""

    def __call__(self, call: Call, /) -> Awaitable[Reply]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route.

    Attributes:
        name: ``facade.verb``; in the log, the figures, and as ``operationId``.
        method: HTTP method.
        path: Below the mount: ``/{bucket}/{key:path}``. ``/`` is the mount itself, with or
            without a slash. Parameters are matched as sent and decoded once, so that an
            encoded slash stays inside its parameter.
        handler: Carries it out.
        summary: One line, for the OpenAPI document.
        request: Model of the JSON body.
        response: Type of the JSON reply, whatever pydantic describes; None for no body.
        status: Of success.
        query: Parameters of the query; others are ignored.
        refusals: Statuses it may refuse with beyond those of every operation (400, 401, 403,
            413, 429, 500 and the 50x of a storage).
        changes: Whether it changes something; a successful one is then an audit event.
            None: if its method is not GET.
    """

    name: str
    method: str
    path: str
    handler: Handler
    summary: str
    request: type[BaseModel] | None = None
    response: Any | None = None
    status: int = 200
    query: tuple[Query, ...] = ()
    refusals: tuple[int, ...] = ()
    changes: bool | None = None

    @property
    def is_change(self) -> bool:
        """Whether a success is an audit event."""
        return self.method not in ("GET", "HEAD") if self.changes is None else self.changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Facade:
    """A service of the gateway.

    Attributes:
        name: As the settings name it; begins the issuer of its links.
        mounts: Paths, each with the operations below it.
        refusal: The reply to a failure, in the facade's own shape. `RefusedError.headers`
            are added by the frame.
        error: Type of the JSON body of `refusal`, for the OpenAPI document.
        token: How a request shows its token.
        link_actions: The action that the holder of a link needs at redemption, by method; a
            method without one is refused.
        link_resource: The resource of that action, from the names of logical bucket and key.
        description: For the OpenAPI document.
    """

    name: str
    mounts: tuple[tuple[str, tuple[Operation, ...]], ...]
    refusal: Callable[[RefusedError], Reply]
    error: Any
    token: TokenScheme
    link_actions: Mapping[Method, str]
    link_resource: Callable[[str, str], str]
    description: str = ""


@dataclass(slots=True)
class Call:
    """One authenticated request to an operation.

    Attributes:
        path: Parameters of the path, percent-decoded once.
        query: Parameters of the query that the operation names and the client gave, as
            their `Query.kind` reads them.
        headers: By lower-case name.
        needed: Action and target of every `require` so far, for the audit trail.
    """

    service: Service
    operation: Operation
    actor: Actor
    request_id: str
    path: Mapping[str, str]
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    body: RequestBody
    needed: list[tuple[str, str]] = field(default_factory=list)

    async def json(self, model: type[M]) -> M:
        """The body as JSON, whatever its Content-Type says; an empty one is ``{}``.

        Raises:
            RefusedError: 400 naming the fields at fault, 413 for too many bytes, 408 for too
                slow ones.
        """
        data = await self.body.read(self.service.settings.max_json_body) or b"{}"
        try:
            return model.model_validate_json(data)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
        # Outside the handler: pydantic's error carries the values along.
        raise invalid((".".join(map(str, problem["loc"])), problem["msg"]) for problem in problems)

    def require(self, action: str, resource: str) -> None:
        """Refuse with 403 unless the caller's policies allow the action.

        Raises:
            RefusedError: so; it is an audit event.
        """
        self.require_all(action, [resource], resource)

    def require_all(self, action: str, resources: Iterable[str], target: str) -> None:
        """As `require`, of many resources that are one target in the audit trail.

        Raises:
            RefusedError: an action on one of them is not allowed; that one is the target then.
        """
        for resource in resources:
            if not self.actor.allows(action, resource):
                self.needed.append((action, resource))
                raise RefusedError(
                    403, "access_denied", f"your policies do not allow {action} here"
                )
        self.needed.append((action, target))


def invalid(problems: Any) -> RefusedError:
    """The refusal of a request with wrong fields.

    Args:
        problems: Pairs of a field's name, empty for the whole, and what is wrong with it.
    """
    fields = tuple(problems)
    message = "; ".join(f"{name}: {text}" if name else text for name, text in fields)
    return RefusedError(400, "invalid_request", message, fields=fields)
