"""The running gateway held to its own OpenAPI document by schemathesis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS, load_all_checks

from storage_core.gateway import GatewaySettings, serve_background
from storage_core.state import open_state
from tests.service.routes import ROUTES
from tests.service.users import User, new_user

load_all_checks()
# What a schema can not say, such as which names a bucket may have, is refused with 400; so no
# check of what is accepted.
HELD_TO = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "ignored_auth",
        "use_after_free",
    ]
)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[User, str, str]]:
    """Who asks, the address, and the id of a file that is there."""
    folder = tmp_path_factory.mktemp("openapi")
    url = f"sqlite:///{folder}/state.db"
    state = open_state(url)
    state.migrate()
    profile = {"driver": "local", "root": str(folder / "root"), "fsync": False}
    given = GatewaySettings(facades=("z3", "appfile"), database=url)
    with serve_background(profile, settings=given) as server:
        admin = new_user(state)
        assert admin.ask(f"{server.base_url}/v1/z3/fruit", "PUT").status == 200
        file = {"WorkspaceId": "w", "BucketId": "fruit", "FileName": "a.cc5txt"}
        made = admin.ask(f"{server.base_url}/appfile/file/path", "POST", file)
        yield admin, server.base_url, json.loads(made.body)["Data"]["FileId"]
    state.close()


@pytest.fixture(scope="module")
def document(user: tuple[User, str, str]) -> Any:
    admin, base_url, _ = user
    return schemathesis.openapi.from_dict(json.loads(admin.ask(f"{base_url}/openapi.json").body))


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("name", sorted(ROUTES))
def test_every_operation_keeps_its_word(
    document: Any,
    user: tuple[User, str, str],
    name: str,
    there: bool,
    mode: schemathesis.GenerationMode,
):
    """With what the document allows and with what it does not, for things that are there and
    for things that are not."""
    admin, base_url, file_id = user
    operation = document.find_operation_by_id(name)
    known = {"bucket": "fruit", "key": "apple", "file_id": file_id}
    wanted = {p.name for p in operation.path_parameters}
    path = {name: known[name] for name in wanted} if there else None
    headers = {"Authorization": f"Bearer {admin.token}", "X-Api-Key": admin.token}
    if not operation.body and not operation.query and (there or not wanted):
        mode = schemathesis.GenerationMode.POSITIVE  # there is nothing to get wrong

    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=path))
    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    def hold(case: Any) -> None:
        case.call_and_validate(base_url=base_url, headers=headers, checks=HELD_TO)

    hold()


def test_other_methods_are_refused_with_those_there_are(document: Any, user: tuple[User, str, str]):
    admin, base_url, file_id = user
    known = {"bucket": "fruit", "key": "apple", "file_id": file_id}
    for path, methods in document.raw_schema["paths"].items():
        documented = {method.upper() for method in methods}
        url = base_url + path.format(**known)
        for method in {"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"} - documented:
            answer = admin.ask(url, method)
            assert answer.status == 405, (method, path)
            assert set(answer.headers["allow"].split(", ")) == documented


def test_the_document_is_one(user: tuple[User, str, str]):
    """Valid by the metaschema of OpenAPI 3.1, which schemathesis brings along."""
    admin, base_url, _ = user
    spec = json.loads(admin.ask(f"{base_url}/openapi.json").body)
    schemathesis.openapi.from_dict(spec).validate()
