"""``storage config``: the plain functions of `storage_core.cli.config` as commands."""

from pathlib import Path

from storage_core.cli import config
from storage_core.cli.session import Session, This
from storage_core.cli.status import CONFIG, OK, Failed


def _place(session: Session) -> Path | None:
    return None if session.config_path is None else Path(session.config_path)


def _end(status: int) -> None:
    if status != OK:
        raise Failed(CONFIG)


def show(
    *,
    defaults: bool = False,
    session: This,
) -> None:
    """Show the settings of all profiles, or with --profile of one, and where each comes from.

    Secrets are masked.

    Args:
        defaults: Show also what nobody set.
    """
    place, out = _place(session), session.out
    _end(config.show(session.profile, config=place, defaults=defaults, as_json=out.json))


def check(*, session: This) -> None:
    """Check every profile: names, values, references, drivers, trust. Opens no storage."""
    _end(config.check(config=_place(session), as_json=session.out.json))


def schema() -> None:
    """Print the JSON schema of the configuration, for editors."""
    _end(config.schema())


def trust(
    path: Path | None = None,
    /,
    *,
    forget: bool = False,
    session: This,
) -> None:
    """Trust the configuration of a folder as it is now; a change of a setting asks again.

    Args:
        path: The configuration; that of the current folder without it.
        forget: Withdraw the trust.
    """
    _end(config.trust(path or _place(session), forget=forget))


def path() -> None:
    """Print the path of the configuration in use."""
    _end(config.path())
