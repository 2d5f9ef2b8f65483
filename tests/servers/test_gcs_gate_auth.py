"""Who may call the strict double: tokens, roles, and signed links, each of whose rules is broken
once. Links are made by google-cloud-storage and redeemed with plain HTTP."""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from google.cloud import storage
from google.oauth2 import service_account

from tests.servers.gate_client import Answer, GateClient

pytestmark = pytest.mark.usefixtures("bucket")
KEY = "/bucket-1/dir/k%C3%A9y"
OBJECT = "/storage/v1/b/bucket-1/o/dir%2Fk%C3%A9y"
SCOPE = "https://www.googleapis.com/auth/"


@pytest.fixture
def blob(gcs_gate: GateClient) -> Iterator[storage.Blob]:
    """Signs links of one object; it talks to nobody."""
    made = service_account.Credentials.from_service_account_info(gcs_gate.key)
    client = storage.Client("gate-project", made, client_options={"api_endpoint": gcs_gate.origin})
    gcs_gate.put(KEY, b"data")
    yield client.bucket("bucket-1").blob("dir/kéy")
    client.close()


def link(blob: storage.Blob, method: str = "GET", **more: Any) -> str:
    origin = blob.client._connection.API_BASE_URL
    expiration = more.pop("expiration", 600)
    return blob.generate_signed_url(
        expiration, version="v4", method=method, api_access_endpoint=origin, **more
    )


def changed(url: str, name: str, value: str) -> str:
    """The link with another value of a parameter."""
    made, count = re.subn(rf"({name}=)[^&]*", rf"\g<1>{value}", url)
    assert count == 1
    return made


# --- tokens and roles -----------------------------------------------------------------


def test_no_credential(gcs_gate: GateClient) -> None:
    gcs_gate.put(KEY, b"data")
    answer = gcs_gate.request("GET", OBJECT, token=None)
    assert (answer.status, answer.reason) == (401, "required")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    answer = gcs_gate.request("GET", KEY, token=None)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    answer = gcs_gate.request("PUT", KEY, b"mine", token=None)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert gcs_gate.request("GET", KEY).body == b"data"


@pytest.mark.parametrize("target", [KEY, OBJECT, "/bucket-1", "/storage/v1/b/bucket-1"])
def test_token_that_is_unknown_or_over(gcs_gate: GateClient, target: str) -> None:
    gcs_gate.put(KEY, b"data")
    assert gcs_gate.request("GET", target, token="ya29.never-issued").status == 401
    token = gcs_gate.token(seconds=600)
    assert gcs_gate.request("GET", target, token=token).status == 200
    gcs_gate.shift(601)
    answer = gcs_gate.request("GET", target, token=token)
    assert answer.status == 401
    assert "invalid_token" in answer.headers["www-authenticate"]


def test_other_kinds_of_authorization(gcs_gate: GateClient) -> None:
    for value, status in (("Basic YTpi", 401), ("GOOG1 id:signature", 501), ("Bearer", 401)):
        answer = gcs_gate.request("GET", OBJECT, headers={"Authorization": value}, token=None)
        assert answer.status == status, value


CALLS = [
    ("GET", OBJECT),
    ("PATCH", OBJECT),
    ("DELETE", OBJECT),
    ("GET", "/storage/v1/b/bucket-1"),
    ("GET", "/storage/v1/b/bucket-1/o"),
    ("GET", "/storage/v1/b?project=gate-project"),
    ("DELETE", "/storage/v1/b/bucket-1"),
    ("POST", "/upload/storage/v1/b/bucket-1/o?uploadType=media&name=x"),
    ("POST", "/upload/storage/v1/b/bucket-1/o?uploadType=resumable&name=x"),
    ("POST", f"{OBJECT}/rewriteTo/b/bucket-1/o/x"),
    ("POST", f"{OBJECT}/copyTo/b/bucket-1/o/x"),
    ("GET", "/bucket-1"),
    ("GET", "/bucket-1?uploads"),
    ("HEAD", "/bucket-1"),
    ("DELETE", "/bucket-1"),
    ("GET", KEY),
    ("HEAD", KEY),
    ("PUT", KEY),
    ("DELETE", KEY),
    ("POST", f"{KEY}?uploads"),
]


