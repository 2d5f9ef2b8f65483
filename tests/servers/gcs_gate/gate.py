"""All that one gate has: clock, accounts, buckets, a folder for bodies, options, its log."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.gcs_gate.clock import Clock
from tests.servers.gcs_gate.content import Content, Writer
from tests.servers.gcs_gate.keys import Keyring
from tests.servers.gcs_gate.state import Store
from tests.servers.gcs_gate.wire import Request


@dataclass(frozen=True)
class Options:
    """What the command line sets.

    Attributes:
        project: The project of the accounts made at the start.
        domain: Hosts that end in it have the bucket in front.
        rewrite_bytes: Bytes that one call of `rewriteTo` copies at most.
        verbose: Write a line for each request.
    """

    project: str = "gate-project"
    domain: str = "localhost"
    rewrite_bytes: int = 1 << 30
    verbose: bool = False


@dataclass
class Gate:
    """One gate."""

    folder: Path
    options: Options = field(default_factory=Options)
    clock: Clock = field(default_factory=Clock)
    keyring: Keyring = field(init=False)
    store: Store = field(init=False)
    notes: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keyring = Keyring(self.clock)
        self.reset()

    def reset(self) -> None:
        """Forget buckets, uploads, notes and the shift of the clock; accounts stay."""
        self.store = Store(self.clock)
        self.notes.clear()
        self.clock.shift = 0.0

    def note(self, request: Request, text: str) -> None:
        """Remember what was refused as undocumented or missing, and say it."""
        query = f"?{request.raw_query}" if request.raw_query else ""
        line = f"{request.method} {request.raw_path}{query}: {text}"
        self.notes.append({"request": f"{request.method} {request.raw_path}", "note": text})
        print(f"gcs gate: {line}", file=sys.stderr, flush=True)

    async def receive(self, request: Request) -> Content:
        """The body of a request, kept."""
        writer = Writer(self.folder)
        try:
            async for piece in request.stream():
                writer.write(piece)
        except BaseException:
            writer.abort()
            raise
        return writer.finish()


def request_id() -> str:
    """The id an answer carries."""
    return secrets.token_hex(16)
