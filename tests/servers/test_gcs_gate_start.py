"""How the strict double is started, and what its command line sets."""

import json
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud import storage
from google.oauth2 import service_account

from tests.servers.base import CACHE, processes
from tests.servers.gate_client import GateClient

EMAIL = "made@gate-project.iam.gserviceaccount.com"
MIB = 1 << 20


def pem_pair() -> tuple[str, bytes]:
    private = rsa.generate_private_key(65537, 2048)
    text = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return text.decode(), public


def test_command_line(tmp_path: Path) -> None:
    private, public = pem_pair()
    pem, key = tmp_path / "public.pem", tmp_path / "key.json"
    pem.write_bytes(public)
    with processes("gate-start") as running:
        running.spawn(
            "gate",
            *(sys.executable, "-m", "tests.servers.gcs_gate", "--spool", tmp_path),
            *("--account", "made", "roles/storage.admin", EMAIL, key),
            *("--public-key", EMAIL, pem, "--hmac", EMAIL, "GOOG1EXAMPLE", "secret"),
            *("--token", EMAIL, "given", "3600", "--rewrite-bytes", str(MIB), "--verbose"),
            env={"PYTHONPATH": str(CACHE.parent)},
        )
        running.wait("the address", lambda: running.tail("gate").startswith("http://"))
        origin = running.tail("gate").splitlines()[0]
        profile = {"token": json.loads(key.read_text())}
        gate = GateClient(origin, {"default": profile, "denied": profile})
        for token in ("given", "made-token"):
            target = "/storage/v1/b?project=gate-project"
            assert gate.json("GET", target, token=token).status == 200
        gate.json("POST", "/storage/v1/b?project=gate-project", {"name": "bucket-1"})
        gate.put("/bucket-1/key", b"x" * (2 * MIB))
        assert any(path.stat().st_size == 2 * MIB for path in tmp_path.glob("*/*"))
        target = "/storage/v1/b/bucket-1/o/key/rewriteTo/b/bucket-1/o/copy"
        assert gate.json("POST", target).json()["done"] is False
        own = service_account.Credentials.from_service_account_info(
            profile["token"] | {"private_key": private}
        )
        client = storage.Client("gate-project", own, client_options={"api_endpoint": origin})
        blob = client.bucket("bucket-1").blob("key")
        link = blob.generate_signed_url(3600, version="v4", api_access_endpoint=origin)
        assert len(gate.url("GET", link).body) == 2 * MIB
        client.close()
        assert "PUT /bucket-1/key 200" in running.tail("gate")
    assert sorted(tmp_path.iterdir()) == [key, pem]


def test_role_that_is_none(tmp_path: Path) -> None:
    with processes("gate-start") as running, pytest.raises(Exception, match="unknown role"):
        running.run(
            sys.executable,
            *(
                "-m",
                "tests.servers.gcs_gate",
                "--account",
                "a",
                "roles/owner",
                EMAIL,
                tmp_path / "k",
            ),
            env={"PYTHONPATH": str(CACHE.parent)},
        )


def test_accounts_at_run_time(gcs_gate: GateClient, bucket: str) -> None:
    email = "later@gate-project.iam.gserviceaccount.com"
    key = gcs_gate.admin("POST", "accounts", {"email": email, "role": "roles/storage.objectViewer"})
    assert (key["client_email"], key["token_uri"]) == (email, f"{gcs_gate.origin}/token")
    token = gcs_gate.token(email)
    assert gcs_gate.request("GET", f"/{bucket}", token=token).status == 200
    assert gcs_gate.request("PUT", f"/{bucket}/key", b"x", token=token).status == 403
