"""fsspec's own suites for filesystems, over local disk and S3."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

from storage_core.fs import StorageFileSystem


@pytest.fixture(scope="module")
def suite_bucket(filesystem: StorageFileSystem, profile: str) -> Iterator[str]:
    path = f"{profile}/suite-{secrets.token_hex(6)}"
    filesystem.mkdir(path)
    yield path
    filesystem.rm(path, recursive=True)


class Fixtures(AbstractFixtures):  # type: ignore[misc]
    @pytest.fixture
    def fs(self, filesystem: StorageFileSystem) -> StorageFileSystem:
        return filesystem

    @pytest.fixture
    def fs_path(self, suite_bucket: str) -> str:
        return suite_bucket

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(Fixtures, AbstractCopyTests):  # type: ignore[misc]
    pass


class TestGet(Fixtures, AbstractGetTests):  # type: ignore[misc]
    pass


class TestPut(Fixtures, AbstractPutTests):  # type: ignore[misc]
    pass


class TestOpen(Fixtures, AbstractOpenTests):  # type: ignore[misc]
    pass


class TestPipe(Fixtures, AbstractPipeTests):  # type: ignore[misc]
    pass
