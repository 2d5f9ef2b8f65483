"""The log of a gateway: one line a request, as text or as JSON.

A line never holds a query, a header or a body: the signature of a link, a token and the
credentials of a database are there.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from storage_core.gateway.exchange import Exchange

log = logging.getLogger("storage_core.gateway")

LEAST: Final = logging.INFO
MAX_PATH: Final = 4096
"""Characters of a path that are written down: a key of 1024 bytes, percent-encoded, and more."""


def request_ended(exchange: Exchange, seconds: float) -> None:
    """Write down an answered request."""
    if not log.isEnabledFor(LEAST):
        return
    path = ascii(exchange.path[:MAX_PATH])[1:-1]
    facts: dict[str, Any] = {
        "request_id": exchange.request_id,
        "method": exchange.method,
        "path": path,
        "route": exchange.route,
        "status": exchange.status or 499,
        "milliseconds": round(seconds * 1000, 1),
        "received": exchange.body.count,
        "sent": exchange.sent,
        "client": exchange.client,
        "credential": exchange.credential_id,
        "link": exchange.link_id,
    }
    # Without a look at the stack for the caller's line, which costs more than all the rest.
    record = log.makeRecord(
        log.name,
        LEAST,
        __file__,
        0,
        "%s %s %d link=%s credential=%s %s id=%s %.1f ms",
        (
            exchange.method,
            path,
            facts["status"],
            exchange.link_id,
            exchange.credential_id,
            exchange.client,
            exchange.request_id,
            seconds * 1000,
        ),
        None,
        "request_ended",
        {"facts": facts},
    )
    log.handle(record)


class TextFormatter(logging.Formatter):
    """A record as one line; the time of day is written once a second."""

    _second = -1
    _shown = ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        second = int(record.created)
        if second != self._second:
            self._shown = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
            self._second = second
        return f"{self._shown},{int(record.msecs):03d}"


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time (RFC 3339), level, logger, message, and of a request
    its facts each under its name."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", None)
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": "request" if facts else record.getMessage(),
            **(facts or {}),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=True, default=str)


def configure(log_format: Literal["text", "json"], level: int = logging.INFO) -> None:
    """Send this process's log to standard error; what a program set up before stays."""
    handler = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    # It tells of every plugin it has.
    logging.getLogger("alembic").setLevel(max(level, logging.WARNING))
