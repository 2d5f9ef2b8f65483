"""Links through a real server: what they allow, and that they allow nothing else."""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import storage_core
from storage_core.gateway import Server, serve_background
from tests.gateway.clients import request
from tests.test_links import ODD_KEYS

CREATABLE = [key for key in ODD_KEYS if "\n" not in key and not {".", ".."} & set(key.split("/"))]
BIG = bytes(range(256)) * 4096  # 1 MiB, beyond what any layout keeps inline


@pytest.mark.parametrize("body", [b"", b"red", BIG], ids=["empty", "small", "big"])
def test_get_and_head(bucket: storage_core.Bucket, body: bytes):
    put = bucket.put("a.csv", body, content_type="text/csv", metadata={"year": "2012"})
    answer = request(bucket.presign("a.csv"))
    assert (answer.status, answer.body) == (200, body)
    head = request(bucket.presign("a.csv", method="HEAD"))
    assert (head.status, head.body) == (200, b"")
    for headers in (answer.headers, head.headers):
        assert headers["content-length"] == str(len(body))
        assert headers["content-type"] == "text/csv"
        assert headers["etag"] == f'"{put.etag}"'
        assert headers["accept-ranges"] == "bytes"
        assert headers["x-storage-meta-year"] == "2012"
        assert headers["last-modified"].endswith("GMT")
        assert headers["repr-digest"].startswith("crc32c=:")


def test_content_headers_and_metadata_are_the_objects(bucket: storage_core.Bucket):
    bucket.put(
        "k",
        b"x",
        content_encoding="gzip",
        content_language="de",
        content_disposition="inline",
        cache_control="max-age=60",
        metadata={"name": "größe 100% ✓"},
    )
    headers = request(bucket.presign("k")).headers
    assert headers["content-encoding"] == "gzip"
    assert headers["content-language"] == "de"
    assert headers["content-disposition"] == "inline"
    assert headers["cache-control"] == "max-age=60"
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-storage-meta-name"] == "gr%C3%B6%C3%9Fe%20100%25%20%E2%9C%93"


def test_an_object_can_not_act_on_the_servers_origin(bucket: storage_core.Bucket):
    bucket.put("page.html", b"<script>alert(1)</script>", content_type="text/html")
    for link in (bucket.presign("page.html"), bucket.presign("page.html", method="HEAD")):
        headers = request(link).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("sandbox;")
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "private, no-cache"


def test_filename_and_content_type_of_the_reply(bucket: storage_core.Bucket):
    bucket.put("k", b"x", content_type="text/html", content_disposition="inline")
    link = bucket.presign("k", filename='na"ïve.csv', content_type="text/csv")
    headers = request(link).headers
    assert headers["content-type"] == "text/csv"
    assert headers["content-disposition"] == (
        "attachment; filename=\"na__ve.csv\"; filename*=UTF-8''na%22%C3%AFve.csv"
    )


@pytest.mark.parametrize("key", CREATABLE)
def test_odd_keys(bucket: storage_core.Bucket, key: str):
    body = hashlib.sha256(key.encode()).digest()
    answer = request(bucket.presign(key, method="PUT"), body=body)
    assert answer.status == 200
    assert bucket.get(key).read() == body
    assert [item.key for item in bucket.list()] == [key]
    assert request(bucket.presign(key)).body == body
    assert request(bucket.presign(key, method="DELETE")).status == 204
    assert not bucket.exists(key)


@pytest.mark.parametrize("key", ["a//b c?#%+é", "/../x".replace("..", "..."), "ends.", "a%2Fb"])
def test_other_clients_send_odd_keys_alike(bucket: storage_core.Bucket, key: str):
    bucket.put(key, b"body")
    url = bucket.presign(key).url
    with urllib.request.urlopen(url) as response:
        assert response.read() == b"body"
    shown = subprocess.run(["curl", "-sS", url], capture_output=True, check=True)
    assert shown.stdout == b"body"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("signed", ["GET", "HEAD", "PUT", "DELETE"])
def test_another_verb_is_refused(bucket: storage_core.Bucket, signed: Any, method: str):
    bucket.put("k", b"before")
    link = bucket.presign("k", method=signed)
    if method == signed:
        return
    answer = request(link, method, body=b"after" if method in ("PUT", "POST", "PATCH") else None)
    assert answer.status == 403
    if method != "HEAD":
        assert answer.code == "link_verb"
    assert bucket.get("k").read() == b"before"


def test_altered_links_are_refused(bucket: storage_core.Bucket):
    bucket.put("k", b"secret")
    bucket.put("other", b"secret")
    url = bucket.presign("k", filename="f.txt").url
    altered = [
        url.replace("/k?", "/other?"),
        url.replace(bucket.name, "another"),
        url.replace("sc-method=GET", "sc-method=PUT"),
        url.replace("f.txt", "f.html"),
        url.replace("sc-format=1", "sc-format=2"),
        url.replace("sc-expires=", "sc-expires=9"),
        url[:-1] + ("A" if url[-1] != "A" else "B"),
        url.rpartition("&")[0],
        url + "&response-content-type=text%2Fhtml",
        url + "&sc-filename=g.txt",
        url.partition("?")[0],
    ]
    for changed in altered:
        assert changed != url
        answer = request(changed)
        assert answer.status == 403, changed
        assert answer.code in ("link_signature", "link_malformed")
        assert b"secret" not in answer.body
    assert request(url).status == 200


