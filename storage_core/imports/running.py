"""One attempt at one job: from the object, through its importer, into the rows' database."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from storage_core import errors
from storage_core.imports import leases
from storage_core.imports.importers import load_importer
from storage_core.imports.jobs import ImportFile, ImportJob, find_file
from storage_core.imports.model import FileInfo, ImportFileError, Row
from storage_core.imports.queue import announce
from storage_core.imports.rows import Counts, Load
from storage_core.imports.sink import Sink, SupersededError

if TYPE_CHECKING:
    from storage_core.blocking.storage import Storage
    from storage_core.state import State

log = logging.getLogger("storage_core.imports")

MAX_ATTEMPTS: Final = 3
"""Attempts at a job whose workers die, or whose storage or database fails."""

_PAUSE = 0.2
_BEAT = 1.0
_UNAVAILABLE = ("Unavailable", "the storage or the database did not answer")


class _NoImporterError(errors.ConfigError):
    """The worker has not what the gateway offers."""


# First match by class counts. Whoever asks for the file's status reads it; the library's own
# message may name the server's inside, so it goes to the log.
_FAILURES: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (_NoImporterError, "ImporterMissing", "the worker has no importer of the file's type"),
    (errors.ObjectChangedError, "FileReplaced", "the file was replaced after the import was asked"),
    (errors.NotFoundError, "FileMissing", "the file was deleted after the import was asked"),
    (errors.InvalidRequestError, "RowRefused", "the database can not store one of the rows"),
    (errors.IntegrityError, "FileDamaged", "the file is not what was uploaded"),
    (errors.StorageError, "ServerError", "the storage or the database refuses the server"),
)


# No Exceptions: they pass through importers, which may catch those.
class _StoppedError(BaseException):
    """The worker is to stop before the job has ended."""


class _LostError(BaseException):
    """The job is another worker's meanwhile."""


