"""The JSON API of the strict double, call by call, with a plain client."""

import base64
import concurrent.futures
import email
from typing import Any

import pytest

from tests.servers.gate_client import Answer, GateClient
from tests.servers.test_gcs_gate_xml import crc32c, md5

pytestmark = pytest.mark.usefixtures("bucket")
BUCKET = "/storage/v1/b/bucket-1"
UPLOAD = "/upload/storage/v1/b/bucket-1/o"
KEY = f"{BUCKET}/o/a%2Fkey"
MIB = 1 << 20


def refused(answer: Answer, status: int, reason: str) -> None:
    assert (answer.status, answer.reason) == (status, reason), answer
    error = answer.json()["error"]
    assert error["code"] == status
    assert error["message"] == error["errors"][0]["message"]
    assert error["errors"][0]["domain"] == "global"


def insert(gate: GateClient, name: str, data: bytes = b"data", query: str = "") -> Answer:
    return gate.request("POST", f"{UPLOAD}?uploadType=media&name={name}{query}", data)


def names(answer: Answer) -> list[str]:
    return [item["name"] for item in answer.json().get("items", [])]


# --- buckets --------------------------------------------------------------------------


def test_buckets(gcs_gate: GateClient) -> None:
    place = "/storage/v1/b"
    refused(gcs_gate.json("POST", place, {"name": "bucket-2"}), 400, "required")
    target = f"{place}?project=gate-project"
    refused(gcs_gate.json("POST", target, {}), 400, "required")
    refused(gcs_gate.json("POST", target, {"name": "A"}), 400, "invalid")
    refused(gcs_gate.json("POST", target, {"name": "bucket-1"}), 409, "conflict")
    refused(gcs_gate.json("POST", target, {"name": "bucket-2", "wish": 1}), 400, "invalidParameter")
    refused(gcs_gate.json("POST", target, {"name": "bucket-2", "cors": [1]}), 501, "notImplemented")
    refused(gcs_gate.json("POST", place + "?project=other", {"name": "bucket-2"}), 403, "forbidden")
    made = gcs_gate.json("POST", target, {"name": "bucket-2", "location": "eu"}).json()
    assert (made["location"], made["metageneration"]) == ("EU", "1")
    changed = {"labels": {"a": "b"}, "versioning": {"enabled": True}}
    one = gcs_gate.json("PATCH", f"{place}/bucket-2?ifMetagenerationMatch=1", changed).json()
    assert (one["labels"], one["versioning"]) == ({"a": "b"}, {"enabled": True})
    again = gcs_gate.json("PATCH", f"{place}/bucket-2?ifMetagenerationMatch=1", changed)
    refused(again, 412, "conditionNotMet")
    assert gcs_gate.json("GET", f"{place}/bucket-2?ifMetagenerationNotMatch=2").status == 304
    found = gcs_gate.json("GET", f"{place}/bucket-2", headers={"If-None-Match": one["etag"]})
    assert (found.status, found.body) == (304, b"")
    page = gcs_gate.json("GET", f"{target}&maxResults=1")
    assert names(page) == ["bucket-1"]
    page = gcs_gate.json("GET", f"{target}&pageToken={page.json()['nextPageToken']}")
    assert names(page) == ["bucket-2"]
    assert gcs_gate.json("DELETE", f"{place}/bucket-2").status == 204
    refused(gcs_gate.json("GET", f"{place}/bucket-2"), 404, "notFound")
    insert(gcs_gate, "key")
    refused(gcs_gate.json("DELETE", BUCKET), 409, "conflict")


# --- objects --------------------------------------------------------------------------


