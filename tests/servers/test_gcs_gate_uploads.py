"""Uploads of the JSON API on the strict double: media, multipart, resumable."""

import json
import socket
from typing import Any

import pytest

from tests.servers.gate_client import Answer, GateClient
from tests.servers.test_gcs_gate_json import BUCKET, KEY, UPLOAD, insert, names, refused
from tests.servers.test_gcs_gate_xml import crc32c, md5

pytestmark = pytest.mark.usefixtures("bucket")
CHUNK = 256 << 10


def related(resource: dict[str, Any], data: bytes, line: bytes = b"\r\n") -> tuple[bytes, dict]:
    parts: list[bytes] = [
        b"--=b=",
        b"Content-Type: application/json; charset=UTF-8",
        b"",
        json.dumps(resource).encode(),
        b"--=b=",
        b"Content-Type: text/x",
        b"",
        data,
        b"--=b=--",
    ]
    return line.join(parts), {"Content-Type": 'multipart/related; boundary="=b="'}


@pytest.mark.parametrize("data", [b"", b"data", b"--=b", b"\r\n--=c=--\r\n" * 9, b"x" * 300_000])
def test_multipart_upload(gcs_gate: GateClient, data: bytes) -> None:
    resource = {"name": "a/key", "metadata": {"k": "v"}, "md5Hash": md5(data)}
    body, headers = related(resource, data)
    answer = gcs_gate.request("POST", f"{UPLOAD}?uploadType=multipart", body, headers)
    assert answer.status == 200, answer
    assert (answer.json()["contentType"], answer.json()["metadata"]) == ("text/x", {"k": "v"})
    assert gcs_gate.request("GET", f"{KEY}?alt=media").body == data


def test_uploads_that_are_refused(gcs_gate: GateClient) -> None:
    target = f"{UPLOAD}?uploadType=multipart"
    for wrong in ({"md5Hash": md5(b"x")}, {"crc32c": crc32c(b"x")}, {"crc32c": "?"}, {"wish": 1}):
        body, headers = related({"name": "a/key", **wrong}, b"data")
        assert gcs_gate.request("POST", target, body, headers).status == 400, wrong
    body, headers = related({"name": "a/key"}, b"data")
    refused(gcs_gate.request("POST", target, body[:-6], headers), 400, "badContent")
    refused(gcs_gate.request("POST", target, body, {"Content-Type": "a/b"}), 400, "invalid")
    body, headers = related({}, b"data")
    refused(gcs_gate.request("POST", target, body, headers), 400, "required")
    refused(gcs_gate.request("POST", UPLOAD, b""), 400, "required")
    wrong_hash = {"x-goog-hash": f"crc32c={crc32c(b'x')}"}
    answer = gcs_gate.request("POST", f"{UPLOAD}?uploadType=media&name=a", b"data", wrong_hash)
    refused(answer, 400, "invalid")
    refused(insert(gcs_gate, "x" * 1025), 400, "invalid")
    refused(insert(gcs_gate, "a%0Ab"), 400, "invalid")
    meta = {"x-goog-meta-k": "v"}
    answer = gcs_gate.request("POST", f"{UPLOAD}?uploadType=media&name=a", b"", meta)
    refused(answer, 400, "invalidParameter")
    assert names(gcs_gate.json("GET", f"{BUCKET}/o")) == []


def start(gate: GateClient, query: str = "", **resource: Any) -> str:
    target = f"{UPLOAD}?uploadType=resumable&name=a%2Fkey{query}"
    answer = gate.json("POST", target, resource)
    assert answer.status == 200, answer
    return answer.headers["location"]


