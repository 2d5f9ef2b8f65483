"""Multipart uploads (docs: multipart-uploads; xml: post-object-multipart, put-object-multipart,
get-object-multipart, post-object-complete, delete-multipart, get-bucket-uploads).

Preconditions are not supported here (docs: multipart-uploads, considerations): headers that
ask for one are refused, so that no client believes they count.
"""

from __future__ import annotations

import secrets

from tests.servers.gcs_gate import attributes, checksums, preconditions, xml_write
from tests.servers.gcs_gate.auth import Caller
from tests.servers.gcs_gate.clock import rfc3339
from tests.servers.gcs_gate.content import concatenated
from tests.servers.gcs_gate.errors import RefusedError, invalid, no_such_upload, required
from tests.servers.gcs_gate.gate import Gate
from tests.servers.gcs_gate.json_buckets import page_size
from tests.servers.gcs_gate.json_objects import may_write
from tests.servers.gcs_gate.preconditions import number
from tests.servers.gcs_gate.state import Bucket, Multipart, Part
from tests.servers.gcs_gate.wire import Request, Response
from tests.servers.gcs_gate.xml_objects import written

SMALLEST = 5 << 20
"""Bytes of a part that is not the last (docs: quotas#requests)."""
LARGEST = 5 << 30
MOST = 10_000
LIST_PARTS = "encoding-type max-parts part-number-marker"
LIST_UPLOADS = "delimiter encoding-type key-marker max-uploads prefix upload-id-marker"