def test_resource_of_an_object(gcs_gate: GateClient) -> None:
    made = insert(gcs_gate, "a%2Fkey").json()
    found = gcs_gate.json("GET", KEY)
    assert found.json() == made
    assert found.headers["etag"] == made["etag"]
    assert made["id"] == f"bucket-1/a/key/{made['generation']}"
    assert made["selfLink"].endswith(KEY)
    assert (made["size"], made["metageneration"]) == ("4", "1")
    assert (made["md5Hash"], made["crc32c"]) == (md5(b"data"), crc32c(b"data"))
    number = int(made["generation"])
    raw = base64.b64decode(made["etag"])
    assert raw[0] == 8
    assert sum((byte & 127) << 7 * i for i, byte in enumerate(raw[1:9])) == number
    data = gcs_gate.request("GET", f"{KEY}?alt=media", headers={"Range": "bytes=1-2"})
    assert (data.status, data.body, data.headers["etag"]) == (206, b"at", made["etag"])
    assert data.headers["x-goog-generation"] == made["generation"]
    link = gcs_gate.request("GET", made["mediaLink"].removeprefix(gcs_gate.origin))
    assert link.body == b"data"
    past = gcs_gate.request("GET", f"{KEY}?alt=media", headers={"Range": "bytes=4-"})
    refused(past, 416, "requestedRangeNotSatisfiable")
    refused(gcs_gate.json("GET", f"{BUCKET}/o/a/key"), 404, "notFound")


def test_parts_of_a_resource(gcs_gate: GateClient) -> None:
    for name in ("a%2F1", "b"):
        insert(gcs_gate, name)
    for fields, wanted in (
        ("items(name,size)", {"items": [{"name": "a/1", "size": "4"}, {"name": "b", "size": "4"}]}),
        ("items/name,kind", {"items": [{"name": "a/1"}, {"name": "b"}], "kind": "storage#objects"}),
        ("prefixes", {}),
    ):
        assert gcs_gate.json("GET", f"{BUCKET}/o?fields={fields}").json() == wanted
    full = gcs_gate.json("GET", f"{BUCKET}/o")
    assert gcs_gate.json("GET", f"{BUCKET}/o?fields=*").json() == full.json()
    assert insert(gcs_gate, "c", query="&fields=name").json() == {"name": "c"}
    for wrong in ("items(name", "items)", ",", ""):
        answer = gcs_gate.json("GET", f"{BUCKET}/o?fields={wrong}")
        assert answer.status == (200 if not wrong else 400)


@pytest.mark.parametrize(
    ("query", "created", "replaced"),
    [
        ("ifGenerationMatch=0", 200, 412),
        ("ifGenerationMatch={g}", 412, 200),
        ("ifGenerationMatch=1", 412, 412),
        ("ifGenerationNotMatch=0", 304, 200),
        ("ifGenerationNotMatch={g}", 304, 304),
        ("ifGenerationNotMatch=1", 304, 200),
        ("ifMetagenerationMatch=1", 412, 200),
        ("ifMetagenerationMatch=2", 412, 412),
        ("ifMetagenerationNotMatch=1", 304, 304),
        ("ifMetagenerationNotMatch=2", 304, 200),
    ],
)
def test_conditions_of_every_write(
    gcs_gate: GateClient, query: str, created: int, replaced: int
) -> None:
    insert(gcs_gate, "source")
    for existing, status in ((False, created), (True, replaced)):
        for index, call in enumerate(WRITES):
            name = f"key-{existing}-{index}"
            generation = insert(gcs_gate, name).json()["generation"] if existing else "7"
            asked = query.format(g=generation)
            if "compose" in call[1] and "Not" in asked:
                continue
            assert write(gcs_gate, call, name, asked).status == status, (call, existing)


WRITES: list[tuple[str, str, Any]] = [
    ("POST", f"{UPLOAD}?uploadType=media&name=NAME&", b"new"),
    ("POST", f"{BUCKET}/o/source/rewriteTo/b/bucket-1/o/NAME?", None),
    ("POST", f"{BUCKET}/o/source/copyTo/b/bucket-1/o/NAME?", None),
    ("POST", f"{BUCKET}/o/NAME/compose?", {"sourceObjects": [{"name": "source"}]}),
    ("POST", f"{UPLOAD}?uploadType=resumable&name=NAME&", None),
]


def write(gate: GateClient, call: tuple[str, str, Any], name: str, query: str) -> Answer:
    method, target, body = call
    target = target.replace("NAME", name) + query
    if isinstance(body, dict):
        return gate.json(method, target, body)
    return gate.request(method, target, body or b"")


