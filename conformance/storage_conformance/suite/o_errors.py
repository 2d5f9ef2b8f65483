"""Category O: each failure is one class, says what it is about, and shows no secret."""

from __future__ import annotations

import base64
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

import storage_core
from storage_conformance.cases import case, unsupported
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, together
from storage_conformance.watch import no_requests, requests
from storage_core import (
    AuthenticationError,
    Bucket,
    BucketNotFoundError,
    ClosedError,
    InvalidKeyError,
    InvalidMetadataError,
    InvalidRequestError,
    NotFoundError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PermissionDeniedError,
    Storage,
    StorageError,
)
from storage_core.driver import Driver
from storage_core.model import DeleteResult

Profile = str | Mapping[str, Any] | Driver
Call = Callable[[Bucket], object]

READS: dict[str, Call] = {
    "get": lambda b: b.get("none"),
    "head": lambda b: b.head("none"),
    "copy": lambda b: b.copy("none", "to"),
    "move": lambda b: b.move("none", "to"),
}
"""Public operation to a call of it that needs an object."""

OTHERS: dict[str, Call] = {
    "put": lambda b: b.put("none", b"1"),
    "delete": lambda b: b.delete("none"),
    "delete_many": lambda b: b.delete_many(["none"]),
    "list": lambda b: list(b.list()),
    "info": lambda b: b.info(),
}


def calls(bucket: Bucket) -> dict[str, Call]:
    """Every operation the profile has, by its public name."""
    found = {**READS, **OTHERS}
    capabilities = bucket.storage.capabilities
    if capabilities.update_metadata:
        found["update_metadata"] = lambda b: b.update_metadata("none", content_type="a/b")
    if capabilities.tags:
        found["get_tags"] = lambda b: b.get_tags("none")
        found["put_tags"] = lambda b: b.put_tags("none", {"t": "1"})
    if capabilities.versions:
        found["list_versions"] = lambda b: list(b.list_versions())
    if capabilities.multipart:
        found["create_upload"] = lambda b: b.create_upload("none")
        found["list_uploads"] = lambda b: list(b.list_uploads())
    return found


