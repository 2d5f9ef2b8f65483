"""Share links: tokens that nobody can make, change or stretch, and their redemption."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from storage_core.compat import keg
from storage_core.compat.keg import LinkRefusedError, LocalFSStorage, ShareLinkOperation, redeem
from storage_core.errors import BucketNotFoundError

NAME, SECRET = "uploads", b"0123456789abcdef0123456789abcdef"
KEY = hashlib.sha512(NAME.encode() + b"signer" + SECRET).digest()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Storage(LocalFSStorage):
    """With a clock of its own."""

    time = NOW

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def backend(tmp_path: Path) -> Storage:
    (tmp_path / "a.txt").write_bytes(b"red")
    return Storage(tmp_path, "https://app.example.org/storage", SECRET, NAME)


def token(backend: keg.InternalLinksStorageBackend, letters: str = "dur", **kwargs) -> str:
    return backend.create_link_token(
        path="a.txt", operation=letters, expire=NOW + timedelta(hours=1), **kwargs
    )


def claims(**changed) -> dict:
    exp = int(NOW.timestamp()) + 3600
    return {"key": "a.txt", "op": "d", "iat": int(NOW.timestamp()), "exp": exp} | changed


def refused(backend: Storage, text: str | None, method: str = "GET") -> int | None:
    with pytest.raises(LinkRefusedError) as caught:
        redeem(backend, method, text, io.BytesIO(b"new"))
    return caught.value.status


def test_the_token_is_the_documented_one(backend: Storage):
    text = token(backend, "d")
    assert jwt.get_unverified_header(text) == {"alg": "HS512", "typ": "JWT"}
    read = jwt.decode(
        text, KEY, algorithms=["HS512"], options={"verify_exp": False, "verify_iat": False}
    )
    assert read == claims()
    assert backend.get_token_signature() == KEY


def test_link_to_is_the_endpoint_with_the_token(backend: Storage):
    url = backend.link_to("a.txt", "d", NOW + timedelta(hours=1), output_path="b.txt")
    parts = urlsplit(url)
    assert (parts.netloc, parts.path) == ("app.example.org", "/storage")
    query = dict(parse_qsl(parts.query))
    assert set(query) == {"token"}
    assert backend.deserialize_link_token(query["token"]) == keg.InternalLinkTokenData(
        "a.txt", ShareLinkOperation.download, "b.txt"
    )
    backend.linked_endpoint = "https://app.example.org/storage?x=1"
    assert "?x=1&token=" in backend.link_to("a.txt", "d", NOW + timedelta(hours=1))


def test_operations(backend: Storage, tmp_path: Path):
    text = token(backend, output_path='Ü "b".txt')
    done = redeem(backend, "GET", text)
    assert done.file is not None
    with done.file:
        assert done.file.read() == b"red"
    assert done.headers == {
        "Content-Type": "application/octet-stream",
        "Content-Length": "3",
        # As the gateway has it.
        "Content-Disposition": (
            "attachment; filename=\"_ _b_.txt\"; filename*=UTF-8''%C3%9C%20%22b%22.txt"
        ),
        "X-Content-Type-Options": "nosniff",
    }
    done = redeem(backend, "HEAD", text)
    assert (done.file, done.headers["Content-Length"]) == (None, "3")
    for method in ("POST", "PUT"):
        assert redeem(backend, method, text, io.BytesIO(method.encode())).status == 200
        assert (tmp_path / "a.txt").read_text() == method
    assert redeem(backend, "DELETE", text).status == 200
    assert not (tmp_path / "a.txt").exists()
    assert redeem(backend, "DELETE", text).status == 200
    assert refused(backend, text) == 404  # the file
    assert refused(backend, text, "PATCH") == 405


@pytest.mark.parametrize(
    ("letters", "methods"),
    [
        ("d", {"GET", "HEAD"}),
        ("u", {"PUT", "POST"}),
        ("r", {"DELETE"}),
        ("ur", {"PUT", "POST", "DELETE"}),
    ],
)
def test_an_operation_not_in_the_token_is_403(backend: Storage, letters: str, methods: set[str]):
    for method in {"GET", "HEAD", "PUT", "POST", "DELETE"} - methods:
        assert refused(backend, token(backend, letters), method) == 403
    assert (backend.root / "a.txt").read_bytes() == b"red"


@pytest.mark.parametrize("text", [None, ""])
def test_no_token_is_404(backend: Storage, text: str | None):
    assert refused(backend, text) == 404


def test_expired_is_403(backend: Storage):
    text = token(backend)
    backend.time = NOW + timedelta(minutes=59, seconds=59)
    assert redeem(backend, "HEAD", text).status == 200
    backend.time = NOW + timedelta(hours=1)
    assert refused(backend, text) == 403


def test_a_clock_that_is_behind_the_signers_does_no_harm(backend: Storage):
    text = token(backend)
    backend.time = NOW - timedelta(minutes=5)
    assert redeem(backend, "HEAD", text).status == 200


def test_another_name_or_secret_is_403(backend: Storage, tmp_path: Path):
    for other in (
        Storage(tmp_path, "https://x", SECRET, "other"),
        Storage(tmp_path, "https://x", SECRET[::-1], NAME),
    ):
        assert refused(backend, token(other)) == 403


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _part(value: object) -> str:
    return _b64(json.dumps(value).encode())


def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _forged(good: str) -> dict[str, str]:
    """Tokens that are not the signer's."""
    header, payload, signature = good.split(".")
    private = _rsa()
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    other = _part(claims(key="../secret", op="dur"))
    return {
        "none": f"{_part({'alg': 'none', 'typ': 'JWT'})}.{payload}.",
        "None": f"{_part({'alg': 'None'})}.{payload}.",
        "none with the signature": f"{_part({'alg': 'none'})}.{payload}.{signature}",
        "no algorithm": f"{_part({'typ': 'JWT'})}.{payload}.{signature}",
        "HS256 with our key": jwt.encode(claims(), KEY, algorithm="HS256"),
        "HS384 with our key": jwt.encode(claims(), KEY, algorithm="HS384"),
        "RS256": jwt.encode(claims(), private, algorithm="RS256"),
        "RS512": jwt.encode(claims(), private, algorithm="RS512"),
        "a key of its own": jwt.encode(
            claims(), private, algorithm="RS256", headers={"jwk": {"kty": "oct"}, "kid": "x"}
        ),
        "the public key as secret": jwt.encode(claims(), _b64(public) * 2, algorithm="HS512"),
        "the secret itself": jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
        "no secret": jwt.encode(claims(), bytes(64), algorithm="HS512"),
        "another payload": f"{header}.{other}.{signature}",
        "no signature": f"{header}.{payload}.",
        "cut": good[:-1],
        "more": good + ".x",
        "two parts": f"{header}.{payload}",
        "no token": "x",
        "not ASCII": "é.é.é",
        "a lone surrogate": "\udc80",
        "a lone surrogate in a part": f"{header}.{payload}.\udc80",
        "blank": " ",
        "long": "a" * 100_000,
    }


