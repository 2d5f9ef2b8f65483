"""Node with the packages."""

from tests.clients.fixtures import node  # noqa: F401 - a fixture, found by its name
