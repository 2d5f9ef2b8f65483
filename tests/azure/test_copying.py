"""Copies by the requests that the emulator does not know."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from storage_azure.copying import STRETCH
from storage_core.errors import (
    BucketNotFoundError,
    InvalidRequestError,
    PreconditionFailedError,
    UnavailableError,
)
from storage_core.http.interface import Request, Response
from storage_core.model import Attributes, Conditions
from storage_core.requests import CopyRequest
from tests.azure.doubles import OBJECT, answer, refused, run, scripted

GIB = 1024**3
REQUEST = CopyRequest("source", "a b", "target", "c")


def sized(size: int, **more: str) -> Response:
    """HEAD of an object of that size."""
    head = {**OBJECT, "content-length": str(size), **more}
    found = answer(200)
    found.headers = head
    return found


def test_a_copy_as_it_is_is_one_request_behind_a_look() -> None:
    driver, script = scripted(lambda r: sized(5) if r.method == "HEAD" else answer())
    result = run(driver.copy(REQUEST)).result
    assert result is not None
    assert (result.key, result.etag, result.size) == ("c", "0x2", 5)
    assert script.said == ["HEAD /source/a%20b", "PUT /target/c"]
    sent = script.seen[1].headers
    assert sent["x-ms-requires-sync"] == "true"
    assert sent["x-ms-source-if-match"] == '"0x1"'
    assert sent["x-ms-copy-source"].startswith(
        "https://acc.blob.core.windows.net/source/a%20b?sig="
    )
    assert not [name for name in sent if name.startswith("x-ms-meta-")]


def test_new_attributes_go_with_put_blob_from_url() -> None:
    driver, script = scripted(lambda r: sized(5) if r.method == "HEAD" else answer())
    wanted = Attributes("text/plain", metadata={"k": "v"}, tags={"t": "1"})
    run(driver.copy(REQUEST._replace(attributes=wanted, write_id="id")))
    sent = script.seen[1].headers
    assert sent["x-ms-blob-type"] == "BlockBlob"
    assert sent["x-ms-copy-source-blob-properties"] == "false"
    assert sent["x-ms-blob-content-type"] == "text/plain"
    assert (sent["x-ms-meta-k"], sent["x-ms-tags"]) == ("v", "t=1")
    assert sent["x-ms-meta-storage_core_write_id"] == "id"


def test_tags_of_the_source_go_along() -> None:
    look = sized(5, **{"x-ms-tag-count": "2"})
    driver, script = scripted(lambda r: look if r.method == "HEAD" else answer())
    run(driver.copy(REQUEST))
    assert script.seen[1].headers["x-ms-copy-source-tag-option"] == "COPY"
    assert "sp=rt" in script.seen[1].headers["x-ms-copy-source"]


def test_a_conditional_copy_keeps_the_metadata_beside_its_write_id() -> None:
    look = sized(5, **{"x-ms-meta-k": "v", "x-ms-meta-storage_core_crc32c": "00000000"})
    driver, script = scripted(lambda r: look if r.method == "HEAD" else answer())
    conditions = Conditions(if_none_match="*")
    run(driver.copy(REQUEST._replace(conditions=conditions, write_id="id")))
    sent = script.seen[1].headers
    assert sent["if-none-match"] == "*"
    assert {n: v for n, v in sent.items() if n.startswith("x-ms-meta-")} == {
        "x-ms-meta-k": "v",
        "x-ms-meta-storage_core_crc32c": "00000000",
        "x-ms-meta-storage_core_write_id": "id",
    }


def test_a_long_copy_goes_stretch_by_stretch_and_is_committed_at_the_end() -> None:
    size = 5 * GIB + 7
    driver, script = scripted(lambda r: sized(size) if r.method == "HEAD" else answer())
    request, tokens = REQUEST._replace(write_id="id"), 0
    while (progress := run(driver.copy(request))).result is None:
        request = request._replace(token=progress.token)
        tokens += 1
    assert tokens == size // STRETCH
    assert progress.result.size == size
    stretches = [
        r.headers["x-ms-source-range"] for r in script.seen if "x-ms-source-range" in r.headers
    ]
    assert stretches[0] == f"bytes=0-{STRETCH - 1}"
    assert stretches[-1] == f"bytes={tokens * STRETCH}-{size - 1}"
    last = script.seen[-1]
    assert last.target == "/target/c?comp=blocklist"
    assert isinstance(last.body, bytes)
    assert last.body.count(b"<Latest>") == tokens + 1
    assert last.headers["x-ms-meta-storage_core_write_id"] == "id"


def test_a_long_copy_of_what_changes_meanwhile_starts_over() -> None:
    driver, _ = scripted(lambda r: sized(6 * GIB) if r.method == "HEAD" else answer())
    token = json.dumps(["mark", STRETCH, "another etag"])
    with pytest.raises(UnavailableError, match="replaced") as caught:
        run(driver.copy(REQUEST._replace(token=token)))
    assert caught.value.unsent
    with pytest.raises(InvalidRequestError):
        run(driver.copy(REQUEST._replace(token="nonsense")))


def test_a_source_that_changed_is_told_from_a_condition_that_fails() -> None:
    def play(request: Request) -> Response:
        if request.method == "HEAD":
            return sized(5)
        return refused(412, code)

    driver, _ = scripted(play)
    code = "SourceConditionNotMet"
    with pytest.raises(UnavailableError):
        run(driver.copy(REQUEST))
    code = "ConditionNotMet"
    with pytest.raises(PreconditionFailedError):
        run(driver.copy(REQUEST._replace(conditions=Conditions(if_match="x"))))


def test_an_unmet_condition_on_the_source_sends_no_copy() -> None:
    driver, script = scripted(lambda _: refused(304, "ConditionNotMet"))
    unmet = Conditions(if_modified_since=datetime.now(UTC) + timedelta(days=1))
    with pytest.raises(PreconditionFailedError):
        run(driver.copy(REQUEST._replace(source_conditions=unmet)))
    assert script.said == ["HEAD /source/a%20b"]


def test_a_missing_bucket_of_the_source_is_named() -> None:
    driver, _ = scripted(lambda _: refused(404, "ContainerNotFound"))
    with pytest.raises(BucketNotFoundError) as caught:
        run(driver.copy(REQUEST))
    assert caught.value.bucket == "source"


def test_a_service_without_the_newer_requests_is_asked_once() -> None:
    def play(request: Request) -> Response:
        if request.method == "HEAD":
            return sized(5)
        if "x-ms-copy-source-blob-properties" in request.headers:
            return refused(501, "APINotImplemented")
        return answer()

    driver, script = scripted(play)
    request = REQUEST._replace(attributes=Attributes("text/plain"))
    run(driver.copy(request))
    assert sum("x-ms-copy-source-blob-properties" in r.headers for r in script.seen) == 1
    hidden = [r for r in script.seen if "%25storagecore/copy." in r.target]
    assert [r.method for r in hidden] == ["PUT", "PUT", "PUT", "DELETE"]
    run(driver.copy(request))
    assert sum("x-ms-copy-source-blob-properties" in r.headers for r in script.seen) == 1


def test_a_copy_that_takes_its_time_is_asked_for_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses = 0

    async def pause() -> None:
        nonlocal pauses
        pauses += 1

    def play(request: Request) -> Response:
        if request.method == "HEAD":
            pending = request.target.startswith("/target") and pauses < 3
            status = "pending" if pending else "success"
            return sized(6 * GIB // 20, **{"x-ms-copy-status": status})
        if "x-ms-copy-source-blob-properties" in request.headers:
            return refused(501, "APINotImplemented")
        return answer(202, x_ms_copy_status="pending")

    driver, script = scripted(play)
    monkeypatch.setattr(driver, "_pause", pause)
    assert run(driver.copy(REQUEST)).result is not None
    assert script.said.count("HEAD /target/c") == pauses == 3
