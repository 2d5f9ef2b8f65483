"""The strict double, driven by clients that others wrote: google-auth, google-cloud-storage and
gcsfs. What they do has to work there as it does at Google."""

import io
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any

import gcsfs.core
import google.api_core.exceptions
import google.auth.credentials
import google.auth.iam
import google.auth.transport.requests
import pytest
from google.auth.exceptions import RefreshError
from google.cloud import storage
from google.oauth2 import service_account

from tests.servers.gate_client import GateClient

READ_WRITE = "https://www.googleapis.com/auth/devstorage.read_write"
PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
MIB = 1 << 20


def credentials(key: dict[str, Any], *scopes: str) -> service_account.Credentials:
    return service_account.Credentials.from_service_account_info(
        key, scopes=scopes or (READ_WRITE,)
    )


def client_of(gate: GateClient, key: dict[str, Any]) -> storage.Client:
    return storage.Client(
        "gate-project", credentials(key), client_options={"api_endpoint": gate.origin}
    )


class RemoteSigner(google.auth.credentials.Signing):
    """Signs by the service, without a key of its own."""

    def __init__(self, made: service_account.Credentials, email: str) -> None:
        request = google.auth.transport.requests.Request()
        self._signer = google.auth.iam.Signer(request, made, email)
        self._email = email

    def sign_bytes(self, message: bytes) -> bytes:
        return self._signer.sign(message)

    @property
    def signer_email(self) -> str:
        return self._email

    @property
    def signer(self) -> google.auth.iam.Signer:
        return self._signer


@pytest.fixture(autouse=True)
def no_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    """google-auth asks Google, in the background, where an account may be used from."""
    monkeypatch.setattr(service_account.Credentials, "_is_regional_endpoint", lambda *_: True)


@pytest.fixture
def client(gcs_gate: GateClient) -> Iterator[storage.Client]:
    made = client_of(gcs_gate, gcs_gate.key)
    yield made
    made.close()


@pytest.fixture
def place(client: storage.Client) -> storage.Bucket:
    return client.create_bucket("place", location="europe-west3")


# --- google-auth ----------------------------------------------------------------------


def test_service_account_gets_a_token_that_works(gcs_gate: GateClient) -> None:
    made = credentials(gcs_gate.key)
    with google.auth.transport.requests.AuthorizedSession(made) as session:
        answer = session.get(f"{gcs_gate.origin}/storage/v1/b?project=gate-project")
    assert answer.status_code == 200
    assert answer.json() == {"kind": "storage#buckets"}


@pytest.mark.parametrize(
    "change",
    [
        {"client_email": "nobody@gate-project.iam.gserviceaccount.com"},
        {"private_key_id": "0" * 40},
    ],
    ids=["unknown account", "unknown key"],
)
def test_grant_of_a_stranger_is_refused(gcs_gate: GateClient, change: dict[str, str]) -> None:
    with pytest.raises(RefreshError, match="invalid_grant"):
        credentials(gcs_gate.key | change).refresh(google.auth.transport.requests.Request())


def test_grant_with_another_private_key_is_refused(gcs_gate: GateClient) -> None:
    key = gcs_gate.key | {"private_key": gcs_gate.denied_key["private_key"]}
    with pytest.raises(RefreshError, match="Invalid JWT Signature"):
        credentials(key).refresh(google.auth.transport.requests.Request())


@pytest.mark.parametrize("shift", [-86_400, 86_400])
def test_grant_at_the_wrong_time_is_refused(gcs_gate: GateClient, shift: int) -> None:
    gcs_gate.shift(shift)
    with pytest.raises(RefreshError, match="reasonable timeframe"):
        credentials(gcs_gate.key).refresh(google.auth.transport.requests.Request())


def test_grant_of_an_unknown_scope_is_refused(gcs_gate: GateClient) -> None:
    made = credentials(gcs_gate.key, "https://www.googleapis.com/auth/nothing")
    with pytest.raises(RefreshError, match="invalid_scope"):
        made.refresh(google.auth.transport.requests.Request())


