"""The server behind the tests that need one."""

from tests.servers.fixtures import moto  # noqa: F401 - a fixture, found by its name
