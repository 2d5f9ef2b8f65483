"""``storage conformance``: the suite every driver must pass, on a profile."""

from pathlib import Path
from typing import Literal

from storage_core.cli.session import This
from storage_core.cli.status import Failed
from storage_core.errors import ConfigError

Face = Literal["both", "blocking", "async"]


def conformance(
    *,
    report: Path,
    face: Face = "both",
    layer: list[str] | None = None,
    part: list[str] | None = None,
    case: list[str] | None = None,
    server: str | None = None,
    waivers: Path | None = None,
    session: This,
) -> None:
    """Run the conformance suite on a profile, in buckets of its own, and write its report.

    Ends with 0 only if no case failed.

    Args:
        report: File for the report, as JSON.
        face: The face of the library to go through.
        layer: Layer to put around the driver, such as prefix; may be repeated, inner ones first.
        part: Only this part of the suite, such as core, links or multipart; may be repeated.
        case: Only this case, or those that begin so, such as L07 or L; may be repeated.
        server: Name and version of the service, for the report and the waivers.
        waivers: File that lists the cases that may fail on this server, with reasons.
    """
    try:
        from storage_conformance.run import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"hypothesis", "pytest"}:
            raise
        raise ConfigError(
            f"the suite needs {error.name}; run: pip install 'storage-core[conformance]'"
        ) from error
    status = run(
        session.profile_name(),
        config=session.config_path,
        report=report,
        face=face,
        layers=layer or (),
        parts=part or (),
        cases=case or (),
        server=server,
        waivers=waivers,
    )
    if status:
        raise Failed(status)
