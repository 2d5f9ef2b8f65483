"""What an engine is: workers somewhere, and how one operation uses them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self, TypeAlias

from storage_core.cluster.jobs import Answer, Job
from storage_core.errors import UnavailableError

if TYPE_CHECKING:
    from storage_core.cluster.session import Operation


class Told(NamedTuple):
    """A job has moved so many bytes so far.

    Attributes:
        job: Its number.
        bytes: How many; less than before when it is done again.
    """

    job: int
    bytes: int


class Done(NamedTuple):
    """A job is done.

    Attributes:
        job: Its number.
        answer: What became of it.
    """

    job: int
    answer: Answer


class Lost(NamedTuple):
    """A job was lost with the workers that had it, one after the other, and is not tried again.

    Attributes:
        job: Its number.
        error: Says so.
    """

    job: int
    error: UnavailableError


Event: TypeAlias = Told | Done | Lost


class Crew(ABC):
    """The workers of an engine, for one operation. A job whose worker is lost is given to
    another one.

    Attributes:
        batch: Objects of one job at most. With more of them each costs a little less, and more
            has to be done again when a worker is lost.
    """

    batch: ClassVar[int]

    @property
    @abstractmethod
    def threads(self) -> int:
        """Jobs that the workers do at a time, as far as is known now."""

    @abstractmethod
    def send(self, number: int, job: Job) -> None:
        """Have a job done.

        Args:
            number: Its name in events; each only once.
            job: What to do.

        Raises:
            UnavailableError: the workers are out of reach.
        """

    @abstractmethod
    def next(self) -> Event:
        """Wait for what happens next; a job that is out is done or lost some time.

        Raises:
            ConfigError: a worker can not take part.
            UnavailableError: the workers are out of reach, or there are none.
        """


class Engine(ABC):
    """Workers, to be given to `sync`, `copy_tree` and `verify`. It is a context manager."""

    shared_folders: bool = False
    """Whether it is taken for granted that the workers see the same folders as this process."""

    @abstractmethod
    def crew(self, operation: Operation) -> AbstractContextManager[Crew]:
        """The workers for an operation, for as long as the context lasts; at its end what is
        still out is called off, and they close what they have open for it.

        Raises:
            ClosedError: the engine is closed.
            ConfigError: a worker can not take part; the message says which and why.
            InvalidRequestError: a part of the operation can not be sent.
            UnavailableError: the workers are out of reach, or there are none.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the workers up; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
