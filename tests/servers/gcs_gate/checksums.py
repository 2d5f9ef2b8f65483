"""Digests that a caller declares, and those the gate tells (xml: reference-headers#xgooghash)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.servers.gcs_gate import crc32c
from tests.servers.gcs_gate.content import Content
from tests.servers.gcs_gate.errors import RefusedError, bad_digest
from tests.servers.gcs_gate.wire import Request

LENGTHS = {"md5": 16, "crc32c": 4}


@dataclass(frozen=True)
class Declared:
    """Digests that bytes have to have, by kind, in base64."""

    digests: tuple[tuple[str, str], ...] = ()

    def check(self, content: Content) -> None:
        """Refuse other bytes."""
        computed = digests(content)
        for kind, text in self.digests:
            if kind in computed and computed[kind] != text:
                raise bad_digest(kind, text, computed[kind])


def of_headers(request: Request) -> Declared:
    """`x-goog-hash`, once with a list or several times, and `Content-MD5`."""
    found = [("md5", _valid("md5", text)) for text in request.header_values("content-md5")]
    for value in request.header_values("x-goog-hash"):
        for item in value.split(","):
            kind, _, text = item.strip().partition("=")
            if kind not in LENGTHS:
                raise _invalid(f"x-goog-hash of kind {kind!r}")
            found.append((kind, _valid(kind, text)))
    return Declared(tuple(found))


def of_resource(resource: Mapping[str, Any]) -> Declared:
    """`md5Hash` and `crc32c` of an object's resource (json: objects/insert)."""
    names = {"md5Hash": "md5", "crc32c": "crc32c"}
    return Declared(
        tuple(
            (kind, _valid(kind, resource[name]))
            for name, kind in names.items()
            if resource.get(name)
        )
    )


def both(first: Declared, second: Declared) -> Declared:
    """All of two."""
    return Declared(first.digests + second.digests)


def digests(content: Content) -> dict[str, str]:
    """What is told of bytes, in base64."""
    told = {"crc32c": crc32c.encode(content.crc32c)}
    if content.md5 is not None:
        told["md5"] = base64.b64encode(content.md5).decode()
    return told


def headers(content: Content) -> list[tuple[str, str]]:
    """The same as headers, one for each kind (xml: get-object-download, examples)."""
    return [("x-goog-hash", f"{kind}={text}") for kind, text in digests(content).items()]


def _valid(kind: str, text: Any) -> str:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise _invalid(f"{kind} {text!r}, which is not base64") from None
    if len(raw) != LENGTHS[kind]:
        raise _invalid(f"{kind} {text!r} of {len(raw)} bytes")
    return base64.b64encode(raw).decode()


def _invalid(what: str) -> RefusedError:
    return RefusedError(
        400,
        "InvalidDigest",
        "invalid",
        "The Content-MD5 or checksum value you specified was invalid.",
        details=f"The request has {what}.",
    )
