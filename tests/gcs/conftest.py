"""The servers behind the tests that need one."""

from tests.servers.fixtures import fake_gcs, strict_gcs  # noqa: F401 - found by their names
