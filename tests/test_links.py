"""Gateway links: what is signed is what is verified, and nothing else passes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from storage_core.errors import (
    ConfigError,
    InvalidBucketNameError,
    InvalidKeyError,
    InvalidMetadataError,
    InvalidRequestError,
    PermissionDeniedError,
)
from storage_core.links import LinkError, LinkKeys, link_path, sign_link, verify_link
from storage_core.model import Link
from storage_core.requests import PresignRequest

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
SECRET = b"0123456789abcdef0123456789abcdef"
KEYS = LinkKeys({"k1": SECRET})
BASE = "https://files.example.org/s"

ODD_KEYS = [
    "plain.txt",
    "a//b",
    "/leading",
    "trailing/",
    "//",
    "a/b/c",
    "what?",
    "frag#ment",
    "100%",
    "%2F%2f%41",
    "a+b c",
    "dots...",
    "..a/b..",
    "a/../b",
    "./a",
    "a/.",
    "a/..",
    ".../x",
    'a:b\\c*"<>|',
    "emoji-🍏",
    "é-e\u0301",
    "semi;colon=1&x=2",
    "line\nbreak",
    "~tilde'(quote)!$,@",
    "CON",
    "x" * 1024,
    "ü" * 512,
]


def request(**changes: Any) -> PresignRequest:
    base = PresignRequest(bucket="fruit", key="2012/a.csv", method="GET", expires_in=900, now=NOW)
    return base._replace(**changes)


def sign(**changes: Any) -> Link:
    return sign_link(BASE, KEYS, request(**changes))


def parts(link: Link | str) -> tuple[str, str]:
    url = link if isinstance(link, str) else link.url
    target = url.removeprefix(BASE)
    path, _, query = target.partition("?")
    return path, query


def verify(link: Link | str, method: str = "GET", keys: LinkKeys = KEYS, now: datetime = NOW):
    path, query = parts(link)
    return verify_link(method, path, query, keys, now)


def reason(link: Link | str, method: str = "GET", **options: Any) -> str:
    with pytest.raises(LinkError) as caught:
        verify(link, method, **options)
    assert caught.value.status == 403
    return caught.value.reason


# --- round trip -----------------------------------------------------------------------


def test_everything_that_is_signed_comes_back():
    asked = request(
        method="PUT",
        content_type="text/csv; charset=utf-8",
        content_length=12,
        checksum=("sha256", "AB" * 32),
        if_absent=True,
    )
    link = sign_link(BASE, KEYS, asked, issuer="grant:7")
    assert link.headers == {"Content-Type": "text/csv; charset=utf-8"}
    assert link.method == "PUT"
    assert link.expires_at == datetime(2026, 3, 1, 12, 15, tzinfo=UTC)
    claims = verify(link, "PUT")
    assert (claims.method, claims.bucket, claims.key) == ("PUT", "fruit", "2012/a.csv")
    assert claims.content_type == "text/csv; charset=utf-8"
    assert claims.content_length == 12
    assert claims.checksum == ("sha256", "ab" * 32)
    assert claims.if_absent
    assert claims.issuer == "grant:7"
    assert claims.key_id == "k1"
    assert claims.expires == int(link.expires_at.timestamp())


def test_a_part_link_and_a_versioned_read():
    part = sign(method="PUT", upload_id="u/1?&=é", part_number=3)
    claims = verify(part, "PUT")
    assert (claims.upload_id, claims.part_number) == ("u/1?&=é", 3)
    read = sign(version="v+1/=", filename="naïve name+1.csv", content_type="text/csv")
    claims = verify(read)
    assert claims.version == "v+1/="
    assert claims.filename == "naïve name+1.csv"
    assert claims.content_type == "text/csv"
    assert read.headers == {}


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_survive(key: str):
    link = sign(key=key)
    assert verify(link).key == key
    # Nothing a URL parser splits on or collapses is left bare.
    path = urlsplit(link.url).path
    assert unquote(path) == f"/s/o/fruit/{key}"
    assert not {"", ".", ".."} & set(path.split("/")[1:])


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200))
def test_any_key_survives(key: str):
    assume(len(key.encode()) <= 1024 and "\0" not in key and key not in (".", ".."))
    assert verify(sign(key=key)).key == key


def test_two_keys_never_share_a_path():
    assert len({link_path("b", key) for key in ODD_KEYS}) == len(ODD_KEYS)


@pytest.mark.parametrize("key", [".", ".."])
def test_a_key_no_url_can_carry_is_refused(key: str):
    with pytest.raises(InvalidKeyError, match="URL"):
        sign(key=key)


def test_each_link_has_its_own_id():
    assert sign().url != sign().url
    assert verify(sign()).id != verify(sign()).id


def test_the_documented_signature():
    """The format as the module describes it, computed here without its code."""
    link = sign(key="a b/ü", filename="x y.csv")
    path, query = parts(link)
    fields = dict(parse_qsl(query))
    signature = fields.pop("sc-signature")
    canonical = "&".join(f"{name}={quote(fields[name], safe='')}" for name in sorted(fields))
    message = f"storage-core-link\nfruit\na%20b%2F%C3%BC\n{canonical}"
    mac = hmac.new(SECRET, message.encode(), hashlib.sha256).digest()
    assert signature == base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    assert path == "/o/fruit/a%20b/%C3%BC"


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS", "get"])
@pytest.mark.parametrize("signed", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_link_is_good_for_its_own_method_only(signed: str, method: str):
    link = sign(method=signed)
    if method == signed:
        assert verify(link, method).method == method
    else:
        assert reason(link, method) == "verb"


def test_expiry_is_to_the_second():
    link = sign(expires_in=60)
    assert verify(link, now=link.expires_at - timedelta(milliseconds=1))
    assert reason(link, now=link.expires_at) == "expired"
    assert reason(link, now=link.expires_at + timedelta(days=400)) == "expired"


def test_another_key_with_the_same_id_is_refused():
    other = LinkKeys({"k1": b"f" * 32})
    assert reason(sign(), keys=other) == "signature"
    assert reason(sign(), keys=LinkKeys({"k2": SECRET})) == "signature"


def test_rotation():
    old, both = LinkKeys({"k1": SECRET}), LinkKeys({"k1": SECRET, "k2": b"n" * 32})
    new = LinkKeys({"k2": b"n" * 32})
    before = sign_link(BASE, old, request())
    after = sign_link(BASE, both, request())
    assert verify(before, keys=both).key_id == "k1"
    assert verify(after, keys=both).key_id == "k2"
    assert verify(after, keys=new)
    assert reason(before, keys=new) == "signature"


FULL = {
    "method": "PUT",
    "content_type": "text/csv",
    "content_length": 5,
    "checksum": ("crc32c", "00112233"),
    "if_absent": True,
}
FULL_READ = {"version": "v1", "filename": "a.csv", "content_type": "text/csv"}


@pytest.mark.parametrize(
    "what", [FULL, FULL_READ, {"method": "PUT", "upload_id": "u", "part_number": 1}]
)
def test_each_parameter_is_covered(what: dict[str, Any]):
    link = sign(**what)
    method = str(what.get("method", "GET"))
    path, query = parts(link)
    pairs = query.split("&")
    for index, pair in enumerate(pairs):
        name, _, value = pair.partition("=")
        for changed in (f"{name}={value}0", f"{name}=", f"{name}=1{value}", f"{name}x={value}"):
            altered = "&".join([*pairs[:index], changed, *pairs[index + 1 :]])
            assert reason(f"{BASE}{path}?{altered}", method) in ("signature", "malformed")
        dropped = "&".join(pairs[:index] + pairs[index + 1 :])
        assert reason(f"{BASE}{path}?{dropped}", method) in ("signature", "malformed")
        doubled = "&".join([*pairs, pair])
        assert reason(f"{BASE}{path}?{doubled}", method) == "malformed"


@pytest.mark.parametrize(
    "extra", ["x=1", "sc-new=1", "sc-filename=evil.html", "utm_source=mail", "=", "&", "x", "%00=1"]
)
def test_a_parameter_that_is_not_signed_is_refused(extra: str):
    assert reason(f"{sign().url}&{extra}") in ("signature", "malformed")


def test_a_parameter_from_the_future_is_refused_even_signed():
    """A newer signer meant something by it; ignoring it could allow more than was meant."""
    path, query = parts(sign())
    fields = dict(parse_qsl(query))
    del fields["sc-signature"]
    fields["sc-new-rule"] = "only on mondays"
    canonical = "&".join(f"{name}={quote(fields[name], safe='')}" for name in sorted(fields))
    signature = KEYS.signature(
        "k1", f"storage-core-link\nfruit\n2012%2Fa.csv\n{canonical}".encode()
    )
    assert reason(f"{BASE}{path}?{canonical}&sc-signature={signature}") == "malformed"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sc-expires", "soon"),
        ("sc-expires", "-1"),
        ("sc-expires", "1e9"),
        ("sc-expires", "٣"),
        ("sc-content-length", "0x10"),
        ("sc-checksum", "sha256:12"),
        ("sc-checksum", "rot13:12"),
        ("sc-method", "PATCH"),
        ("sc-if-absent", "0"),
        ("sc-part", "1.0"),
    ],
)
def test_a_signed_value_that_makes_no_sense_is_refused(name: str, value: str):
    path, query = parts(sign())
    fields = dict(parse_qsl(query)) | {name: value}
    del fields["sc-signature"]
    canonical = "&".join(f"{field}={quote(fields[field], safe='')}" for field in sorted(fields))
    signature = KEYS.signature(
        "k1", f"storage-core-link\nfruit\n2012%2Fa.csv\n{canonical}".encode()
    )
    assert reason(f"{BASE}{path}?{canonical}&sc-signature={signature}") == "malformed"


@given(st.data())
def test_any_altered_byte_is_refused(data: st.DataObject):
    """Whatever byte of the URL is replaced: either the URL still means the same, byte for
    byte after decoding, or it is refused."""
    link = sign(key="a b/ü+1", method="PUT", content_type="text/csv", content_length=3)
    target = link.url.removeprefix(BASE)
    position = data.draw(st.integers(0, len(target) - 1))
    byte = data.draw(st.characters(min_codepoint=0x21, max_codepoint=0xFF))
    altered = target[:position] + byte + target[position + 1 :]
    if _meaning(altered) == _meaning(target):
        assert verify(BASE + altered, "PUT").key == "a b/ü+1"
    else:
        assert reason(BASE + altered, "PUT") in ("signature", "malformed")


def _meaning(target: str) -> object:
    path, mark, query = target.partition("?")
    pairs = sorted(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))
    return unquote(path, errors="surrogateescape"), mark, pairs


@given(st.text(max_size=80), st.text(max_size=200))
def test_garbage_is_refused_as_malformed(path: str, query: str):
    with pytest.raises(LinkError) as caught:
        verify_link("GET", path, query, KEYS, NOW)
    assert caught.value.reason in ("malformed", "signature")


@given(st.permutations(range(7)))
def test_order_and_spelling_do_no_harm(order: list[int]):
    path, query = parts(sign(key="a b/c@d", filename="x y+z.csv"))
    pairs = query.split("&")
    assert len(pairs) == 7
    shuffled = "&".join(pairs[index] for index in order)
    assert verify(f"{BASE}{path}?{shuffled}").filename == "x y+z.csv"
    respelt = shuffled.replace("%20", "+")
    assert verify(f"{BASE}{path}?{respelt}").filename == "x y+z.csv"
    assert verify(f"{BASE}{path.replace('%40', '@')}?{shuffled}").key == "a b/c@d"


@pytest.mark.parametrize(
    "path", ["", "/", "/o", "/o/", "/o/b", "/o/b/", "/o//k", "/x/b/k", "o/b/k"]
)
def test_other_paths_are_malformed(path: str):
    _, query = parts(sign())
    with pytest.raises(LinkError) as caught:
        verify_link("GET", path, query, KEYS, NOW)
    assert caught.value.reason == "malformed"


def test_a_link_for_one_place_is_not_good_for_another():
    _, query = parts(sign())
    for path in ("/o/fruit/2012/b.csv", "/o/other/2012/a.csv", "/o/fruit/2012//a.csv"):
        with pytest.raises(LinkError) as caught:
            verify_link("GET", path, query, KEYS, NOW)
        assert caught.value.reason == "signature"


def test_bucket_and_key_can_not_trade_characters():
    """`a` with `b/c` and `a/b` with `c` read alike in a URL; the signature tells them apart."""
    assert reason(sign(bucket="aa", key="b/c").url.replace("/aa/b/", "/aa%2Fb/")) == "signature"


# --- what can not be signed -----------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"method": "POST"}, InvalidRequestError, "POST"),
        ({"expires_in": 0}, InvalidRequestError, "expires_in"),
        ({"expires_in": 7 * 86400 + 1}, InvalidRequestError, "604800"),
        ({"bucket": "a/b"}, InvalidBucketNameError, "a/b"),
        ({"key": ""}, InvalidKeyError, "empty"),
        ({"key": "\ud800"}, InvalidKeyError, "surrogate"),
        ({"method": "PUT", "upload_id": "u"}, InvalidRequestError, "part_number"),
        ({"method": "PUT", "part_number": 1}, InvalidRequestError, "upload_id"),
        ({"upload_id": "u", "part_number": 1}, InvalidRequestError, "upload_id"),
        ({"method": "PUT", "upload_id": "u", "part_number": 0}, InvalidRequestError, "10000"),
        ({"method": "PUT", "version": "v"}, InvalidRequestError, "version"),
        ({"method": "DELETE", "content_type": "a/b"}, InvalidRequestError, "content_type"),
        ({"content_length": 1}, InvalidRequestError, "content_length"),
        ({"method": "PUT", "content_length": -1}, InvalidRequestError, "content_length"),
        ({"method": "PUT", "filename": "x"}, InvalidRequestError, "filename"),
        ({"method": "HEAD", "filename": "x"}, InvalidRequestError, "filename"),
        ({"filename": "a\u2028b"}, InvalidRequestError, "filename"),
        ({"filename": "a\r\nb"}, InvalidRequestError, "filename"),
        ({"filename": "\udc80"}, InvalidRequestError, "filename"),
        ({"if_absent": True}, InvalidRequestError, "if_absent"),
        ({"method": "PUT", "checksum": ("sha256", "12")}, InvalidRequestError, "64"),
        ({"method": "PUT", "checksum": ("rot13", "12")}, InvalidRequestError, "rot13"),
        ({"method": "PUT", "content_type": "a\r\nX: 1"}, InvalidMetadataError, "content_type"),
    ],
)
def test_refused_before_signing(changes: dict[str, Any], error: type, named: str):
    with pytest.raises(error, match=named):
        sign(**changes)


@pytest.mark.parametrize("issuer", ["with space", "x" * 129, "é"])
def test_a_malformed_issuer_is_refused(issuer: str):
    with pytest.raises(InvalidRequestError, match="issuer"):
        sign_link(BASE, KEYS, request(), issuer=issuer)


@pytest.mark.parametrize(
    "base",
    [
        "",
        "files.example.org",
        "ftp://x",
        "https://",
        "https://x/?a",
        "https://u:p@x/",
        "http://x#y",
    ],
)
def test_a_base_url_that_is_none_is_refused(base: str):
    with pytest.raises(ConfigError, match=r"links\.base_url"):
        sign_link(base, KEYS, request())


@pytest.mark.parametrize(
    "base", ["http://127.0.0.1:8080", "http://[::1]:80/", "https://x.org/a/b/"]
)
def test_base_urls(base: str):
    url = sign_link(base, KEYS, request()).url
    assert url.startswith(base.rstrip("/") + "/o/fruit/2012/a.csv?sc-")


# --- keys -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secrets", "named"),
    [
        ({}, "links.keys"),
        ({"k": b"short"}, "16"),
        ({"": b"x" * 32}, "id"),
        ({"a b": b"x" * 32}, "a b"),
    ],
)
def test_keys_that_can_not_work(secrets: dict[str, bytes], named: str):
    with pytest.raises(ConfigError, match=named):
        LinkKeys(secrets)


def test_secrets_never_show():
    keys = LinkKeys({"k1": b"topsecret-topsecret-topsecret"})
    link = sign_link(BASE, keys, request())
    signature = parts(link)[1].rpartition("=")[2]
    for text in (repr(keys), str(keys), repr(link), str(link)):
        assert "topsecret" not in text
        assert signature not in text
    with pytest.raises(LinkError) as caught:
        verify(link.url + "&a=1", keys=keys)
    assert "topsecret" not in repr(caught.value) + str(caught.value)
    with pytest.raises(ConfigError) as refused:
        LinkKeys({"k1": b"topsecret"})
    assert "topsecret" not in str(refused.value)


def test_generated_keys_sign_and_differ():
    first, second = LinkKeys.generate(), LinkKeys.generate()
    link = sign_link(BASE, first, request())
    assert verify(link, keys=first)
    assert reason(link, keys=second) == "signature"


def test_keys_and_errors_survive_pickling():
    keys = pickle.loads(pickle.dumps(LinkKeys({"a": b"a" * 32, "b": b"b" * 32})))
    assert (list(keys), keys.newest, len(keys)) == (["a", "b"], "b", 2)
    error = pickle.loads(pickle.dumps(LinkError("expired", "the link has expired")))
    assert (error.reason, error.code, error.status) == ("expired", "link_expired", 403)
    assert isinstance(error, PermissionDeniedError)
