"""S: declared means it works, undeclared means it is refused before anything is sent."""

from __future__ import annotations

import pickle
import secrets
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from storage_conformance.cases import Need, case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, part_bytes, read
from storage_conformance.needs import MULTIPART, TAGS, UPDATE_METADATA, VERSIONS, condition
from storage_conformance.profiles import ProfileSpec
from storage_conformance.suite.d_head import EXPIRY, HEADERS
from storage_conformance.suite.f_list import ORDERED
from storage_conformance.watch import no_requests, requests
from storage_core import (
    Bucket,
    ConfigError,
    InvalidMetadataError,
    InvalidPartError,
    InvalidRequestError,
    KeyTooLongError,
    NotModifiedError,
    PartTooSmallError,
    PreconditionFailedError,
    Storage,
    UnsupportedError,
)
from storage_core.checksum import ALGORITHMS, digest
from storage_core.model import Capabilities, Condition, Method, Operation

Opener = Callable[..., Storage]

_PAST = datetime(2001, 1, 1, tzinfo=UTC)
_WRONG: Mapping[str, Any] = {"if_match": "no-such-etag", "if_unmodified_since": _PAST}


def unmet(bucket: Bucket, operation: Operation, name: Condition) -> None:
    """Make a call whose condition does not hold on an object that exists."""
    etag = bucket.put("key", b"old").etag
    future = bucket.head("key").modified + timedelta(hours=1)
    values: dict[str, Any] = {
        **_WRONG, "if_absent": True, "if_none_match": etag, "if_modified_since": future
    }  # fmt: skip
    given: dict[str, Any] = {name: values[name]}
    if operation == "put":
        bucket.put("key", b"new", **given)
    elif operation == "get":
        bucket.get("key", **given).close()
    elif operation == "head":
        bucket.head("key", **given)
    elif operation == "delete":
        bucket.delete("key", **given)
    elif operation == "copy":
        bucket.put("source", b"new")
        bucket.copy("source", "key", **given)
    elif operation == "copy_source":
        bucket.copy("key", "copy", **{f"source_{name}": values[name]})
    else:
        upload = bucket.create_upload("key")
        upload.put_part(1, b"new")
        upload.complete(**given)


def honours(operation: Operation, name: Condition) -> Callable[[Suite, Bucket], None]:
    """The body of a case: the condition is held against the object."""
    refusal: tuple[type[Exception], ...] = (PreconditionFailedError,)
    if operation in {"get", "head"} and name in {"if_none_match", "if_modified_since"}:
        refusal = (NotModifiedError,)

    def body(_self: Suite, bucket: Bucket) -> None:
        with pytest.raises(refusal):
            unmet(bucket, operation, name)
        assert read(bucket, "key") == b"old", "a refused call changed the object"
        assert not bucket.exists("copy")

    return body


