"""The facade `appfile`, by plain HTTP clients and by the published snippets."""

from __future__ import annotations

import hashlib
import http.client
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from storage_core.access import credentials, policies, principals
from storage_core.config.gateway import ImportSettings
from storage_core.errors import ConfigError
from storage_core.gateway import GatewaySettings, Server, create_app, serve_background
from tests.clients import SNIPPETS
from tests.gateway.clients import Answer, request, target_of
from tests.imports.conftest import PROFILE, Clock, Site, World, cc5, new_world, wait_until

SAMPLE = {
    "WorkspaceId": "example-workspace-id",
    "BucketId": "people",
    "EntityType": "people",
    "FileName": "example-file-name.txt",
    "Folder": "example-folder",
    "Category": "example-category",
    "Tags": ["tag1", "tag2", "tag3"],
    "Metadata": {"key1": "value1", "key2": "value2"},
    "ActionId": "Track Id",
    "Description": "Track description",
}
PEOPLE = cc5("10|1|Ann|30", "10|2|B#/#ob|", "90|3")
FIELDS = {"ActionId", "File", "FileId", "FilePath", "Url"}


@pytest.fixture(scope="module")
def server(site: Site, running_clock: Clock) -> Iterator[Server]:
    """The service, without workers: those are the tests' own."""
    settings = GatewaySettings(
        facades=("appfile",),
        profiles=(PROFILE,),
        database=site.database,
        imports=ImportSettings(file_types=("cc5", "plain", "gated"), workers=0),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_CONFIG", str(site.config))
        with serve_background(settings=settings, now=running_clock) as running:
            yield running


@dataclass(frozen=True)
class Caller:
    """Who calls the service, with one key."""

    server: Server
    world: World
    key: str
    credential_id: str
    name: str

    def call(
        self,
        method: str,
        path: str,
        value: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        body = value if isinstance(value, bytes) else json.dumps(value).encode() if value else None
        sent = {"x-api-key": self.key, **(headers or {})}
        answer = request(self.server.base_url + path, method, sent, body)
        return answer.status, envelope(answer)

    def data(self, method: str, path: str, value: object = None) -> dict[str, Any]:
        """Of a success."""
        status, found = self.call(method, path, value)
        assert (status, found["IsSuccess"]) == (200, True), found
        data: dict[str, Any] = found["Data"]
        return data

    def refused(
        self, method: str, path: str, value: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and code of a refusal."""
        status, found = self.call(method, path, value, headers)
        assert not found["IsSuccess"], found
        return status, found["ResponseStatus"]["ErrorCode"]

    def register(self, **changes: Any) -> dict[str, Any]:
        return self.data("POST", "/appfile/file/path", {**SAMPLE, **changes})

    def uploaded(self, body: bytes = PEOPLE, **changes: Any) -> dict[str, Any]:
        data = self.register(**changes)
        assert request(data["Url"], "PUT", body=body).status == 200
        return data

    def order(self, data: Mapping[str, Any], file_type: str = "cc5", **changes: Any) -> Any:
        return {
            "ActionId": data["ActionId"],
            "Description": "Track description",
            "FileType": file_type,
            "FileId": data["FileId"],
            "FilePath": data["FilePath"],
            **changes,
        }

    def status(self, data: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.data("GET", f"/appfile/file/{data['FileId']}")["File"]
        return found


def envelope(answer: Answer) -> dict[str, Any]:
    """An answer, held to the shape that all have."""
    found: dict[str, Any] = json.loads(answer.body)
    assert answer.headers["content-type"] == "application/json"
    assert set(found) == {"IsSuccess", "ResponseStatus", "Data"}
    status = found["ResponseStatus"]
    assert set(status) == {"ErrorCode", "Message", "StackTrace", "Errors"}
    assert status["StackTrace"] is None
    assert found["IsSuccess"] == (answer.status == 200)
    if found["IsSuccess"]:
        assert (status["ErrorCode"], status["Message"], status["Errors"]) == (None, None, [])
        assert set(found["Data"]) == FIELDS
        for name in ("FileId", "FilePath", "Url", "ActionId"):
            assert found["Data"]["File"][name] == found["Data"][name]
    else:
        assert found["Data"] is None
        assert status["ErrorCode"]
        assert status["Message"]
        assert all(set(item) == {"ErrorCode", "FieldName", "Message"} for item in status["Errors"])
    return found


def make_caller(server: Server, world: World, *rules: dict[str, Any]) -> Caller:
    """A principal of the test's project under one policy."""
    principal = principals.create(world.state, world.project.id, f"u-{uuid.uuid4().hex[:12]}")
    policies.put(world.state, world.project.id, principal.name, {"rule": list(rules)})
    policies.attach(world.state, principal, principal.name)
    issued, key = credentials.issue(world.state, principal, kind="api-key")
    return Caller(server, world, key, issued.id, principal.name)


@pytest.fixture
def caller(server: Server, world: World) -> Caller:
    return make_caller(server, world, allow("Import:*", "Import:people/**"))


def allow(action: str, resource: str) -> dict[str, Any]:
    return {"effect": "Allow", "action": action, "resource": resource}


# --- the acceptance list ------------------------------------------------------------------


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


def stored(world: World, data: Mapping[str, Any]) -> bytes:
    """What the storage has of a file."""
    key = world.bucket.prefix + data["FilePath"].removeprefix("//people/")
    with world.storage.bucket(world.bucket.physical).get(key) as reader:
        return reader.read()


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


def ended(caller: Caller, data: Mapping[str, Any]) -> dict[str, Any]:
    """The status once it does not change any more."""
    wait_until(lambda: caller.status(data)["Status"] in ("Imported", "Failed"), "the end")
    return caller.status(data)


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


IMPORTS = ("/appfile/file/import", "/appdata/import/file/async")


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


# --- what else a client may rely on -------------------------------------------------------


@pytest.mark.parametrize("missing", [{"FileId": ""}, {"FileId": None}, {"FilePath": ""}])
def test_either_id_or_path_names_a_file(caller, missing):
    data = caller.uploaded()
    done = caller.data("POST", "/appfile/file/import", caller.order(data, **missing))
    assert done["FileId"] == data["FileId"]


def test_id_and_path_must_agree(caller):
    first, second = caller.uploaded(), caller.uploaded()
    order = caller.order(first, FilePath=second["FilePath"])
    status, found = caller.call("POST", "/appfile/file/import", order)
    assert status == 400
    assert [item["FieldName"] for item in found["ResponseStatus"]["Errors"]] == ["FilePath"]


def test_neither_names_nothing(caller):
    order = {"FileType": "cc5"}
    assert caller.refused("POST", "/appfile/file/import", order) == (400, "InvalidRequest")


def test_a_repeated_upload_before_the_import_replaces(caller):
    data = caller.uploaded(b"first\n")
    assert request(data["Url"], "PUT", body=b"second\n").status == 200
    caller.data("POST", "/appfile/file/import", caller.order(data, "plain"))
    caller.world.work()
    assert ended(caller, data)["Status"] == "Imported"
    assert list(caller.world.rows()) == [("plain", '["second"]')]


def test_a_repeated_upload_after_the_order_fails_the_import(caller):
    data = caller.uploaded(b"first\n")
    caller.data("POST", "/appfile/file/import", caller.order(data, "plain"))
    assert request(data["Url"], "PUT", body=b"another\n").status == 200
    caller.world.work()
    file = ended(caller, data)
    assert (file["Status"], file["ErrorCode"]) == ("Failed", "FileReplaced")
    assert caller.world.rows() == {}
    again = caller.data("POST", "/appfile/file/import", caller.order(data, "plain"))
    assert again["File"]["Status"] in ("Queued", "Processing", "Imported")
    assert ended(caller, data)["Status"] == "Imported"


def test_a_new_action_is_a_new_import(caller):
    data = caller.uploaded()
    for action in ("one", "two"):
        done = caller.data("POST", IMPORTS[0], caller.order(data, ActionId=action))
        assert done["ActionId"] == action
    assert caller.status(data)["ActionId"] == "two"
    # None given: that of the file.
    done = caller.data("POST", IMPORTS[0], caller.order(data, ActionId=None))
    assert done["ActionId"] == "Track Id"


def test_only_the_least_is_needed(caller):
    data = caller.data("POST", "/appfile/file/path", {"BucketId": "people", "FileName": "x"})
    assert data["ActionId"]
    assert data["FilePath"] == f"//people/{data['FileId']}/x"
    assert data["File"]["WorkspaceId"] == caller.world.project.name
    assert (data["File"]["Tags"], data["File"]["Metadata"]) == ([], {})


def test_nulls_are_as_nothing_and_other_members_are_ignored(caller):
    order = dict.fromkeys(SAMPLE) | {"BucketId": "people", "FileName": "x", "Unknown": {"a": 1}}
    assert caller.data("POST", "/appfile/file/path", order)["ActionId"]


def test_headers_come_before_the_body(caller):
    headers = {"X-Param-Override-WorkspaceId": "w2", "X-Param-Override-BucketId": "people"}
    status, found = caller.call(
        "POST", "/appfile/file/path", {**SAMPLE, "BucketId": "no-such"}, headers
    )
    assert status == 200
    assert found["Data"]["File"]["WorkspaceId"] == "w2"
    assert found["Data"]["FilePath"].startswith("//people/")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"FileName": ""}, "FileName"),
        ({"FileName": None}, "FileName"),
        ({"FileName": "a/b"}, "FileName"),
        ({"FileName": "x" * 256}, "FileName"),
        ({"BucketId": ""}, "BucketId"),
        ({"BucketId": "a/b"}, "BucketId"),
        ({"BucketId": 5}, "BucketId"),
        ({"WorkspaceId": "x" * 129}, "WorkspaceId"),
        ({"Tags": "a"}, "Tags"),
        ({"Tags": [1]}, "Tags.0"),
        ({"Metadata": []}, "Metadata"),
        ({"Metadata": {"a": "\0"}}, "Metadata"),
        ({"Description": "a\0b"}, "Description"),
        ({"Metadata": {"a": [[[[]]]]}, "EntityType": ["x"]}, "EntityType"),
    ],
)
def test_wrong_fields_are_named(caller, change, field):
    status, found = caller.call("POST", "/appfile/file/path", {**SAMPLE, **change})
    assert (status, found["ResponseStatus"]["ErrorCode"]) == (400, "InvalidRequest")
    assert [item["FieldName"] for item in found["ResponseStatus"]["Errors"]] == [field]


