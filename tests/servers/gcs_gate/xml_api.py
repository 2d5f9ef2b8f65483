"""Addresses, methods, parameters and headers of the XML API (xml: reference-uris,
reference-headers)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.servers.gcs_gate import signing, xml_buckets, xml_multipart, xml_objects, xml_resumable
from tests.servers.gcs_gate.auth import Caller, caller
from tests.servers.gcs_gate.errors import RefusedError, undocumented, unimplemented
from tests.servers.gcs_gate.gate import Gate
from tests.servers.gcs_gate.names import check_object
from tests.servers.gcs_gate.wire import Request, Response, decode_segment

Handler = Callable[..., Awaitable[Response]]

RESPONSE = " ".join(
    f"response-{name}"
    for name in [
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    ]
)
SIGNATURE = frozenset((*signing.PARAMETERS, "x-goog-signature"))
EVERYWHERE = frozenset(
    [
        "x-goog-api-version",
        "x-goog-api-client",
        "x-goog-content-sha256",
        "x-goog-date",
        "x-goog-project-id",
        "x-goog-user-project",
    ]
)
LISTING = (
    "continuation-token delimiter encoding-type fetch-owner generation-marker list-type marker "
    "max-keys prefix start-after versions"
)
MATCH = "x-goog-if-generation-match x-goog-if-metageneration-match"
DESCRIBING = "x-goog-acl x-goog-custom-time x-goog-storage-class x-goog-meta-"
COPY = " ".join(
    f"x-goog-copy-source{rest}"
    for rest in (
        "",
        "-generation",
        "-if-match",
        "-if-none-match",
        "-if-modified-since",
        "-if-unmodified-since",
        "-if-generation-match",
        "-if-metageneration-match",
    )
)


@dataclass(frozen=True)
class Route:
    """A call: method, whether of an object, the parameter that marks it, what it takes."""

    method: str
    of_object: bool
    mark: str
    handler: Handler
    parameters: str = ""
    headers: str = ""


# The first that fits: marked ones stand before those without a mark.
ROUTES = (
    Route("GET", False, "uploads", xml_multipart.list_uploads, xml_multipart.LIST_UPLOADS),
    Route("GET", False, "", xml_buckets.list_objects, LISTING),
    Route("HEAD", False, "", xml_buckets.head),
    Route("PUT", False, "versioning", xml_buckets.set_versioning),
    Route("PUT", False, "", xml_buckets.create, "", "x-goog-acl x-goog-storage-class"),
    Route("DELETE", False, "", xml_buckets.delete, "", "x-goog-if-metageneration-match"),
    Route("POST", False, "delete", xml_buckets.delete_objects),
    Route("GET", True, "uploadId", xml_multipart.list_parts, xml_multipart.LIST_PARTS),
    Route("GET", True, "", xml_objects.get, f"generation {RESPONSE}", MATCH),
    Route("HEAD", True, "", xml_objects.get, f"generation {RESPONSE}", MATCH),
    Route("PUT", True, "upload_id", xml_resumable.resume, "", "x-goog-hash"),
    Route("PUT", True, "uploadId", xml_multipart.put_part, "partNumber", "x-goog-hash"),
    Route(
        "PUT",
        True,
        "",
        xml_objects.put,
        "",
        f"{MATCH} {DESCRIBING} {COPY} x-goog-hash x-goog-metadata-directive "
        "x-goog-content-length-range",
    ),
    Route("DELETE", True, "upload_id", xml_resumable.cancel),
    Route("DELETE", True, "uploadId", xml_multipart.abort),
    Route("DELETE", True, "", xml_objects.delete, "generation", MATCH),
    Route("POST", True, "uploads", xml_multipart.initiate, "", DESCRIBING),
    Route("POST", True, "uploadId", xml_multipart.complete),
    Route(
        "POST",
        True,
        "",
        xml_resumable.start,
        "",
        f"{MATCH} {DESCRIBING} x-goog-resumable x-goog-content-length-range",
    ),
)
NOT_HERE = frozenset(
    [
        "acl",
        "autoclass",
        "billing",
        "compose",
        "cors",
        "customerEncryption",
        "encryption",
        "encryptionConfig",
        "lifecycle",
        "location",
        "logging",
        "object-lock",
        "retention",
        "legal-hold",
        "storageClass",
        "tagging",
        "versioning",
        "websiteConfig",
        "userProject",
    ]
)


async def handle(gate: Gate, request: Request) -> Response:
    """Answer a call."""
    request.style = "xml"
    # The address of a session is its own credential (docs: resumable-uploads#session-uris);
    # of anything else the credential is looked at first.
    by_session = request.param("upload_id") is not None
    who = Caller(gate.keyring, "xml") if by_session else caller(gate.keyring, request)
    bucket, name = _address(gate, request)
    if not bucket:
        raise unimplemented(f"{request.method} of the service")
    parameters = {key for key, _ in request.query if key.lower() not in SIGNATURE}
    route = next((r for r in ROUTES if _fits(r, request, name is not None, parameters)), None)
    if route is None:
        raise RefusedError(
            405,
            "MethodNotAllowed",
            "methodNotAllowed",
            "The specified method is not allowed against this resource.",
        )
    _check_parameters(route, parameters)
    _check_headers(route, request)
    if name is not None:
        return await route.handler(gate, request, who, bucket, check_object(name))
    return await route.handler(gate, request, who, bucket)


def _address(gate: Gate, request: Request) -> tuple[str, str | None]:
    """Bucket and object, by host or by path (docs: request-endpoints#xml-api)."""
    host = request.host.rpartition(":")[0] or request.host
    suffix = f".{gate.options.domain}"
    if host.endswith(suffix):
        bucket, rest = host.removesuffix(suffix), request.raw_path[1:]
    else:
        raw, _, rest = request.raw_path[1:].partition("/")
        bucket = decode_segment(raw)
    return bucket, decode_segment(rest) if rest else None


def _fits(route: Route, request: Request, of_object: bool, parameters: set[str]) -> bool:
    return (
        route.method == request.method
        and route.of_object == of_object
        and (not route.mark or route.mark in parameters)
    )


def _check_parameters(route: Route, parameters: set[str]) -> None:
    known = {route.mark, *route.parameters.split()}
    for name in sorted(parameters - known):
        if name in NOT_HERE:
            raise unimplemented(f"?{name}")
        raise undocumented(f"parameter {name!r} of {route.method}", name)


def _check_headers(route: Route, request: Request) -> None:
    known = EVERYWHERE | set(route.headers.split())
    for name, _ in request.headers:
        if name.startswith("x-goog-encryption"):
            raise unimplemented(f"header {name}")
        if name.startswith("x-amz-"):
            raise unimplemented(f"header {name}")
        if name.startswith("x-goog-meta-") and "x-goog-meta-" in known:
            continue
        if name.startswith("x-goog-") and name not in known:
            raise undocumented(f"header {name} of {route.method} {route.mark}".strip(), name)
