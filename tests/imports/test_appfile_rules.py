"""What else clients of the facade `appfile` may rely on, and who may what."""

from __future__ import annotations

import json

import pytest

from storage_core.access import credentials, policies
from storage_core.config.gateway import ImportSettings
from storage_core.errors import ConfigError
from storage_core.gateway import GatewaySettings, create_app, serve_background
from tests.gateway.clients import request
from tests.imports.callers import (
    IMPORTS,
    SAMPLE,
    allow,
    ended,
    envelope,
    make_caller,
)
from tests.imports.world import PROFILE, new_world


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


def test_an_import_under_way_is_the_answer_though_its_file_is_gone(caller):
    data = caller.uploaded(b"1\n")
    first = caller.data("POST", IMPORTS[0], caller.order(data, "plain"))
    bucket = caller.world.storage.bucket(caller.world.bucket.physical)
    bucket.delete(caller.world.bucket.prefix + data["FilePath"].removeprefix("//people/"))
    again = caller.data("POST", IMPORTS[0], caller.order(data, "plain"))
    assert again["File"]["ImportRequestedAt"] == first["File"]["ImportRequestedAt"]
    assert again["File"]["Size"] == 2


def test_an_import_under_way_keeps_its_type(caller):
    data = caller.uploaded()
    caller.data("POST", IMPORTS[0], caller.order(data))
    order = caller.order(data, "plain")
    assert caller.refused("POST", IMPORTS[0], order) == (409, "ImportUnderWay")
    assert caller.data("POST", IMPORTS[0], {**order, "ActionId": "another"})


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
