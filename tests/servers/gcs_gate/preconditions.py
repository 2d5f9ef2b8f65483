"""Preconditions of both APIs (docs: request-preconditions).

Positive ones that fail answer 412, negative ones 304, whatever the method.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.servers.gcs_gate.clock import parse_http_date
from tests.servers.gcs_gate.errors import (
    invalid,
    not_modified,
    precondition_failed,
    undocumented,
    unimplemented,
)
from tests.servers.gcs_gate.state import Bucket, ObjectVersion
from tests.servers.gcs_gate.wire import Request

READ_HEADERS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


@dataclass(frozen=True)
class Conditions:
    """What has to hold of the live version of an object, or of a bucket."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None
    etags: tuple[str, ...] = ()
    not_etags: tuple[str, ...] = ()
    modified_since: int | None = None
    unmodified_since: int | None = None

    def check(self, version: ObjectVersion | None, etag: str | None = None) -> None:
        """Refuse if something does not hold.

        Generation 0 stands for no live object; `ifGenerationNotMatch` fails without one
        (json: objects/insert, parameters).
        """
        generation = version.generation if version else 0
        metageneration = version.metageneration if version else None
        seconds = version.updated // 1_000_000 if version else 0
        if self.generation is not None and generation != self.generation:
            raise precondition_failed("generation")
        if self.metageneration is not None and metageneration != self.metageneration:
            raise precondition_failed("metageneration")
        if self.etags and not _among(etag, self.etags):
            raise precondition_failed("If-Match")
        # A date does not count beside an entity tag (RFC 9110, 13.2.2).
        if not self.etags and self.unmodified_since is not None and seconds > self.unmodified_since:
            raise precondition_failed("If-Unmodified-Since")
        if self.not_generation is not None and (not version or generation == self.not_generation):
            raise not_modified()
        if self.not_metageneration is not None and (
            not version or metageneration == self.not_metageneration
        ):
            raise not_modified()
        if self.not_etags and _among(etag, self.not_etags):
            raise not_modified()
        if (
            not self.not_etags
            and self.modified_since is not None
            and (seconds <= self.modified_since)
        ):
            raise not_modified()

    def check_bucket(self, bucket: Bucket) -> None:
        """The same for a bucket, which has a metageneration and an ETag."""
        if self.metageneration is not None and bucket.metageneration != self.metageneration:
            raise precondition_failed("metageneration")
        if self.etags and not _among(bucket.etag, self.etags):
            raise precondition_failed("If-Match")
        if self.not_metageneration is not None and (
            bucket.metageneration == self.not_metageneration
        ):
            raise not_modified()
        if self.not_etags and _among(bucket.etag, self.not_etags):
            raise not_modified()


NONE = Conditions()


def of_json(request: Request, *, source: bool = False, reads: bool = False) -> Conditions:
    """Conditions of the parameters; of the headers too, where the call reads."""
    infix = "Source" if source else ""
    matching, others = ((), ()) if source else _etags(request, reads=reads, dates=False)
    return Conditions(
        generation=number(request, f"if{infix}GenerationMatch"),
        not_generation=number(request, f"if{infix}GenerationNotMatch"),
        metageneration=number(request, f"if{infix}MetagenerationMatch"),
        not_metageneration=number(request, f"if{infix}MetagenerationNotMatch"),
        etags=matching,
        not_etags=others,
    )


def of_xml(request: Request, *, reads: bool) -> Conditions:
    """Conditions of the headers. The XML API has no negative ones of generations."""
    for name in ("x-goog-if-generation-not-match", "x-goog-if-metageneration-not-match"):
        if request.header(name):
            raise undocumented(f"header {name}")
    matching, others = _etags(request, reads=reads, dates=True)
    return Conditions(
        generation=_header_number(request, "x-goog-if-generation-match"),
        metageneration=_header_number(request, "x-goog-if-metageneration-match"),
        etags=matching,
        not_etags=others,
        modified_since=_date(request, "if-modified-since") if reads else None,
        unmodified_since=_date(request, "if-unmodified-since") if reads else None,
    )


def of_copy_source(request: Request) -> Conditions:
    """Conditions on the source of a copy (xml: put-object-copy)."""
    prefix = "x-goog-copy-source-if-"
    return Conditions(
        generation=_header_number(request, prefix + "generation-match"),
        metageneration=_header_number(request, prefix + "metageneration-match"),
        etags=_list(request.header(prefix + "match")),
        not_etags=_list(request.header(prefix + "none-match")),
        modified_since=_date(request, prefix + "modified-since"),
        unmodified_since=_date(request, prefix + "unmodified-since"),
    )


def number(request: Request, name: str) -> int | None:
    """A parameter that is a whole number."""
    text = request.param(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise invalid(f"Invalid value {text!r} for {name}", location=name)
    return int(text)


def _header_number(request: Request, name: str) -> int | None:
    text = request.header(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise invalid(f"Invalid value {text!r} of header {name}")
    return int(text)


def _etags(
    request: Request, *, reads: bool, dates: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """If-Match and If-None-Match, which are there for reading alone."""
    for name in READ_HEADERS:
        if request.header(name) and (not reads or ("since" in name and not dates)):
            raise undocumented(f"header {name} on this call", name)
    if request.header("if-range"):
        raise unimplemented("If-Range")
    return _list(request.header("if-match")), _list(request.header("if-none-match"))


def _list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _among(etag: str | None, wanted: tuple[str, ...]) -> bool:
    if etag is None:
        return False
    bare = etag.strip('"')
    return any(item == "*" or item.removeprefix("W/").strip('"') == bare for item in wanted)


def _date(request: Request, name: str) -> int | None:
    text = request.header(name)
    if not text:
        return None
    seconds = parse_http_date(text)
    if seconds is None:
        raise invalid(f"Invalid date {text!r} of header {name}")
    return seconds
