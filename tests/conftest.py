"""What all tests share: `--full`, and what runs only with it.

`make test` leaves out repetition: cases and kinds that run somewhere else as well. `make test-full`
runs everything.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="run also what repeats on one server or event loop what runs on another",
    )


def pytest_configure() -> None:
    """How long an example takes, or is thought up, is the machine's business, whatever else it
    has to do; the rest of Hypothesis's settings stays as it finds the surroundings."""
    from hypothesis import HealthCheck, settings

    untimed = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("untimed", **untimed)  # type: ignore[arg-type]
    settings.load_profile("untimed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the items that a hook of a folder marked as repetition."""
    if config.getoption("--full"):
        return
    left = [item for item in items if item.get_closest_marker("repetition")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("repetition")]
