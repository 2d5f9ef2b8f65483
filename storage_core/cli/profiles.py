"""``storage profiles`` and ``storage doctor``."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from storage_core.cli.output import message_of
from storage_core.cli.session import Session, This
from storage_core.cli.status import CONFIG, FAILURE, Failed
from storage_core.errors import ConfigError, PermissionDeniedError, StorageError


def profiles(*, session: This) -> None:
    """List the profiles: name, driver, where it is written; the default one is marked."""
    config = session.config
    try:
        default = session.profile_name()
    except ConfigError:  # several and no default: nothing to mark
        default = ""
    rows = []
    for name in config.names:
        leaf = config.tree(name).get(("driver",))
        driver = str(leaf.value) if leaf else ""
        source = str(config.origin(name))
        if session.out.json:
            session.out.record(
                {"name": name, "driver": driver, "source": source, "default": name == default}
            )
        rows.append((name, driver, source, "default" if name == default else ""))
    if not session.out.json:
        session.out.table(("profile", "driver", "written in", ""), rows)


@dataclass(frozen=True)
class Check:
    """One thing `doctor` looked at."""

    result: Literal["ok", "warning", "error"]
    what: str
    detail: str


def doctor(*, session: This) -> None:
    """Look for what is wrong: the configuration, the drivers, and whether each profile opens.

    The profiles of the configuration and the default one are opened, and their first buckets
    listed; with --profile only that one is.
    """
    checks = []
    for check in _checks(session):
        checks.append(check)
        if session.out.json:
            session.out.record(check)
    if not session.out.json:
        session.out.table(
            ("", "what", "found"), [(check.result, check.what, check.detail) for check in checks]
        )
    errors = {check.what.partition(" ")[0] for check in checks if check.result == "error"}
    if errors:
        raise Failed(CONFIG if errors <= {"configuration", "driver"} else FAILURE)


def _checks(session: Session) -> Iterator[Check]:
    yield from _installation()
    yield from _drivers()
    try:
        config = session.config
    except ConfigError as error:
        yield Check("error", "configuration", message_of(error))
        return
    yield Check("ok", "configuration", str(config.path or "none found, built-in profiles"))
    findings = list(_findings(session))
    yield from findings
    wrong = {finding.what for finding in findings if finding.result == "error"}
    for name in _names(session):
        if f"configuration of {name}" not in wrong:
            yield _opens(session, name)


def _names(session: Session) -> list[str]:
    """Profiles worth opening: not the built-in ones, unless one is used by default. To open
    them would leave their folders behind."""
    if session.profile:
        return [session.profile]
    config = session.config
    names = [name for name in config.names if config.origin(name).kind != "built-in"]
    try:
        default = config.default_profile
    except ConfigError:  # several and no default; the findings say so
        return names
    return names if default in names or default not in config.names else [*names, default]


def _installation() -> Iterator[Check]:
    from importlib.metadata import version

    python = ".".join(str(number) for number in sys.version_info[:3])
    yield Check("ok", "storage-core", f"{version('storage-core')} on Python {python}")


def _drivers() -> Iterator[Check]:
    from storage_core.plugins import EXTRAS, installed_drivers, load_driver

    found = installed_drivers()
    for info in found:
        try:
            load_driver(info.name)
        except ConfigError as error:
            yield Check("error", f"driver {info.name}", message_of(error))
        else:
            yield Check("ok", f"driver {info.name}", f"{info.distribution} {info.version}")
    for name in sorted(EXTRAS.keys() - {info.name for info in found}):
        try:
            load_driver(name)
        except ConfigError as error:
            yield Check("ok", f"driver {name}", message_of(error))


def _findings(session: Session) -> Iterator[Check]:
    """What `storage config check` finds."""
    from storage_core.config.check import check

    for finding in check(session.config):
        if session.profile is None or finding.profile in {None, session.profile}:
            profile = f" of {finding.profile}" if finding.profile else ""
            yield Check(finding.level, f"configuration{profile}", finding.message)


def _opens(session: Session, name: str) -> Check:
    what = f"profile {name}"
    try:
        storage = session.storage(name)
        next(iter(storage.list_buckets().pages()))
    except PermissionDeniedError as error:
        # Narrow credentials may not list buckets and still be what they should be.
        return Check("warning", what, message_of(error))
    except (StorageError, OSError) as error:
        kind = "configuration of " if isinstance(error, ConfigError) else "profile "
        return Check("error", f"{kind}{name}", message_of(error))
    return Check("ok", what, storage.driver.describe())
