"""Running the suite on a profile without a test module: what `storage conformance` does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from storage_conformance import plugin
from storage_conformance.cases import PARTS
from storage_conformance.profiles import LAYERS, ProfileSpec
from storage_conformance.report import NEVER_WAIVED, WaiverError, load_waivers
from storage_core import ConfigError
from storage_core.driver import Driver


def run(
    profile: str | Mapping[str, Any] | Driver,
    *,
    config: str | os.PathLike[str] | None = None,
    report: str | os.PathLike[str] | None = None,
    face: Literal["both", "blocking", "async"] = "both",
    layers: Sequence[str] = (),
    parts: Sequence[str] = (),
    cases: Sequence[str] = (),
    server: str | None = None,
    waivers: str | os.PathLike[str] | None = None,
) -> int:
    """Run the suite on a profile, in buckets of random names that are removed again, and
    show its progress on standard output.

    Args:
        profile: A name in the configuration, the table of a profile, or a driver.
        config: Configuration to look the name up in; None looks at the usual places.
        report: Where to write the report, as JSON; None writes none.
        face: Face to run on. With ``"both"`` each case runs twice; the report holds it once,
            with the worse outcome, and names the face in the reason.
        layers: Names of layers to put around the profile's driver, inner ones first.
        parts: Parts of the suite to run, all if empty.
        cases: Case ids, or their beginnings, to run; all if empty.
        server: Name and version of the service, for the report and the waivers; None takes
            what the driver says of itself.
        waivers: List of cases that are allowed to fail on this server.

    Returns:
        0 if no case failed, else 1.

    Raises:
        ConfigError: the profile can not be opened, an argument is not known, or a waiver is
            malformed or not allowed.
    """
    _check(layers, LAYERS, "layer")
    _check(parts, PARTS, "part")
    name = None if config is None else os.fspath(config)
    spec = ProfileSpec(profile, name, tuple(layers))
    with spec.open() as storage:
        driver = storage.driver.name
    if waivers is not None:
        _check_waivers(Path(waivers), driver)
    arguments = [
        "--pyargs",
        "storage_conformance.target",
        "--quiet",
        "--no-header",
        "--tb=short",
        "--noconftest",
        f"--rootdir={Path(__file__).parent}",
        f"-c{os.devnull}",
        "-Werror",
        "-pno:cacheprovider",
        f"--conformance-face={face}",
        *(f"--conformance-part={part}" for part in parts),
        *(f"--conformance-case={case}" for case in cases),
        *([f"--conformance-report={os.fspath(report)}"] if report is not None else []),
        *([f"--conformance-server={server}"] if server is not None else []),
        *([f"--conformance-waivers={os.fspath(waivers)}"] if waivers is not None else []),
    ]
    with _plain_pytest():
        status = pytest.main(arguments, plugins=[plugin, _Target(spec)])
    return 0 if status == pytest.ExitCode.OK else 1


class _Target:
    """Hands the profile to the tests."""

    def __init__(self, spec: ProfileSpec) -> None:
        self._spec = spec

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[plugin.PROFILE] = self._spec


@contextmanager
def _plain_pytest() -> Iterator[None]:
    """Keep what is installed or set for other tests out of the run."""
    changed = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": ""}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _check(given: Sequence[str], known: Sequence[str] | Mapping[str, object], what: str) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(f"there is no {what} {name!r}; there are {', '.join(known)}")


def _check_waivers(path: Path, driver: str) -> None:
    from storage_conformance.suite import all_cases

    try:
        allowed = load_waivers(path, [case.id for case in all_cases()])
    except WaiverError as error:
        raise ConfigError(str(error)) from error
    if allowed and driver in NEVER_WAIVED:
        raise ConfigError(f"{path}: no case is ever waived on the driver {driver!r}")