def chunk(gate: GateClient, session: str, data: bytes, text: str, **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return gate.url("PUT", session, data, Content_Range=f"bytes {text}", **sent)


def test_resumable_upload(gcs_gate: GateClient) -> None:
    data = bytes(range(256)) * 3000
    session = start(gcs_gate, "&fields=name,md5Hash,metadata", metadata={"k": "v"})
    empty = chunk(gcs_gate, session, b"", "*/*")
    assert (empty.status, "range" in empty.headers) == (308, False)
    one = chunk(gcs_gate, session, data[:CHUNK], f"0-{CHUNK - 1}/*")
    assert (one.status, one.headers["range"]) == (308, f"bytes=0-{CHUNK - 1}")
    for size, wrong in (
        (CHUNK, f"0-{CHUNK - 1}/*"),
        (CHUNK, f"{2 * CHUNK}-{3 * CHUNK - 1}/*"),
        (100, f"{CHUNK}-{CHUNK + 99}/*"),
        (100, f"{CHUNK}-{CHUNK + 99}/{len(data)}"),
        (CHUNK, f"{CHUNK}-{CHUNK + 99}/*"),
        (CHUNK, f"{CHUNK}-{2 * CHUNK - 1}/{CHUNK + 1}"),
        (CHUNK, "x-y/z"),
    ):
        assert chunk(gcs_gate, session, data[:size], wrong).status == 400, wrong
    assert chunk(gcs_gate, session, b"", "*/*").headers["range"] == f"bytes=0-{CHUNK - 1}"
    last = chunk(gcs_gate, session, data[CHUNK:], f"{CHUNK}-{len(data) - 1}/{len(data)}")
    assert last.status == 200, last
    assert last.json() == {"name": "a/key", "md5Hash": md5(data), "metadata": {"k": "v"}}
    assert chunk(gcs_gate, session, b"", f"*/{len(data)}").status == 200
    assert gcs_gate.request("GET", f"{KEY}?alt=media").body == data


def test_resumable_upload_of_nothing_and_at_once(gcs_gate: GateClient) -> None:
    assert chunk(gcs_gate, start(gcs_gate), b"", "*/0").json()["size"] == "0"
    assert gcs_gate.url("PUT", start(gcs_gate), b"all").json()["size"] == "3"


def test_resumable_upload_checks_at_its_end(gcs_gate: GateClient) -> None:
    session = start(gcs_gate, crc32c=crc32c(b"other"))
    refused(gcs_gate.url("PUT", session, b"data"), 400, "invalid")
    session = start(gcs_gate)
    wrong = f"md5={md5(b'other')}"
    refused(gcs_gate.url("PUT", session, b"data", x_goog_hash=wrong), 400, "invalid")
    session = start(gcs_gate, "&ifGenerationMatch=0")
    insert(gcs_gate, "a%2Fkey", b"first")
    refused(gcs_gate.url("PUT", session, b"second"), 412, "conditionNotMet")
    assert gcs_gate.request("GET", f"{KEY}?alt=media").body == b"first"


def test_session_ends(gcs_gate: GateClient) -> None:
    session = start(gcs_gate)
    assert gcs_gate.url("DELETE", session).status == 499
    refused(gcs_gate.url("PUT", session, b"x"), 404, "notFound")
    session = start(gcs_gate)
    gcs_gate.shift(7 * 86_400 + 1)
    assert gcs_gate.url("PUT", session, b"x").status == 410


def test_chunk_that_breaks_off_is_kept_in_part(gcs_gate: GateClient) -> None:
    session = start(gcs_gate)
    host, _, port = gcs_gate.host.partition(":")
    head = f"PUT {session.removeprefix(gcs_gate.origin)} HTTP/1.1\r\nHost: {gcs_gate.host}\r\n"
    head += f"Content-Length: {3 * CHUNK}\r\nContent-Range: bytes 0-{3 * CHUNK - 1}/*\r\n\r\n"
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(head.encode() + b"x" * (CHUNK + 1000))
    for _ in range(200):
        state = chunk(gcs_gate, session, b"", "*/*")
        if "range" in state.headers:
            break
    assert state.headers["range"] == f"bytes=0-{CHUNK - 1}"
