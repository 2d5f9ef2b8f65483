"""Signatures: against the worked example of the reference, and against Microsoft's own signer."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from azure.storage.blob import UserDelegationKey
from azure.storage.blob import _shared_access_signature as microsoft_sas
from azure.storage.blob._shared import authentication as microsoft
from hypothesis import given
from hypothesis import strategies as st

from storage_azure.signing import (
    API_VERSION,
    DelegationKey,
    Grant,
    Query,
    SharedKey,
    blob_sas,
    encode_query,
    sas_time,
    string_to_sign,
)
from storage_core.errors import ConfigError

ACCOUNT = "myaccount"
KEY = "Zm9yIHRlc3RzIG9ubHksIG5vIGFjY291bnQgaGFzIGl0Li4uLi4uLi4uLi4uLi4="
EXPIRY = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

METADATA = st.text("abcxyz0189_", min_size=1, max_size=12)
VALUES = st.text("abcXYZ019 =?;/+-_", max_size=20).map(str.strip)


def signed_by_microsoft(
    method: str, path: str, query: Query, headers: dict[str, str], length: int
) -> str:
    """Value of ``Authorization`` as the SDK makes it."""
    sent = dict(headers)
    if length:
        sent["Content-Length"] = str(length)
    url = f"https://{ACCOUNT}.blob.core.windows.net{path}?{urlencode(query)}"
    request = SimpleNamespace(method=method, url=url, query=dict(query), headers=sent)
    context = SimpleNamespace(transport=None)
    policy = microsoft.SharedKeyCredentialPolicy(ACCOUNT, KEY)
    policy.on_request(SimpleNamespace(http_request=request, context=context))
    return sent["Authorization"]


def test_the_worked_example_of_the_reference() -> None:
    # "Authorize with Shared Key", the example of a request for a container's metadata.
    text = string_to_sign(
        ACCOUNT,
        "GET",
        "/mycontainer",
        (("comp", "metadata"), ("restype", "container"), ("timeout", "20")),
        {"x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT", "x-ms-version": "2015-02-21"},
        0,
    )
    assert text == (
        "GET\n\n\n\n\n\n\n\n\n\n\n\n"
        "x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
        "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
    )


@given(
    method=st.sampled_from(("GET", "PUT", "HEAD", "DELETE", "POST")),
    path=st.sampled_from(("/c", "/c/a", "/c/a%20b/%25", "/account/c/a%2B", "/")),
    query=st.dictionaries(st.sampled_from(("blockid", "comp", "prefix", "restype")), VALUES),
    metadata=st.dictionaries(METADATA, VALUES.filter(bool), max_size=6),
    standard=st.dictionaries(
        st.sampled_from(
            ("content-type", "content-md5", "if-match", "if-none-match", "if-modified-since")
        ),
        VALUES.filter(bool),
    ),
    length=st.sampled_from((0, 1, 1024)),
)
def test_requests_are_signed_as_microsoft_signs_them(
    method: str,
    path: str,
    query: dict[str, str],
    metadata: dict[str, str],
    standard: dict[str, str],
    length: int,
) -> None:
    headers = {f"x-ms-meta-{name}": value for name, value in metadata.items()}
    headers |= {"x-ms-date": "Sun, 06 Nov 1994 08:49:37 GMT", "x-ms-version": API_VERSION}
    headers |= {"x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": "text/plain"}
    headers |= standard
    pairs = tuple(sorted(query.items()))
    ours = SharedKey(ACCOUNT, KEY).authorization(method, path, pairs, headers, length)
    assert ours == signed_by_microsoft(method, path, pairs, headers, length)


GRANTS = (
    Grant("r", sas_time(EXPIRY)),
    Grant("cw", sas_time(EXPIRY)),
    Grant("d", sas_time(EXPIRY), "2024-01-01T00:00:00.0000000Z"),
    Grant("r", sas_time(EXPIRY), "", {"rscd": 'attachment; filename="a b"', "rsct": "text/csv"}),
)


@pytest.fixture
def microsoft_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK signs for its own version of the API; the one we speak is older."""
    monkeypatch.setattr(microsoft_sas, "X_MS_VERSION", API_VERSION)


def by_microsoft(grant: Grant, name: str, protocol: str, **key: Any) -> dict[str, str]:
    """Fields of the SDK's signature."""
    token = microsoft_sas.generate_blob_sas(
        ACCOUNT,
        "container",
        name,
        permission=grant.permissions,
        expiry=EXPIRY,
        version_id=grant.version or None,
        content_disposition=grant.answer.get("rscd"),
        content_type=grant.answer.get("rsct"),
        protocol=protocol or None,
        **key,
    )
    return dict(parse_qsl(token))


@pytest.mark.usefixtures("microsoft_version")
@pytest.mark.parametrize("grant", GRANTS)
@pytest.mark.parametrize("name", ["a", "a b/ü%2F+.txt", "a//b/"])
@pytest.mark.parametrize("protocol", ["", "https"])
def test_links_are_signed_as_microsoft_signs_them(grant: Grant, name: str, protocol: str) -> None:
    fields = dict(blob_sas(SharedKey(ACCOUNT, KEY), ACCOUNT, "container", name, grant, protocol))
    fields.pop("versionid", None)  # the SDK adds it to the URL
    assert fields == by_microsoft(grant, name, protocol, account_key=KEY)


# Fields the reference added after our version of the API: tenant and object id of a delegated
# user, and names of signed headers and parameters.
LATER = (13, 14, 21, 22)


@pytest.mark.usefixtures("microsoft_version")
@pytest.mark.parametrize("grant", GRANTS)
def test_delegated_links_are_signed_as_microsoft_signs_them(grant: Grant) -> None:
    key = DelegationKey(
        "object-id", "tenant-id", "2029-01-01T00:00:00Z", "2030-02-01T00:00:00Z", "b",
        "2023-11-03", KEY,
    )  # fmt: skip
    theirs = UserDelegationKey()
    theirs.signed_oid, theirs.signed_tid = key.object_id, key.tenant_id
    theirs.signed_start, theirs.signed_expiry = key.start, key.expiry
    theirs.signed_service, theirs.signed_version = key.service, key.version
    theirs.value = key.value
    texts: list[str] = []
    expected = by_microsoft(
        grant, "a/b", "https", user_delegation_key=theirs, sts_hook=texts.append
    )
    lines = texts[0].split("\n")
    assert [lines[place] for place in LATER] == [""] * len(LATER)
    text = "\n".join(line for place, line in enumerate(lines) if place not in LATER)
    expected["sig"] = SharedKey(ACCOUNT, KEY).sign(text)
    fields = dict(blob_sas(key, ACCOUNT, "container", "a/b", grant, "https"))
    fields.pop("versionid", None)
    assert fields == expected


def test_a_key_that_is_none_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match="account_key") as caught:
        SharedKey(ACCOUNT, "secret, not base64")
    assert "secret" not in str(caught.value)
    assert KEY not in repr(SharedKey(ACCOUNT, KEY))


def test_parameters_are_encoded_once() -> None:
    assert encode_query((("prefix", "a b/%"), ("sig", "a+/="))) == (
        "prefix=a%20b%2F%25&sig=a%2B%2F%3D"
    )