FORGERIES = (*_forged("e30.e30.e30"),)


@pytest.mark.parametrize("kind", FORGERIES)
def test_forged_tokens_are_403(backend: Storage, kind: str):
    forged = _forged(token(backend))[kind]
    for method in ("GET", "PUT", "DELETE"):
        assert refused(backend, forged, method) == 403
    assert (backend.root / "a.txt").read_bytes() == b"red"


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": None},
        {"exp": "9999999999"},
        {"key": None},
        {"key": 5},
        {"op": ""},
        {"op": "x"},
        {"op": ["d"]},
        {"output_path": "a\r\nSet-Cookie: x=1"},
        {"output_path": 5},
        {"aud": "somebody else"},
        {"nbf": 99999999999},
    ],
)
def test_signed_but_malformed_tokens_are_403(backend: Storage, changed: dict):
    left = {name: value for name, value in claims(**changed).items() if value is not None}
    assert refused(backend, jwt.encode(left, KEY, algorithm="HS512")) == 403


def test_every_change_of_a_token_is_noticed(backend: Storage):
    good = token(backend)
    for place in range(len(good) - 1):  # of the last character some bits mean nothing
        letter = "A" if good[place] != "A" else "B"
        assert refused(backend, good[:place] + letter + good[place + 1 :]) == 403


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "~", "folder\n"])
def test_signed_paths_that_lead_nowhere_are_404(backend: Storage, path: str):
    text = backend.create_link_token(path=path, operation="dur", expire=NOW + timedelta(hours=1))
    for method in ("GET", "PUT", "DELETE"):
        assert refused(backend, text, method) == 404


