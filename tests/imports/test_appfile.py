"""The acceptance list of the facade `appfile`, by plain HTTP and by the published snippet."""

from __future__ import annotations

import hashlib
import http.client
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.clients import SNIPPETS
from tests.gateway.clients import request, target_of
from tests.imports.callers import (
    IMPORTS,
    PEOPLE,
    SAMPLE,
    ended,
    envelope,
    stored,
)
from tests.imports.world import cc5, wait_until


def test_f1_a_registered_file_has_an_id_a_path_and_a_link(caller):
    data = caller.register()
    assert data["ActionId"] == "Track Id"
    assert data["FileId"]
    assert data["FilePath"].startswith("//people/example-folder/")
    assert data["FilePath"].endswith("/example-file-name.txt")
    assert data["Url"].startswith(caller.server.base_url)
    file = data["File"]
    for name in ("WorkspaceId", "BucketId", "EntityType", "FileName", "Folder", "Category"):
        assert file[name] == SAMPLE[name]
    assert (file["Tags"], file["Metadata"]) == (SAMPLE["Tags"], SAMPLE["Metadata"])
    assert (file["Description"], file["Status"], file["Size"]) == (
        "Track description",
        "Created",
        None,
    )
    assert datetime.fromisoformat(file["CreatedAt"]).utcoffset() == timedelta()


def test_f2_the_snippet_for_node_uploads(caller, node, tmp_path):
    path = tmp_path / "people.cc5txt"
    path.write_bytes(PEOPLE * 5000)
    data = caller.register()
    done = node(SNIPPETS / "appfile_upload.js", data["Url"], str(path))
    assert done.stdout == "File uploaded successfully: 200\n", done.stderr
    assert stored(caller.world, data) == path.read_bytes()
    file = caller.status(data)
    assert (file["Status"], file["Size"]) == ("Uploaded", path.stat().st_size)
    assert file["ContentType"] == "application/octet-stream"
    assert file["UploadedAt"]


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "length"])
@pytest.mark.parametrize("size", [0, 3, 300_000])
def test_f3_a_body_without_content_type_is_taken(caller, chunked, size):
    """As .NET's HttpClient sends a StreamContent."""
    body = hashlib.shake_128(b"F3").digest(size)
    data = caller.register()
    url = data["Url"]
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.putrequest("PUT", target_of(url), skip_accept_encoding=True)
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    else:
        connection.putheader("Content-Length", str(size))
    connection.endheaders(iter([body[:10], body[10:]]) if chunked else body, encode_chunked=chunked)
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == 200
    assert stored(caller.world, data) == body


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/appfile/file/import", id="f4"),
        pytest.param("/appdata/import/file/async", id="f5"),
    ],
)
def test_f4_f5_an_import_is_ordered_while_the_importer_is_blocked(caller, path, tmp_path):
    gate = {"gate": str(tmp_path / "gate"), "reached": str(tmp_path / "reached")}
    caller.world.work()
    data = caller.uploaded(b"1\n2\n", Metadata=gate)
    try:
        ordered = caller.data("POST", path, caller.order(data, "gated"))
        assert (ordered["ActionId"], ordered["FileId"]) == ("Track Id", data["FileId"])
        wait_until(Path(gate["reached"]).exists, "the importer")
        # The importer waits for this test; the answers are there.
        assert caller.status(data)["Status"] == "Processing"
        again = caller.data("POST", path, caller.order(data, "gated"))
        assert again["File"]["Status"] == "Processing"
        other = caller.uploaded(b"3\n")
        assert caller.data("POST", path, caller.order(other, "plain"))["File"]["Status"] == "Queued"
    finally:
        Path(gate["gate"]).touch()
    ended(caller, data)
    assert ended(caller, other)["Status"] == "Imported"
    assert len(Path(gate["reached"]).read_text()) == 1  # one job, however often it was ordered


