"""moto's application behind Werkzeug's server, one request at a time.

moto itself keeps no lock, so of two writers with a condition both can win. Bodies are read before
the turn is taken: a slow upload holds up nobody.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def one_at_a_time(application: Application) -> Application:
    """The same application, called by one thread at a time."""
    turn = threading.Lock()

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        source = environ["wsgi.input"]
        if environ.get("wsgi.input_terminated"):
            body = source.read()
        else:
            body = source.read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        with turn:
            return list(application(environ, start_response))

    return call


def main(port: int) -> None:
    """Serve on a port of the loopback."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for each request
    application = one_at_a_time(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main(int(sys.argv[1]))