class Errors(Suite):
    """Cases O.

    Two fixtures give profiles that must fail; without them their cases do not run:
    `denied` one whose credentials are valid but allow nothing, `wrong_credentials` one whose
    credentials are not.
    """

    @pytest.fixture
    def denied(self) -> Profile | None:
        """A profile of the same service that may do nothing."""
        return None

    @pytest.fixture
    def wrong_credentials(self) -> Profile | None:
        """A profile of the same service with credentials it does not know."""
        return None

    @case(
        "O01",
        "a missing object is ObjectNotFoundError, by every operation that needs it",
        clause="Errors",
    )
    def test_o01_missing_object(self, bucket: Bucket) -> None:
        for name, call in calls(bucket).items():
            if name in READS or name in {"update_metadata", "get_tags", "put_tags"}:
                with pytest.raises(ObjectNotFoundError) as caught:
                    call(bucket)
                assert isinstance(caught.value, FileNotFoundError), name
        assert keys_of(bucket.list()) == []

    @case("O02", "a missing bucket is BucketNotFoundError, by every operation", clause="Errors")
    def test_o02_missing_bucket(self, storage: Storage, bucket: Bucket) -> None:
        missing = storage.bucket(f"{bucket.name[:50]}-none")
        for name, call in calls(bucket).items():
            with pytest.raises(BucketNotFoundError):
                call(missing)
            assert not storage.bucket_exists(missing.name), f"{name} made the bucket"
        with pytest.raises(BucketNotFoundError):
            missing.exists("none")

    @case(
        "O03", "an error tells the operation, the bucket and the key it is about", clause="Errors"
    )
    def test_o03_context(self, storage: Storage, bucket: Bucket) -> None:
        missing = storage.bucket(f"{bucket.name[:50]}-none")
        for name, call in calls(bucket).items():
            with pytest.raises(StorageError) as caught:
                call(missing)
            error = caught.value
            assert error.operation == name
            assert error.bucket == missing.name
            assert error.key in {None, "none", "to"}
            assert missing.name in str(error)
            assert name in str(error)
        for name, call in READS.items():
            with pytest.raises(ObjectNotFoundError) as caught_object:
                call(bucket)
            assert caught_object.value.operation == name
            assert caught_object.value.key == "none"
            assert "none" in str(caught_object.value)

    @case("O04", "errors come through pickle with all they tell", clause="Errors")
    def test_o04_pickle(self, bucket: Bucket) -> None:
        for call in READS.values():
            with pytest.raises(StorageError) as caught:
                call(bucket)
            error = caught.value
            again = pickle.loads(pickle.dumps(error))
            assert type(again) is type(error)
            assert str(again) == str(error)
            for name in ("operation", "bucket", "key", "status", "code", "attempts"):
                assert getattr(again, name) == getattr(error, name), name

    @case("O05", "a failure for good is told at once, without another try", clause="Errors")
    def test_o05_no_retry(self, bucket: Bucket) -> None:
        for name, call in READS.items():
            with requests(bucket.storage) as seen, pytest.raises(ObjectNotFoundError) as caught:
                call(bucket)
            assert caught.value.attempts <= 1
            assert not caught.value.retryable
            assert len(seen) == len(set(seen)), f"{name} sent {seen}"

    @case("O06", "bad arguments are refused by name before anything is sent", clause="Errors")
    def test_o06_bad_arguments(self, bucket: Bucket) -> None:
        moment = datetime(2020, 1, 1, tzinfo=UTC)
        refused: tuple[tuple[type[StorageError], Call], ...] = (
            (InvalidRequestError, lambda b: b.put("a", "text")),  # type: ignore[arg-type]
            (InvalidRequestError, lambda b: b.put("a", 7)),  # type: ignore[arg-type]
            (InvalidRequestError, lambda b: b.put("a", None)),  # type: ignore[arg-type]
            (InvalidKeyError, lambda b: b.put("", b"")),
            (InvalidKeyError, lambda b: b.copy("a", "a/../b")),
            (InvalidMetadataError, lambda b: b.put("a", b"", content_type="")),
            (InvalidMetadataError, lambda b: b.put("a", b"", metadata={"ä": "1"})),
            (InvalidRequestError, lambda b: b.put("a", b"", if_absent=True, if_match="x")),
            (InvalidRequestError, lambda b: b.put("a", b"", checksums={"sha256": "no"})),
            (InvalidRequestError, lambda b: b.get("a", range=(5, 5))),
            (InvalidRequestError, lambda b: b.get("a", range=(5, 2))),
            (
                InvalidRequestError,
                lambda b: b.get("a", if_modified_since=moment.replace(tzinfo=None)),
            ),
            (InvalidRequestError, lambda b: list(b.list(page_size=0))),
            (InvalidKeyError, lambda b: list(b.list(prefix=7))),  # type: ignore[arg-type]
        )
        with no_requests(bucket.storage):
            for number, (kind, call) in enumerate(refused):
                with pytest.raises(kind) as caught:
                    call(bucket)
                assert isinstance(caught.value, ValueError), f"refusal {number}"
                assert str(caught.value), "an error without a word"

    @case("O07", "after close every call is ClosedError, and nothing is sent", clause="Errors")
    def test_o07_closed(self, bucket: Bucket, opener: Callable[..., Storage]) -> None:
        storage = opener()
        other = storage.bucket(bucket.name)
        operations = calls(bucket)
        storage.close()
        with no_requests(storage):
            for name, call in operations.items():
                with pytest.raises(ClosedError):
                    call(other)
                    pytest.fail(f"{name} did not notice that the storage is closed")
            with pytest.raises(ClosedError):
                storage.create_bucket(f"{bucket.name[:50]}-none")
            with pytest.raises(ClosedError):
                list(storage.list_buckets())

    @case(
        "O08",
        "a deadline that passes is OperationTimeoutError and leaves nothing",
        clause="Retry and time",
    )
    def test_o08_deadline(self, bucket: Bucket) -> None:
        def slow() -> Iterator[bytes]:
            for _ in range(200):
                yield b"x" * 1000
                time.sleep(0.005)

        with pytest.raises(OperationTimeoutError) as caught:
            bucket.put("a", slow(), deadline=0.05)
        assert isinstance(caught.value, TimeoutError)
        assert not bucket.exists("a")
        bucket.put("a", b"in time", deadline=60)
        assert bucket.head("a", deadline=60).size == 7

    @case("O09", "each of several failures at once tells of its own call", clause="Errors")
    def test_o09_own_errors(self, bucket: Bucket) -> None:
        keys = [f"none/{number}" for number in range(16)]
        outcomes = together(*(lambda key=key: bucket.head(key) for key in keys))
        for key, error in zip(keys, outcomes, strict=True):
            assert isinstance(error, ObjectNotFoundError)
            assert error.key == key
            assert key in str(error)

    @case("O10", "no secret shows in a repr, a message or a description", clause="Errors")
    def test_o10_secrets(self, storage: Storage, bucket: Bucket) -> None:
        secrets = _secrets(storage.driver)
        if not secrets:
            unsupported("the profile has no secrets")
        with pytest.raises(ObjectNotFoundError) as caught:
            bucket.get("none")
        shown = "\n".join(
            (
                repr(storage),
                repr(bucket),
                repr(storage.driver),
                storage.driver.describe(),
                repr(storage.driver.settings),
                repr(caught.value),
                str(caught.value),
            )
        )
        for secret in secrets:
            assert secret not in shown, "a secret of the profile shows"

    @case("O11", "link keys given by the profile show nowhere", clause="Errors")
    def test_o11_link_keys(self, bucket: Bucket, opener: Callable[..., Storage]) -> None:
        secret = b"a-secret-of-thirty-two-bytes-xyz"
        storage = opener(link_keys={"the-id": secret}, base_url="https://links.example.org")
        link = storage.bucket(bucket.name).presign("a")
        shown = f"{storage!r} {storage.driver!r} {link!r} {link.url} {storage.capabilities!r}"
        for text in _spellings(secret):
            assert text not in shown

    @case(
        "O12", "denied is PermissionDeniedError, never 'not found' and never empty", clause="Errors"
    )
    def test_o12_denied(self, bucket: Bucket, denied: Profile | None) -> None:
        if denied is None:
            unsupported("no profile without permissions was given (fixture 'denied')")
        bucket.put("none", b"1")
        with _open(denied) as storage:
            for name, call in calls(bucket).items():
                with pytest.raises(PermissionDeniedError):
                    _told(call(storage.bucket(bucket.name)))
                    pytest.fail(f"{name} was allowed")
            with pytest.raises(PermissionDeniedError):
                storage.bucket(bucket.name).exists("none")

    @case(
        "O13",
        "wrong credentials are an error of their own, never 'not found' or empty",
        clause="Errors",
    )
    def test_o13_wrong_credentials(self, bucket: Bucket, wrong_credentials: Profile | None) -> None:
        if wrong_credentials is None:
            unsupported("no profile with wrong credentials was given (fixture 'wrong_credentials')")
        with _open(wrong_credentials) as storage:
            for name, call in calls(bucket).items():
                with pytest.raises((AuthenticationError, PermissionDeniedError)) as caught:
                    _told(call(storage.bucket(bucket.name)))
                    pytest.fail(f"{name} was allowed")
                assert not isinstance(caught.value, NotFoundError), name


