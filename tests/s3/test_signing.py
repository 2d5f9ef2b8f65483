"""Signature Version 4: the published vectors, Amazon's worked examples, and botocore."""

from __future__ import annotations

import json
import os
import posixpath
import re
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from storage_s3.signing import (
    EMPTY_SHA256,
    UNSIGNED,
    Keys,
    Signer,
    canonical_query,
    encode_key,
    encode_text,
)

ROOT = Path(__file__).parents[2]
VECTORS = Path(os.environ.get("STORAGE_VECTORS", ROOT.parent / "shared" / "vectors"))
CASES = sorted(path.parent for path in VECTORS.glob("aws-sigv4/*/context.json"))

EXAMPLE = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
EXAMPLE_TIME = datetime(2013, 5, 24, tzinfo=UTC).timestamp()
HOST = "examplebucket.s3.amazonaws.com"


# --- the published vectors ------------------------------------------------------------


class Vector:
    """One case: its request as the signer wants it, and what is expected."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        context = json.loads(folder.joinpath("context.json").read_text())
        given = context["credentials"]
        self.after = context.get("omit_session_token", False)
        token = None if self.after else given.get("token")
        self.keys = Keys(given["access_key_id"], given["secret_access_key"], token)
        self.signer = Signer(self.keys, context["region"], context["service"])
        self.expires = context["expiration_in_seconds"]
        self.now = datetime.fromisoformat(context["timestamp"]).timestamp()
        head, _, body = folder.joinpath("request.txt").read_text().partition("\n\n")
        first, *lines = head.split("\n")
        self.method, rest = first.split(" ", 1)
        target = rest.removesuffix(" HTTP/1.1")
        path, _, query = target.partition("?")
        self.path = _path(path, context["normalize"])
        self.query = canonical_query(parse_qsl(query, keep_blank_values=True))
        self.headers = _headers(lines)
        self.host = self.headers.pop("host")
        self.payload = EMPTY_SHA256
        if context["sign_body"] and body:
            import hashlib

            self.payload = hashlib.sha256(body.encode()).hexdigest()
        self.sign_body = context["sign_body"]

    def expected(self, name: str) -> str:
        return self.folder.joinpath(name).read_text().strip("\n")


def _path(path: str, normalise: bool) -> str:
    """The rule of all services but S3."""
    if normalise:
        slash = path.endswith(("/", "/.", "/..")) and path != "/"
        path = posixpath.normpath(re.sub("/+", "/", path))
        path += "/" if slash and path != "/" else ""
    return encode_key(path)


def _headers(lines: list[str]) -> dict[str, str]:
    """Folded lines joined, repeated fields too."""
    found: dict[str, str] = {}
    name = ""
    for line in filter(None, lines):
        if line[:1] in {" ", "\t"}:
            found[name] += f" {line}"
            continue
        name, _, value = line.partition(":")
        name = name.lower()
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def test_vectors_are_complete() -> None:
    if not VECTORS.is_dir():
        pytest.skip(f"no published vectors at {VECTORS}; STORAGE_VECTORS names their folder")
    assert len(CASES) == 38


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_vector_in_headers(folder: Path) -> None:
    vector = Vector(folder)
    headers = dict(vector.headers)
    if vector.sign_body:
        headers["x-amz-content-sha256"] = vector.payload
    signed = vector.signer.sign(
        vector.method, vector.host, vector.path, vector.query, headers, vector.payload, vector.now
    )
    assert signed["authorization"].endswith(
        f"Signature={vector.expected('header-signature.txt').strip()}"
    )
    names = vector.expected("header-canonical-request.txt").split("\n")[-2]
    assert f"SignedHeaders={names}, " in signed["authorization"]
    written = vector.expected("header-signed-request.txt")
    assert signed["authorization"] in written
    assert signed["x-amz-date"] in written


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_vector_in_query(folder: Path) -> None:
    vector = Vector(folder)
    target = vector.signer.presign(
        vector.method,
        vector.host,
        vector.path,
        vector.query,
        vector.headers,
        vector.expires,
        vector.now,
        vector.payload,
    )
    query = target.partition("?")[2]
    unsigned, _, signature = query.partition("&X-Amz-Signature=")
    assert signature == vector.expected("query-signature.txt").strip()
    assert unsigned == vector.expected("query-canonical-request.txt").split("\n")[2]


# --- the examples of the Amazon S3 API reference --------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "payload", "signature"),
    [
        (
            "GET",
            "/test.txt",
            "",
            {"range": "bytes=0-9"},
            EMPTY_SHA256,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/" + encode_key("test$file.text"),
            "",
            {
                "date": "Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-storage-class": "REDUCED_REDUNDANCY",
            },
            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/",
            canonical_query([("lifecycle", "")]),
            {},
            EMPTY_SHA256,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/",
            canonical_query([("prefix", "J"), ("max-keys", "2")]),
            {},
            EMPTY_SHA256,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_example_of_header_signing(
    method: str, path: str, query: str, headers: dict[str, str], payload: str, signature: str
) -> None:
    signer = Signer(EXAMPLE, "us-east-1")
    signed = signer.sign(method, HOST, path, query, headers, payload, EXAMPLE_TIME)
    assert signed["authorization"].rpartition("=")[2] == signature
    assert signed["x-amz-content-sha256"] == payload
    assert "host" not in signed


def test_example_of_a_presigned_link() -> None:
    signer = Signer(EXAMPLE, "us-east-1")
    assert signer.presign("GET", HOST, "/test.txt", "", {}, 86400, EXAMPLE_TIME) == (
        "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


# --- botocore -------------------------------------------------------------------------

keys = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs", "Cc"]), st.sampled_from("/.%+ ~'()*!&=?#:@\\")
    ),
    min_size=1,
    max_size=40,
)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
names = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)
moments = st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
queries = st.dictionaries(
    st.one_of(names, st.sampled_from(["Zed", "A", "X-Amz-A", "é", "x y"])), values, max_size=4
)
headers_given = st.dictionaries(
    names.map(lambda name: f"x-amz-meta-{name}"), values.filter(str.strip), max_size=4
)
tokens = st.one_of(st.none(), st.just("token/with+odd=characters"))


def _theirs(auth, method, key, query, headers, moment, payload=None):
    url = f"https://{HOST}/{encode_key(key)}"
    if query:
        url += f"?{canonical_query(query.items())}"
    request = AWSRequest(method, url, headers=dict(headers))
    request.context["client_config"] = None
    if payload is not None:
        request.context["payload_signing_enabled"] = False
        auth.payload = lambda _request: payload
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        auth.add_auth(request)
    return request


@given(keys, queries, headers_given, moments, tokens, st.sampled_from([UNSIGNED, EMPTY_SHA256]))
def test_headers_as_botocore_signs_them(key, query, headers, moment, token, payload) -> None:
    ours = Signer(Keys("AKID", "secret", token), "eu-central-1").sign(
        "PUT",
        HOST,
        f"/{encode_key(key)}",
        canonical_query(query.items()),
        headers,
        payload,
        moment.timestamp(),
    )
    auth = S3SigV4Auth(Credentials("AKID", "secret", token), "s3", "eu-central-1")
    request = _theirs(auth, "PUT", key, query, headers, moment, payload)
    assert request.headers["Authorization"] == ours["authorization"]
    assert request.headers["X-Amz-Date"] == ours["x-amz-date"]
    assert request.headers["X-Amz-Content-SHA256"] == ours["x-amz-content-sha256"]
    assert request.headers.get("X-Amz-Security-Token") == ours.get("x-amz-security-token")


@given(
    st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]),
    keys,
    queries,
    headers_given,
    moments,
    tokens,
    st.integers(1, 604800),
)
def test_links_as_botocore_signs_them(method, key, query, headers, moment, token, expires) -> None:
    ours = Signer(Keys("AKID", "secret", token), "eu-central-1").presign(
        method,
        HOST,
        f"/{encode_key(key)}",
        canonical_query(query.items()),
        headers,
        expires,
        moment.timestamp(),
    )
    auth = S3SigV4QueryAuth(Credentials("AKID", "secret", token), "s3", "eu-central-1", expires)
    request = _theirs(auth, method, key, query, headers, moment)
    theirs = urlsplit(request.url)
    path, _, own = ours.partition("?")
    assert path == theirs.path
    assert sorted(parse_qsl(own, keep_blank_values=True)) == sorted(
        parse_qsl(theirs.query, keep_blank_values=True)
    )


# --- what is ours alone ---------------------------------------------------------------


def test_one_signer_through_the_seconds_and_days() -> None:
    kept = Signer(EXAMPLE, "us-east-1")
    for now in (0, 1, 86399, 86400, 86400.9, 1, EXAMPLE_TIME, 4e9, EXAMPLE_TIME):
        fresh = Signer(EXAMPLE, "us-east-1")
        expected = fresh.sign("GET", HOST, "/a", "", {}, EMPTY_SHA256, now)
        assert kept.sign("GET", HOST, "/a", "", {}, EMPTY_SHA256, now) == expected
        assert kept.presign("GET", HOST, "/a", "", {}, 9, now) == fresh.presign(
            "GET", HOST, "/a", "", {}, 9, now
        )


def test_nothing_shows_the_secret() -> None:
    token = Keys("AKID", "the-secret", "the-token")
    signer = Signer(token, "us-east-1")
    for text in (repr(token), str(token), f"{token}", repr(signer), str(signer)):
        assert "the-secret" not in text
        assert "the-token" not in text


def test_the_headers_given_are_left_alone() -> None:
    headers = {"range": "bytes=0-9"}
    Signer(EXAMPLE, "us-east-1").sign("GET", HOST, "/a", "", headers, EMPTY_SHA256, 0)
    assert headers == {"range": "bytes=0-9"}


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        ("plain/key-1_2.txt~", "plain/key-1_2.txt~"),
        ("a//b/../c/./", "a//b/../c/./"),
        ("a b+c&d=e?f#g%h", "a%20b%2Bc%26d%3De%3Ff%23g%25h"),
        ("é/☃", "%C3%A9/%E2%98%83"),
        ("\N{KELVIN SIGN}", "%E2%84%AA"),
        ("a\n", "a%0A"),
    ],
)
def test_keys_are_encoded_and_nothing_else(key: str, encoded: str) -> None:
    assert encode_key(key) == encoded


def test_query_texts_encode_the_slash_too() -> None:
    assert encode_text("a/b c\n") == "a%2Fb%20c%0A"
    assert canonical_query([("prefix", "a/b"), ("list-type", "2"), ("delimiter", "")]) == (
        "delimiter=&list-type=2&prefix=a%2Fb"
    )
