"""Uploads in the JSON API: media, multipart and resumable (json: objects/insert,
docs: uploads-downloads, performing-resumable-uploads, resumable-uploads)."""

from __future__ import annotations

import re
from typing import Any

from tests.servers.gcs_gate import attributes, checksums, preconditions, sessions
from tests.servers.gcs_gate.auth import Caller
from tests.servers.gcs_gate.checksums import Declared
from tests.servers.gcs_gate.content import Content, Writer
from tests.servers.gcs_gate.errors import RefusedError, invalid, required, unimplemented
from tests.servers.gcs_gate.gate import Gate
from tests.servers.gcs_gate.json_objects import full, may_write
from tests.servers.gcs_gate.preconditions import Conditions
from tests.servers.gcs_gate.resources import of_object
from tests.servers.gcs_gate.sessions import Session
from tests.servers.gcs_gate.state import Attributes, ObjectVersion
from tests.servers.gcs_gate.wire import Request, Response, parse_json

ACLS = (None, "private", "projectPrivate", "bucketOwnerRead", "bucketOwnerFullControl")
BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))')


async def insert(gate: Gate, request: Request, who: Caller, bucket: str) -> dict | Response:
    """json: objects/insert, one way of three."""
    if request.param("upload_id") is not None:
        # The pages have PUT; the service takes what gcsfs sends, too.
        gate.note(request, "taken, but undocumented: POST to the address of a session")
        return await resume(gate, request, who, bucket)
    kind = request.param("uploadType")
    if kind is None:
        raise required("uploadType")
    place = gate.store.bucket(bucket)
    who.need("storage.objects.create", place)
    conditions = preconditions.of_json(request)
    if kind == "resumable":
        return await _start(gate, request, who, bucket, conditions)
    if kind == "media":
        resource: dict[str, Any] = {}
        content = await gate.receive(request)
        media_type = request.header("content-type")
    else:
        resource, media_type, content = await _multipart(gate, request)
    name, made = _described(request, resource, media_type)
    declared = checksums.both(checksums.of_headers(request), checksums.of_resource(resource))
    version = commit(gate, who, bucket, name, content, made, declared, conditions, _public(request))
    return of_object(version, request.origin, full=full(request))


async def resume(gate: Gate, request: Request, who: Caller, bucket: str) -> dict | Response:
    """PUT to a session: a chunk, the rest, or the question how much is there."""
    session = sessions.find(gate, request, bucket)
    done = await sessions.receive(gate, request, session)
    if done is None:
        return sessions.incomplete(session)
    return of_object(done, request.origin, full=full(request))


async def cancel(gate: Gate, request: Request, who: Caller, bucket: str) -> Response:
    """DELETE of a session answers 499 (docs: performing-resumable-uploads#cancel-upload)."""
    sessions.cancel(gate, sessions.find(gate, request, bucket))
    return Response(499)


def commit(
    gate: Gate,
    who: Caller,
    bucket: str,
    name: str,
    content: Content,
    made: Attributes,
    declared: Declared,
    conditions: Conditions,
    public: bool,
) -> ObjectVersion:
    """Write what was received, if it is what was declared."""
    place = gate.store.bucket(bucket)
    may_write(who, place, name)
    declared.check(content)
    return gate.store.create(
        place, name, content, made, owner=who.owner, public=public, check=conditions.check
    )


async def _start(
    gate: Gate, request: Request, who: Caller, bucket: str, conditions: Conditions
) -> Response:
    resource = await request.read_json()
    name, made = _described(request, resource, request.header("x-upload-content-type"))
    place = gate.store.bucket(bucket)
    may_write(who, place, name)
    conditions.check(place.live.get(name))
    declared = checksums.of_resource(resource)
    session = Session.start(
        gate, who, bucket, name, made, declared, conditions, _public(request), _length(request)
    )
    where = f"{request.origin}{request.raw_path}?{request.raw_query}&upload_id={session.id}"
    return Response(200, [("Location", where), ("X-GUploader-UploadID", session.id)])


def _described(
    request: Request, resource: dict[str, Any], media_type: str
) -> tuple[str, Attributes]:
    """Name and metadata; the parameter wins over the resource (json: objects/insert)."""
    name = request.param("name") or resource.get("name")
    if not isinstance(name, str) or not name:
        raise required("name")
    encoding = request.param("contentEncoding")
    merged = dict(resource)
    if encoding:
        merged["contentEncoding"] = encoding
    if media_type and not merged.get("contentType"):
        merged["contentType"] = media_type
    merged.setdefault("contentType", "application/octet-stream")
    return name, attributes.of_resource(merged)


def _length(request: Request) -> int | None:
    text = request.header("x-upload-content-length")
    if not text:
        return None
    if not text.isdigit():
        raise invalid(f"X-Upload-Content-Length is {text!r}")
    return int(text)


def _public(request: Request) -> bool:
    value = request.param("predefinedAcl")
    if value in ACLS:
        return False
    if value == "publicRead":
        return True
    raise unimplemented(f"predefinedAcl={value}")


async def _multipart(gate: Gate, request: Request) -> tuple[dict[str, Any], str, Content]:
    """The two parts of a multipart/related body: the resource, then the data."""
    kind = request.header("content-type")
    boundary = BOUNDARY.search(kind)
    if not kind.startswith("multipart/related") or not boundary:
        raise invalid("Content-Type has to be multipart/related with a boundary")
    mark = b"--" + (boundary[1] or boundary[2]).encode()
    parts = request.stream()
    buffer = bytearray()
    async for piece in parts:
        buffer += piece
        if _data_start(buffer, mark):
            break
    start = _data_start(buffer, mark)
    if start is None:
        raise _bad_multipart()
    metadata, media_type = _heads(bytes(buffer[:start]), mark)
    del buffer[:start]
    writer = Writer(gate.folder)
    end = b"\r\n" + mark + b"--"
    try:
        async for piece in parts:
            buffer += piece
            keep = len(end) + 2
            if len(buffer) > keep:
                writer.write(bytes(buffer[:-keep]))
                del buffer[:-keep]
        tail = bytes(buffer)
        data, found, _ = tail.partition(end)
        if not found:
            # Some writers end lines with a line feed alone.
            data, found, _ = tail.partition(end[1:])
        if not found:
            raise _bad_multipart()
        writer.write(data)
    except BaseException:
        writer.abort()
        raise
    return metadata, media_type, writer.finish()


def _data_start(buffer: bytearray, mark: bytes) -> int | None:
    """Where the data of the second part begins, once that is there."""
    first = buffer.find(mark)
    second = buffer.find(mark, first + len(mark)) if first >= 0 else -1
    if second < 0:
        return None
    ends = [(buffer.find(end, second), len(end)) for end in (b"\r\n\r\n", b"\n\n")]
    found = min((at, size) for at, size in [*ends, (1 << 62, 0)] if at >= 0)
    return None if found[0] == 1 << 62 else sum(found)


def _heads(text: bytes, mark: bytes) -> tuple[dict[str, Any], str]:
    """The resource, and the type of the data."""
    sections = text.replace(b"\r\n", b"\n").split(mark)
    if len(sections) != 3:
        raise _bad_multipart()
    head, _, body = sections[1].partition(b"\n\n")
    if b"application/json" not in head.lower():
        raise invalid("the first part has to be application/json")
    media_type = ""
    for line in sections[2].decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-type":
            media_type = value.strip()
    return parse_json(body), media_type


def _bad_multipart() -> RefusedError:
    return RefusedError(400, "InvalidArgument", "badContent", "Malformed multipart body.")
