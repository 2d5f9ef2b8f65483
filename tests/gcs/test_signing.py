"""Links against Google's published vectors, and against Google's own client."""

import datetime as dt
import hashlib
import json
import os
from pathlib import Path

import pytest

from storage_gcs.names import encode_path, encode_text
from storage_gcs.signing import CONTENT_SHA256, HMAC, RSA, draft, hmac_signature

ROOT = Path(__file__).parents[2]
VECTORS = Path(os.environ.get("STORAGE_VECTORS") or ROOT.parent / "shared" / "vectors")
FILE = VECTORS / "gcs" / "v4_signatures.json"
EMAIL = "test-iam-credentials@dummy-project-id.iam.gserviceaccount.com"

# Their clients send the port, as RFC 9110 section 7.2 wants it in `Host`; the vectors leave it
# out of the signed header. The URL itself names it.
PORTLESS = {
    "Simple GET with non-default hostname": "localhost:8080",
    "Simple GET with endpoint on client": "storage.googleapis.com:443",
    "Endpoint on client with scheme": "localhost:8080",
    "Endpoint on client takes precedence over emulator": "localhost:8080",
}


# Its canonical request is not the one its own string to sign is the hash of: that one has, as
# the case "Virtual Hosted Style", no bucket in its path.
MISPRINTED = "Universe domain with virtual hosted style"


def vectors():
    if not FILE.exists():
        reason = f"no published vectors at {FILE}; set STORAGE_VECTORS"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    cases = json.loads(FILE.read_text("utf-8"))["signingV4Tests"]
    return [pytest.param(case, id=case["description"]) for case in cases]


def drafted(case, host):
    """The link of a case, for a host."""
    path = "/" + encode_text(case["bucket"])
    if case.get("urlStyle") is not None:
        path = ""
    path += "/" + encode_path(case.get("object", "")) if case.get("object") else ""
    now = dt.datetime.fromisoformat(case["timestamp"])
    return draft(
        RSA,
        EMAIL,
        case["method"],
        host,
        path or "/",
        tuple(case.get("queryParameters", {}).items()),
        case.get("headers", {}),
        case["expiration"],
        now,
    )


@pytest.mark.parametrize("case", vectors())
def test_published(case):
    host = case["expectedUrl"].split("/")[2]
    signed = PORTLESS.get(case["description"])
    if signed is not None:
        host = host.partition(":")[0]
    made = drafted(case, host)
    if case["description"] != MISPRINTED:
        assert made.canonical_request == case["expectedCanonicalRequest"]
    assert made.string_to_sign == case["expectedStringToSign"]
    target = case["expectedUrl"].partition("&X-Goog-Signature=")[0].split("/", 3)[3]
    assert made.target == f"/{target}"


@pytest.mark.parametrize("case", vectors())
def test_only_ports_differ(case):
    """With the host as it is sent, just the four cases with a port differ, in that line."""
    sent = case["expectedUrl"].split("/")[2]
    ours = drafted(case, sent).canonical_request.split("\n")
    theirs = case["expectedCanonicalRequest"].split("\n")
    different = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    if case["description"] == MISPRINTED:
        assert different == [("/test-object", "/test-bucket/test-object")]
    elif case["description"] in PORTLESS:
        assert PORTLESS[case["description"]] == sent
        assert different == [(f"host:{sent}", f"host:{sent.partition(':')[0]}")]
    else:
        assert different == []


def private_key():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture(scope="module")
def key_info():
    return {
        "type": "service_account",
        "client_email": EMAIL,
        "private_key": private_key(),
        "private_key_id": "1",
        "token_uri": "https://example.org/token",
    }


KEYS = ("a", "a/b c", "käse 🧀", "100%", "a?b#c&d=e", "a//b/", "~tilde-._", "q\"uo'te", "a+b:c@d")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST"])
def test_byte_for_byte_as_googles_client(key, method, key_info):
    """Differential against google-cloud-storage, where it is installed."""
    signing = pytest.importorskip("google.cloud.storage._signing")
    from google.oauth2 import service_account

    credentials = service_account.Credentials.from_service_account_info(key_info)
    moment = dt.datetime(2026, 1, 31, 12, 0, 5, tzinfo=dt.UTC)
    query = {"partNumber": "7", "uploadId": "a+/=b", "response-content-disposition": 'f="ü"'}
    headers = {"Content-Type": "text/csv; charset=utf-8", "x-goog-if-generation-match": "0"}
    theirs = signing.generate_signed_url_v4(
        credentials,
        resource=f"/bucket/{encode_path(key)}",
        expiration=900,
        api_access_endpoint="https://storage.googleapis.com",
        method=method,
        headers=dict(headers),
        query_parameters=dict(query),
        _request_timestamp=moment.strftime("%Y%m%dT%H%M%SZ"),
    )
    made = draft(
        RSA,
        EMAIL,
        method,
        "storage.googleapis.com",
        f"/bucket/{encode_path(key)}",
        tuple(query.items()),
        headers,
        900,
        moment,
    )
    signature = credentials.sign_bytes(made.string_to_sign.encode())
    assert "https://storage.googleapis.com" + made.signed(signature) == theirs


def test_paths_are_quoted_as_googles_client_does():
    blob = pytest.importorskip("google.cloud.storage.blob")
    for key in KEYS:
        assert encode_path(key) == blob._quote(key, safe=b"/~")


def test_hmac():
    """The key is derived by date, region, service and request; worked out by hand."""
    import hmac

    made = draft(
        HMAC,
        "GOOGTESTID",
        "GET",
        "storage.googleapis.com",
        "/b/k",
        (),
        {},
        60,
        dt.datetime(2026, 1, 31, tzinfo=dt.UTC),
    )
    assert made.string_to_sign.startswith("GOOG4-HMAC-SHA256\n20260131T000000Z\n20260131/auto/")
    key = b"GOOG4secret"
    for step in (b"20260131", b"auto", b"storage", b"goog4_request"):
        key = hmac.new(key, step, hashlib.sha256).digest()
    expected = hmac.new(key, made.string_to_sign.encode(), hashlib.sha256).digest()
    assert hmac_signature("secret", made.string_to_sign) == expected
    assert made.signed(expected).endswith(expected.hex())


def test_payload():
    digest = hashlib.sha256(b"x").hexdigest()
    now = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
    made = draft(RSA, EMAIL, "PUT", "h", "/b/k", (), {CONTENT_SHA256: digest}, 60, now)
    assert made.canonical_request.endswith(f"\n{digest}")
