"""What clients of the service do, each in its own words: the published script, the SDK of its
makers, requests and curl."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests

from storage_core.access.model import Project
from storage_core.gateway import Server
from tests.clients import SNIPPETS
from tests.clients.fixtures import Node
from tests.z3.conftest import Clock
from tests.z3.users import TIMEOUT, User, allow, path_of

HERE = Path(__file__).parent
NAME = "fruit-and-vegetable-consumption-in-california-residents-2012-2013-.csv"
CSV = (
    b"Year,Age Group,Category,Type,Five or more servings of fruits and vegetables (%)\n"
    b"2012,Adolescent (12-17),All ,Total,40.2\n"
    b"2012,Adolescent (12-17),Gender,Male,37.3\n"
)
QUARTER = timedelta(minutes=15)


def authorized(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {user.token}"}


# --- requests -----------------------------------------------------------------------------


def test_z1_a_bucket_is_made(user: User) -> None:
    answer = requests.put(
        f"{user.base}/fruit-vegetables", headers=authorized(user), timeout=TIMEOUT
    )
    assert answer.ok
    assert answer.json()["name"] == "fruit-vegetables"
    assert answer.json()["id"]


def test_z2_to_z4_a_file_goes_up_and_comes_down(user: User, bucket: str) -> None:
    def link(action: str) -> str:
        answer = requests.post(
            f"{user.base}/{bucket}/{NAME}",
            headers=authorized(user),
            data=json.dumps({"action": action}),
            timeout=TIMEOUT,
        )
        assert answer.status_code == 200
        return str(answer.json()["signedUrl"])

    data = CSV * 40_000  # some megabytes
    sent = requests.put(link("upload"), data=data, timeout=TIMEOUT)
    assert sent.status_code == 200
    assert "Content-Type" not in sent.request.headers
    got = requests.get(link("download"), timeout=TIMEOUT)
    assert got.status_code == 200
    assert got.content == data


def run_script(server: Server, user: User, folder: Path) -> list[str]:
    (folder / NAME).write_bytes(CSV)
    done = subprocess.run(
        [sys.executable, str(SNIPPETS / "z3.py"), server.base_url, user.token],
        cwd=folder,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_z5_the_published_script_runs_and_runs_again(
    server: Server, user: User, tmp_path: Path
) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # S3 knows whole seconds
    created, upload, download, listing = run_script(server, user, tmp_path)
    assert ast.literal_eval(created)["name"] == "fruit-vegetables"
    assert list(ast.literal_eval(upload)) == ["signedUrl"]
    assert requests.get(download, timeout=TIMEOUT).content == CSV
    (entry,) = ast.literal_eval(listing)
    assert sorted(entry) == ["key", "lastModified"]
    assert entry["key"] == f"fruit-vegetables/{NAME}"
    assert before < datetime.fromisoformat(entry["lastModified"]) <= datetime.now(UTC)

    again = run_script(server, user, tmp_path)
    assert ast.literal_eval(again[0])["code"] == 409
    assert len(again) == 4
    assert [each["key"] for each in ast.literal_eval(again[3])] == [entry["key"]]


# --- the SDK ------------------------------------------------------------------------------


def test_z6_the_sdk_makes_all_its_calls(
    server: Server, user: User, project: Project, node: Node
) -> None:
    done = node(HERE / "sdk.js", f"{server.base_url}/v1", user.token, project.id, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    name = told["created"]["name"]

    def keys(entries: list[dict[str, str]]) -> list[str]:
        return [entry["key"].removeprefix(f"{name}/") for entry in entries]

    assert len(name) > 63
    assert told["none"] == []
    assert told["again"]["code"] == 409
    assert told["again"]["name"] == "OystehrSdkError"
    assert [(each["id"], each["name"]) for each in told["buckets"]] == [
        (told["created"]["id"], name)
    ]
    assert told["downloaded"] == "one, two\n"
    assert told["empty"] == ""
    assert told["missing"]["message"] == "Failed to download file"
    everything = ["folder/a file (1).csv", "folder/sub/b", "top"]
    assert keys(told["objects"]) == keys(told["notDirect"]) == everything
    assert keys(told["below"]) == everything[:2]
    assert keys(told["direct"]) == ["folder/", "top"]
    assert told["nothing"] == []
    assert told["folderPut"] == 200
    assert keys(told["withFolder"]) == ["empty/"]
    assert (told["z3"]["code"], told["ht"]) == (404, 200)
    assert told["byUrl"] == "by url"
    assert told["badUrl"]["code"] == 400
    assert told["notEmpty"]["code"] == 409
    assert told["left"] == []
    assert told.get("deleted") is None
    assert told["gone"]["code"] == 404
    assert told["stranger"]["code"] == 401
    assert told["elsewhere"]["code"] == 403


# --- curl ---------------------------------------------------------------------------------


def curl(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]
    return subprocess.run(
        [*command, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def test_curl_as_it_comes(user: User, tmp_path: Path) -> None:
    bearer = ("-H", f"Authorization: Bearer {user.token}")
    base = f"{user.base}/fruit"
    assert json.loads(curl(*bearer, "-X", "PUT", base).stdout)["name"] == "fruit"
    # -d sends a form's Content-Type.
    up = curl(*bearer, "-d", '{"action":"upload"}', f"{base}/dir/an%20apple.txt")
    (tmp_path / "local.txt").write_bytes(CSV)
    link = json.loads(up.stdout)["signedUrl"]
    sent = curl("-T", "local.txt", "-o", os.devnull, "-w", "%{http_code}", link, cwd=tmp_path)
    assert sent.stdout == "200"
    # From a pipe curl knows no length and sends chunks.
    piped = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-T", "-", "-o", os.devnull, "-w", "%{http_code}", link],
        input=CSV,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert piped.stdout == b"200"
    down = curl(*bearer, "--json", '{"action":"download"}', f"{base}/dir/an%20apple.txt")
    link = json.loads(down.stdout)["signedUrl"]
    done = curl("-J", "-O", "-w", "%{http_code}", link, cwd=tmp_path)
    assert done.stdout.endswith("200"), done.stderr
    (saved,) = [path for path in tmp_path.iterdir() if path.name != "local.txt"]
    assert saved.read_bytes() == CSV
    assert curl("-r", "5-13", link).stdout == "Age Group"
    # A body where none is looked for.
    listed = curl(*bearer, "-X", "GET", "-d", "{}", base)
    assert json.loads(listed.stdout)[0]["key"] == "fruit/dir/an apple.txt"
    for path, body in (("/dir/an%20apple.txt", "{}"), ("", "{}")):
        status = ("-w", "%{http_code}", "-o", os.devnull)
        assert curl(*bearer, "-X", "DELETE", "-d", body, *status, base + path).stdout == "204"


# --- negatives ----------------------------------------------------------------------------


def test_z7_links_last_a_quarter_of_an_hour(user: User, bucket: str, clock: Clock) -> None:
    user.put(bucket, "apple", b"1")
    up, down = user.link("upload", bucket, "apple"), user.link("download", bucket, "apple")

    def redeemed() -> tuple[int, int]:
        return (
            requests.put(up, data=b"2", timeout=TIMEOUT).status_code,
            requests.get(down, timeout=TIMEOUT).status_code,
        )

    clock.ahead = QUARTER - timedelta(minutes=1)
    assert redeemed() == (200, 200)
    clock.ahead = QUARTER + timedelta(seconds=1)
    assert redeemed() == (403, 403)
    clock.ahead = timedelta(days=400)
    assert redeemed() == (403, 403)
    expires = int(re.findall(r"sc-expires=(\d+)", down)[0])
    assert abs(expires - time.time() - 900) < 300


def test_z7_links_are_for_one_method(user: User, bucket: str) -> None:
    user.put(bucket, "apple", b"1")
    up, down = user.link("upload", bucket, "apple"), user.link("download", bucket, "apple")
    for method, link in (
        ("GET", up),
        ("HEAD", up),
        ("DELETE", up),
        ("POST", up),
        ("PUT", down),
        ("DELETE", down),
        ("HEAD", down),
    ):
        answer = requests.request(method, link, data=b"x", timeout=TIMEOUT)
        assert answer.status_code == 403, (method, link)
    assert user.get(bucket, "apple").content == b"1"


def test_z7_without_a_token(
    user: User, make_user: Callable[..., User], bucket: str, clock: Clock
) -> None:
    for headers in (
        {},
        {"Authorization": user.token},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {user.token}"},
        {"Authorization": f"Bearer {user.token}x"},
        {"x-api-key": user.token},
    ):
        for method, path in (
            ("GET", ""),
            ("PUT", "/another"),
            ("DELETE", f"/{bucket}"),
            ("GET", f"/{bucket}"),
            ("POST", path_of(bucket, "apple")),
            ("DELETE", path_of(bucket, "apple")),
        ):
            answer = requests.request(
                method, user.base + path, headers=headers, data=b"{}", timeout=TIMEOUT
            )
            assert answer.status_code == 401, (headers, method, path)
            assert answer.json()["code"] == 401
            assert answer.json()["message"]
    assert [entry["name"] for entry in user.call("GET", "").json()] == [bucket]
    reader = make_user(allow(["Z3:GetObject"], "Z3:*"))
    assert reader.ask("upload", bucket, "apple").status_code == 403
