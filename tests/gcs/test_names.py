"""Etags, keys and addresses."""

import pytest

from storage_core.errors import InvalidKeyError
from storage_gcs import sessions
from storage_gcs.names import (
    HIDDEN,
    NEVER,
    Endpoint,
    State,
    check_own,
    encode_key,
    encode_path,
    is_generation,
    state_of,
)


def test_etag_and_back():
    state = State("1700000000000000", "3")
    assert state.etag == "1700000000000000-3"
    assert state_of(state.etag) == state


@pytest.mark.parametrize(
    "etag",
    ["", "-", "1-", "-1", "0-1", "1-0", "a-1", "1-1-1", '"1-1"', "1" * 20 + "-1", "\u0661-1"],
)
def test_what_is_no_etag_matches_nothing(etag):
    assert state_of(etag) == NEVER


@pytest.mark.parametrize("version", ["", "0", "01", "-1", "1 ", "x", "1.0", "9" * 20, "\u0661"])
def test_what_is_no_generation(version):
    assert not is_generation(version)
    assert is_generation("1700000000000000")


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a", "a"),
        ("a/b", "a%2Fb"),
        ("a/../b", "a%2F..%2Fb"),
        ("/", "%2F"),
        ("...", "..."),
        ("ä b", "%C3%A4%20b"),
        ("a?b#c%d", "a%3Fb%23c%25d"),
        ("~_-.", "~_-."),
        ("a+b", "a%2Bb"),
    ],
)
def test_keys_are_one_segment(key, path):
    place = Endpoint("https://storage.example.org/base/").bucket("my.bucket")
    assert encode_key(key) == path
    assert place.resource(key) == f"/base/storage/v1/b/my.bucket/o/{path}"
    assert place.object(key) == f"/base/my.bucket/{path}"


def test_links_keep_slashes():
    assert encode_path("a//b c/~") == "a//b%20c/~"


@pytest.mark.parametrize("key", [".", "..", "a\nb", "a\rb"])
def test_names_no_object_can_have(key):
    with pytest.raises(InvalidKeyError):
        encode_key(key)


@pytest.mark.parametrize("key", [HIDDEN, f"{HIDDEN}u/x", ".well-known/acme-challenge/x"])
def test_reserved_keys_are_not_made(key):
    with pytest.raises(InvalidKeyError, match="begin with"):
        check_own(key)


def test_likely_keys_are():
    for key in (".", ".storage-cor", ".storage-core", "a/.storage-core/", ".well-known/x", "a"):
        check_own(key)


@pytest.mark.parametrize("url", ["storage.example.org", "ftp://x", "https://"])
def test_endpoints_are_urls(url):
    with pytest.raises(ValueError, match="is not an http"):
        Endpoint(url)


def test_places_are_kept_within_bounds():
    endpoint = Endpoint("http://127.0.0.1:1")
    assert endpoint.bucket("a") is endpoint.bucket("a")
    for number in range(10_001):
        endpoint.bucket(f"b{number}")
    assert len(endpoint._places) <= 10_000


# --- sessions -------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a", "ä/\t b", "x" * 990, "x" * 1024, "ä" * 512, "🧀" * 256])
def test_sessions_have_hidden_keys(key):
    session = sessions.begun(key)._replace(upload_id="an-id.with+odd/chars=")
    assert len(session.hidden.encode()) <= 1024
    assert session.hidden.startswith(sessions.prefix_of(key[:3]))
    assert sessions.of_id(key, session.id) == session
    listed = sessions.of_hidden(session.hidden, session.upload_id)
    assert listed is not None
    assert (listed.token, listed.upload_id) == (session.token, session.upload_id)
    assert listed.hidden == session.hidden
    assert listed.key == key or session.long


def test_hidden_keys_order_as_their_keys():
    keys = ["a", "a ", "a!", "a/", "a/b", "aa", "b", "ä", "🧀"]
    hidden = [sessions.begun(key).hidden for key in keys]
    assert sorted(hidden, key=str.encode) == hidden


@pytest.mark.parametrize("session_id", ["", ".", "x", "0123456789abcdef", ".id", "G" * 16 + ".id"])
def test_other_ids(session_id):
    from storage_core.errors import UploadNotFoundError

    with pytest.raises(UploadNotFoundError):
        sessions.of_id("a", session_id)


@pytest.mark.parametrize(
    "hidden", ["a", ".storage-core/u/a", ".storage-core/u/\tx", "\t" + "0" * 16]
)
def test_sessions_of_others(hidden):
    assert sessions.of_hidden(hidden, "id") is None