class Runner:
    """Carries out jobs.

    Args:
        state: Where the jobs are.
        sink: Where the rows go.
        storage: Gives the opened storage of a profile.
        lease_seconds: Life of a claim; it is renewed in time.
    """

    def __init__(
        self,
        state: State,
        sink: Sink,
        storage: Callable[[str], Storage],
        lease_seconds: float,
    ) -> None:
        self._state = state
        self._sink = sink
        self._storage = storage
        self._lease = lease_seconds
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.stopping = threading.Event()
        """Set: jobs under way are given back, untouched."""

    def run(self, job_id: str) -> None:
        """Carry out a job, unless it has ended or somebody else works at it.

        Raises:
            StorageError: the state can not be written; the job is taken up when its lease ends.
        """
        job = leases.claim(self._state, job_id, self._name, self._lease)
        if job is None:
            return
        log.info("import job %s: attempt %d", job.id, job.attempts)
        with _Heartbeat(self._state, job, self._lease, self.stopping) as pulse:
            outcome = self._outcome(job, pulse)
        # The pulse has ended: nothing else writes this row now.
        if not outcome():
            log.warning("import job %s is another worker's meanwhile", job.id)

    def _outcome(self, job: ImportJob, pulse: _Heartbeat) -> Callable[[], bool]:
        """Import; what is to be written down of that. A job fails only where no attempt can have
        imported it: earlier ones are shut out, and this one has not come to its commit."""
        state = self._state
        try:
            if (counts := self._sink.begin(job.id, job.attempts, pulse.wait)) is None:
                pulse.alone = True
                if job.attempts > MAX_ATTEMPTS:
                    return self._given_up(job)
                counts = self._import(job, pulse)
        except ImportFileError as error:
            line, reason, rows = error.line, error.reason, pulse.rows + 1
            return lambda: leases.fail(state, job, "FileBroken", reason, line=line, rows=rows)
        except _StoppedError:
            return lambda: self._give_back(job)
        except (_LostError, SupersededError):
            return lambda: False
        except BaseException as error:  # noqa: BLE001 - an importer may raise whatever it likes
            return self._failure(job, error, pulse)
        return lambda: leases.finish(state, job, counts)

    def _give_back(self, job: ImportJob) -> bool:
        """Leave the job to whoever is next, right now."""
        if not leases.give_back(self._state, job, after=self._lease, counted=False):
            return False
        announce(self._state, job.id)
        return True

    def _given_up(self, job: ImportJob) -> Callable[[], bool]:
        code, reason = (
            (job.error_code, job.error)
            if job.error_code and job.error
            else ("WorkerLost", "the worker ended in each of them")
        )
        text = f"given up after {MAX_ATTEMPTS} attempts; {reason}"
        return lambda: leases.fail(self._state, job, code, text)

    def _failure(
        self, job: ImportJob, error: BaseException, pulse: _Heartbeat
    ) -> Callable[[], bool]:
        state = self._state
        if isinstance(error, errors.TransientError) or not pulse.alone:
            log.warning("import job %s: %s; it is tried again", job.id, error, exc_info=error)
            after = min(self._lease, 2.0 ** min(job.attempts, 10))
            return lambda: leases.give_back(
                state, job, after=after, counted=True, because=_UNAVAILABLE
            )
        log.error("import job %s failed", job.id, exc_info=error)
        for kind, code, message in _FAILURES:
            if isinstance(error, kind):
                return lambda: leases.fail(state, job, code, message)
        text = f"the importer {job.file_type!r} failed: {type(error).__name__}"
        return lambda: leases.fail(state, job, "ImporterFailed", text)

    def _import(self, job: ImportJob, pulse: _Heartbeat) -> Counts:
        """Import the rows of the job's file."""
        file = find_file(self._state, job.project_id, job.file_id)
        if file is None:
            raise errors.BucketNotFoundError("the bucket of the file is gone")
        try:
            importer = load_importer(job.file_type)
        except errors.ConfigError as error:
            raise _NoImporterError("no such importer here") from error
        load = Load(
            project_id=job.project_id,
            bucket=file.bucket.name,
            workspace=file.workspace_id,
            file_id=file.id,
            job_id=job.id,
            attempt=job.attempts,
        )
        bucket = self._storage(file.bucket.profile).bucket(file.bucket.physical)
        with bucket.get(file.bucket.prefix + file.key) as reader:
            if reader.info.etag != job.etag:
                raise errors.ObjectChangedError("the object has another etag")
            rows = importer(pulse.source(reader), _info(file))
            return self._sink.write(
                load,
                pulse.counted(rows),
                self._state.now,
                pulse.wait,
                pulse.check,
                lambda: pulse.read,
            )


def _info(file: ImportFile) -> FileInfo:
    return FileInfo(
        entity_type=file.entity_type,
        workspace=file.workspace_id,
        bucket=file.bucket.name,
        metadata=file.metadata,
    )


class _Heartbeat:
    """Renews a claim from a thread of its own as long as the work goes on, and tells the worker
    when it has to end.

    Attributes:
        rows: Rows read so far.
        read: Bytes read so far.
        alone: Whether all earlier attempts are shut out, none having imported the job.
    """

    def __init__(
        self, state: State, job: ImportJob, lease_seconds: float, stopping: threading.Event
    ) -> None:
        self.rows = 0
        self.read = 0
        self.alone = False
        self._state = state
        self._job = job
        self._lease = lease_seconds
        self._stopping = stopping
        self._lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._beat, name=f"import-{job.id}-lease", daemon=True
        )

    def source(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks, their bytes counted."""
        for chunk in chunks:
            self.read += len(chunk)
            self.check()
            yield chunk

    def counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows, counted."""
        for row in rows:
            self.rows += 1
            yield row

    def wait(self) -> None:
        """Wait a moment for another writer."""
        self.check()
        self._stopping.wait(_PAUSE)

    def check(self) -> None:
        """End the work if it has to."""
        if self._lost:
            raise _LostError
        if self._stopping.is_set():
            raise _StoppedError

    def _beat(self) -> None:
        while not self._ended.wait(min(_BEAT, self._lease / 3)):
            try:
                if not leases.renew(self._state, self._job, self._lease, self.read, self.rows):
                    self._lost = True
                    return
            except errors.StorageError as error:
                log.warning("import job %s: its lease can not be renewed: %s", self._job.id, error)

    def __enter__(self) -> _Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
