"""Addresses, methods and parameters of the JSON API (json: its reference, one page for each
call; the table holds the parameters of those pages)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.servers.gcs_gate import json_buckets, json_copy, json_objects, json_uploads
from tests.servers.gcs_gate.auth import Caller, caller
from tests.servers.gcs_gate.errors import invalid, not_found, undocumented, unimplemented
from tests.servers.gcs_gate.gate import Gate
from tests.servers.gcs_gate.resources import parse_fields, select
from tests.servers.gcs_gate.wire import Request, Response, decode_segment, json_response

Handler = Callable[..., Awaitable[dict | Response | None]]

STANDARD = frozenset(["alt", "fields", "key", "prettyPrint", "quotaUser", "userIp", "userProject"])
"""Parameters of all calls (json: parameters). `userProject` pays for nothing here."""
LIVE = "ifGenerationMatch ifGenerationNotMatch ifMetagenerationMatch ifMetagenerationNotMatch"
SOURCE = LIVE.replace("if", "ifSource")
META = "ifMetagenerationMatch ifMetagenerationNotMatch"
ACL = "predefinedAcl predefinedDefaultObjectAcl"


@dataclass(frozen=True)
class Route:
    """A call: its method, its address, where * is a name, and its parameters."""

    method: str
    path: str
    handler: Handler
    parameters: str = ""
    missing: str = ""

    def match(self, method: str, segments: list[str]) -> list[str] | None:
        """The names in the address, if it is this call."""
        pattern = self.path.split("/")
        if method != self.method or len(pattern) != len(segments):
            return None
        found = []
        for wanted, segment in zip(pattern, segments, strict=True):
            if wanted == "*" and segment:
                found.append(decode_segment(segment))
            elif wanted != segment:
                return None
        return found


ROUTES = (
    Route("POST", "b", json_buckets.insert, f"project projection enableObjectRetention {ACL}"),
    Route(
        "GET",
        "b",
        json_buckets.list_buckets,
        "project projection maxResults pageToken prefix",
        "softDeleted returnPartialSuccess",
    ),
    Route("GET", "b/*", json_buckets.get, f"projection {META}", "softDeleted generation"),
    Route("PATCH", "b/*", json_buckets.patch, f"projection {META}", ACL),
    Route("PUT", "b/*", json_buckets.update, f"projection {META}", ACL),
    Route("DELETE", "b/*", json_buckets.delete, META),
    Route("GET", "b/*/iam", json_buckets.get_iam, "optionsRequestedPolicyVersion"),
    Route("PUT", "b/*/iam", json_buckets.set_iam),
    Route("GET", "b/*/iam/testPermissions", json_buckets.test_iam, "permissions"),
    Route(
        "GET",
        "b/*/o",
        json_objects.list_objects,
        "delimiter endOffset includeTrailingDelimiter maxResults pageToken prefix projection "
        "startOffset versions",
        "filter includeFoldersAsPrefixes matchGlob softDeleted",
    ),
    Route(
        "GET",
        "b/*/o/*",
        json_objects.get,
        f"generation projection {LIVE}",
        "restoreToken softDeleted",
    ),
    Route(
        "PATCH",
        "b/*/o/*",
        json_objects.patch,
        f"generation projection {LIVE}",
        "overrideUnlockedRetention predefinedAcl",
    ),
    Route(
        "PUT",
        "b/*/o/*",
        json_objects.update,
        f"generation projection {LIVE}",
        "overrideUnlockedRetention predefinedAcl",
    ),
    Route("DELETE", "b/*/o/*", json_objects.delete, f"generation {LIVE}"),
    Route(
        "POST",
        "b/*/o/*/compose",
        json_copy.compose,
        "ifGenerationMatch ifMetagenerationMatch",
        "destinationPredefinedAcl kmsKeyName dropContextGroups",
    ),
    Route(
        "POST",
        "b/*/o/*/copyTo/b/*/o/*",
        json_copy.copy,
        f"projection sourceGeneration {LIVE} {SOURCE}",
        "destinationKmsKeyName destinationPredefinedAcl",
    ),
    Route(
        "POST",
        "b/*/o/*/rewriteTo/b/*/o/*",
        json_copy.rewrite,
        f"projection sourceGeneration maxBytesRewrittenPerCall rewriteToken {LIVE} {SOURCE}",
        "destinationKmsKeyName destinationPredefinedAcl dropContextGroups",
    ),
    Route("POST", "b/*/o/*/moveTo/o/*", json_copy.move, f"projection {LIVE} {SOURCE}"),
)
UPLOAD = "uploadType upload_id name contentEncoding predefinedAcl projection " + LIVE
UPLOADS = (
    Route("POST", "b/*/o", json_uploads.insert, UPLOAD, "kmsKeyName"),
    Route("PUT", "b/*/o", json_uploads.resume, UPLOAD, "kmsKeyName"),
    Route("DELETE", "b/*/o", json_uploads.cancel, UPLOAD, "kmsKeyName"),
)
HEADERS = frozenset(
    {
        "x-goog-api-client",
        "x-goog-api-key",
        "x-goog-gcs-idempotency-token",
        "x-goog-hash",
        "x-goog-request-params",
        "x-goog-request-reason",
        "x-goog-user-project",
    }
)
"""Headers of the JSON API, and what the client libraries add for themselves."""
NOT_HERE = frozenset(
    [
        "acl",
        "defaultObjectAcl",
        "notificationConfigs",
        "lockRetentionPolicy",
        "restore",
        "bulkRestore",
        "managedFolders",
        "folders",
        "anywhereCaches",
        "storageLayout",
        "relocate",
        "iam",
        "viewFullContext",
        "hmacKeys",
        "serviceAccount",
        "channels",
        "operations",
    ]
)


async def handle(gate: Gate, request: Request, path: str, *, upload: bool = False) -> Response:
    """Answer a call; `path` is what follows /storage/v1/."""
    request.style = "json"
    segments = path.split("/")
    for route in UPLOADS if upload else ROUTES:
        names = route.match(request.method, segments)
        if names is not None:
            return await _call(gate, request, route, names)
    if NOT_HERE & set(segments):
        raise unimplemented(f"{request.method} {path}")
    raise not_found()


async def _call(gate: Gate, request: Request, route: Route, names: list[str]) -> Response:
    known = STANDARD | set(route.parameters.split())
    for name, _ in request.query:
        if name in route.missing.split():
            raise unimplemented(f"parameter {name}")
        if name not in known and not name.lower().startswith("x-goog-"):
            raise undocumented(f"parameter {name!r} of {route.method} {route.path}", name)
    check_enumerations(request)
    check_headers(request)
    # A session's address is its own credential (json: how-tos/resumable-upload).
    by_session = route in UPLOADS and request.param("upload_id") is not None
    who = Caller(gate.keyring, "json") if by_session else caller(gate.keyring, request)
    result = await route.handler(gate, request, who, *names)
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(204)
    fields = request.param("fields")
    etag = {"ETag": result["etag"]} if result.get("etag") else {}
    return json_response(select(result, parse_fields(fields)) if fields else result, **etag)


BOOLEANS = ("true", "false", "True", "False")
"""The second form is that of the official client for Python."""


def check_headers(request: Request) -> None:
    """Headers that say something in the XML API have no meaning here."""
    for name, _ in request.headers:
        if name.startswith("x-goog-encryption"):
            raise unimplemented(f"header {name}")
        if name.startswith("x-goog-") and name not in HEADERS:
            raise undocumented(f"header {name} of the JSON API", name)


def check_enumerations(request: Request) -> None:
    """Parameters that have few values."""
    allowed = {
        "projection": ("full", "noAcl"),
        "alt": ("json", "media"),
        "uploadType": ("media", "multipart", "resumable"),
        "prettyPrint": BOOLEANS,
        "versions": BOOLEANS,
        "includeTrailingDelimiter": BOOLEANS,
        "enableObjectRetention": BOOLEANS,
    }
    for name, values in allowed.items():
        value: Any = request.param(name)
        if value is not None and value not in values:
            raise invalid(f"Invalid value {value!r} for {name}", location=name)
    if request.param("alt") == "media" and request.method != "GET":
        raise undocumented("alt=media of a call that does not download", "alt")
