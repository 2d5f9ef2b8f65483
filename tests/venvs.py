"""Virtual environments that hold the declared dependencies of what is tested and nothing else,
linked from the environment that runs the tests: nothing is fetched, and a dependency that was
not declared is missed at once."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def run(*command: str | Path, cwd: Path, limit: float = 240, **variables: str) -> str:
    """Run `command` outside the checkout and away from this environment; return its output."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "STORAGE_", "VIRTUAL_ENV", "COVERAGE"))
    }
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment | {"HOME": str(cwd), "PIP_NO_INDEX": "1", "PIP_NO_INPUT": "1"} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def closure(requirements: list[str]) -> Iterator[metadata.Distribution]:
    """Every installed distribution that `requirements` need, directly or not."""
    waiting = [(Requirement(text), "") for text in requirements]
    seen: set[tuple[str, str]] = set()
    given: set[str] = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        distribution = metadata.distribution(name)
        if name not in given:
            given.add(name)
            yield distribution
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(Requirement(text), wanted) for text in distribution.requires or []]


@dataclass(frozen=True)
class Venv:
    home: Path

    @property
    def python(self) -> Path:
        return self.home / "bin" / "python"

    @property
    def site(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.home / "lib" / version / "site-packages"

    def link(self, requirements: list[str]) -> None:
        """Make what `requirements` need importable here, and nothing else."""
        for distribution in closure(requirements):
            tops = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
            for top in tops:
                target = self.site / top
                if not target.exists():
                    target.symlink_to(Path(str(distribution.locate_file(top))))

    def install(self, *arguments: str | Path) -> None:
        run(
            sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet",
            "--no-deps", "--no-build-isolation", *arguments, cwd=self.home,
        )  # fmt: skip

    def ask(self, program: str) -> str:
        return run(self.python, "-c", program, cwd=self.home).strip()


def make_venv(home: Path) -> Venv:
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home.parent)
    venv = Venv(home)
    venv.link(PROJECT["dependencies"])
    return venv


def build_wheel(source: Path, target: Path) -> Path:
    """Build the distribution of a folder."""
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
        "--wheel-dir", target, source, cwd=target,
    )  # fmt: skip
    (built,) = target.glob("*.whl")
    return built
