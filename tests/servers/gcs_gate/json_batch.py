"""Several calls of the JSON API in one (json: how-tos/batch)."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from tests.servers.gcs_gate.errors import RefusedError, invalid
from tests.servers.gcs_gate.json_uploads import BOUNDARY
from tests.servers.gcs_gate.wire import Request, Response

MOST = 100
PATH = "/storage/v1/"


async def handle(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer each part by itself, in order."""
    request.style = "json"
    kind = request.header("content-type")
    boundary = BOUNDARY.search(kind)
    if request.method != "POST" or not kind.startswith("multipart/mixed") or not boundary:
        raise invalid("a batch is a POST of multipart/mixed with a boundary")
    mark = b"--" + (boundary[1] or boundary[2]).encode()
    body = (await request.read()).replace(b"\r\n", b"\n")
    sections = (b"\n" + body).split(b"\n" + mark)[1:]
    if not sections or not sections[-1].startswith(b"--"):
        raise invalid("the batch does not end in its boundary")
    if len(sections) - 1 > MOST:
        raise invalid(f"The batch has {len(sections) - 1} calls, more than {MOST}")
    ours = f"batch_{secrets.token_urlsafe(18)}"
    made = bytearray()
    for section in sections[:-1]:
        made += f"--{ours}\r\n".encode() + await _part(request, section.lstrip(b"\n"), call)
    made += f"--{ours}--\r\n".encode()
    return Response(200, [("Content-Type", f"multipart/mixed; boundary={ours}")], bytes(made))


async def _part(
    outer: Request, section: bytes, call: Callable[[Request], Awaitable[Response]]
) -> bytes:
    """One call. Its headers come after those of the batch, which count for all calls."""
    head, _, inner = section.partition(b"\n\n")
    part = _headers(head)
    if dict(part).get("content-type", "").partition(";")[0] != "application/http":
        raise invalid("a part of a batch is application/http")
    lines, _, body = inner.partition(b"\n\n")
    first, _, rest = lines.partition(b"\n")
    words = first.decode("latin-1").split()
    target = words[1].removeprefix(outer.origin) if len(words) > 1 else ""
    if not target.startswith(PATH):
        raise invalid(f"a part of a batch asks for {PATH}…, not {first!r}")
    path, _, query = target.partition("?")
    headers = _headers(rest)
    own = {name for name, _ in headers}
    shared = {"content-type", "content-length", "transfer-encoding", "expect"}
    headers += [item for item in outer.headers if item[0] not in own | shared]
    request = Request(words[0], path, query, headers, style="json", body=body.rstrip(b"\n"))
    if request.param("alt") == "media":
        raise invalid("a batch does not carry data of objects")
    answer = await call(request)
    content = b"".join(answer.pieces())
    told = [("Content-Type", "application/http")]
    if "content-id" in dict(part):
        told.append(("Content-ID", f"<response-{dict(part)['content-id'].strip('<>')}>"))
    status = f"HTTP/1.1 {answer.status} {_phrase(answer.status)}"
    head_lines = [f"{n}: {v}" for n, v in [*answer.headers, ("Content-Length", str(len(content)))]]
    text = "\r\n".join(f"{n}: {v}" for n, v in told)
    return (
        f"{text}\r\n\r\n{status}\r\n".encode()
        + "\r\n".join([*head_lines, "", ""]).encode()
        + (content + b"\r\n")
    )


def _headers(text: bytes) -> list[tuple[str, str]]:
    found = []
    for line in text.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if not colon:
            raise RefusedError(400, "InvalidArgument", "badContent", f"not a header: {line!r}")
        found.append((name.strip().lower(), value.strip()))
    return found


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
