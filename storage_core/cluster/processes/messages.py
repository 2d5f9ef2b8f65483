"""What the client and its worker processes send each other, besides `Told` and `Done`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from storage_core.cluster.engine import Done, Told
from storage_core.cluster.jobs import Job, Refusal, Sealed


@dataclass(frozen=True, slots=True)
class Open:
    """An operation begins.

    Attributes:
        version: Of the client's library.
        memory: Bytes that this process may take for buffers.
        operation: What all jobs have in common.
    """

    version: str
    memory: int
    operation: Sealed


@dataclass(frozen=True, slots=True)
class Do:
    """A job; done after all that came before it."""

    number: int
    job: Job


@dataclass(frozen=True, slots=True)
class End:
    """The operation is over: what is under way is called off, what waits is dropped, and what is
    open gets closed."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to `Open`: None, or why the process can not take part."""

    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer to `End`; nothing else of the operation comes after it.

    Attributes:
        spent: Whether the process had better not be used for another one.
    """

    spent: bool


@dataclass(frozen=True, slots=True)
class NotStarted:
    """Why a process could not begin; it has ended."""

    reason: str


ToWorker: TypeAlias = Open | Do | End
FromWorker: TypeAlias = Opened | Told | Done | Ended
