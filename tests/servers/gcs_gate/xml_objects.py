"""Objects in the XML API (xml: put-object-upload, put-object-copy, get-object-download,
head-object, delete-object)."""

from __future__ import annotations

from tests.servers.gcs_gate import attributes, checksums, download, preconditions, xml_write
from tests.servers.gcs_gate.auth import Caller
from tests.servers.gcs_gate.clock import rfc3339
from tests.servers.gcs_gate.errors import RefusedError, invalid, precondition_failed, undocumented
from tests.servers.gcs_gate.gate import Gate
from tests.servers.gcs_gate.json_copy import copied
from tests.servers.gcs_gate.json_objects import delete_version, find, may_write
from tests.servers.gcs_gate.json_uploads import commit
from tests.servers.gcs_gate.preconditions import number
from tests.servers.gcs_gate.state import ObjectVersion
from tests.servers.gcs_gate.wire import Request, Response, decode_segment

LARGEST_PUT = 5 << 40


async def get(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> Response:
    """xml: get-object-download, head-object."""
    generation = number(request, "generation")
    version = find(gate, who, bucket, name, generation, "storage.objects.get")
    preconditions.of_xml(request, reads=True).check(version, version.xml_etag)
    answer = download.respond(request, version, version.xml_etag, xml=True)
    for key, value in request.query:
        if key.startswith("response-"):
            if who.email is None:
                raise invalid("response-* needs a signed or authenticated request")
            header = key.removeprefix("response-")
            answer.headers = [item for item in answer.headers if item[0].lower() != header]
            answer.headers.append((header.title(), value))
    return answer


async def put(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> Response:
    """xml: put-object-upload, or put-object-copy with a source."""
    if request.header("x-goog-copy-source"):
        return await _copy(gate, request, who, bucket, name)
    for header in ("x-goog-metadata-directive",):
        if request.header(header):
            raise undocumented(f"header {header} without x-goog-copy-source", header)
    if not request.declares_body:
        raise RefusedError(
            411, "MissingContentLength", "required", "You must provide the Content-Length."
        )
    conditions = preconditions.of_xml(request, reads=False)
    declared = checksums.of_headers(request)
    made = attributes.of_headers(request)
    public = attributes.public_acl(request)
    place = gate.store.bucket(bucket)
    who.need("storage.objects.create", place)
    check_length(request, int(request.header("content-length") or 0) or None)
    content = await gate.receive(request)
    check_length(request, content.size)
    version = commit(gate, who, bucket, name, content, made, declared, conditions, public)
    return written(version)


async def delete(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> Response:
    """xml: delete-object."""
    conditions = preconditions.of_xml(request, reads=False)
    delete_version(gate, who, bucket, name, number(request, "generation"), conditions)
    return Response(204)


def written(version: ObjectVersion, status: int = 200) -> Response:
    """What is told of an object just written."""
    headers = [("ETag", version.xml_etag), *download.described(version)]
    return Response(status, [*headers, *checksums.headers(version.content)])


def check_length(request: Request, size: int | None) -> None:
    """`x-goog-content-length-range: MIN,MAX` (xml: reference-headers#xgoogcontentlengthrange)."""
    text = request.header("x-goog-content-length-range")
    if not text or size is None:
        return
    low, _, high = text.partition(",")
    if not low.strip().isdigit() or not high.strip().isdigit():
        raise invalid(f"Invalid x-goog-content-length-range {text!r}")
    elements = {"MinSizeAllowed": low.strip(), "MaxSizeAllowed": high.strip()}
    if size > int(high):
        raise RefusedError(
            400,
            "EntityTooLarge",
            "invalid",
            "Your proposed upload exceeds the maximum allowed object size.",
            elements={"ProposedSize": str(size), **elements},
        )
    if size < int(low):
        raise RefusedError(
            400,
            "EntityTooSmall",
            "invalid",
            "Your proposed upload is smaller than the minimum allowed object size.",
            elements={"ProposedSize": str(size), **elements},
        )


async def _copy(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> Response:
    """xml: put-object-copy."""
    if await request.read():
        raise invalid("a copy has no body")
    raw = request.header("x-goog-copy-source").removeprefix("/")
    source_bucket, slash, source_name = raw.partition("/")
    if not slash:
        raise invalid(f"x-goog-copy-source {raw!r} is not BUCKET/OBJECT")
    generation = request.header("x-goog-copy-source-generation")
    source = find(
        gate,
        who,
        decode_segment(source_bucket),
        decode_segment(source_name),
        int(generation) if generation.isdigit() else None,
        "storage.objects.get",
    )
    _check_source(request, source)
    directive = request.header("x-goog-metadata-directive") or "COPY"
    if directive == "REPLACE":
        made = attributes.of_headers(request)
    elif directive == "COPY":
        made = source.attributes
    else:
        raise invalid(f"Invalid x-goog-metadata-directive {directive!r}")
    conditions = preconditions.of_xml(request, reads=False)
    public = attributes.public_acl(request)
    may_write(who, gate.store.bucket(bucket), name)
    version = copied(gate, who, source, made, bucket, name, conditions, public)
    answer = xml_write.document(
        "CopyObjectResult",
        [("LastModified", rfc3339(version.updated)), ("ETag", version.xml_etag)],
    )
    answer.headers += written(version).headers
    answer.headers.append(("x-goog-copy-source-generation", str(source.generation)))
    return answer


def _check_source(request: Request, source: ObjectVersion) -> None:
    """Any condition on the source that fails answers 412 (xml: put-object-copy)."""
    try:
        preconditions.of_copy_source(request).check(source, source.xml_etag)
    except RefusedError as refusal:
        if refusal.status != 304:
            raise
        raise precondition_failed("x-goog-copy-source-if-*") from None