@pytest.mark.parametrize("path", ["a.txt/b", "a.txt/b/c", "n" * 256, "d/" * 2500 + "x", "\ud800"])
def test_signed_paths_where_no_file_can_be_are_404(backend: Storage, path: str):
    text = backend.create_link_token(path=path, operation="dur", expire=NOW + timedelta(hours=1))
    for method in ("GET", "HEAD", "PUT", "POST"):
        assert refused(backend, text, method) == 404
    assert [(one.name, one.read_bytes()) for one in backend.root.iterdir()] == [("a.txt", b"red")]


def test_what_can_not_be_signed(backend: Storage, tmp_path: Path):
    later = NOW + timedelta(hours=1)
    with pytest.raises(ValueError, match="Expiration time is in the past"):
        backend.link_to("a.txt", "d", NOW - timedelta(seconds=1))
    with pytest.raises(ValueError, match="not printable"):
        backend.link_to("a.txt", "d", later, output_path="a\r\nSet-Cookie: x=1")
    for endpoint, secret in ((None, SECRET), ("https://x", None), (None, None)):
        bare = Storage(tmp_path, endpoint, secret, NAME)
        with pytest.raises(ValueError, match="linked_endpoint and secret_key"):
            bare.link_to("a.txt", "d", later)
    with pytest.raises(ValueError, match="configured with secret_key"):
        Storage(tmp_path).create_link_token(path="a.txt", operation="d", expire=later)
    with pytest.raises(ValueError, match="configured with secret_key"):
        Storage(tmp_path).deserialize_link_token("x")
    for short in (b"", b"fifteen bytes..", "x"):
        with pytest.raises(ValueError, match="16 or more") as caught:
            Storage(tmp_path, secret_key=short)
        assert "fifteen" not in str(caught.value)


def test_a_backend_over_a_bucket_can_have_share_links(tmp_path: Path):
    config = {"driver": "memory", "name": "keg-tokens"}
    backend = keg.StorageProfile(
        "keg-tokens", config=config, linked_endpoint="https://app/x", secret_key=SECRET.decode()
    )
    backend._bucket().storage.create_bucket("keg-tokens", exist_ok=True)
    url = backend.link_to("a", "du", datetime.now(UTC) + timedelta(minutes=1))
    text = url.partition("token=")[2]
    assert redeem(backend, "PUT", text, io.BytesIO(b"red")).status == 200
    done = redeem(backend, "GET", text)
    assert done.file is not None
    with done.file as file:
        assert file.read() == b"red"
    backend.close()


def test_a_missing_bucket_is_no_missing_file(tmp_path: Path):
    config = {"driver": "memory", "name": "keg-tokens-none"}
    backend = keg.StorageProfile(
        "keg-none", config=config, linked_endpoint="https://app/x", secret_key=SECRET
    )
    url = backend.link_to("a", "d", datetime.now(UTC) + timedelta(minutes=1))
    with pytest.raises(BucketNotFoundError):
        redeem(backend, "GET", url.partition("token=")[2])
    backend.close()