def test_sign_blob_signs_links(
    gcs_gate: GateClient, place: storage.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.blob("key").upload_from_string(b"data")
    monkeypatch.setattr(
        google.auth.iam,
        "_IAM_SIGN_ENDPOINT",
        gcs_gate.origin + "/v1/projects/-/serviceAccounts/{}:signBlob",
    )
    signer = RemoteSigner(credentials(gcs_gate.key, PLATFORM), gcs_gate.email)
    link = place.blob("key").generate_signed_url(
        3600, version="v4", api_access_endpoint=gcs_gate.origin, credentials=signer
    )
    assert gcs_gate.url("GET", link).body == b"data"


# --- google-cloud-storage -------------------------------------------------------------


def test_objects_of_the_official_client(client: storage.Client, place: storage.Bucket) -> None:
    blob = place.blob("a/ü %2F+?#&.txt")
    blob.metadata = {"colour": "blåa"}
    blob.cache_control = "no-store"
    blob.upload_from_string(b"hello", content_type="text/plain", if_generation_match=0)
    with pytest.raises(google.api_core.exceptions.PreconditionFailed):
        blob.upload_from_string(b"other", if_generation_match=0)
    again = place.get_blob(blob.name)
    assert again is not None
    assert (again.size, again.md5_hash, again.crc32c) == (5, "XUFAKrxLKna5cZ2REBfFkg==", "mnG7TA==")
    assert (again.metadata, again.cache_control) == ({"colour": "blåa"}, "no-store")
    assert again.download_as_bytes(checksum="crc32c") == b"hello"
    assert again.download_as_bytes(start=1, end=2) == b"el"
    blob.metadata = {"colour": None, "shape": "round"}
    blob.patch(if_metageneration_match=1)
    again.reload()
    assert (again.metadata, again.metageneration) == ({"shape": "round"}, 2)
    assert again.generation == blob.generation
    blob.delete(if_generation_match=blob.generation)
    assert place.get_blob(blob.name) is None


def test_resumable_upload_of_the_official_client(place: storage.Bucket) -> None:
    data = bytes(range(256)) * 4000
    blob = place.blob("big", chunk_size=256 << 10)
    blob.upload_from_file(io.BytesIO(data), checksum="crc32c", if_generation_match=0)
    assert blob.md5_hash is not None
    assert blob.download_as_bytes() == data
    with pytest.raises(google.api_core.exceptions.PreconditionFailed):
        blob.upload_from_file(io.BytesIO(data), if_generation_match=0)


def test_listing_of_the_official_client(client: storage.Client, place: storage.Bucket) -> None:
    for name in ("a", "b/1", "b/2", "b/", "c/1/2", "d", "ä"):
        place.blob(name).upload_from_string(b"")
    found = client.list_blobs(place, delimiter="/", page_size=2)
    assert [blob.name for blob in found] == ["a", "d", "ä"]
    assert found.prefixes == {"b/", "c/"}
    found = client.list_blobs(place, delimiter="/", page_size=1, include_trailing_delimiter=True)
    assert [blob.name for blob in found] == ["a", "b/", "d", "ä"]
    found = client.list_blobs(place, start_offset="b/1", end_offset="d", page_size=1)
    assert [blob.name for blob in found] == ["b/1", "b/2", "c/1/2"]
    found = client.list_blobs(place, prefix="b/", fields="items(name),nextPageToken", page_size=2)
    assert [(blob.name, blob.size) for blob in found] == [
        ("b/", None),
        ("b/1", None),
        ("b/2", None),
    ]


def test_versions_of_the_official_client(client: storage.Client, place: storage.Bucket) -> None:
    place.versioning_enabled = True
    place.patch()
    blob = place.blob("key")
    blob.upload_from_string(b"one")
    first = blob.generation
    blob.upload_from_string(b"two")
    assert place.blob("key", generation=first).download_as_bytes() == b"one"
    place.blob("key").delete()
    assert place.get_blob("key") is None
    kept = list(client.list_blobs(place, versions=True))
    assert [b.generation for b in kept] == [first, blob.generation]
    assert all(b.time_deleted for b in kept)
    with pytest.raises(google.api_core.exceptions.Conflict):
        place.delete()
    for version in kept:
        version.delete()
    place.delete()


def test_batch_copy_compose_of_the_official_client(
    client: storage.Client, place: storage.Bucket
) -> None:
    one, two = place.blob("one"), place.blob("two")
    one.upload_from_string(b"1" * 100_000, content_type="text/one")
    two.upload_from_string(b"2")
    both = place.blob("both")
    both.compose([one, two], if_generation_match=0)
    assert both.md5_hash is None
    assert both.component_count == 2
    assert both.download_as_bytes(checksum="crc32c") == b"1" * 100_000 + b"2"
    copy = place.copy_blob(one, place, "copy")
    assert (copy.content_type, copy.crc32c) == ("text/one", one.crc32c)
    moved = place.blob("moved")
    assert moved.rewrite(two) == (None, 1, 1)
    with client.batch():
        for name in ("one", "two", "both", "copy"):
            place.delete_blob(name)
    assert [blob.name for blob in client.list_blobs(place)] == ["moved"]


def test_account_without_a_role_is_denied(gcs_gate: GateClient, place: storage.Bucket) -> None:
    place.blob("key").upload_from_string(b"data")
    other = client_of(gcs_gate, gcs_gate.denied_key)
    with pytest.raises(google.api_core.exceptions.Forbidden, match=r"storage\.objects\.get"):
        other.bucket("place").blob("key").download_as_bytes()
    with pytest.raises(google.api_core.exceptions.Forbidden):
        list(other.list_blobs("place"))
    with pytest.raises(google.api_core.exceptions.NotFound):
        list(other.list_blobs("no-such-place"))
    other.close()


def test_compressed_data_is_decompressed_for_who_does_not_take_it(
    gcs_gate: GateClient, place: storage.Bucket
) -> None:
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b"text" * 1000) + packer.flush()
    blob = place.blob("packed")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed)
    link = blob.generate_signed_url(3600, version="v4", api_access_endpoint=gcs_gate.origin)
    raw = gcs_gate.url("GET", link, Accept_Encoding="gzip")
    assert (raw.body, raw.headers["content-encoding"]) == (packed, "gzip")
    with urllib.request.urlopen(link) as plain:
        assert plain.read() == b"text" * 1000
        assert plain.headers["x-goog-stored-content-encoding"] == "gzip"