def test_f6_a_file_is_imported(caller):
    caller.world.work()
    data = caller.uploaded()
    assert caller.status(data)["Status"] == "Uploaded"
    caller.data("POST", "/appfile/file/import", caller.order(data))
    file = ended(caller, data)
    assert (file["Status"], file["Error"], file["ErrorLine"]) == ("Imported", None, None)
    assert [file[f"Rows{name}"] for name in ("Total", "Ok", "Failed", "Deleted")] == [3, 2, 0, 1]
    assert (file["FileType"], file["Size"]) == ("cc5", len(PEOPLE))
    assert file["CreatedAt"] <= file["ImportRequestedAt"] <= file["ImportedAt"]
    assert caller.world.rows() == {
        ("people", '["1"]'): {"code": "1", "name": "Ann", "age": 30},
        ("people", '["2"]'): {"code": "2", "name": "B|ob", "age": None},
    }
    assert {row["workspace"] for row in caller.world.imported()} == {"example-workspace-id"}


def test_f6_a_broken_file_fails_with_line_and_reason(caller):
    caller.world.work()
    data = caller.uploaded(cc5("10|1|Ann|30", "10|2|Bob|old"))
    caller.data("POST", "/appfile/file/import", caller.order(data))
    file = ended(caller, data)
    assert (file["Status"], file["ErrorCode"], file["ErrorLine"]) == ("Failed", "FileBroken", 6)
    assert file["Error"].startswith("line 6: column 'age' of type int: 'old'")
    assert file["ImportedAt"] is None
    assert caller.world.rows() == {}


def test_f7_a_link_ends_after_fifteen_minutes(caller, clock):
    with clock.standing():
        data = caller.register()
        clock.ahead = timedelta(seconds=899)
        assert request(data["Url"], "PUT", body=b"in time").status == 200
        clock.ahead = timedelta(seconds=901)
        assert request(data["Url"], "PUT", body=b"too late").status == 403
    assert stored(caller.world, data) == b"in time"


def test_f7_an_unused_link_expires(caller, clock):
    data = caller.register()
    clock.ahead = timedelta(seconds=901)
    assert caller.status(data)["Status"] == "Expired"
    assert caller.refused("POST", "/appfile/file/import", caller.order(data)) == (
        400,
        "FileNotUploaded",
    )


@pytest.mark.parametrize("path", IMPORTS)
def test_f7_before_the_upload(caller, path):
    data = caller.register()
    assert caller.refused("POST", path, caller.order(data)) == (400, "FileNotUploaded")


@pytest.mark.parametrize("path", IMPORTS)
@pytest.mark.parametrize("file_type", ["csv", "CC5", "", None, 5])
def test_f7_other_file_types(caller, path, file_type):
    order = caller.order(caller.uploaded(), file_type)
    status, found = caller.call("POST", path, order)
    assert status == 400
    assert found["ResponseStatus"]["ErrorCode"] in ("FileTypeUnsupported", "InvalidRequest")
    assert [item["FieldName"] for item in found["ResponseStatus"]["Errors"]] == ["FileType"]


@pytest.mark.parametrize("path", IMPORTS)
def test_f7_unknown_files(caller, path):
    data = caller.uploaded()
    for wrong in (
        {"FileId": "unknown"},
        {"FileId": "", "FilePath": "//people/unknown"},
        {"FileId": None, "FilePath": "/people/unknown"},
        {"FileId": "unknown", "FilePath": ""},
    ):
        assert caller.refused("POST", path, caller.order(data, **wrong)) == (404, "FileNotFound")
    assert caller.refused("GET", "/appfile/file/unknown") == (404, "FileNotFound")


ROUTES = (
    ("POST", "/appfile/file/path"),
    *(("POST", path) for path in IMPORTS),
    ("GET", "/appfile/file/x"),
)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_f7_no_key(server, method, path):
    for headers in ({}, {"x-api-key": ""}, {"x-api-key": "sc_x_y"}, {"Authorization": "Bearer x"}):
        answer = request(server.base_url + path, method, headers, b"{}")
        assert answer.status == 401
        assert envelope(answer)["ResponseStatus"]["ErrorCode"] == "Unauthorized"
