"""Makes or deletes a logical bucket, and is killed at one of its steps.

Arguments: database, profile as JSON, id of the project, name, shared bucket or "", operation,
number of the step at whose end the process is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import storage_core
from storage_core.access import buckets
from storage_core.core.storage import StorageCore
from storage_core.state import open_state


def kill_after(step: int) -> None:
    """Have this process killed when the ``step``-th change of anything is done."""
    left = step

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            result = function(*args, **kwargs)
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    def counted_async(function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            result = await function(*args, **kwargs)
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in ("_reserve", "_change", "_forget"):
        setattr(buckets, name, counted(getattr(buckets, name)))
    for name in ("create_bucket", "delete_bucket"):
        setattr(StorageCore, name, counted_async(getattr(StorageCore, name)))


def main() -> None:
    database, profile, project, name, shared, operation, step = sys.argv[1:]
    state = open_state(database)
    with storage_core.open(config=json.loads(profile)) as storage:
        kill_after(int(step))
        if operation == "create":
            buckets.create(state, storage, project, name, shared=shared)
        else:
            buckets.delete(state, storage, buckets.deletable(state, project, name))
    state.close()


if __name__ == "__main__":
    main()
