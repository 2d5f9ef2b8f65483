"""HTTP for the drivers: the one place that sends requests.

`open_transport` gives a blocking or an asyncio `Transport`; a driver builds a `Request`,
sends it and reads the `Response`. Retry is core's business. What object services over HTTP
write alike (dates, metadata in headers, XML, streams) has a module each.
"""

from storage_core.http.interface import (
    Origin,
    Request,
    Response,
    Transport,
    open_transport,
)
from storage_core.http.settings import HttpSettings

__all__ = [
    "HttpSettings",
    "Origin",
    "Request",
    "Response",
    "Transport",
    "open_transport",
]
