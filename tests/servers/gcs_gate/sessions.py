"""Resumable uploads, of both APIs (docs: resumable-uploads, performing-resumable-uploads).

A session is its own credential, takes data in order, and is good for a week.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import google_crc32c

from tests.servers.gcs_gate import checksums
from tests.servers.gcs_gate.auth import Caller
from tests.servers.gcs_gate.checksums import Declared
from tests.servers.gcs_gate.content import EMPTY, Content, Writer, concatenated
from tests.servers.gcs_gate.errors import RefusedError, invalid, not_found, undocumented
from tests.servers.gcs_gate.gate import Gate
from tests.servers.gcs_gate.preconditions import Conditions
from tests.servers.gcs_gate.ranges import CONTENT_RANGE
from tests.servers.gcs_gate.state import Attributes, ObjectVersion, token
from tests.servers.gcs_gate.wire import GoneError, Request, Response

QUANTUM = 256 << 10
"""Chunks but the last are multiples of this."""
LIFETIME = 7 * 24 * 3600


@dataclass
class Session:
    """One resumable upload; `done` once it is complete."""

    id: str
    who: Caller
    bucket: str
    name: str
    attributes: Attributes
    declared: Declared
    conditions: Conditions
    public: bool
    length: int | None
    expires: float
    content: Content = EMPTY
    md5: Any = field(default_factory=hashlib.md5)
    done: ObjectVersion | None = None
    busy: bool = False

    @staticmethod
    def start(
        gate: Gate,
        who: Caller,
        bucket: str,
        name: str,
        attributes: Attributes,
        declared: Declared,
        conditions: Conditions,
        public: bool,
        length: int | None,
    ) -> Session:
        """A new session."""
        made = Session(
            token(),
            who,
            bucket,
            name,
            attributes,
            declared,
            conditions,
            public,
            length,
            gate.clock.now() + LIFETIME,
        )
        gate.store.sessions[made.id] = made
        return made


def find(gate: Gate, request: Request, bucket: str) -> Session:
    """The session an address names."""
    session = gate.store.sessions.get(request.param("upload_id") or "")
    if session is None or session.bucket != bucket:
        raise not_found("No such upload session")
    if session.expires <= gate.clock.now():
        raise RefusedError(410, "NoSuchUpload", "gone", "The upload session is no longer good.")
    return session


def cancel(gate: Gate, session: Session) -> None:
    """Forget what was received."""
    del gate.store.sessions[session.id]


async def receive(gate: Gate, request: Request, session: Session) -> ObjectVersion | None:
    """Take a chunk. The object once it is complete."""
    first, last, total = _content_range(request)
    if session.done is not None:
        async for _ in request.stream():
            pass
        return session.done
    if session.busy:
        raise undocumented("a chunk while another is on its way")
    if first is not None and first != session.content.size:
        raise invalid(
            f"the chunk starts at {first}, and {session.content.size} bytes are there already"
        )
    session.length = _agreed(session, total)
    session.busy = True
    try:
        await _append(gate, request, session, None if last is None else last + 1)
    finally:
        session.busy = False
    final = first is not None and last is None
    if final or session.length == session.content.size:
        return _complete(gate, request, session)
    return None


def incomplete(session: Session) -> Response:
    """308: what is there so far; no Range without any byte."""
    size = session.content.size
    return Response(308, [("Range", f"bytes=0-{size - 1}")] if size else [])


def _content_range(request: Request) -> tuple[int | None, int | None, int | None]:
    """First and last byte of the chunk, and all bytes. Without the header the body is
    everything; `*` for the bytes asks for the state."""
    text = request.header("content-range")
    if not text:
        return 0, None, None
    found = CONTENT_RANGE.fullmatch(text)
    if not found:
        raise invalid(f"Failed to parse Content-Range header {text!r}.")
    first, last, total = (int(g) if g and g != "*" else None for g in found.groups())
    if first is not None and last is not None:
        if last < first or (total is not None and last >= total):
            raise invalid(f"Content-Range {text!r} is not a range")
        if (total is None or last + 1 < total) and (last - first + 1) % QUANTUM:
            raise invalid(
                f"the chunk of {last - first + 1} bytes is not the last, and not a multiple of "
                f"{QUANTUM} bytes"
            )
        sent = request.header("content-length")
        if sent and int(sent) != last - first + 1:
            raise invalid(f"Content-Length is {sent}, Content-Range {text!r}")
    elif request.header("content-length", "0") != "0":
        raise invalid("a question for the state has no body")
    return first, last, total


def _agreed(session: Session, total: int | None) -> int | None:
    if total is not None and session.length is not None and total != session.length:
        raise invalid(f"the object is to have {session.length} bytes, now {total}")
    return session.length if total is None else total


async def _append(gate: Gate, request: Request, session: Session, end: int | None) -> None:
    """Keep the bytes; of a chunk that breaks off, whole multiples of 256 KiB."""
    writer = Writer(gate.folder)
    broken = False
    try:
        async for piece in request.stream():
            writer.write(piece)
    except GoneError:
        broken = True
    got = writer.finish()
    if broken and end is None:
        return
    size = session.content.size + got.size
    if broken:
        got = _cut(got, size // QUANTUM * QUANTUM - session.content.size)
    elif end is not None and size != end:
        raise invalid(f"the body has {got.size} bytes, Content-Range other")
    session.content = concatenated((session.content, got))
    for chunk in got.read():
        session.md5.update(chunk)
    if broken:
        raise GoneError


def _cut(content: Content, size: int) -> Content:
    """The first bytes of what one request brought."""
    if size <= 0:
        return EMPTY
    crc = 0
    for chunk in content.read(0, size):
        crc = google_crc32c.extend(crc, chunk)
    return Content(((content.pieces[0][0], size),), size, crc, None)


def _complete(gate: Gate, request: Request, session: Session) -> ObjectVersion:
    from tests.servers.gcs_gate.json_uploads import commit

    declared = checksums.both(session.declared, checksums.of_headers(request))
    whole = replace(session.content, md5=session.md5.digest())
    try:
        session.done = commit(
            gate,
            session.who,
            session.bucket,
            session.name,
            whole,
            session.attributes,
            declared,
            session.conditions,
            session.public,
        )
    except RefusedError:
        cancel(gate, session)
        raise
    return session.done
