"""What runs in a worker process: jobs one after the other, until the client is gone."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from types import FrameType
from typing import Final, TypeVar

from storage_core.cluster.engine import Done, Told
from storage_core.cluster.jobs import Answer, Refusal
from storage_core.cluster.portable import arrives
from storage_core.cluster.processes.messages import (
    Do,
    End,
    Ended,
    FromWorker,
    Open,
    Opened,
    ToWorker,
)
from storage_core.cluster.session import Session
from storage_core.cluster.worker import answered, check_version, perform
from storage_core.transfer.memory import set_max_memory

T = TypeVar("T")

_CALL_OFF: Final = signal.SIGUSR1
"""Sent by the thread that reads to the one that works."""


class _CalledOffError(BaseException):
    """Unwinds a job, as a Ctrl-C would."""


class Desk:
    """The one worker of this process.

    Args:
        connection: To the client. When it closes the process ends at once, whatever it does.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._todo: queue.SimpleQueue[ToWorker] = queue.SimpleQueue()
        self._worker = threading.get_ident()
        self._name = f"the worker process {os.getpid()}"
        self._session: Session | None = None
        self._inside = False
        """Whether there is a job that can be unwound."""
        self._spent = False
        """Whether a job was unwound, wherever it was: in the import of a module, for one."""
        self._shielded = False
        """Whether it is in the middle of a message, which has to go whole."""
        self._ending = False
        """Whether the operation is over, and the worker has yet to get there."""

    def work(self) -> None:
        """Do what comes, in this thread, which has to be the main one."""
        signal.signal(_CALL_OFF, self._unwind)
        threading.Thread(target=self._read, name="storage-core-reader", daemon=True).start()
        while True:
            message = self._todo.get()
            if isinstance(message, End):
                self._end()
                continue
            if isinstance(message, Open):
                # Not unwound: it imports what is needed, and a module is there whole or not.
                self._send(Opened(self._answered(partial(self._open, message))))
                continue
            try:
                reply = self._do(message)
            except _CalledOffError:
                self._spent = True
                continue
            if reply is not None:
                self._send(reply)

    def _do(self, message: Do) -> Done | None:
        try:
            self._inside = True
            return None if self._ending else Done(message.number, self._answer(message))
        finally:
            self._inside = False

    def _unwind(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        if self._inside and self._ending and not self._shielded:
            self._inside = False  # once
            raise _CalledOffError

    def _open(self, message: Open) -> None:
        check_version(message.version)
        set_max_memory(message.memory)
        self._session = Session(message.operation)

    def _answer(self, message: Do) -> Answer:
        session = self._session
        assert session is not None

        def tell(size: int) -> None:
            if self._session is not session:
                return  # a thread that is left of what was called off
            if threading.get_ident() != self._worker:
                self._send(Told(message.number, size))
                return
            self._shielded = True
            self._send(Told(message.number, size))
            self._shielded = False
            self._unwind()  # if that came meanwhile

        return self._answered(partial(perform, session, message.job, tell))

    def _answered(self, work: Callable[[], T]) -> T | Refusal:
        try:
            return answered(self._name, work)
        except Exception as error:  # noqa: BLE001 - a bug, or one of the caller's function
            trace = "".join(traceback.format_exception(error))
            error.add_note(trace)
            return Refusal(error if arrives(error) else RuntimeError(trace))

    def _end(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(Exception):  # all that was to be done is done
                session.close()
        self._ending = False
        self._send(Ended(self._spent))

    def _send(self, message: FromWorker) -> None:
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        try:
            with self._sending:
                self._connection.send_bytes(data)
        except OSError:
            os._exit(0)  # the client is gone

    def _read(self) -> None:
        """Take what comes, so that the client never waits for a job to have sent it."""
        try:
            while True:
                message: ToWorker = pickle.loads(self._connection.recv_bytes())  # noqa: S301
                if isinstance(message, End):
                    self._drop()
                self._todo.put(message)
        except (EOFError, OSError):
            os._exit(0)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(1)

    def _drop(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._todo.get_nowait()
        self._ending = True
        signal.pthread_kill(self._worker, _CALL_OFF)
