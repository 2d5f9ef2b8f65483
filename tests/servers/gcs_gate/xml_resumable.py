"""Resumable uploads in the XML API (xml: post-object-resumable, put-object-resumable)."""

from __future__ import annotations

from tests.servers.gcs_gate import attributes, preconditions, sessions
from tests.servers.gcs_gate.auth import Caller
from tests.servers.gcs_gate.checksums import Declared
from tests.servers.gcs_gate.errors import invalid, unimplemented
from tests.servers.gcs_gate.gate import Gate
from tests.servers.gcs_gate.json_objects import may_write
from tests.servers.gcs_gate.sessions import Session
from tests.servers.gcs_gate.wire import Request, Response
from tests.servers.gcs_gate.xml_objects import check_length, written


async def start(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> Response:
    """POST with `x-goog-resumable: start`."""
    if request.header("x-goog-resumable") != "start":
        raise unimplemented("POST of an object without x-goog-resumable: start")
    if request.header("x-goog-content-length-range"):
        raise unimplemented("x-goog-content-length-range of a resumable upload")
    if await request.read():
        raise invalid("starting a resumable upload has no body")
    conditions = preconditions.of_xml(request, reads=False)
    place = gate.store.bucket(bucket)
    may_write(who, place, name)
    conditions.check(place.live.get(name))
    check_length(request, None)
    session = Session.start(
        gate,
        who,
        bucket,
        name,
        attributes.of_headers(request),
        Declared(),
        conditions,
        attributes.public_acl(request),
        None,
    )
    where = f"{request.origin}{request.raw_path}?upload_id={session.id}"
    return Response(201, [("Location", where), ("X-GUploader-UploadID", session.id)])


async def resume(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> Response:
    """PUT to the session."""
    session = sessions.find(gate, request, bucket)
    done = await sessions.receive(gate, request, session)
    return sessions.incomplete(session) if done is None else written(done)


async def cancel(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> Response:
    """DELETE of the session."""
    sessions.cancel(gate, sessions.find(gate, request, bucket))
    return Response(499)
