"""Buckets in the XML API (xml: put-bucket-create, put-bucket-versioning, get-bucket-list,
delete-bucket, post-bucket; docs: request-methods, for HEAD)."""

from __future__ import annotations

import base64

from tests.servers.gcs_gate import listing, names, preconditions, xml_write
from tests.servers.gcs_gate.attributes import public_acl
from tests.servers.gcs_gate.auth import Caller
from tests.servers.gcs_gate.clock import rfc3339
from tests.servers.gcs_gate.errors import RefusedError, invalid
from tests.servers.gcs_gate.gate import Gate
from tests.servers.gcs_gate.json_buckets import page_size
from tests.servers.gcs_gate.json_objects import delete_version
from tests.servers.gcs_gate.state import Bucket, ObjectVersion
from tests.servers.gcs_gate.wire import Request, Response

MOST_DELETED = 1000


async def create(gate: Gate, request: Request, who: Caller, bucket: str) -> Response:
    """xml: put-bucket-create."""
    body = await request.read()
    project = request.header("x-goog-project-id") or _project_of(gate, who)
    who.need_in_project("storage.buckets.create", project)
    location, storage_class = "US", request.header("x-goog-storage-class") or "STANDARD"
    if body.strip():
        tree = xml_write.parse(body, "CreateBucketConfiguration")
        location = tree.findtext("LocationConstraint") or location
        storage_class = tree.findtext("StorageClass") or storage_class
        for element in tree:
            if element.tag not in {"LocationConstraint", "StorageClass"}:
                raise xml_write.malformed(f"element {element.tag}")
    now = gate.clock.tick()
    made = Bucket(
        name=names.check_bucket(bucket),
        project=project,
        location=names.check_location(location),
        storage_class=names.check_storage_class(storage_class),
        created=now,
        updated=now,
        owner=who.owner,
        listable_by_all=public_acl(request),
    )
    gate.store.add_bucket(made)
    return Response(200, _described(made))


async def head(gate: Gate, request: Request, who: Caller, bucket: str) -> Response:
    """The headers of the bucket."""
    place = gate.store.bucket(bucket)
    who.need("storage.objects.list", place)
    return Response(200, _described(place))


async def set_versioning(gate: Gate, request: Request, who: Caller, bucket: str) -> Response:
    """xml: put-bucket-versioning."""
    tree = xml_write.parse(await request.read(), "VersioningConfiguration")
    place = gate.store.bucket(bucket)
    who.need("storage.buckets.update", place)
    status = tree.findtext("Status")
    if status not in {"Enabled", "Suspended"}:
        raise xml_write.malformed(f"Status {status!r}")
    place.versioning = status == "Enabled"
    place.touch(gate.clock.tick())
    return Response(200)


async def delete(gate: Gate, request: Request, who: Caller, bucket: str) -> Response:
    """xml: delete-bucket."""
    place = gate.store.bucket(bucket)
    who.need("storage.buckets.delete", place)
    preconditions.of_xml(request, reads=False).check_bucket(place)
    gate.store.delete_bucket(place)
    return Response(204)


async def list_objects(gate: Gate, request: Request, who: Caller, bucket: str) -> Response:
    """xml: get-bucket-list, both versions."""
    place = gate.store.bucket(bucket)
    who.need("storage.objects.list", place)
    kind = request.param("list-type")
    if kind not in {None, "1", "2"}:
        raise invalid(f"Invalid list-type {kind!r}", location="list-type")
    second = kind == "2"
    _check_combination(request, second)
    encoding = xml_write.encoding_type(request)
    marker = request.param("start-after" if second else "marker") or ""
    token = request.param("continuation-token")
    versions = request.param("versions") is not None
    delimiter, prefix = request.param("delimiter") or "", request.param("prefix") or ""
    limit = page_size(request, "max-keys")
    generation = preconditions.number(request, "generation-marker")
    query = listing.Query(
        prefix=prefix,
        delimiter=delimiter,
        beyond="" if generation is not None else marker,
        after=(marker, generation) if generation is not None else _decode(token),
        versions=versions,
        limit=limit,
    )
    page = listing.page(place, query)
    quoted = [(v, xml_write.name(v.name, encoding)) for v in page.items]
    last = page.last
    item = "Version" if versions else "Contents"
    elements: list[xml_write.Element] = [
        ("Name", bucket),
        ("Prefix", xml_write.name(prefix, encoding)),
        ("Delimiter", xml_write.name(delimiter, encoding) or None),
        ("EncodingType", encoding),
        ("MaxKeys", str(limit)),
        ("IsTruncated", "true" if last else "false"),
    ]
    if second:
        owners = request.param("fetch-owner") == "true"
        elements += [
            ("KeyCount", str(len(page.items) + len(page.prefixes))),
            ("StartAfter", xml_write.name(marker, encoding) or None),
            ("ContinuationToken", token),
            ("NextContinuationToken", _encode(last) if last else None),
        ]
    else:
        owners = True
        elements += [
            ("Marker", xml_write.name(marker, encoding)),
            ("NextMarker", xml_write.name(last[0], encoding) if last else None),
            ("NextGenerationMarker", str(last[1]) if last and versions else None),
        ]
    elements += [(item, _item(v, text, versions, owners)) for v, text in quoted]
    elements += [
        ("CommonPrefixes", [("Prefix", xml_write.name(text, encoding))]) for text in page.prefixes
    ]
    return xml_write.document("ListBucketResult", elements, xml_write.LISTING)