@pytest.mark.parametrize(("method", "target"), CALLS)
def test_account_without_a_role_may_nothing(gcs_gate: GateClient, method: str, target: str) -> None:
    gcs_gate.put(KEY, b"data")
    token = gcs_gate.token(gcs_gate.denied_key["client_email"])
    body = b"" if method in {"POST", "PUT", "PATCH"} else None
    answer = gcs_gate.request(method, target, body, token=token)
    assert answer.status == 403
    if method != "HEAD" and target.startswith(("/storage", "/upload")):
        assert answer.reason == "forbidden"
    elif method != "HEAD":
        assert answer.code == "AccessDenied"


def test_scope_bounds_what_an_account_may(gcs_gate: GateClient) -> None:
    gcs_gate.put(KEY, b"data")
    token = gcs_gate.token(scopes=[f"{SCOPE}devstorage.read_only"])
    assert gcs_gate.request("GET", KEY, token=token).body == b"data"
    answer = gcs_gate.request("DELETE", OBJECT, token=token)
    assert (answer.status, answer.reason) == (403, "insufficientPermissions")
    assert gcs_gate.request("PUT", KEY, b"x", token=token).status == 403
    assert gcs_gate.request("GET", KEY, token=gcs_gate.token(scopes=[])).status == 403


def test_policy_of_a_bucket(gcs_gate: GateClient) -> None:
    gcs_gate.put(KEY, b"data")
    email = gcs_gate.denied_key["client_email"]
    token = gcs_gate.token(email)
    members = [f"serviceAccount:{email}"]
    policy = {"bindings": [{"role": "roles/storage.objectViewer", "members": members}]}
    assert gcs_gate.json("PUT", "/storage/v1/b/bucket-1/iam", policy).status == 200
    assert gcs_gate.request("GET", KEY, token=token).body == b"data"
    assert gcs_gate.request("PUT", KEY, b"x", token=token).status == 403
    target = "/storage/v1/b/bucket-1/iam/testPermissions?permissions=storage.objects.get"
    answer = gcs_gate.request("GET", f"{target}&permissions=storage.objects.delete", token=token)
    assert answer.json()["permissions"] == ["storage.objects.get"]
    policy = {"bindings": [{"role": "roles/storage.objectViewer", "members": ["allUsers"]}]}
    assert gcs_gate.json("PUT", "/storage/v1/b/bucket-1/iam", policy).status == 200
    assert gcs_gate.request("GET", KEY, token=None).body == b"data"


def test_public_object(gcs_gate: GateClient) -> None:
    gcs_gate.put("/bucket-1/open", b"all", {"x-goog-acl": "public-read"})
    assert gcs_gate.request("GET", "/bucket-1/open", token=None).body == b"all"
    answer = gcs_gate.request("GET", "/bucket-1/closed", token=None)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert gcs_gate.request("GET", "/bucket-1/closed").code == "NoSuchKey"


# --- signed links ---------------------------------------------------------------------


def test_links_of_all_methods(gcs_gate: GateClient, blob: storage.Blob) -> None:
    assert gcs_gate.url("GET", link(blob)).body == b"data"
    assert gcs_gate.url("HEAD", link(blob, "HEAD")).headers["content-length"] == "4"
    put = gcs_gate.url("PUT", link(blob, "PUT", content_type="a/b"), b"new", content_type="a/b")
    assert put.status == 200
    found = gcs_gate.url("GET", link(blob, response_disposition="attachment; filename=ü"))
    assert found.headers["content-type"] == "a/b"
    assert found.headers["content-disposition"].startswith("attachment")
    assert gcs_gate.url("DELETE", link(blob, "DELETE")).status == 204
    assert gcs_gate.request("GET", KEY).status == 404


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer


