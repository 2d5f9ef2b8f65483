"""One worker process, as the client has it."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from socket import SHUT_RDWR, socket
from typing import Final

from storage_core.cluster.processes.messages import FromWorker, NotStarted, Open, ToWorker
from storage_core.errors import ConfigError

_START: Final = Path(__file__).with_name("start.py")
PATIENCE: Final = 15.0
"""Seconds that a process gets to end what it does; then it is killed."""


class Child:
    """A process, begun at once. It ends when this side of the socket closes, at the latest with
    the process that has it.

    Attributes:
        connection: To it.
        alive: Whether it can be reached still.
        used: Whether it was given an operation, and has not said that it is through with it.
        opened: Whether it takes jobs of the operation.
        jobs: Numbers of those that it has; it is at the first.

    Raises:
        ConfigError: no process can be made.
    """

    def __init__(self) -> None:
        if not sys.executable:
            raise ConfigError("no worker process can be made: Python does not know its program")
        self.alive, self.used, self.opened = True, False, False
        self.jobs: deque[int] = deque()
        self.connection, theirs = Pipe()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            with theirs:
                # For as long as it does not pass them over; nobody else loses one.
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
                self._process = subprocess.Popen(
                    # -P: a json.py in the current folder is no part of it.
                    [sys.executable, "-P", _START, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
        except (OSError, ValueError) as error:
            self.connection.close()
            raise ConfigError(f"no worker process can be made: {error}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._send(pickle.dumps([place for place in sys.path if isinstance(place, str)]))

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def open(self, message: Open) -> None:
        """Begin an operation."""
        self.used = True
        self.send(message)

    def send(self, message: ToWorker) -> None:
        """Send a message; if the process is lost, `receive` says so."""
        self._send(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def _send(self, data: bytes) -> None:
        # Of a message that is sent or received by half, by a Ctrl-C, the rest would be the next.
        usable, self.alive = self.alive, False
        with suppress(OSError):
            self.connection.send_bytes(data)
        self.alive = usable

    def receive(self) -> FromWorker | NotStarted:
        """A message of which the beginning is there.

        Raises:
            EOFError: the process is lost.
        """
        usable, self.alive = self.alive, False
        try:
            data = self.connection.recv_bytes()
        except OSError as error:
            raise EOFError from error
        self.alive = usable
        found: FromWorker | str = pickle.loads(data)  # noqa: S301 - from this machine, by its socket
        return NotStarted(found) if isinstance(found, str) else found

    def close(self) -> None:
        """Have it end; `wait` is to follow."""
        self.alive = False
        if not self.connection.closed:
            # Closing alone would not be seen where this process has forked.
            with suppress(OSError), socket(fileno=os.dup(self.connection.fileno())) as twin:
                twin.shutdown(SHUT_RDWR)
            self.connection.close()

    def kill(self) -> None:
        """End it, whatever it does."""
        self.close()
        self._process.kill()
        self._process.wait()

    def wait(self, seconds: float = PATIENCE) -> str:
        """Wait for its end, which it may be killed for then; says how it ended."""
        try:
            status = self._process.wait(seconds)
        except BaseException as error:
            self.kill()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            status = self._process.returncode
        if status >= 0:
            return f"ended with status {status}"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-status).name}"
        return f"was killed by signal {-status}"
