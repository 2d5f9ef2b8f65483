"""Listing of open sessions."""

from __future__ import annotations

import json
from typing import Final

from storage_core.errors import InvalidRequestError, ObjectNotFoundError
from storage_core.http.dates import parse_iso_date
from storage_core.http.metadata import decode_value
from storage_core.http.xml import Element, parse_xml
from storage_core.model import EMPTY, Page, UploadInfo
from storage_core.requests import ListUploadsRequest
from storage_gcs import errors, requests, responses, sessions
from storage_gcs.reading import find
from storage_gcs.sessions import Session
from storage_gcs.wire import Wire

_ROOT: Final = "ListMultipartUploadsResult"


async def list_page(wire: Wire, request: ListUploadsRequest) -> Page[UploadInfo]:
    """One page of open sessions, ascending by key. Those that other programs began, which
    do not upload to a hidden key, are not among them."""
    marker, id_marker = _position(request.token)
    target = requests.query(
        wire.place(request.bucket).xml,
        (
            ("uploads", ""),
            ("encoding-type", "url"),
            ("key-marker", marker),
            ("max-uploads", str(request.limit)),
            ("prefix", sessions.prefix_of(request.prefix)),
            ("upload-id-marker", id_marker),
        ),
    )
    response = await wire.send(errors.LIST_UPLOADS, request.bucket, "GET", target)
    root = parse_xml(await wire.data(response))
    if root.name != _ROOT:
        return Page([])  # of objects, then: a service that knows no such uploads holds none
    found = []
    for item in root.all("Upload"):
        session = sessions.of_hidden(_name(item, "Key"), item.need("UploadId"))
        if session is None:
            continue
        key = await _key(wire, request.bucket, session)
        if key is not None and key.startswith(request.prefix):
            begun = item.get("Initiated")
            found.append(UploadInfo(session.id, key, parse_iso_date(begun) if begun else None))
    found.sort(key=lambda info: info.key)
    token = None
    if responses.is_true(root.get("IsTruncated")):
        token = json.dumps([_name(root, "NextKeyMarker"), root.need("NextUploadIdMarker")])
    return Page(found, token)


def _name(element: Element, child: str) -> str:
    """A hidden key in an answer. Each has a tab, which is there if it is not encoded."""
    return responses.decoded(element, child, encoded="\t" not in element.need(child))


async def _key(wire: Wire, bucket: str, session: Session) -> str | None:
    """The key of a session, whole; None if it ends just now."""
    if not session.long:
        return session.key
    try:
        record = await find(wire, bucket, session.record)
    except ObjectNotFoundError:
        return None
    told = (record.get("metadata") or EMPTY).get(requests.LONG_KEY)
    return None if told is None else decode_value(told)


def _position(token: str | None) -> tuple[str | None, str | None]:
    if token is None:
        return None, None
    try:
        marker, id_marker = json.loads(token)
        if isinstance(marker, str) and isinstance(id_marker, str):
            return marker, id_marker
    except (TypeError, ValueError):
        pass
    raise InvalidRequestError("the page token is none of this listing; pass tokens unchanged")
