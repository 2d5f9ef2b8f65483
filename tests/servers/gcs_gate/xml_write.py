"""XML documents: writing answers, reading bodies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tests.servers.gcs_gate.errors import RefusedError
from tests.servers.gcs_gate.wire import Request, Response

LISTING = "http://doc.s3.amazonaws.com/2006-03-01"
MULTIPART = "http://s3.amazonaws.com/doc/2006-03-01/"
Element = tuple[str, Any]
"""A name, and a text, elements or None for what is left out."""


def document(root: str, elements: Iterable[Element], namespace: str = "") -> Response:
    """An XML answer."""
    attribute = f' xmlns="{namespace}"' if namespace else ""
    text = f"<?xml version='1.0' encoding='UTF-8'?><{root}{attribute}>{_inner(elements)}</{root}>"
    return Response(200, [("Content-Type", "application/xml; charset=UTF-8")], text.encode())


def name(text: str, encoding: str | None) -> str:
    """A name in a document. XML 1.0 has no way for some characters, `encoding-type=url`
    percent-encodes them (xml: get-bucket-list)."""
    if encoding == "url":
        return quote(text, safe="/-_.~")
    return text


def parse(data: bytes, root: str) -> ET.Element:
    """A body, without its namespaces."""
    try:
        tree = ET.fromstring(data)
    except ET.ParseError:
        raise malformed() from None
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
    if tree.tag != root:
        raise malformed(f"the document is {tree.tag}, not {root}")
    return tree


def malformed(details: str = "") -> RefusedError:
    """xml: reference-status, MalformedXML."""
    return RefusedError(
        400,
        "MalformedXML",
        "invalid",
        "The XML you provided was not well-formed or did not validate against our published "
        "schema.",
        details=details,
    )


def encoding_type(request: Request) -> str | None:
    """`encoding-type`, which has one value."""
    from tests.servers.gcs_gate.errors import invalid

    value = request.param("encoding-type")
    if value not in {None, "url"}:
        raise invalid(f"Invalid encoding-type {value!r}", location="encoding-type")
    return value


def _inner(elements: Iterable[Element]) -> str:
    made = []
    for tag, value in elements:
        if value is None:
            continue
        inner = escape(value) if isinstance(value, str) else _inner(value)
        made.append(f"<{tag}>{inner}</{tag}>")
    return "".join(made)
