"""The command line ``storage``. Its exit statuses are in `storage_core.cli.status`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from storage_core.cli import status
from storage_core.cli.output import PROGRAM, Output
from storage_core.cli.signals import Terminated, unwinding
from storage_core.errors import StorageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; those of the process if None.

    Returns:
        The exit status.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with unwinding():
        try:
            result = _guarded(given)
            sys.stdout.flush()
        except KeyboardInterrupt:
            return status.INTERRUPTED
        except Terminated:
            return status.TERMINATED
        except BrokenPipeError:
            _give_up_output()
            return status.OUTPUT_CLOSED
        return result


def _guarded(arguments: list[str]) -> int:
    """Run, and tell of what fails."""
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(version("storage-core"))
        return status.OK
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # a key the terminal's encoding lacks
    from cyclopts import CycloptsError

    from storage_core.cli.app import run

    outputs = [Output(json="--json" in arguments)]
    try:
        run(arguments, outputs.append)
    except CycloptsError as error:
        return outputs[-1].error(status.UsageError(_usage(error)))
    except status.Failed as failed:
        return failed.status
    except BrokenPipeError:
        raise
    except (status.UsageError, StorageError, OSError) as error:
        return outputs[-1].error(error)
    return status.OK


def _usage(error: Exception) -> str:
    from storage_core.cli.app import STAND_IN

    chain = getattr(error, "command_chain", None) or ()
    command = " ".join((PROGRAM, *chain))
    message = str(error).strip().replace(STAND_IN, "-")
    return f"{message}\nSee {command} --help"


def _give_up_output() -> None:
    """Keep the interpreter from complaining about the pipe once more when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(null, number)
    os.close(null)