async def delete_objects(gate: Gate, request: Request, who: Caller, bucket: str) -> Response:
    """xml: post-bucket: each object by itself. The page does not say what is told of a name
    without an object; here it is NoSuchKey, as for a single DELETE, with a note."""
    if not request.header("content-length"):
        raise RefusedError(411, "MissingContentLength", "required", "Content-Length is required.")
    tree = xml_write.parse(await request.read(), "Delete")
    quiet = (tree.findtext("Quiet") or "false").lower() == "true"
    wanted = tree.findall("Object")
    if not 1 <= len(wanted) <= MOST_DELETED or len(wanted) + bool(tree.findall("Quiet")) != len(
        tree
    ):
        raise xml_write.malformed(f"{len(wanted)} objects")
    gate.store.bucket(bucket)
    made: list[xml_write.Element] = []
    for element in wanted:
        key, text = element.findtext("Key"), element.findtext("VersionId")
        if not key or {child.tag for child in element} - {"Key", "VersionId"}:
            raise xml_write.malformed("Object")
        try:
            generation = _generation(text)
            delete_version(gate, who, bucket, key, generation, preconditions.NONE)
        except RefusedError as refusal:
            if refusal.code == "NoSuchKey":
                gate.note(request, "answered, but undocumented: ?delete of what is not there")
            made.append(
                (
                    "Error",
                    [
                        ("Code", refusal.code),
                        ("Key", key),
                        ("Message", refusal.message),
                        ("VersionId", text),
                    ],
                )
            )
        else:
            if not quiet:
                made.append(("Deleted", [("Key", key), ("VersionId", text)]))
    return xml_write.document("DeleteResult", made, xml_write.MULTIPART)


def _generation(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit():
        raise invalid(f"VersionId {text!r} is not a generation")
    return int(text)


def _described(bucket: Bucket) -> list[tuple[str, str]]:
    return [
        ("x-goog-metageneration", str(bucket.metageneration)),
        ("x-goog-bucket-location", bucket.location),
        ("x-goog-default-storage-class", bucket.storage_class),
    ]


def _project_of(gate: Gate, who: Caller) -> str:
    """Without the header a bucket belongs to the default project of the account
    (xml: reference-headers#projectid)."""
    account = gate.keyring.accounts.get(who.email or "")
    return account.project if account else gate.options.project


def _check_combination(request: Request, second: bool) -> None:
    """Parameters of the one version in the other."""
    first_only, second_only = (
        ("marker", "generation-marker"),
        (
            "start-after",
            "continuation-token",
            "fetch-owner",
        ),
    )
    for name in first_only if second else second_only:
        if request.param(name) is not None:
            raise invalid(f"{name} does not go with this list-type", location=name)
    if request.param("generation-marker") is not None and not request.param("marker"):
        raise invalid("generation-marker needs a marker", location="generation-marker")


def _item(
    version: ObjectVersion, text: str, versions: bool, owners: bool
) -> list[xml_write.Element]:
    elements: list[xml_write.Element] = [
        ("Key", text),
        ("Generation", str(version.generation)),
        ("MetaGeneration", str(version.metageneration)),
        ("LastModified", rfc3339(version.updated)),
        ("ETag", version.xml_etag),
        ("Size", str(version.size)),
        ("StorageClass", version.attributes.storage_class),
    ]
    if versions:
        elements.append(("IsLatest", "true" if version.deleted is None else "false"))
    if owners:
        elements.append(("Owner", [("ID", version.owner)]))
    return elements


def _encode(last: tuple[str, int]) -> str:
    return base64.urlsafe_b64encode(f"{last[1]}:{last[0]}".encode()).decode()


def _decode(token: str | None) -> tuple[str, int] | None:
    if not token:
        return None
    try:
        number, _, name = base64.urlsafe_b64decode(token).decode().partition(":")
        return name, int(number)
    except ValueError:
        raise invalid("Invalid continuation-token", location="continuation-token") from None