class Honesty(Suite):
    """Capability honesty."""

    @case("S01", "capabilities are immutable data", clause="Capabilities")
    def test_s01_data(self, capabilities: Capabilities) -> None:
        assert isinstance(capabilities, Capabilities)
        with pytest.raises((FrozenInstanceError, TypeError)):
            capabilities.versions = not capabilities.versions  # type: ignore[misc]

    @case("S02", "capabilities are within what the contract knows", clause="Capabilities")
    def test_s02_known(self, capabilities: Capabilities) -> None:
        operations, names = set(get_args(Operation)), set(get_args(Condition))
        assert set(capabilities.conditions) <= operations
        for found in capabilities.conditions.values():
            assert set(found) <= names
        assert capabilities.checksums <= set(ALGORITHMS)
        assert capabilities.default_checksum in {None, *capabilities.checksums}
        assert capabilities.presign <= set(get_args(Method))
        assert capabilities.presign_binds <= {
            "method", "part", "content_type", "content_length", "checksum", "filename", "version",
            "if_absent",
        }  # fmt: skip
        assert capabilities.versions or not capabilities.delete_markers

    @case("S03", "limits fit each other and the contract", clause="Capabilities")
    def test_s03_limits(self, capabilities: Capabilities) -> None:
        assert 1 <= capabilities.max_key_bytes <= 1024
        assert 0 < capabilities.max_metadata_bytes <= 2048
        assert 0 < capabilities.max_put_size <= capabilities.max_object_size
        assert 0 <= capabilities.min_part_size <= capabilities.max_part_size
        assert 1 <= capabilities.max_parts <= 10_000
        assert capabilities.max_page_size >= 1
        assert capabilities.delete_many_limit >= 1
        assert capabilities.max_presign_seconds >= 900

    @case("S04", "another opening of the profile declares the same", clause="Capabilities")
    def test_s04_same(self, capabilities: Capabilities, profile_spec: ProfileSpec) -> None:
        with profile_spec.open() as other:
            for field in fields(Capabilities):
                assert getattr(other.capabilities, field.name) == getattr(
                    capabilities, field.name
                ), field.name

    @case("S05", "a pickled driver declares the same", clause="Capabilities")
    def test_s05_pickled(self, storage: Storage, capabilities: Capabilities) -> None:
        copied = pickle.loads(pickle.dumps(storage.driver))
        assert copied.name == storage.driver.name
        assert copied.supported_io == storage.driver.supported_io
        assert copied.supported_io <= {"blocking", "asyncio"}
        assert copied.supported_io, "the driver declares no way of I/O"

    @case("S06", "a profile can switch off what its service lacks", clause="Capabilities")
    def test_s06_switched_off(self, bucket: Bucket, opener: Opener) -> None:
        storage = opener(capabilities={"tags": False, "multipart": False, "conditions": {}})
        other = storage.bucket(bucket.name)
        with no_requests(storage):
            for call in (
                lambda: other.get_tags("key"),
                lambda: other.put("key", b"", tags={"a": "b"}),
                lambda: other.create_upload("key"),
                lambda: other.put("key", b"", if_absent=True),
                lambda: other.get("key", if_match="x"),
            ):
                with pytest.raises(UnsupportedError):
                    call()

    @case("S07", "a capability that does not exist can not be corrected", clause="Capabilities")
    def test_s07_unknown(self, opener: Opener) -> None:
        with pytest.raises(ConfigError, match="teleport"):
            opener(capabilities={"teleport": True})

    @case("S08", "a refusal names the profile and what it lacks", clause="Capabilities")
    def test_s08_message(self, bucket: Bucket, opener: Opener) -> None:
        storage = opener(capabilities={"tags": False})
        with pytest.raises(UnsupportedError) as found:
            storage.bucket(bucket.name).get_tags("key")
        assert "tags" in str(found.value)
        assert storage.profile in str(found.value)
        assert isinstance(found.value, NotImplementedError)

    @case("S09", "the greatest key works, a longer one is refused", clause="Keys")
    def test_s09_key_limit(
        self, storage: Storage, bucket: Bucket, capabilities: Capabilities
    ) -> None:
        most = capabilities.max_key_bytes
        for key in ("k" * most, "k" * (most % 2) + "\u00e9" * (most // 2)):
            bucket.put(key, b"bytes")
            assert read(bucket, key) == b"bytes"
            assert keys_of(bucket.list(key)) == [key]
        for key in ("k" * (most + 1), "\u00e9" * (most // 2 + 1)):
            with no_requests(storage), pytest.raises(KeyTooLongError):
                bucket.put(key, b"bytes")

    @case("S10", "every kept checksum comes back from head", clause="Objects")
    def test_s10_checksums(self, bucket: Bucket, capabilities: Capabilities) -> None:
        data = b"some bytes"
        for algorithm in sorted(capabilities.checksums):
            bucket.put(algorithm, data, compute=(algorithm,))
            assert bucket.head(algorithm).checksums.get(algorithm) == digest(algorithm, data).hex()

    @case("S11", "every algorithm is computed, kept or not", clause="Objects")
    def test_s11_computed(self, bucket: Bucket) -> None:
        data = b"some bytes"
        result = bucket.put("key", data, compute=tuple(ALGORITHMS))
        for algorithm in ALGORITHMS:
            assert result.checksums[algorithm] == digest(algorithm, data).hex(), algorithm

    @case("S12", "an unknown algorithm is refused before I/O", clause="Objects")
    def test_s12_unknown_algorithm(self, storage: Storage, bucket: Bucket) -> None:
        with no_requests(storage):
            with pytest.raises(UnsupportedError):
                bucket.put("key", b"bytes", compute=("crc99",))
            with pytest.raises(UnsupportedError):
                bucket.put("key", b"bytes", checksums={"crc99": "00"})

    @case("S13", "more keys than one request takes are deleted", clause="Objects")
    def test_s13_delete_limit(self, bucket: Bucket, capabilities: Capabilities) -> None:
        count = min(capabilities.delete_many_limit, 1000) + 1
        keys = [f"key-{number}" for number in range(count)]
        bucket.put(keys[0], b"")
        bucket.put(keys[-1], b"")
        results = bucket.delete_many(keys)
        assert [result.key for result in results] == keys
        assert not any(result.error for result in results)
        assert list(bucket.list()) == []

    @case("S14", "parts below the declared minimum are refused", clause="Multipart",
          needs=MULTIPART)  # fmt: skip
    def test_s14_part_minimum(self, bucket: Bucket, capabilities: Capabilities) -> None:
        upload = bucket.create_upload("key")
        parts = [upload.put_part(1, part_bytes(capabilities, "a")), upload.put_part(2, b"end")]
        if capabilities.min_part_size > 1:
            parts[0] = upload.put_part(1, b"small")
            with pytest.raises(PartTooSmallError):
                upload.complete(parts)
            parts[0] = upload.put_part(1, part_bytes(capabilities, "b"))
        assert upload.complete(parts).size == parts[0].size + 3

    @case("S15", "part numbers end where declared", clause="Multipart", needs=MULTIPART)
    def test_s15_part_numbers(
        self, storage: Storage, bucket: Bucket, capabilities: Capabilities
    ) -> None:
        upload = bucket.create_upload("key")
        with no_requests(storage):
            for number in (0, -1, capabilities.max_parts + 1):
                with pytest.raises(InvalidPartError):
                    upload.put_part(number, b"bytes")
        last = upload.put_part(capabilities.max_parts, b"bytes")
        assert upload.complete([last]).size == 5

    @case("S16", "as many tags as declared are kept, one more is refused", clause="Objects",
          needs=TAGS)  # fmt: skip
    def test_s16_tags(self, storage: Storage, bucket: Bucket, capabilities: Capabilities) -> None:
        tags = {f"tag-{number}": "value" for number in range(capabilities.max_tags)}
        bucket.put("key", b"bytes", tags=tags)
        assert bucket.get_tags("key") == tags
        with no_requests(storage), pytest.raises(InvalidMetadataError):
            bucket.put_tags("key", {**tags, "more": "value"})

    @case("S17", "old versions stay readable", clause="Objects", needs=VERSIONS)
    def test_s17_versions(self, bucket: Bucket) -> None:
        old, new = bucket.put("key", b"old"), bucket.put("key", b"new")
        assert read(bucket, "key", version=old.version) == b"old"
        assert read(bucket, "key", version=new.version) == b"new"
        assert len(list(bucket.list_versions())) == 2

    @case("S18", "metadata changes without the bytes being sent", clause="Objects",
          needs=UPDATE_METADATA)  # fmt: skip
    def test_s18_update(self, storage: Storage, bucket: Bucket) -> None:
        bucket.put("key", b"bytes")
        with requests(storage) as sent:
            bucket.update_metadata("key", metadata={"a": "1"})
        assert "put" not in sent
        assert "get" not in sent
        assert dict(bucket.head("key").metadata) == {"a": "1"}

    @case("S19", "a copy inside the service sends no bytes", clause="Objects")
    def test_s19_copy(self, storage: Storage, bucket: Bucket, capabilities: Capabilities) -> None:
        bucket.put("key", b"bytes")
        with requests(storage) as sent:
            bucket.copy("key", "copy")
        assert ("get" in sent) != capabilities.server_side_copy, sent
        assert read(bucket, "copy") == b"bytes"

    @case("S20", "an atomic move is one request", clause="Objects")
    def test_s20_move(self, storage: Storage, bucket: Bucket, capabilities: Capabilities) -> None:
        bucket.put("key", b"bytes")
        with requests(storage) as sent:
            bucket.move("key", "moved")
        assert (sent == ["move"]) == capabilities.atomic_move, sent
        assert keys_of(bucket.list()) == ["moved"]
        assert read(bucket, "moved") == b"bytes"

    @case("S21", "an ordered listing begins where asked", clause="Listing", needs=ORDERED)
    def test_s21_ordered(self, bucket: Bucket) -> None:
        for key in ("b", "a", "c"):
            bucket.put(key, b"")
        assert keys_of(bucket.list(start_after="a")) == ["b", "c"]

    @case("S22", "content headers come back", clause="Objects", needs=HEADERS)
    def test_s22_headers(self, bucket: Bucket) -> None:
        bucket.put("key", b"", content_encoding="br", cache_control="no-store")
        info = bucket.head("key")
        assert (info.content_encoding, info.cache_control) == ("br", "no-store")

    @case("S23", "an expiry is kept", clause="Objects", needs=EXPIRY)
    def test_s23_expiry(self, bucket: Bucket) -> None:
        moment = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=5)
        bucket.put("key", b"", expires_at=moment)
        assert bucket.head("key").expires_at == moment

    @case("S24", "a body of unknown length is one request where declared", clause="Objects")
    def test_s24_unsized(
        self, storage: Storage, bucket: Bucket, capabilities: Capabilities
    ) -> None:
        with requests(storage) as sent:
            bucket.put("key", (piece for piece in [b"by", b"tes"]))
        assert sent == ["put"], sent
        if capabilities.unsized_put:
            with requests(storage) as sent:
                bucket.put("large", (bytes(1024**2) for _ in range(20)))
            assert sent == ["put"], sent

    @case(
        "S25",
        "a conditional write leaves its id where declared",
        clause="Retry and time",
        needs=condition("put", "if_absent"),
    )
    def test_s25_write_ids(self, bucket: Bucket, capabilities: Capabilities) -> None:
        bucket.put("one", b"", if_absent=True)
        bucket.put("two", b"", if_absent=True)
        ids = {bucket.head(key).write_id for key in ("one", "two")}
        if capabilities.write_ids:
            assert None not in ids
            assert len(ids) == 2
        else:
            assert ids == {None}

    @case("S26", "a lifetime of links over the declared one is refused", clause="Links")
    def test_s26_presign_limit(
        self, storage: Storage, bucket: Bucket, capabilities: Capabilities
    ) -> None:
        for expires_in in (0, -1, capabilities.max_presign_seconds + 1):
            with no_requests(storage), pytest.raises(InvalidRequestError):
                bucket.presign("key", expires_in=expires_in)

    @case("S27", "the driver tells what it is in one line", clause="Capabilities")
    def test_s27_describe(self, storage: Storage) -> None:
        text = storage.driver.describe()
        assert text.strip() == text != ""
        assert "\n" not in text
        assert text in repr(storage)
        assert storage.driver.name

    @case("S28", "a random name meets no leftovers", clause="Buckets")
    def test_s28_no_leftovers(self, storage: Storage) -> None:
        assert list(storage.list_buckets(prefix=f"conf-{secrets.token_hex(12)}")) == []


# One case for each operation and condition the contract knows: where declared, an unmet
# condition refuses the call, and where not, the call is refused before anything is sent.
_PAIRS: tuple[tuple[Operation, Condition], ...] = (
    ("put", "if_absent"),
    ("put", "if_match"),
    ("get", "if_match"),
    ("get", "if_none_match"),
    ("get", "if_modified_since"),
    ("get", "if_unmodified_since"),
    ("head", "if_match"),
    ("head", "if_none_match"),
    ("head", "if_modified_since"),
    ("head", "if_unmodified_since"),
    ("delete", "if_match"),
    ("copy", "if_absent"),
    ("copy", "if_match"),
    ("copy_source", "if_match"),
    ("copy_source", "if_none_match"),
    ("copy_source", "if_modified_since"),
    ("copy_source", "if_unmodified_since"),
    ("complete", "if_absent"),
    ("complete", "if_match"),
)

for _number, (_operation, _name) in enumerate(_PAIRS, 40):
    _need = condition(_operation, _name)
    _needs: tuple[Need, ...] = (_need,) if _operation != "complete" else (MULTIPART, _need)
    _body = honours(_operation, _name)
    _body.__name__ = f"test_s{_number}_{_operation}_{_name}"
    _body.__qualname__ = f"Honesty.{_body.__name__}"
    setattr(
        Honesty,
        _body.__name__,
        case(
            f"S{_number}",
            f"{_name} on {_operation} holds where declared",
            clause="Objects",
            needs=_needs,
        )(_body),
    )