def _told(outcome: object) -> None:
    """Raise the error of a `delete_many`, which tells it by key where others raise."""
    for item in outcome if isinstance(outcome, list) else ():
        if isinstance(item, DeleteResult) and item.error is not None:
            raise item.error


def _open(profile: Profile) -> Storage:
    if isinstance(profile, Driver):
        return storage_core.open_driver(profile)
    if isinstance(profile, str):
        return storage_core.open(profile)
    return storage_core.open(config=profile)


def _secrets(driver: Driver) -> set[str]:
    """Everything secret a driver and the ones below it know, in the ways it could be shown."""
    found: set[str] = set()
    layer: Any = driver
    while layer is not None:
        for value in (layer.link_keys() or {}).values():
            found.update(_spellings(value))
        for name in getattr(type(layer.settings), "model_fields", ()):
            reveal = getattr(getattr(layer.settings, name), "get_secret_value", None)
            if reveal is not None and reveal():
                found.add(str(reveal()))
        layer = getattr(layer, "inner", None)
    return found


def _spellings(secret: bytes) -> set[str]:
    """A secret as hexadecimal, base64 and Python would write it."""
    return {
        secret.hex(),
        base64.b64encode(secret).decode().rstrip("="),
        base64.urlsafe_b64encode(secret).decode().rstrip("="),
        repr(secret)[2:-1],
    }
