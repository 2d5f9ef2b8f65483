"""`DaskEngine`: an existing Dask cluster, and the way to its scheduler."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeAlias

from storage_core.cluster.engine import Crew, Engine
from storage_core.cluster.session import Operation
from storage_core.errors import ClosedError, ConfigError, InvalidRequestError, UnavailableError

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

    Scheduler: TypeAlias = "str | Client | Cluster"


class DaskEngine(Engine):
    """An existing cluster of Dask distributed, to be given to `sync`, `copy_tree` and `verify`.

    It is a context manager. One engine does for any number of operations, one at a time or
    from several threads.

    Args:
        scheduler: Address of the scheduler, such as ``"tcp://10.0.0.5:8786"``, or a
            `distributed.Client` or a cluster object, which stay the caller's to close. A client
            is also the way to give certificates (``Client(address, security=...)``): settings
            with credentials travel over this connection.
        patience: Seconds to wait for the scheduler, and for a worker when the cluster has none.
        shared_folders: Take it for granted that the workers see the same folders as this
            machine. Without it that is found out by a small file, for as long as the operation
            lasts, in each folder that takes part.

    Raises:
        InvalidRequestError: ``scheduler`` is none of these.
        ConfigError: Dask distributed is not installed.
        UnavailableError: no scheduler answers at the address.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        patience: float = 60.0,
        shared_folders: bool = False,
    ) -> None:
        self.patience = patience
        self.shared_folders = shared_folders
        given: Any = scheduler  # Dask types little of what it has
        self._own = not isinstance(given, _distributed().Client)
        self._client = _connected(given, patience) if self._own else given
        if self._client.asynchronous:
            raise InvalidRequestError(
                "the distributed.Client is an asynchronous one; transfers on a cluster block, so"
                " give them one made without asynchronous=True, in a thread"
            )

    @property
    def client(self) -> Any:
        """The `distributed.Client` underneath.

        Raises:
            ClosedError: after `close`.
        """
        if self._client is None:
            raise ClosedError("the engine is closed")
        return self._client

    def crew(self, operation: Operation) -> AbstractContextManager[Crew]:
        from storage_core.cluster.dask.crew import working

        return working(self.client, operation, self.patience)

    def close(self) -> None:
        """Close the connection, if it is the engine's own; may be called twice."""
        client, self._client = self._client, None
        if self._own and client is not None:
            client.close()

    def __repr__(self) -> str:
        if self._client is None:
            return "<DaskEngine closed>"
        scheduler = self._client.scheduler
        return f"<DaskEngine {scheduler.address if scheduler else 'not connected'}>"


def _connected(scheduler: object, patience: float) -> Any:
    """A client of the scheduler."""
    distributed = _distributed()
    if not isinstance(scheduler, str | distributed.deploy.cluster.Cluster):
        raise InvalidRequestError(
            f"scheduler {scheduler!r} is no address, distributed.Client or cluster"
        )
    try:
        return distributed.Client(
            scheduler, timeout=patience, set_as_default=False, name="storage-core"
        )
    except ValueError as error:
        raise InvalidRequestError(f"scheduler {scheduler!r} is no address: {error}") from error
    except OSError as error:
        raise UnavailableError(
            f"no Dask scheduler answers at {scheduler} within {patience:g} s: {error}"
        ) from error


def _distributed() -> Any:
    """The package; a function, so that importing this one does not take its second.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import distributed
        import distributed.deploy.cluster
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"transfers on a Dask cluster need {error.name!r}, which is not installed:"
            " pip install 'storage-core[dask]'"
        ) from error
    return distributed
