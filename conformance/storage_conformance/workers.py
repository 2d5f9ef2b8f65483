"""Other processes that open the profile, for the cases that need them.

A worker is a fresh interpreter that gets a picklable description of the profile, opens it,
says so, waits for the word to go on, and pickles its result: no state is shared with the
process of the case but what the service itself holds.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import IO, Any, Protocol, TypeVar

from storage_conformance.cases import unsupported
from storage_core import (
    Bucket,
    Part,
    PreconditionFailedError,
    PutResult,
    Storage,
    StorageError,
)

T = TypeVar("T")

TIMEOUT = 240
"""Seconds a worker may take for its work."""


class Spec(Protocol):
    """Description of a profile, good in another process."""

    def open(self) -> Storage:
        """Open it, on the blocking face."""


class WorkerError(AssertionError):
    """A worker died or raised what is no `StorageError`; its message has what it wrote."""


class Worker:
    """One other process that runs ``function(bucket, *args)``.

    Args:
        spec: The profile.
        bucket: A bucket that exists; the worker opens the one of the same name.
        function: A function of a module that the other process can import.
        args: Its arguments after the bucket, picklable.
        options: Options of the interpreter, such as ``("-X", "dev")``.
    """

    def __init__(
        self,
        spec: Spec,
        bucket: Bucket,
        function: Callable[..., object],
        *args: object,
        options: Sequence[str] = (),
    ) -> None:
        job = pickle.dumps((spec, bucket.name, function, args))
        self.process = subprocess.Popen(
            [
                sys.executable,
                *options,
                "-c",
                "from storage_conformance.workers import _work; _work()",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self.errors = ""
        self._write(len(job).to_bytes(8, "big") + job)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def ready(self, *, alone: bool = False) -> None:
        """Wait until it has opened the profile.

        Where the profile is private to its process, the worker has a storage of its own,
        in which the bucket is made anew. The case then ends as unsupported, unless it needs
        no more than that.

        Args:
            alone: A storage of its own will do.
        """
        line = self._pipe_out.readline()
        if line == b"apart\n":
            if alone:
                return
            unsupported("the profile's storage is private to its process; another one has its own")
        if line != b"ready\n":
            raise self._failed(f"said {line!r}")

    def go(self) -> None:
        """Let it begin; call `ready` first."""
        self._write(b"go\n")

    def say(self) -> bytes:
        """The next line it writes by `tell`, without the end of line."""
        line = self._pipe_out.readline()
        if not line.endswith(b"\n"):
            raise self._failed("ended before it said something")
        return line[:-1]

    def result(self) -> Any:
        """What the function returned, or the `StorageError` it raised.

        Raises:
            WorkerError: it died, or raised something else.
        """
        output, errors = self.process.communicate(timeout=TIMEOUT)
        self.errors = errors.decode(errors="replace")
        if self.process.returncode != 0 or not output:
            raise WorkerError(f"worker ended with {self.process.returncode}:\n{self.errors}")
        return pickle.loads(output)

    def kill(self) -> None:
        """End it as ``kill -9`` does, and take away what is left of it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIMEOUT)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    @property
    def _pipe_out(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def _write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its death is reported by what reads next
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def _failed(self, what: str) -> WorkerError:
        self.process.kill()
        _, errors = self.process.communicate()
        return WorkerError(f"worker {what}:\n{errors.decode(errors='replace')}")


def run(spec: Spec, bucket: Bucket, function: Callable[..., T], *args: object) -> T | StorageError:
    """``function(bucket, *args)`` in another process."""
    with Worker(spec, bucket, function, *args) as worker:
        worker.ready()
        worker.go()
        return worker.result()  # type: ignore[no-any-return]


def run_together(
    spec: Spec,
    bucket: Bucket,
    function: Callable[..., T],
    count: int,
    *args: object,
) -> list[T]:
    """``function(bucket, number, *args)`` in ``count`` processes that begin together."""
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(spec, bucket, function, number, *args))
            for number in range(count)
        ]
        for worker in workers:
            worker.ready()
        for worker in workers:
            worker.go()
        return [worker.result() for worker in workers]


def tell(line: str) -> None:
    """Within a worker: say something to `Worker.say`."""
    sys.stdout.buffer.write(line.encode() + b"\n")
    sys.stdout.buffer.flush()


def _work() -> None:
    """Body of the other process."""
    pipe = sys.stdin.buffer
    spec, name, function, args = pickle.loads(pipe.read(int.from_bytes(pipe.read(8), "big")))
    with spec.open() as storage:
        bucket = storage.bucket(name)
        shared = storage.bucket_exists(name)
        if not shared:
            storage.create_bucket(name)
        tell("ready" if shared else "apart")
        if pipe.readline() != b"go\n":
            return
        try:
            result = function(bucket, *args)
        except StorageError as error:
            result = error
    pickle.dump(result, sys.stdout.buffer)


# --- what workers do ------------------------------------------------------------------


def create_all(bucket: Bucket, number: int, keys: Sequence[str]) -> list[PutResult | StorageError]:
    """Race for each of the keys with ``if_absent``."""
    outcomes: list[PutResult | StorageError] = []
    for key in keys:
        try:
            outcomes.append(bucket.put(key, b"process %d" % number, if_absent=True))
        except PreconditionFailedError as error:
            outcomes.append(error)
    return outcomes


def count_up(bucket: Bucket, key: str, times: int) -> None:
    """Add one to the number an object holds, by compare-and-swap."""
    for _ in range(times):
        while True:
            with bucket.get(key) as reader:
                found = int(reader.read())
                etag = reader.info.etag
            with contextlib.suppress(PreconditionFailedError):
                bucket.put(key, b"%d" % (found + 1), if_match=etag)
                break


def count_up_in_process(bucket: Bucket, _number: int, key: str, times: int) -> None:
    """`count_up` for `run_together`."""
    count_up(bucket, key, times)


def upload_until_killed(bucket: Bucket, key: str, size: int) -> None:
    """Begin a session, send one part, and be in the middle of the second when killed."""

    def never_ends() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536
            tell("sending")
            time.sleep(0.01)

    upload = bucket.create_upload(key, metadata={"from": "the killed one"})
    upload.put_part(1, b"1" * size)
    tell(upload.id)
    upload.put_part(2, never_ends())


def send_part(bucket: Bucket, upload_id: str, number: int, body: bytes) -> Part:
    """One part of a session that another process began."""
    return bucket.resume_upload(upload_id).put_part(number, body)


def finish_upload(bucket: Bucket, upload_id: str, rest: bytes) -> PutResult:
    """Complete a session that another process began, with a last part."""
    upload = bucket.resume_upload(upload_id)
    upload.put_part(2, rest)
    return upload.complete()
