"""Answers that carry the data of an object, for both APIs (xml: get-object-download,
json: objects/get with alt=media, docs: transcoding)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from tests.servers.gcs_gate import attributes, checksums, ranges
from tests.servers.gcs_gate.clock import http_date
from tests.servers.gcs_gate.state import ObjectVersion
from tests.servers.gcs_gate.wire import Request, Response


def respond(request: Request, version: ObjectVersion, etag: str, *, xml: bool) -> Response:
    """The data, a range of it, or for HEAD the headers alone."""
    headers = [
        ("ETag", etag),
        ("Last-Modified", http_date(version.updated)),
        *described(version),
        *checksums.headers(version.content),
    ]
    told = attributes.to_headers(version)
    if not xml:
        told = [item for item in told if not item[0].startswith(attributes.META)]
    if version.attributes.cache_control is None:
        public = "public, max-age=3600" if version.public else "private, max-age=0"
        told.append(("Cache-Control", public))
    if _transcodes(request, version):
        plain = [item for item in told if item[0].lower() != "content-encoding"]
        warning = ("Warning", '214 UploadServer "gunzipped"')
        return Response(200, [*headers, *plain, warning], _gunzipped(version))
    headers += [*told, ("Accept-Ranges", "bytes")]
    part = ranges.parse(request.header("range"), version.size)
    if part is None:
        return Response(200, headers, version.content.read(), version.size)
    start, length = part
    headers.append(("Content-Range", f"bytes {start}-{start + length - 1}/{version.size}"))
    return Response(206, headers, version.content.read(start, length), length)


def described(version: ObjectVersion) -> list[tuple[str, str]]:
    """Headers that tell which version it is."""
    stored = version.attributes.content_encoding or "identity"
    made = [
        ("x-goog-generation", str(version.generation)),
        ("x-goog-metageneration", str(version.metageneration)),
        ("x-goog-stored-content-encoding", stored),
        ("x-goog-stored-content-length", str(version.size)),
    ]
    if version.component_count is not None:
        made.append(("x-goog-component-count", str(version.component_count)))
    return made


def _transcodes(request: Request, version: ObjectVersion) -> bool:
    """Compressed data for a client that does not say it takes that is decompressed, whole
    (docs: transcoding#decompressive_transcoding)."""
    if version.attributes.content_encoding != "gzip":
        return False
    if "no-transform" in (version.attributes.cache_control or ""):
        return False
    return "gzip" not in ",".join(request.header_values("accept-encoding"))


def _gunzipped(version: ObjectVersion) -> Iterator[bytes]:
    engine = zlib.decompressobj(wbits=31)
    for chunk in version.content.read():
        yield engine.decompress(chunk)
    yield engine.flush()
