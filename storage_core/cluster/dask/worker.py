"""What the tasks of Dask call on a worker."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING

from storage_core.cluster.dask.telling import teller
from storage_core.cluster.jobs import Answer, Job, Refusal, Sealed
from storage_core.cluster.session import SESSIONS
from storage_core.cluster.worker import answered, check_version
from storage_core.cluster.worker import perform as perform_job

if TYPE_CHECKING:
    from distributed import Worker


def perform(version: str, token: str, operation: Sealed, job: Sealed) -> Answer:
    """Do one job. The arguments are plain, so that another version can still refuse them."""
    from distributed import get_worker

    worker = get_worker()

    def work() -> Answer:
        check_version(version)
        with SESSIONS.use(token, operation) as session:
            given: Job = pickle.loads(job)  # noqa: S301 - from the client, as all tasks are
            return perform_job(session, given, teller(worker))

    return answered(_name(worker), work)


async def welcome(
    version: str, token: str, operation: Sealed, *, dask_worker: Worker
) -> Refusal | None:
    """Find out, before anything is moved, whether this worker can take part."""

    def work() -> None:
        check_version(version)
        with SESSIONS.use(token, operation):
            pass

    return await asyncio.to_thread(answered, _name(dask_worker), work)


async def dismiss(token: str) -> None:
    """End an operation: close what it has open here."""
    await asyncio.to_thread(SESSIONS.end, token)


def _name(worker: Worker) -> str:
    return f"the worker {worker.address}"