def test_link_that_was_tampered_with(gcs_gate: GateClient, blob: storage.Blob) -> None:
    url = link(blob)
    other = link(blob.bucket.blob("another"))
    for wrong in (
        url.replace("k%C3%A9y", "another"),
        url + "&generation=1",
        url + "&nothing=1",
        f"{gcs_gate.origin}/?{url.partition('?')[2]}",
        changed(url, "X-Goog-Expires", "601"),
        changed(url, "X-Goog-Signature", other.rpartition("=")[2]),
        changed(url, "X-Goog-Credential", quote(_credential(url, gcs_gate.denied_key), safe="")),
        changed(
            url, "X-Goog-Credential", quote(_credential(url, {"client_email": "no@one"}), safe="")
        ),
    ):
        refused(gcs_gate.url("GET", wrong), 403, "SignatureDoesNotMatch")
    refused(gcs_gate.url("DELETE", url), 403, "SignatureDoesNotMatch")
    refused(gcs_gate.url("PUT", url, b"x"), 403, "SignatureDoesNotMatch")
    assert gcs_gate.url("GET", url, host="elsewhere:80").code == "SignatureDoesNotMatch"
    told = gcs_gate.url("PUT", url, b"x")
    assert told.text("StringToSign").startswith("GOOG4-RSA-SHA256\n")
    assert told.text("CanonicalRequest").startswith(
        "PUT\n/bucket-1/dir/k%C3%A9y\nX-Goog-Algorithm="
    )


def _credential(url: str, key: dict[str, Any]) -> str:
    day = re.search(r"X-Goog-Date=(\d{8})", url)
    assert day
    return f"{key['client_email']}/{day[1]}/auto/storage/goog4_request"


def test_link_whose_parts_are_malformed(gcs_gate: GateClient, blob: storage.Blob) -> None:
    url = link(blob)
    for name, value in (
        ("X-Goog-Date", "yesterday"),
        ("X-Goog-Date", "20200101T000000Z"),
        ("X-Goog-Expires", "soon"),
        ("X-Goog-Algorithm", "GOOG4-MD5"),
        ("X-Goog-Credential", "me"),
        ("X-Goog-SignedHeaders", "content-type"),
        ("X-Goog-SignedHeaders", "host%3Bcontent-type"),
        ("X-Goog-SignedHeaders", "Host"),
        ("X-Goog-Signature", "zz"),
    ):
        answer = gcs_gate.url("GET", changed(url, name, value))
        assert (answer.status, answer.code) == (400, "MalformedSecurityHeader"), (name, value)
    for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"):
        less = re.sub(rf"[?&]X-Goog-{name}=[^&]*", "", url).replace("y&", "y?", 1)
        refused(gcs_gate.url("GET", less), 400, "MalformedSecurityHeader")
    for seconds in ("0", "604801"):
        refused(
            gcs_gate.url("GET", changed(url, "X-Goog-Expires", seconds)), 400, "InvalidArgument"
        )
    both = gcs_gate.request("GET", url.removeprefix(gcs_gate.origin))
    refused(both, 400, "InvalidArgument")


def test_link_at_the_wrong_time(gcs_gate: GateClient, blob: storage.Blob) -> None:
    url = link(blob, expiration=3600)
    gcs_gate.shift(3000)
    assert gcs_gate.url("GET", url).status == 200
    gcs_gate.shift(3602)
    refused(gcs_gate.url("GET", url), 400, "ExpiredToken")
    gcs_gate.shift(-850)
    assert gcs_gate.url("GET", url).status == 200
    gcs_gate.shift(-1800)
    refused(gcs_gate.url("GET", url), 403, "RequestTimeTooSkewed")


def test_headers_of_a_link(gcs_gate: GateClient, blob: storage.Blob) -> None:
    named = {"x-goog-meta-k": "v", "x-goog-if-generation-match": "0"}
    fresh = blob.bucket.blob("fresh")
    url = link(fresh, "PUT", headers=named)
    assert gcs_gate.url("PUT", url, b"x").code == "MalformedSecurityHeader"
    less = {"x_goog_meta_k": "v"}
    assert gcs_gate.url("PUT", url, b"x", **less).code == "MalformedSecurityHeader"
    full = {**less, "x_goog_if_generation_match": "0"}
    other = gcs_gate.url("PUT", url, b"x", **{**full, "x_goog_meta_k": "w"})
    refused(other, 403, "SignatureDoesNotMatch")
    more = gcs_gate.url("PUT", url, b"x", **full, x_goog_acl="public-read")
    refused(more, 400, "MalformedSecurityHeader")
    assert gcs_gate.url("PUT", url, b"x", **full).status == 200
    refused(gcs_gate.url("PUT", url, b"x", **full), 412, "PreconditionFailed")
    assert gcs_gate.request("GET", "/bucket-1/fresh").headers["x-goog-meta-k"] == "v"


