"""Category T: memory stays flat whatever the size of an object.

Each measurement is made in a process of its own, by the growth of its greatest resident size.
`--conformance-large` sets the size of the objects.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage_conformance import streaming, workers
from storage_conformance.cases import case, unsupported
from storage_conformance.fixtures import Suite
from storage_conformance.profiles import ProfileSpec
from storage_core import Bucket, StorageError
from storage_core.model import Capabilities

LIMIT = 64 * 1024 * 1024
"""Bytes by which a process may grow."""


class Memory(Suite):
    """Cases T."""

    @pytest.fixture
    def large(self, request: pytest.FixtureRequest, capabilities: Capabilities) -> int:
        """Bytes of a large object."""
        mebibytes: int = request.config.getoption("--conformance-large")
        if capabilities.max_object_size < mebibytes * 1024 * 1024:
            unsupported(f"objects of the profile end at {capabilities.max_object_size} bytes")
        return mebibytes * 1024 * 1024

    @pytest.fixture
    def growth(
        self, bucket: Bucket, profile_spec: ProfileSpec, face: str, large: int
    ) -> Callable[[str], int]:
        """Bytes by which another process grows over a transfer of `streaming`."""

        def measure(transfer: str) -> int:
            found = workers.run(
                profile_spec, bucket, streaming.measure, profile_spec, face, transfer, large
            )
            if isinstance(found, StorageError):
                raise found
            return found

        return measure

    @case("T01", "a put of a stream does not hold the object", clause="Objects")
    def test_t01_put(self, bucket: Bucket, growth: Callable[[str], int], large: int) -> None:
        assert growth("put") < LIMIT
        assert bucket.head("large").size == large

    @case("T02", "a get does not hold the object", clause="Objects")
    def test_t02_get(self, bucket: Bucket, growth: Callable[[str], int], large: int) -> None:
        bucket.put("large", streaming.pieces(large), size=large)
        assert growth("get") < LIMIT

    @case("T03", "a writer holds no more than its parts", clause="Multipart")
    def test_t03_writer(self, bucket: Bucket, growth: Callable[[str], int], large: int) -> None:
        assert growth("write") < LIMIT
        assert bucket.head("large").size == large
