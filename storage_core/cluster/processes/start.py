"""Where a worker process begins: run as a program, with the number of its socket.

It needs nothing of the library until it has the client's `sys.path`, so that both import the
same. The program of the client itself is not run in it.
"""

import os
import signal
import sys
from multiprocessing.connection import Connection


def main(descriptor: int) -> None:
    """Work until the client's end of the socket closes."""
    # Ctrl-C and SIGTERM often go to all processes of a group; it is the client who stops these.
    # Not SIG_IGN, which the programs that a driver starts would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.set_inheritable(descriptor, False)
    connection = Connection(descriptor)
    try:
        sys.path[:] = connection.recv()
        from storage_core.cluster.processes.desk import Desk
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - whatever an import raises
        connection.send(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None
    Desk(connection).work()


if __name__ == "__main__":
    main(int(sys.argv[1]))