# --- gcsfs ----------------------------------------------------------------------------


def test_filesystem_of_gcsfs(gcs_gate: GateClient) -> None:
    fs = gcsfs.core.GCSFileSystem(
        "gate-project",
        token=gcs_gate.key,
        endpoint_url=gcs_gate.origin,
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    fs.mkdir("fsbucket")
    fs.pipe("fsbucket/dir/small", b"data")
    with fs.open("fsbucket/dir/large", "wb", block_size=300 << 10) as file:
        file.write(b"q" * MIB)
    assert fs.cat_file("fsbucket/dir/large", start=5, end=8) == b"qqq"
    fs.copy("fsbucket/dir/large", "fsbucket/copy")
    assert sorted(fs.find("fsbucket")) == [
        "fsbucket/copy",
        "fsbucket/dir/large",
        "fsbucket/dir/small",
    ]
    assert fs.ls("fsbucket") == ["fsbucket/copy", "fsbucket/dir"]
    fs.rm("fsbucket", recursive=True)
    assert not fs.exists("fsbucket")


def test_notes_tell_what_was_undocumented(gcs_gate: GateClient, bucket: str) -> None:
    answer = gcs_gate.json("GET", f"/storage/v1/b/{bucket}?wish=1")
    assert (answer.status, answer.reason) == (400, "invalidParameter")
    answer = gcs_gate.json("GET", f"/storage/v1/b/{bucket}/o?matchGlob=*")
    assert (answer.status, answer.reason) == (501, "notImplemented")
    assert [note["note"] for note in gcs_gate.notes()] == [
        "undocumented: parameter 'wish' of GET b/*",
        "not implemented: parameter matchGlob",
    ]
