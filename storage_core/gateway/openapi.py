"""The OpenAPI document of a gateway, made from the tables of operations, and a page of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from storage_core.gateway.facade import Facade, Operation, TokenScheme

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaMode

REFS: Final = "#/components/schemas/{model}"
REFUSALS: Final[Mapping[int, str]] = {
    400: "The request is malformed.",
    401: "There is no valid token.",
    403: "The caller's policies do not allow this.",
    404: "What the request names does not exist.",
    405: "The path takes other methods.",
    408: "The body did not arrive in time.",
    409: "The state of what is there forbids this.",
    412: "A condition does not hold.",
    413: "The body is too large.",
    429: "Too many requests; Retry-After says when to come back.",
    500: "A failure on the server's side.",
    501: "The storage behind can not do this.",
    502: "The storage behind refuses the gateway.",
    503: "The gateway or the storage behind is out of order for now.",
    504: "The storage behind did not answer in time.",
    507: "The storage behind is full.",
}
ALWAYS: Final = frozenset({400, 401, 403, 413, 429, 500, 502, 503, 504})
"""Refusals of every operation: those of the frame, and of a storage out of order."""

_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")


def document(facades: Sequence[Facade], base_url: str, version: str) -> dict[str, Any]:
    """The document, OpenAPI 3.1.

    Args:
        facades: Whose operations it describes.
        base_url: Where clients reach the gateway.
        version: Of the gateway.
    """
    schemas = _Schemas(facades)
    paths: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    for facade, mount, operation in _operations(facades):
        path = mount + ("" if operation.path == "/" else _PARAMETER.sub(r"{\1}", operation.path))
        described = _operation(facade, operation, schemas)
        if operation.name in seen:  # a facade may offer one operation in two places
            described["operationId"] += f"@{mount.strip('/').replace('/', '-')}"
        seen.add(operation.name)
        paths.setdefault(path, {})[operation.method.lower()] = described
    schemes = {facade.token.name: dict(facade.token.description) for facade in facades}
    return {
        "openapi": "3.1.0",
        "info": {"title": "storage-core gateway", "version": version},
        "servers": [{"url": base_url}],
        "tags": [{"name": f.name, "description": f.description} for f in facades],
        "paths": paths,
        "components": {"schemas": schemas.definitions, "securitySchemes": schemes},
    }


def _operations(facades: Sequence[Facade]) -> Iterator[tuple[Facade, str, Operation]]:
    for facade in facades:
        for mount, operations in facade.mounts:
            for operation in operations:
                yield facade, mount, operation


class _Schemas:
    """Schemas of everything the operations take and give, with shared definitions."""

    def __init__(self, facades: Sequence[Facade]) -> None:
        kinds: dict[tuple[int, JsonSchemaMode], Any] = {}
        for facade, _, operation in _operations(facades):
            kinds[id(facade.error), "serialization"] = facade.error
            if operation.request is not None:
                kinds[id(operation.request), "validation"] = operation.request
            if operation.response is not None:
                kinds[id(operation.response), "serialization"] = operation.response
            for query in operation.query:
                kinds[id(query.kind), "validation"] = query.kind
        inputs = [(key[0], key[1], TypeAdapter(kind)) for key, kind in kinds.items()]
        self._schemas, whole = TypeAdapter.json_schemas(inputs, ref_template=REFS)
        self.definitions: dict[str, Any] = whole.get("$defs", {})

    def of(self, kind: Any, mode: JsonSchemaMode) -> Mapping[str, Any]:
        """The schema of a type that some operation names."""
        return self._schemas[id(kind), mode]


def _operation(facade: Facade, operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    error = {"application/json": {"schema": schemas.of(facade.error, "serialization")}}
    success: dict[str, Any] = {"description": "Done."}
    if operation.response is not None:
        schema = schemas.of(operation.response, "serialization")
        success["content"] = {"application/json": {"schema": schema}}
    responses = {str(operation.status): success}
    for status in sorted(ALWAYS | {*operation.refusals}):
        responses[str(status)] = {"description": REFUSALS[status], "content": error}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [facade.name],
        "security": [{facade.token.name: []}],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation, schemas)],
        "responses": responses,
    }
    if operation.request is not None:
        required = any(f.is_required() for f in operation.request.model_fields.values())
        schema = schemas.of(operation.request, "validation")
        content = {"application/json": {"schema": schema}}
        described["requestBody"] = {"required": required, "content": content}
    return described


def _path_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name, greedy in _PARAMETER.findall(operation.path):
        parameter = {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        if greedy:
            parameter["description"] = "All that follows, slashes included."
        yield parameter


def _query_parameters(operation: Operation, schemas: _Schemas) -> Iterator[dict[str, Any]]:
    for query in operation.query:
        yield {
            "name": query.name,
            "in": "query",
            "description": query.description,
            "schema": schemas.of(query.kind, "validation"),
        }


_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h2{margin-top:2.5rem}code{background:#eee;padding:.1em .3em;border-radius:3px}"
    "table{border-collapse:collapse}td{padding:.15rem .8rem .15rem 0;vertical-align:top}"
)


def page(spec: Mapping[str, Any], schemes: Sequence[TokenScheme]) -> str:
    """The document for people: one HTML page that needs nothing from elsewhere."""
    shown = ", ".join(escape(str(dict(scheme.description))) for scheme in schemes)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>storage-core gateway</title>",
        f"<style>{_STYLE}</style><h1>storage-core gateway</h1>",
        f"<p>At <code>{escape(spec['servers'][0]['url'])}</code>. Tokens: {shown}.</p>",
        "<p>The same for programs: <a href=openapi.json>openapi.json</a>.</p>",
    ]
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            parts.append(_section(path, method, operation))
    return "".join([*parts, "</html>"])


def _section(path: str, method: str, operation: Mapping[str, Any]) -> str:
    parts = [
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>",
        f"<p>{escape(operation['summary'])}</p><table>",
    ]
    for parameter in operation["parameters"]:
        about = parameter.get("description", "")
        name, place = escape(parameter["name"]), parameter["in"]
        parts.append(f"<tr><td><code>{name}</code><td>{place}<td>{escape(about)}")
    if body := operation.get("requestBody"):
        parts.append(f"<tr><td>body<td>JSON<td>{_named(body['content'])}")
    for status, response in operation["responses"].items():
        content = _named(response["content"]) if "content" in response else "no body"
        about = escape(response["description"])
        parts.append(f"<tr><td>{status}<td>{content}<td>{about}")
    return "".join([*parts, "</table>"])


def _named(content: Mapping[str, Any]) -> str:
    schema = content["application/json"]["schema"]
    inner = schema.get("items", schema)
    name = inner.get("$ref", "").rpartition("/")[2] or inner.get("type", "any")
    return escape(f"list of {name}" if schema.get("type") == "array" else name)
