"""``storage completion``: scripts by which shells complete commands and options."""

import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print the completion script of a shell.

    For bash, put this line into ~/.bashrc: source <(storage completion bash)

    Args:
        shell: The shell.
    """
    from storage_core.cli.app import build, import_all

    app = build()
    import_all(app)
    sys.stdout.write(app.generate_completion(shell=shell))


def profile_names(context: "CompletionContext") -> list[str]:
    """Names for the value of ``--profile``, while it is typed."""
    from storage_core.config import load_config

    return list(load_config(context["--config"].raw).names)