def test_link_bounds_size_and_digest(gcs_gate: GateClient, blob: storage.Blob) -> None:
    url = link(blob, "PUT", headers={"x-goog-content-length-range": "2,4"})
    for body, code in ((b"1", "EntityTooSmall"), (b"12345", "EntityTooLarge")):
        refused(gcs_gate.url("PUT", url, body, x_goog_content_length_range="2,4"), 400, code)
    assert gcs_gate.url("PUT", url, b"123", x_goog_content_length_range="2,4").status == 200
    md5 = base64.b64encode(hashlib.md5(b"right").digest()).decode()
    url = link(blob, "PUT", headers={"content-md5": md5})
    refused(gcs_gate.url("PUT", url, b"wrong", content_md5=md5), 400, "BadDigest")
    assert gcs_gate.url("PUT", url, b"right", content_md5=md5).status == 200
    sha = hashlib.sha256(b"payload").hexdigest()
    url = link(blob, "PUT", headers={"x-goog-content-sha256": sha})
    refused(gcs_gate.url("PUT", url, b"else", x_goog_content_sha256=sha), 400, "BadDigest")
    assert gcs_gate.url("PUT", url, b"payload", x_goog_content_sha256=sha).status == 200
    assert gcs_gate.request("GET", KEY).body == b"payload"


def test_link_of_an_account_that_may_not(gcs_gate: GateClient, blob: storage.Blob) -> None:
    denied = service_account.Credentials.from_service_account_info(gcs_gate.denied_key)
    refused(gcs_gate.url("GET", link(blob, credentials=denied)), 403, "AccessDenied")


def test_links_are_of_the_xml_api(gcs_gate: GateClient, blob: storage.Blob) -> None:
    query = link(blob).partition("?")[2]
    assert gcs_gate.request("GET", f"{OBJECT}?{query}", token=None).status == 400


def test_post_by_link_starts_a_resumable_upload_alone(
    gcs_gate: GateClient, blob: storage.Blob
) -> None:
    url = link(blob, "POST", headers={"x-goog-resumable": "start"})
    started = gcs_gate.url("POST", url, b"", x_goog_resumable="start")
    assert started.status == 201
    assert gcs_gate.url("PUT", started.headers["location"], b"resumed").status == 200
    assert gcs_gate.request("GET", KEY).body == b"resumed"
    assert (
        gcs_gate.url("POST", link(blob, "POST", query_parameters={"uploads": ""}), b"").status
        == 400
    )


# --- HMAC keys ------------------------------------------------------------------------


def hmac_signed(gate: GateClient, target: str, secret: str, access_id: str, method: str) -> str:
    """A link signed by hand (docs: authentication/signatures)."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = [stamp[:8], "auto", "storage", "goog4_request"]
    query = "&".join(
        f"X-Goog-{name}={quote(value, safe='')}"
        for name, value in (
            ("Algorithm", "GOOG4-HMAC-SHA256"),
            ("Credential", "/".join([access_id, *scope])),
            ("Date", stamp),
            ("Expires", "60"),
            ("SignedHeaders", "host"),
        )
    )
    canonical = f"{method}\n{target}\n{query}\nhost:{gate.host}\n\nhost\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"GOOG4{secret}".encode()
    for step in scope:
        key = hmac.digest(key, step.encode(), "sha256")
    text = "\n".join(["GOOG4-HMAC-SHA256", stamp, "/".join(scope), digest])
    return f"{gate.origin}{target}?{query}&X-Goog-Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"


def test_links_of_hmac_keys(gcs_gate: GateClient) -> None:
    made = gcs_gate.admin("POST", "hmac", {"email": gcs_gate.email})
    gcs_gate.put(KEY, b"data")
    url = hmac_signed(gcs_gate, KEY, made["secret"], made["access_id"], "GET")
    assert gcs_gate.url("GET", url).body == b"data"
    url = hmac_signed(gcs_gate, KEY, "not the secret", made["access_id"], "GET")
    refused(gcs_gate.url("GET", url), 403, "SignatureDoesNotMatch")
    url = hmac_signed(gcs_gate, KEY, made["secret"], "GOOG1ENOBODY", "GET")
    refused(gcs_gate.url("GET", url), 403, "InvalidSecurity")
