"""What the profile does not declare is refused before any request: everything, one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage_core import Bucket, LinkSettings
from storage_core.errors import UnsupportedError
from storage_core.model import Capabilities, Part
from tests.core.conftest import Opener
from tests.core.drivers import Scripted

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
SOON = datetime.now(UTC) + timedelta(days=1)
Call = Callable[[Bucket], Any]

# Capability to calls that need it.
NEEDS: dict[str, list[Call]] = {
    "versions": [
        lambda b: b.get("a", version="v").__enter__(),
        lambda b: b.head("a", version="v"),
        lambda b: b.exists("a", version="v"),
        lambda b: b.open("a", version="v"),
        lambda b: b.delete("a", version="v"),
        lambda b: b.delete_many(["a", ("b", "v")]),
        lambda b: b.copy("a", "b", version="v"),
        lambda b: b.get_tags("a", version="v"),
        lambda b: b.put_tags("a", {}, version="v"),
        lambda b: b.presign("a", version="v"),
        lambda b: b.list_versions(),
        lambda b: b.resume_upload("YQ.id").copy_part(1, "a", version="v"),
    ],
    "tags": [
        lambda b: b.put("a", b"", tags={"t": "1"}),
        lambda b: b.writer("a", tags={"t": "1"}),
        lambda b: b.create_upload("a", tags={"t": "1"}),
        lambda b: b.get_tags("a"),
        lambda b: b.put_tags("a", {}),
    ],
    "multipart": [
        lambda b: b.create_upload("a"),
        lambda b: b.resume_upload("YQ.id"),
        lambda b: b.list_uploads(),
    ],
    "update_metadata": [lambda b: b.update_metadata("a", content_type="text/csv")],
    "object_expiry": [
        lambda b: b.put("a", b"", expires_at=SOON),
        lambda b: b.writer("a", expires_at=SOON),
        lambda b: b.create_upload("a", expires_at=SOON),
        lambda b: b.update_metadata("a", expires_at=SOON),
    ],
    "content_headers": [
        lambda b: b.put("a", b"", content_encoding="gzip"),
        lambda b: b.put("a", b"", content_disposition="inline"),
        lambda b: b.put("a", b"", content_language="de"),
        lambda b: b.put("a", b"", cache_control="no-store"),
        lambda b: b.writer("a", content_encoding="gzip"),
        lambda b: b.create_upload("a", content_encoding="gzip"),
        lambda b: b.update_metadata("a", cache_control="no-store"),
    ],
    "ordered_listing": [lambda b: b.list(start_after="a")],
    "server_side_copy": [lambda b: b.resume_upload("YQ.id").copy_part(1, "a")],
}

CONDITIONAL: dict[str, list[tuple[str, Call]]] = {
    "get": [
        ("if_match", lambda b: b.get("a", if_match="e").__enter__()),
        ("if_none_match", lambda b: b.get("a", if_none_match="e").__enter__()),
        ("if_modified_since", lambda b: b.get("a", if_modified_since=MOMENT).__enter__()),
        ("if_unmodified_since", lambda b: b.get("a", if_unmodified_since=MOMENT).__enter__()),
        ("if_absent", lambda b: b.get("a", if_none_match="*").__enter__()),
    ],
    "head": [
        ("if_match", lambda b: b.head("a", if_match="e")),
        ("if_none_match", lambda b: b.head("a", if_none_match="e")),
        ("if_modified_since", lambda b: b.head("a", if_modified_since=MOMENT)),
        ("if_unmodified_since", lambda b: b.head("a", if_unmodified_since=MOMENT)),
    ],
    "put": [
        ("if_absent", lambda b: b.put("a", b"", if_absent=True)),
        ("if_match", lambda b: b.put("a", b"", if_match="e")),
        ("if_absent", lambda b: b.writer("a", if_absent=True)),
        ("if_match", lambda b: b.writer("a", if_match="e")),
        ("if_absent", lambda b: b.presign("a", method="PUT", if_absent=True)),
    ],
    "delete": [("if_match", lambda b: b.delete("a", if_match="e"))],
    "copy": [
        ("if_absent", lambda b: b.copy("a", "b", if_absent=True)),
        ("if_match", lambda b: b.copy("a", "b", if_match="e")),
        ("if_absent", lambda b: b.move("a", "b", if_absent=True)),
        ("if_match", lambda b: b.update_metadata("a", if_match="e")),
    ],
    "copy_source": [
        ("if_match", lambda b: b.copy("a", "b", source_if_match="e")),
        ("if_none_match", lambda b: b.copy("a", "b", source_if_none_match="e")),
        ("if_modified_since", lambda b: b.copy("a", "b", source_if_modified_since=MOMENT)),
        ("if_unmodified_since", lambda b: b.copy("a", "b", source_if_unmodified_since=MOMENT)),
    ],
    "complete": [
        ("if_absent", lambda b: b.resume_upload("YQ.id").complete([Part(1, "e", 1)], if_absent=True)),
        ("if_match", lambda b: b.resume_upload("YQ.id").complete([Part(1, "e", 1)], if_match="e")),
    ],
}  # fmt: skip

CASES = [
    pytest.param(name, call, id=f"{name}-{number}")
    for name, calls in NEEDS.items()
    for number, call in enumerate(calls)
]
CONDITION_CASES = [
    pytest.param(operation, name, call, id=f"{operation}-{name}-{number}")
    for operation, calls in CONDITIONAL.items()
    for number, (name, call) in enumerate(calls)
]


def without(name: str) -> Scripted:
    named: dict[str, Any] = {name: False}
    return Scripted(**named)


def refused(opened: Opener, driver: Scripted, call: Call, **options: Any) -> str:
    """The message of a refusal that came before any request."""
    bucket = opened(driver, links=LinkSettings("https://x.example"), **options).create_bucket(
        "fruit"
    )
    driver.calls.clear()
    with pytest.raises(UnsupportedError) as caught:
        call(bucket)
    assert driver.calls == []
    return str(caught.value)


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
@pytest.mark.parametrize(("name", "call"), CASES)
def test_an_undeclared_capability(opened: Opener, name: str, call: Call):
    message = refused(opened, without(name), call, profile="archive")
    assert "profile 'archive' (driver memory) does not support" in message


@pytest.mark.parametrize(("name", "call"), CASES)
def test_one_the_profile_takes_back(inline: Opener, name: str, call: Call):
    refused(inline, Scripted(versions=True), call, capabilities={name: False})


@pytest.mark.parametrize("carrier", ["inline", "direct"], indirect=True)
@pytest.mark.parametrize(("operation", "name", "call"), CONDITION_CASES)
def test_an_undeclared_condition(opened: Opener, operation: str, name: str, call: Call):
    rest: dict[Any, Any] = dict(Scripted().capabilities.conditions)
    rest[operation] -= {name}
    message = refused(opened, Scripted(conditions=rest), call)
    assert f"{name} on " in message


@pytest.mark.parametrize(("operation", "name", "call"), CONDITION_CASES)
def test_without_any_condition(inline: Opener, operation: str, name: str, call: Call):
    refused(inline, Scripted(conditions={}), call)


def test_with_nothing_declared_there_is_still_a_store(opened: Opener):
    """The least a driver can be: core makes up for what has a way round."""
    driver = Scripted()
    driver.capabilities = Capabilities()
    bucket = opened(driver).create_bucket("fruit")
    bucket.put("a", b"x", content_type="text/csv", metadata={"a": "1"}, compute=("md5",))
    bucket.put("b", iter([b"y"]))
    bucket.copy("a", "c")
    bucket.move("c", "d")
    assert [item.key for item in bucket.list()] == ["a", "b", "d"]
    assert bucket.head("d").metadata == {"a": "1"}
    with bucket.get("a", range=(0, 1)) as reader:
        assert reader.read() == b"x"
    assert [result.error for result in bucket.delete_many(["a", "b"])] == [None, None]
    bucket.storage.delete_bucket("fruit", force=True)
    sent = set(driver.names())
    assert not sent & {"copy", "move", "delete_many", "create_upload", "list_versions_page",
                       "get_tags", "put_tags", "update_metadata"}  # fmt: skip
    for name, request in driver.calls:
        if name == "put":
            assert (request.keep, request.write_id) == ((), None)


def test_every_capability_of_the_gate_is_tried():
    """A new one has to be put into the table above, or among those that are no gates."""
    no_gates = {
        "delete_markers", "parts_copied",
        "conditions", "delete_many_limit", "atomic_move", "unsized_put", "write_ids", "checksums",
        "atomic_bucket_delete", "default_checksum", "presign", "presign_part", "presign_binds",
    }  # fmt: skip
    limits = {one.name for one in fields(Capabilities) if one.name.startswith(("max_", "min_"))}
    assert {one.name for one in fields(Capabilities)} - no_gates - limits == set(NEEDS)
    assert set(CONDITIONAL) == set(Scripted().capabilities.conditions)


def test_digests_are_kept_as_far_as_the_profile_can(inline: Opener):
    driver = Scripted(checksums=frozenset(("crc32c", "md5")))
    bucket = inline(driver).create_bucket("fruit")
    result = bucket.put(
        "a",
        b"x",
        compute=("md5", "sha256"),
        checksums={"sha1": "11f6ad8ec52a2984abaafd7c3b516503785c2072"},
    )
    assert driver.requests("put")[0].keep == ("md5",)
    assert {"md5", "sha256", "sha1", "crc32c"} <= set(result.checksums)
    assert set(bucket.head("a").checksums) == {"crc32c", "md5"}
