"""Refusals, and how each API words them (json: status-codes, xml: reference-status)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

PERMISSION = "Permission '{0}' denied on resource (or it may not exist)."


@dataclass
class RefusedError(Exception):
    """A request is refused.

    Attributes:
        status: Of HTTP.
        code: Name of the XML API.
        reason: Name of the JSON API.
        message: One sentence.
        details: More, in the XML answer.
        location: The header or parameter at fault, in the JSON answer.
        location_type: "header" or "parameter".
        elements: Further elements of the XML answer.
        headers: Of the answer.
        note: Why the gate refuses what a client might think is fine; goes to its log.
    """

    status: int
    code: str
    reason: str
    message: str
    details: str = ""
    location: str = ""
    location_type: str = "header"
    elements: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def xml(self) -> bytes:
        """The body of the XML API."""
        parts = {"Code": self.code, "Message": self.message, **self.elements}
        if self.details:
            parts["Details"] = self.details
        inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in parts.items())
        return f"<?xml version='1.0' encoding='UTF-8'?><Error>{inner}</Error>".encode()

    def json(self) -> bytes:
        """The body of the JSON API."""
        return json.dumps(self.resource()).encode()

    def resource(self) -> dict:
        """The body of the JSON API before it is written down."""
        message = f"{self.message} {self.details}".strip()
        item = {"message": message, "domain": "global", "reason": self.reason}
        if self.location:
            item |= {"locationType": self.location_type, "location": self.location}
        return {"error": {"code": self.status, "message": message, "errors": [item]}}


def undocumented(what: str, where: str = "") -> RefusedError:
    """What no page describes: refused, so that nobody relies on a guess."""
    return RefusedError(
        400,
        "InvalidArgument",
        "invalidParameter",
        f"Invalid argument. {what} is not documented",
        location=where,
        location_type="parameter",
        note=f"undocumented: {what}",
    )


def unimplemented(what: str) -> RefusedError:
    """What a page describes and the gate does not do."""
    return RefusedError(
        501,
        "NotImplemented",
        "notImplemented",
        f"{what} is documented but not part of this double.",
        note=f"not implemented: {what}",
    )


def invalid(message: str, *, location: str = "", code: str = "InvalidArgument") -> RefusedError:
    """A value that can not be used."""
    return RefusedError(
        400,
        code,
        "invalidParameter" if location else "invalid",
        "Invalid argument." if code == "InvalidArgument" else message,
        details=message if code == "InvalidArgument" else "",
        location=location,
        location_type="parameter",
    )


def required(name: str) -> RefusedError:
    """A parameter is missing."""
    return RefusedError(
        400,
        "InvalidArgument",
        "required",
        f"Required parameter: {name}",
        location=name,
        location_type="parameter",
    )


def no_such_bucket() -> RefusedError:
    """The bucket is not there."""
    return RefusedError(404, "NoSuchBucket", "notFound", "The specified bucket does not exist.")


def no_such_object(bucket: str, name: str) -> RefusedError:
    """The object is not there."""
    return RefusedError(404, "NoSuchKey", "notFound", f"No such object: {bucket}/{name}")


def no_such_upload() -> RefusedError:
    """The multipart upload is not there (any more)."""
    return RefusedError(404, "NoSuchUpload", "notFound", "The requested upload was not found.")


def not_found(message: str = "Not Found") -> RefusedError:
    """No such address."""
    return RefusedError(404, "NoSuchKey", "notFound", message)


def precondition_failed(which: str) -> RefusedError:
    """A precondition does not hold (docs: request-preconditions)."""
    return RefusedError(
        412,
        "PreconditionFailed",
        "conditionNotMet",
        "At least one of the pre-conditions you specified did not hold.",
        details=which,
        location="If-Match",
    )


def not_modified() -> RefusedError:
    """A negative precondition does not hold (docs: request-preconditions)."""
    return RefusedError(304, "NotModified", "notModified", "Not Modified")


def malformed(parameter: str, details: str) -> RefusedError:
    """Part of a signature can not be used (xml: reference-status, 400)."""
    return RefusedError(
        400,
        "MalformedSecurityHeader",
        "invalid",
        "Your request has a malformed header.",
        details=details,
        elements={"ParameterName": parameter},
    )


def bad_digest(kind: str, declared: str, computed: str) -> RefusedError:
    """Bytes that are not those the caller declared."""
    return RefusedError(
        400,
        "BadDigest",
        "invalid",
        f"Provided {kind} hash {declared!r} doesn't match calculated {kind} hash {computed!r}.",
        details=f"The {kind} you specified did not match what we computed.",
    )


def unauthenticated(message: str, style: str, reason: str = "required") -> RefusedError:
    """No credential, or one that is not valid."""
    error = ', error="invalid_token"' if reason == "authError" else ""
    return RefusedError(
        401,
        "AuthenticationRequired",
        reason,
        message if style == "json" else "Authentication required.",
        details="" if style == "json" else message,
        location="Authorization",
        headers={"WWW-Authenticate": f'Bearer realm="https://accounts.google.com/"{error}'},
    )


def denied(who: str, permission: str, resource: str, style: str) -> RefusedError:
    """The caller may not. Without credentials, JSON answers 401 (json: status-codes,
    401 required) and XML 403 (xml: reference-status, AccessDenied)."""
    text = f"{who} does not have {permission} access to the {resource}."
    text = f"{text} {PERMISSION.format(permission)}"
    if who == "Anonymous caller" and style == "json":
        return unauthenticated(text, style)
    if style == "json":
        return RefusedError(403, "AccessDenied", "forbidden", text)
    return RefusedError(403, "AccessDenied", "forbidden", "Access denied.", details=text)