@pytest.mark.parametrize(
    "change", [{"Folder": "a/../b"}, {"Folder": "."}, {"FileName": ".."}, {"FileName": "a\nb"}]
)
def test_names_that_make_no_key(caller, change):
    assert caller.refused("POST", "/appfile/file/path", {**SAMPLE, **change}) == (400, "InvalidKey")


def test_infinite_numbers_and_deep_nests_are_refused(caller):
    for value in (b"1e999", b"NaN", b"[" * 150 + b"]" * 150):
        body = b'{"BucketId": "people", "FileName": "x", "Metadata": {"a": %s}}' % value
        assert caller.refused("POST", "/appfile/file/path", body)[0] == 400


def test_the_bucket_must_exist(caller, server, world):
    everywhere = make_caller(server, world, allow("Import:*", "Import:**"))
    order = {**SAMPLE, "BucketId": "no-such"}
    assert everywhere.refused("POST", "/appfile/file/path", order) == (404, "BucketNotFound")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/appfile", 404, "NotFound"),
        ("GET", "/appfile/", 404, "NotFound"),
        ("POST", "/appfile/file", 404, "NotFound"),
        ("GET", "/appdata/import/file", 404, "NotFound"),
        ("GET", "/appfile/file/import/data/x", 404, "NotFound"),
        ("DELETE", "/appfile/file/path", 405, "MethodNotAllowed"),
    ],
)
def test_what_is_not_there_has_an_envelope_too(caller, method, path, status, code):
    assert caller.refused(method, path) == (status, code)