def test_conditions_of_reading_changing_deleting(gcs_gate: GateClient) -> None:
    made = insert(gcs_gate, "a%2Fkey").json()
    right, wrong = made["generation"], "1"
    for method in ("GET", "PATCH", "DELETE"):
        body: dict[str, str] | None = {} if method == "PATCH" else None
        for query, status in (
            (f"ifGenerationMatch={wrong}", 412),
            ("ifGenerationMatch=0", 412),
            (f"ifGenerationNotMatch={right}", 304),
            ("ifMetagenerationMatch=9", 412),
            ("ifMetagenerationNotMatch=1", 304),
        ):
            assert gcs_gate.json(method, f"{KEY}?{query}", body).status == status, (method, query)
    for headers, status in (
        ({"If-Match": made["etag"]}, 200),
        ({"If-Match": "x"}, 412),
        ({"If-None-Match": made["etag"]}, 304),
        ({"If-None-Match": "x"}, 200),
        ({"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 400),
    ):
        assert gcs_gate.json("GET", KEY, headers=headers).status == status, headers
    refused(gcs_gate.json("DELETE", KEY, headers={"If-Match": "x"}), 400, "invalidParameter")
    refused(gcs_gate.json("GET", f"{KEY}?ifGenerationMatch=x"), 400, "invalidParameter")
    assert gcs_gate.json("DELETE", f"{KEY}?ifGenerationMatch={right}").status == 204
    refused(gcs_gate.json("DELETE", f"{KEY}?ifGenerationMatch={right}"), 404, "notFound")


def test_metadata_changes(gcs_gate: GateClient) -> None:
    insert(gcs_gate, "a%2Fkey")
    body = {"metadata": {"a": "1", "b": "2"}, "contentType": "x/y", "cacheControl": "no-store"}
    one = gcs_gate.json("PATCH", KEY, body).json()
    two = gcs_gate.json("PATCH", KEY, {"metadata": {"a": None, "c": "ü"}, "cacheControl": None})
    assert two.json()["metadata"] == {"b": "2", "c": "ü"}
    assert "cacheControl" not in two.json()
    assert (two.json()["contentType"], two.json()["metageneration"]) == ("x/y", "3")
    assert two.json()["etag"] != one["etag"]
    assert two.json()["generation"] == one["generation"]
    whole = gcs_gate.json("PUT", KEY, {"contentLanguage": "de"}).json()
    assert "metadata" not in whole
    assert "contentType" not in whole
    for wrong in ({"wish": 1}, {"metadata": {"a": 1}}, {"contentType": 5}, {"metadata": [1]}):
        assert gcs_gate.json("PATCH", KEY, wrong).status == 400
    assert gcs_gate.json("PATCH", KEY, {"metadata": {"a": "x" * 8192}}).status == 400
    assert gcs_gate.json("PATCH", KEY, {"temporaryHold": True}).status == 501
    assert gcs_gate.request("PATCH", KEY, b"{}", {"Content-Type": "text/plain"}).status == 400
    assert gcs_gate.json("GET", KEY).json()["metageneration"] == "4"


def test_one_of_many_changes_wins(gcs_gate: GateClient) -> None:
    insert(gcs_gate, "a%2Fkey")

    def change(number: int) -> int:
        target = f"{KEY}?ifMetagenerationMatch=1"
        return gcs_gate.json("PATCH", target, {"metadata": {"n": str(number)}}).status

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(change, range(8))) == [200] + [412] * 7


# --- copies, several at once -----------------------------------------------------------


def test_rewrite_in_several_calls(gcs_gate: GateClient) -> None:
    data = b"x" * (2 * MIB + 5)
    insert(gcs_gate, "source", data)
    for limit, query in ((1 << 30, f"&maxBytesRewrittenPerCall={MIB}"), (MIB, "")):
        gcs_gate.admin("POST", "options", {"rewrite_bytes": limit})
        target = f"{BUCKET}/o/source/rewriteTo/b/bucket-1/o/a%2Fkey?ifGenerationMatch=0{query}"
        body = {"metadata": {"k": "v"}}
        token, rounds = "", []
        while True:
            answer = gcs_gate.json("POST", target + token, body).json()
            rounds.append((answer["totalBytesRewritten"], answer["done"]))
            assert answer["objectSize"] == str(len(data))
            if answer["done"]:
                break
            assert "resource" not in answer
            assert gcs_gate.json("GET", KEY).status == 404
            token = f"&rewriteToken={answer['rewriteToken']}"
        assert rounds == [(str(MIB), False), (str(2 * MIB), False), (str(len(data)), True)]
        assert answer["resource"]["metadata"] == {"k": "v"}
        assert answer["resource"]["md5Hash"] == md5(data)
        refused(gcs_gate.json("POST", target + token), 400, "invalidParameter")
        assert gcs_gate.json("DELETE", KEY).status == 204


def test_rewrite_goes_on_only_as_it_began(gcs_gate: GateClient) -> None:
    insert(gcs_gate, "source", b"x" * (2 * MIB))
    target = f"{BUCKET}/o/source/rewriteTo/b/bucket-1/o/a%2Fkey?maxBytesRewrittenPerCall="
    for wrong in ("1", "0", str(MIB + 1), "x"):
        refused(gcs_gate.json("POST", target + wrong), 400, "invalidParameter")
    first = gcs_gate.json("POST", target + str(MIB), {"contentType": "a/b"}).json()
    token = f"&rewriteToken={first['rewriteToken']}"
    for answer in (
        gcs_gate.json("POST", f"{target}{2 * MIB}{token}"),
        gcs_gate.json("POST", f"{target}{MIB}{token}", {"contentType": "c/d"}),
        gcs_gate.json("POST", f"{target}{MIB}{token}".replace("a%2Fkey", "other")),
        gcs_gate.json("POST", f"{target}{MIB}{token}x"),
        gcs_gate.json("POST", f"{target}{MIB}{token}&ifGenerationMatch=0"),
    ):
        refused(answer, 400, "invalidParameter")
    done = gcs_gate.json("POST", f"{target}{MIB}{token}").json()
    assert (done["done"], done["resource"]["contentType"]) == (True, "a/b")
    first = gcs_gate.json("POST", target + str(MIB)).json()
    insert(gcs_gate, "source", b"y" * (2 * MIB))
    again = gcs_gate.json("POST", f"{target}{MIB}&rewriteToken={first['rewriteToken']}")
    refused(again, 400, "invalidParameter")


def test_conditions_on_the_source(gcs_gate: GateClient) -> None:
    generation = insert(gcs_gate, "source").json()["generation"]
    for call in ("rewriteTo", "copyTo"):
        target = f"{BUCKET}/o/source/{call}/b/bucket-1/o/a%2Fkey?"
        for query, status in (
            ("ifSourceGenerationMatch=1", 412),
            (f"ifSourceGenerationNotMatch={generation}", 304),
            ("ifSourceMetagenerationMatch=2", 412),
            ("ifSourceMetagenerationNotMatch=1", 304),
            (f"sourceGeneration={generation}&ifSourceGenerationMatch={generation}", 200),
            ("sourceGeneration=1", 404),
        ):
            assert gcs_gate.json("POST", target + query).status == status, (call, query)


def test_compose(gcs_gate: GateClient) -> None:
    one = insert(gcs_gate, "one", b"1" * 99_999).json()
    insert(gcs_gate, "two", b"22")
    whole = b"1" * 99_999 + b"22"
    right = {"name": "one", "objectPreconditions": {"ifGenerationMatch": one["generation"]}}
    body = {"sourceObjects": [right, {"name": "two"}], "destination": {"contentType": "a/b"}}
    made = gcs_gate.json("POST", f"{KEY}/compose", body).json()
    assert "md5Hash" not in made
    assert (made["crc32c"], made["componentCount"]) == (crc32c(whole), 2)
    assert made["contentType"] == "a/b"
    found = gcs_gate.request("GET", f"{KEY}?alt=media")
    assert (found.body, found.headers["x-goog-component-count"]) == (whole, "2")
    wrong = {"name": "one", "objectPreconditions": {"ifGenerationMatch": "1"}}
    for sources, status in (
        ([wrong], 412),
        ([{"name": "none"}], 404),
        ([], 400),
        ([{"name": "one"}] * 33, 400),
        ([{"name": "one", "wish": 1}], 400),
        ([{"name": "one", "generation": "1"}], 404),
    ):
        answer = gcs_gate.json("POST", f"{KEY}/compose", {"sourceObjects": sources})
        assert answer.status == status, sources


def test_move(gcs_gate: GateClient) -> None:
    insert(gcs_gate, "one")
    target = f"{BUCKET}/o/one/moveTo/o/a%2Fkey"
    refused(gcs_gate.json("POST", f"{target}?ifGenerationMatch=1"), 412, "conditionNotMet")
    assert gcs_gate.json("POST", f"{target}?ifGenerationMatch=0").json()["name"] == "a/key"
    assert names(gcs_gate.json("GET", f"{BUCKET}/o")) == ["a/key"]


def batch(gate: GateClient, *calls: str) -> Answer:
    parts = "".join(
        f"--b\r\nContent-Type: application/http\r\nContent-ID: <x+{number}>\r\n\r\n{call}\r\n"
        for number, call in enumerate(calls)
    )
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    return gate.request("POST", "/batch/storage/v1", f"{parts}--b--".encode(), headers)


def test_batch(gcs_gate: GateClient) -> None:
    insert(gcs_gate, "a%2Fkey")
    resource = '{"metadata":{"k":"v"}}'
    patch = f"PATCH {KEY}?fields=metadata HTTP/1.1\r\nContent-Type: application/json\r\n"
    patch += f"Content-Length: {len(resource)}\r\n\r\n{resource}"
    answer = batch(
        gcs_gate,
        patch,
        f"DELETE {KEY}?ifGenerationMatch=1 HTTP/1.1\r\n\r\n",
        f"DELETE {KEY} HTTP/1.1\r\n\r\n",
        f"DELETE {KEY} HTTP/1.1\r\nAuthorization: Bearer none\r\n\r\n",
    )
    assert answer.status == 200
    kind = answer.headers["content-type"].encode()
    found = email.message_from_bytes(b"Content-Type: " + kind + b"\r\n\r\n" + answer.body)
    parts = list(found.walk())[1:]
    assert [part["Content-ID"] for part in parts] == [f"<response-x+{n}>" for n in range(4)]
    texts = [str(part.get_payload()) for part in parts]
    assert [text.split()[1] for text in texts] == ["200", "412", "204", "401"]
    assert '{"metadata": {"k": "v"}}' in texts[0]


def test_batches_that_are_refused(gcs_gate: GateClient) -> None:
    call = f"GET {KEY} HTTP/1.1\r\n\r\n"
    refused(batch(gcs_gate, *[call] * 101), 400, "invalid")
    assert batch(gcs_gate, *[call] * 100).status == 200
    refused(batch(gcs_gate, f"GET {KEY}?alt=media HTTP/1.1\r\n\r\n"), 400, "invalid")
    refused(batch(gcs_gate, "GET /bucket-1/key HTTP/1.1\r\n\r\n"), 400, "invalid")
    refused(gcs_gate.request("POST", "/batch/storage/v1", b"x"), 400, "invalid")


def test_listing(gcs_gate: GateClient) -> None:
    for name in ("a", "b%2F", "b%2F1", "b%2F2", "c", "%C3%A4", "%F0%9F%98%80"):
        insert(gcs_gate, name)
    found = gcs_gate.json("GET", f"{BUCKET}/o")
    assert names(found) == ["a", "b/", "b/1", "b/2", "c", "ä", "😀"]
    for query, items, prefixes in (
        ("delimiter=/", ["a", "c", "ä", "😀"], ["b/"]),
        ("delimiter=/&includeTrailingDelimiter=true", ["a", "b/", "c", "ä", "😀"], ["b/"]),
        ("delimiter=/&prefix=b/", ["b/", "b/1", "b/2"], []),
        ("startOffset=b/2&endOffset=%C3%A4", ["b/2", "c"], []),
        ("prefix=b/&startOffset=a&endOffset=b/2", ["b/", "b/1"], []),
    ):
        all_items, all_prefixes, token = [], [], ""
        while True:
            page = gcs_gate.json("GET", f"{BUCKET}/o?maxResults=1&{query}{token}")
            assert len(names(page)) + len(page.json().get("prefixes", [])) <= 1
            all_items += names(page)
            all_prefixes += page.json().get("prefixes", [])
            if "nextPageToken" not in page.json():
                break
            token = f"&pageToken={page.json()['nextPageToken']}"
        assert (all_items, all_prefixes) == (items, prefixes), query
    refused(gcs_gate.json("GET", f"{BUCKET}/o?pageToken=x"), 400, "invalidParameter")
    refused(gcs_gate.json("GET", f"{BUCKET}/o?maxResults=x"), 400, "invalidParameter")