async def initiate(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> Response:
    """xml: post-object-multipart."""
    if await request.read():
        raise invalid("starting a multipart upload has no body")
    place = gate.store.bucket(bucket)
    who.need("storage.multipartUploads.create", place)
    may_write(who, place, name)
    upload = Multipart(
        id=secrets.token_urlsafe(60),
        name=name,
        attributes=attributes.of_headers(request),
        owner=who.owner,
        public=attributes.public_acl(request),
        started=gate.clock.tick(),
    )
    place.uploads[upload.id] = upload
    elements: list[xml_write.Element] = [
        ("Bucket", bucket),
        ("Key", name),
        ("UploadId", upload.id),
    ]
    return xml_write.document("InitiateMultipartUploadResult", elements, xml_write.MULTIPART)


async def put_part(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> Response:
    """xml: put-object-multipart."""
    place, upload = _find(gate, request, bucket, name)
    who.need("storage.multipartUploads.create", place)
    position = number(request, "partNumber")
    if position is None:
        raise required("partNumber")
    if not 1 <= position <= MOST:
        raise invalid(f"partNumber is {position}, not from 1 to {MOST}", location="partNumber")
    if not request.declares_body:
        raise RefusedError(
            411, "MissingContentLength", "required", "You must provide the Content-Length."
        )
    if int(request.header("content-length") or 0) > LARGEST:
        raise _too_large()
    declared = checksums.of_headers(request)
    content = await gate.receive(request)
    declared.check(content)
    if content.size > LARGEST:
        raise _too_large()
    if place.uploads.get(upload.id) is not upload:
        raise no_such_upload()
    part = upload.parts[position] = Part(position, content, gate.clock.tick())
    return Response(200, [("ETag", part.etag), *checksums.headers(content)])


async def list_parts(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> Response:
    """xml: get-object-multipart."""
    place, upload = _find(gate, request, bucket, name)
    who.need("storage.multipartUploads.listParts", place)
    encoding = xml_write.encoding_type(request)
    limit = page_size(request, "max-parts")
    marker = number(request, "part-number-marker") or 0
    left = [upload.parts[n] for n in sorted(upload.parts) if n > marker]
    shown = left[:limit]
    more = len(left) > limit
    elements: list[xml_write.Element] = [
        ("Bucket", bucket),
        ("Key", xml_write.name(name, encoding)),
        ("UploadId", upload.id),
        ("StorageClass", upload.attributes.storage_class or place.storage_class),
        ("PartNumberMarker", str(marker)),
        ("NextPartNumberMarker", str(shown[-1].number) if more else None),
        ("MaxParts", str(limit)),
        ("IsTruncated", "true" if more else "false"),
    ]
    elements += [("Part", _described(part)) for part in shown]
    return xml_write.document("ListPartsResult", elements, xml_write.MULTIPART)


async def complete(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> Response:
    """xml: post-object-complete. The result has no MD5; its CRC32C is composed of the parts'."""
    body = await request.read()
    place, upload = _find(gate, request, bucket, name)
    who.need("storage.multipartUploads.create", place)
    may_write(who, place, name)
    named = _named(body)
    numbers = [position for position, _ in named]
    if numbers != sorted(set(numbers)):
        raise RefusedError(
            400,
            "InvalidPartOrder",
            "invalid",
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        )
    chosen = []
    for position, etag in named:
        part = upload.parts.get(position)
        if part is None or part.etag.strip('"') != etag.strip('"'):
            raise RefusedError(
                400,
                "InvalidPart",
                "invalid",
                "One or more of the specified parts could not be found. The part might not have "
                "been uploaded, or the specified entity tag might not have matched the part's "
                "entity tag.",
                details=f"part {position}",
            )
        chosen.append(part)
    for part in chosen[:-1]:
        if part.content.size < SMALLEST:
            raise RefusedError(
                400,
                "EntityTooSmall",
                "invalid",
                "Your proposed upload is smaller than the minimum allowed object size.",
                details=f"part {part.number} has {part.content.size} bytes",
            )
    version = gate.store.create(
        place,
        name,
        concatenated(part.content for part in chosen),
        upload.attributes,
        owner=upload.owner,
        public=upload.public,
        check=preconditions.NONE.check,
    )
    del place.uploads[upload.id]
    elements: list[xml_write.Element] = [
        ("Location", f"{request.origin}{request.raw_path}"),
        ("Bucket", bucket),
        ("Key", name),
        ("ETag", version.xml_etag),
    ]
    answer = xml_write.document("CompleteMultipartUploadResult", elements, xml_write.MULTIPART)
    answer.headers += [item for item in written(version).headers if item[0] != "ETag"]
    return answer


async def abort(gate: Gate, request: Request, who: Caller, bucket: str, name: str) -> Response:
    """xml: delete-multipart."""
    place, upload = _find(gate, request, bucket, name)
    who.need("storage.multipartUploads.abort", place)
    del place.uploads[upload.id]
    return Response(204)


async def list_uploads(gate: Gate, request: Request, who: Caller, bucket: str) -> Response:
    """xml: get-bucket-uploads."""
    place = gate.store.bucket(bucket)
    who.need("storage.multipartUploads.list", place)
    encoding = xml_write.encoding_type(request)
    limit = page_size(request, "max-uploads")
    prefix, delimiter = request.param("prefix") or "", request.param("delimiter") or ""
    marker, id_marker = request.param("key-marker") or "", request.param("upload-id-marker")
    entries: list[Multipart | str] = []
    for upload in sorted(place.uploads.values(), key=lambda u: (u.name.encode(), u.id)):
        entry = _listed(upload, prefix, delimiter, marker, id_marker)
        if entry is not None and entry not in entries[-1:]:
            entries.append(entry)
    shown, more = entries[:limit], len(entries) > limit
    last = shown[-1] if more else None
    elements: list[xml_write.Element] = [
        ("Bucket", bucket),
        ("KeyMarker", xml_write.name(marker, encoding)),
        ("UploadIdMarker", id_marker or ""),
        ("Prefix", xml_write.name(prefix, encoding) or None),
        ("Delimiter", xml_write.name(delimiter, encoding) or None),
        ("EncodingType", encoding),
        ("MaxUploads", str(limit)),
        ("IsTruncated", "true" if more else "false"),
    ]
    if last is not None:
        key = last if isinstance(last, str) else last.name
        elements.append(("NextKeyMarker", xml_write.name(key, encoding)))
        if not isinstance(last, str):
            elements.append(("NextUploadIdMarker", last.id))
    for entry in shown:
        if isinstance(entry, str):
            elements.append(("CommonPrefixes", [("Prefix", xml_write.name(entry, encoding))]))
        else:
            elements.append(("Upload", _upload(entry, place, encoding)))
    return xml_write.document("ListMultipartUploadsResult", elements, xml_write.MULTIPART)


def _find(gate: Gate, request: Request, bucket: str, name: str) -> tuple[Bucket, Multipart]:
    place = gate.store.bucket(bucket)
    upload = place.uploads.get(request.param("uploadId") or "")
    if upload is None or upload.name != name:
        raise no_such_upload()
    return place, upload


def _named(body: bytes) -> list[tuple[int, str]]:
    tree = xml_write.parse(body, "CompleteMultipartUpload")
    found = []
    for element in tree:
        text, etag = element.findtext("PartNumber"), element.findtext("ETag")
        if element.tag != "Part" or not text or not etag or not text.strip().isdigit():
            raise xml_write.malformed("Part")
        found.append((int(text), etag.strip()))
    if not found:
        raise xml_write.malformed("no parts")
    return found


def _listed(
    upload: Multipart, prefix: str, delimiter: str, marker: str, id_marker: str | None
) -> Multipart | str | None:
    """An upload, the prefix that stands for it, or None where it is not in the page."""
    if not upload.name.startswith(prefix):
        return None
    at = upload.name.find(delimiter, len(prefix)) if delimiter else -1
    if at >= 0:
        common = upload.name[: at + len(delimiter)]
        return common if common.encode() > marker.encode() else None
    name, after = upload.name.encode(), marker.encode()
    if name > after or (name == after and marker and id_marker and upload.id > id_marker):
        return upload
    return None


def _described(part: Part) -> list[xml_write.Element]:
    return [
        ("PartNumber", str(part.number)),
        ("LastModified", rfc3339(part.modified)),
        ("ETag", part.etag),
        ("Size", str(part.content.size)),
    ]


def _upload(upload: Multipart, place: Bucket, encoding: str | None) -> list[xml_write.Element]:
    return [
        ("Key", xml_write.name(upload.name, encoding)),
        ("UploadId", upload.id),
        ("StorageClass", upload.attributes.storage_class or place.storage_class),
        ("Initiated", rfc3339(upload.started)),
    ]


def _too_large() -> RefusedError:
    return RefusedError(
        400,
        "EntityTooLarge",
        "invalid",
        "Your proposed upload exceeds the maximum allowed object size.",
    )