def test_bodies_that_are_no_json(caller):
    for body in (b"{", b"[]", b"\xff", b'"x"'):
        assert caller.refused("POST", "/appfile/file/path", body)[0] == 400
    large = {**SAMPLE, "Description": "x" * 2_000_000}
    assert caller.refused("POST", "/appfile/file/path", large)[0] == 413


def test_the_key_may_be_a_bearer_token(caller):
    answer = request(
        f"{caller.server.base_url}/appfile/file/path",
        "POST",
        {"Authorization": f"Bearer {caller.key}"},
        json.dumps(SAMPLE).encode(),
    )
    assert envelope(answer)["IsSuccess"]


# --- who may what -------------------------------------------------------------------------


def test_each_action_needs_its_permission(server, world):
    able = make_caller(server, world, allow("Import:*", "Import:people/**"))
    data = able.uploaded()
    key = data["FilePath"].removeprefix("//")
    for action, method, path, value in (
        ("Import:RegisterFile", "POST", "/appfile/file/path", SAMPLE),
        ("Import:ImportFile", "POST", IMPORTS[0], able.order(data)),
        ("Import:ImportFile", "POST", IMPORTS[1], able.order(data)),
        ("Import:GetFile", "GET", f"/appfile/file/{data['FileId']}", None),
    ):
        resource = "Import:people/example-folder/*"
        only = make_caller(server, world, allow(action, resource))
        assert only.call(method, path, value)[0] == 200
        others = {"Import:RegisterFile", "Import:ImportFile", "Import:GetFile"} - {action}
        without = make_caller(server, world, *(allow(name, "*") for name in sorted(others)))
        assert without.refused(method, path, value) == (403, "AccessDenied")
        denied = make_caller(
            server,
            world,
            allow("*", "*"),
            {"effect": "Deny", "action": action, "resource": f"Import:{key}"},
            {"effect": "Deny", "action": action, "resource": "Import:people/example-folder/**"},
        )
        assert denied.refused(method, path, value) == (403, "AccessDenied")


