"""Who signs links, and tokens that get old."""

import base64
import json

import pytest

import storage_core
from storage_gcs.driver import GcsDriver
from tests.gcs.scripted import Answer, Script, refusal, resource, scripted, serving


def test_iam_signs_where_there_is_no_key():
    signed = {"signedBlob": base64.b64encode(b"\x01\x02").decode()}
    iam = Script(Answer(200, json.dumps(signed).encode()), refusal(403, "forbidden"))
    with serving(iam) as url:
        settings = {"service_account_email": "signer@example.org", "iam_endpoint_url": url}
        with scripted(Script(), **settings) as storage:
            link = storage.bucket("b").presign("a/b c")
            assert link.url.endswith("&X-Goog-Signature=0102")
            assert "/b/a/b%20c?" in link.url
            assert "signer%40example.org" in link.url
            with pytest.raises(storage_core.PermissionDeniedError, match="signBlob"):
                storage.bucket("b").presign("a")
    asked = iam.asked[0]
    assert asked.target == "/v1/projects/-/serviceAccounts/signer@example.org:signBlob"
    text = base64.b64decode(json.loads(asked.body)["payload"]).decode()
    assert text.startswith("GOOG4-RSA-SHA256\n")


class MachineAccount:
    """As google-auth's credentials of a machine: they learn their name with the first token."""

    def __init__(self):
        self.service_account_email = "default"
        self.token = self.expiry = None
        self.tokens = 0

    def refresh(self, request):
        self.tokens += 1
        self.service_account_email = "machine@example.org"
        self.token = f"token-{self.tokens}"


def test_a_machines_account_has_google_sign(monkeypatch):
    google_auth = pytest.importorskip("google.auth")
    machine = MachineAccount()
    monkeypatch.setattr(google_auth, "default", lambda scopes: (machine, "its-project"))
    signed = {"signedBlob": base64.b64encode(b"\x01").decode()}
    iam = Script(Answer(200, json.dumps(signed).encode()))
    script = Script(Answer(200, b'{"items": []}'))
    with (
        serving(iam) as url,
        scripted(script, token="google_default", project=None, iam_endpoint_url=url) as storage,
    ):
        assert machine.tokens == 0, "opening asks nobody"
        link = storage.bucket("b").presign("a")
        assert list(storage.list_buckets()) == []
    assert "machine%40example.org" in link.url
    assert iam.asked[0].headers["authorization"] == "Bearer token-1"
    assert "project=its-project" in script.asked[0].target
    assert machine.tokens == 1


def test_a_token_that_gets_old_is_renewed(monkeypatch):
    google_auth = pytest.importorskip("google.auth")
    machine = MachineAccount()
    monkeypatch.setattr(google_auth, "default", lambda scopes: (machine, "p"))
    script = Script(resource(), refusal(401, "authError"), resource())
    with scripted(script, token="google_default") as storage:
        storage.bucket("b").head("a")
        driver = storage.driver
        assert isinstance(driver, GcsDriver)
        driver._wire.account._renewed -= 3600
        storage.bucket("b").head("a")
    sent = [asked.headers["authorization"] for asked in script.asked]
    assert sent == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
