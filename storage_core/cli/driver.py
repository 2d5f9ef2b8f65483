"""``storage driver new``: the beginning of a driver of one's own."""

import re
from importlib import resources
from pathlib import Path

from storage_core.cli.session import This
from storage_core.cli.status import UsageError

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")

# Template to place; the templates are those of a driver called "shelf".
_FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "init.py.txt": "src/storage_shelf/__init__.py",
    "settings.py.txt": "src/storage_shelf/settings.py",
    "driver.py.txt": "src/storage_shelf/driver.py",
    "conformance.py.txt": "tests/test_conformance.py",
}


def new(name: str, folder: Path | None = None, /, *, session: This) -> None:
    """Write the skeleton of a driver: a distribution that passes the conformance suite as it is.

    It keeps its objects in memory; put requests to a service in their place, declare what the
    service can do, and run its tests again.

    Args:
        name: Name of the driver in profiles, such as "acme" or "acme-cloud".
        folder: Where to write it, "storage-NAME" if not given; must not exist.
    """
    files = skeleton(name)
    place = folder or Path(f"storage-{name}")
    if place.exists():
        raise UsageError(f"{place} exists already; name another folder")
    for path, text in files.items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    session.out.done(
        {"driver": name, "folder": str(place), "files": sorted(files)},
        f"wrote {place}; next: cd {place} && pip install -e '.[test]' && pytest",
    )


def skeleton(name: str) -> dict[str, str]:
    """The files of a driver's skeleton: path to text.

    Raises:
        UsageError: the name is none for a driver.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of a driver; use small letters, digits and single dashes,"
            " beginning with a letter"
        )
    from storage_core.plugins import installed_drivers

    if any(driver.name == name for driver in installed_drivers()):
        raise UsageError(f"there is a driver {name!r} already; find another name")
    module = name.replace("-", "_")
    words = "".join(word.capitalize() for word in name.split("-"))

    def rendered(text: str) -> str:
        text = text.replace("storage_shelf", f"storage_{module}").replace("Shelf", words)
        return text.replace("shelf", name)

    templates = resources.files("storage_core.cli") / "skeleton"
    found = {
        rendered(place): rendered((templates / template).read_text("utf-8"))
        for template, place in _FILES.items()
    }
    found[f"src/storage_{module}/py.typed"] = ""
    return found
