"""Options that several commands have, with their short names."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from cyclopts import Parameter

from storage_core.cli.formats import parse_size
from storage_core.cli.status import UsageError

if TYPE_CHECKING:
    from storage_core.cluster.engine import Engine
    from storage_core.transfer.options import TransferOptions

Recursive = Annotated[bool, Parameter(name=["--recursive", "-r"])]
NoClobber = Annotated[bool, Parameter(name=["--no-clobber", "-n"])]

LeftOut: TypeAlias = Literal["headers", "metadata", "tags", "expiry"]
LeaveOut = Annotated[list[LeftOut] | None, Parameter(name="--leave-out", negative="")]


@Parameter(name="*")
@dataclass(frozen=True)
class Pace:
    """How a command uses the machine and the network.

    Attributes:
        concurrency: Requests at a time at most.
        part_size: Size of one part of a large object: 8MiB, 64M; planned from its size without.
        max_memory: Most memory for buffers: 256MiB, 1G.
        bandwidth: Most bytes per second: 500K, 10MB.
    """

    concurrency: int | None = None
    part_size: str | None = None
    max_memory: str | None = None
    bandwidth: str | None = None

    def options(self) -> "TransferOptions":
        """The same for the engine.

        Raises:
            UsageError: a value is none.
        """
        return self._options(verify=True, resume=True)

    def _options(self, *, verify: bool, resume: bool) -> "TransferOptions":
        from storage_core.transfer.memory import set_max_memory
        from storage_core.transfer.options import TransferOptions

        if self.concurrency is not None and self.concurrency < 1:
            raise UsageError("--concurrency is 1 or more")
        memory = _size(self.max_memory)
        if memory is not None:
            set_max_memory(memory)  # of the process, which does nothing else
        return TransferOptions(
            part_size=_size(self.part_size),
            concurrency=self.concurrency,
            max_memory=memory,
            bandwidth=_size(self.bandwidth and self.bandwidth.removesuffix("/s")),
            verify=verify,
            resume=resume,
        )


@Parameter(name="*")
@dataclass(frozen=True)
class Transfer(Pace):
    """How a transfer uses the machine and the network, and what it does besides.

    Attributes:
        concurrency: Requests at a time at most.
        part_size: Size of one part of a large object: 8MiB, 64M; planned from its size without.
        max_memory: Most memory for buffers: 256MiB, 1G.
        bandwidth: Most bytes per second: 500K, 10MB.
        no_resume: Begin large objects anew, and keep nothing of what is interrupted.
        no_verify: Do not hold the bytes against the checksums that are known of them.
    """

    no_resume: bool = False
    no_verify: bool = False

    def options(self) -> "TransferOptions":
        return self._options(verify=not self.no_verify, resume=not self.no_resume)


@Parameter(name="*")
@dataclass(frozen=True)
class Filters:
    """Which keys of a tree are meant.

    Attributes:
        include: Only keys that fit this pattern; may be repeated.
        exclude: No keys that fit this pattern; may be repeated.
    """

    include: list[str] | None = None
    exclude: list[str] | None = None


@Parameter(name="*")
@dataclass(frozen=True)
class Cluster:
    """Who does it, if not this process alone.

    Attributes:
        engine: "processes": several on this machine. "dask": those of a Dask cluster.
        processes: How many; one for each processor without it.
        scheduler: Address of the cluster's scheduler, such as tcp://10.0.0.5:8786.
        shared_folders: All workers of the cluster see the same folders as this machine.
    """

    engine: Literal["processes", "dask"] | None = None
    processes: int | None = None
    scheduler: str | None = None
    shared_folders: bool = False

    @contextmanager
    def opened(self) -> "Iterator[Engine | None]":
        """The engine; None without one.

        Raises:
            UsageError: an option lacks another one.
            ConfigError: Dask is not installed, or no process can be made.
            UnavailableError: no scheduler answers.
        """
        if self.processes is not None and self.engine != "processes":
            raise UsageError("--processes goes with --engine processes")
        if self.processes is not None and self.processes < 1:
            raise UsageError("--processes is 1 or more")
        if (self.scheduler is not None) != (self.engine == "dask"):
            raise UsageError("--engine dask and --scheduler ADDRESS go together")
        if self.shared_folders and self.engine != "dask":
            raise UsageError("--shared-folders goes with --engine dask")
        if self.engine is None:
            yield None
            return
        from storage_core.cluster import DaskEngine, ProcessEngine

        with (
            ProcessEngine(self.processes)
            if self.scheduler is None
            else DaskEngine(self.scheduler, shared_folders=self.shared_folders)
        ) as engine:
            yield engine


PACE = Pace()
CLUSTER = Cluster()
TRANSFER = Transfer()
FILTERS = Filters()


def _size(text: str | None) -> int | None:
    return None if text is None else parse_size(text)