def test_a_link_is_good_as_long_as_its_issuer(server, world):
    caller = make_caller(server, world, allow("Import:*", "Import:people/**"))
    data = caller.register()
    policies.put(
        world.state, world.project.id, caller.name, {"rule": [allow("Import:GetFile", "*")]}
    )
    assert request(data["Url"], "PUT", body=b"x").status == 403
    policies.put(world.state, world.project.id, caller.name, {"rule": [allow("*", "*")]})
    assert request(data["Url"], "PUT", body=b"x").status == 200
    credentials.revoke(world.state, world.project.id, caller.credential_id)
    assert request(data["Url"], "PUT", body=b"y").status == 403
    assert caller.refused("GET", f"/appfile/file/{data['FileId']}") == (401, "Unauthorized")


def test_a_link_uploads_and_nothing_else(caller):
    data = caller.uploaded()
    for method in ("GET", "HEAD", "DELETE", "POST"):
        assert request(data["Url"], method).status in (403, 405)
    other = caller.register()
    swapped = data["Url"].replace(data["FileId"], other["FileId"])
    assert request(swapped, "PUT", body=b"x").status == 403


def test_projects_do_not_see_each_other(caller, server, site, state, storage):
    data = caller.uploaded()
    with new_world(site, state, storage) as other:
        stranger = make_caller(server, other, allow("*", "*"))
        assert stranger.refused("GET", f"/appfile/file/{data['FileId']}") == (404, "FileNotFound")
        for order in (caller.order(data), caller.order(data, FileId="")):
            assert stranger.refused("POST", IMPORTS[0], order) == (404, "FileNotFound")


def test_a_gateway_imports_by_itself(site, world):
    """As it is by default: with a worker of its own."""
    settings = GatewaySettings(facades=("appfile",), profiles=(PROFILE,), database=site.database)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_CONFIG", str(site.config))
        with serve_background(settings=settings) as server:
            caller = make_caller(server, world, allow("Import:*", "Import:people/**"))
            data = caller.uploaded()
            caller.data("POST", "/appfile/file/import", caller.order(data))
            assert ended(caller, data)["Status"] == "Imported"
            assert caller.refused("POST", IMPORTS[0], caller.order(data, "plain"))[0] == 400
    assert len(world.rows()) == 2


def test_a_file_type_without_importer_is_no_setting(site):
    settings = GatewaySettings(
        facades=("appfile",), database=site.database, imports=ImportSettings(file_types=("xlsx",))
    )
    with pytest.raises(ConfigError, match="no importer is called 'xlsx'"):
        create_app(
            {"driver": "local", "root": str(site.folder / "unused")},
            settings=settings,
            base_url="http://localhost",
        )