def test_expired(local_profile: dict[str, object]):
    clock = [datetime(2026, 1, 1, tzinfo=UTC)]
    from storage_local.driver import LocalDriver

    driver = LocalDriver(LocalDriver.settings_model()(root=local_profile["root"], fsync=False))
    with (
        storage_core.open_driver(driver, now=lambda: clock[0]) as storage,
        serve_background(storage),
    ):
        bucket = storage.create_bucket("fruit")
        bucket.put("k", b"x")
        link = bucket.presign("k", expires_in=10)
        assert link.expires_at == clock[0] + timedelta(seconds=10)
        clock[0] += timedelta(seconds=9.9)
        assert request(link).status == 200
        clock[0] += timedelta(seconds=0.1)
        answer = request(link)
        assert (answer.status, answer.code) == (403, "link_expired")


def test_missing_things(bucket: storage_core.Bucket, storage: storage_core.Storage):
    assert request(bucket.presign("no")).code == "object_not_found"
    assert request(bucket.presign("no")).status == 404
    head = request(bucket.presign("no", method="HEAD"))
    assert (head.status, head.body) == (404, b"")
    assert request(bucket.presign("no", method="DELETE")).status == 204
    gone = storage.bucket("never-made")
    for link in (gone.presign("k"), gone.presign("k", method="PUT")):
        answer = request(link, body=b"x" if link.method == "PUT" else None)
        assert (answer.status, answer.code) == (404, "bucket_not_found")


@pytest.mark.parametrize("path", ["/", "/o", "/x/y", "/favicon.ico", "//", "/o/b/k", "/health/x"])
def test_other_places(server: Server, path: str):
    answer = request(server.base_url + path)
    assert answer.status == (403 if path.startswith("/o/") else 404)
    assert answer.code in ("not_found", "link_malformed")


def test_health(server: Server):
    answer = request(server.base_url + "/health")
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})
    assert request(server.base_url + "/health", "DELETE").status == 405


def test_headers_a_client_adds_do_no_harm(bucket: storage_core.Bucket):
    bucket.put("k", b"x")
    extra = {
        "Authorization": "Bearer abc",
        "Cookie": "a=b",
        "X-Amz-Date": "20260101T000000Z",
        "X-HTTP-Method-Override": "DELETE",
        "X-Forwarded-For": "1.2.3.4",
        "X-Original-URL": "/health",
        "Accept-Encoding": "gzip, br",
        "Origin": "https://elsewhere.example.org",
        "Upgrade": "websocket",
        "Connection": "Upgrade, HTTP2-Settings",
        "X-Storage-Meta-Evil": "1",
    }
    assert request(bucket.presign("k"), headers=extra).body == b"x"
    put = bucket.presign("new", method="PUT")
    assert request(put, headers={**extra, "Connection": "close"}, body=b"y").status == 200
    assert bucket.head("new").metadata == {}
    assert bucket.exists("k")


def test_versions_by_link(local_profile: dict[str, object]):
    with (
        storage_core.open(config={**local_profile, "versions": True}) as storage,
        serve_background(storage),
    ):
        bucket = storage.create_bucket("fruit")
        old = bucket.put("k", b"old").version
        put = request(bucket.presign("k", method="PUT"), body=b"new")
        assert put.headers["x-storage-version"] == bucket.head("k").version
        answer = request(bucket.presign("k", version=old))
        assert (answer.body, answer.headers["x-storage-version"]) == (b"old", old)
        assert request(bucket.presign("k", method="DELETE", version=old)).status == 204
        answer = request(bucket.presign("k", version=old))
        assert (answer.status, answer.code) == (404, "version_not_found")
        assert request(bucket.presign("k")).body == b"new"


def test_no_reply_or_log_tells_a_secret(
    bucket: storage_core.Bucket, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    link = bucket.presign("k", filename="private-name.csv")
    signature = link.url.rpartition("=")[2]
    answers = [request(link), request(link.url + "x"), request(link, "PUT", body=b"1")]
    for answer in answers:
        assert signature.encode() not in answer.body
        assert signature not in str(answer.headers)
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "link=" in text
    assert signature not in text
    assert "private-name" not in text


def test_a_link_is_good_for_its_own_prefix_only(local_profile: dict[str, object]):
    """Two profiles of one root share its keys, but one name means two objects in them."""
    inner = {**local_profile, "prefix": "tenant/"}
    with (
        storage_core.open(config=local_profile) as outer_storage,
        storage_core.open(config=inner) as inner_storage,
        serve_background(outer_storage) as outer,
        serve_background(inner_storage) as nested,
    ):
        outer_storage.create_bucket("fruit").put("k", b"of the whole root")
        inner_storage.bucket("fruit").put("k", b"of the tenant")
        for_outer = outer_storage.bucket("fruit").presign("k").url
        for_inner = inner_storage.bucket("fruit").presign("k").url
        assert request(for_outer).body == b"of the whole root"
        assert request(for_inner).body == b"of the tenant"
        for crossed in (
            for_inner.replace(nested.base_url, outer.base_url),
            for_outer.replace(outer.base_url, nested.base_url),
        ):
            answer = request(crossed)
            assert (answer.status, answer.code) == (403, "link_signature")
