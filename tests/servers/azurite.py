"""Azurite: Azure Blob Storage as its makers emulate it. It checks keys and every kind of SAS."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from tests.servers import npm
from tests.servers.base import Processes, Server, free_ports, started

NAME = "azurite"
UNCHECKED: dict[str, str] = {}
"""What passes there whatever it is, by category of the suite."""
PACKAGE = Path(__file__).parent / "packages" / "azurite"
"""What npm installs: the version, and a lock over all it needs."""

ACCOUNT = "conformance"
KEY = base64.b64encode(b"the key of an account that only tests use".ljust(64, b".")).decode()
WRONG_KEY = base64.b64encode(b"another key".ljust(64, b".")).decode()
SAS_VERSION = "2021-12-02"


@contextmanager
def start() -> Iterator[Server]:
    """Azurite on a free port, installed first if need be.

    Raises:
        MissingServerError: it can not be installed.
        StartError: it did not start.
    """
    prepare()
    with started(_launch, NAME) as server:
        yield server


def prepare() -> Path:
    """The installed package.

    Raises:
        MissingServerError: it can not be installed.
    """
    return npm.packages(NAME, PACKAGE)


def _launch(processes: Processes) -> Server:
    module = prepare() / "node_modules" / "azurite"
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    processes.spawn(
        NAME,
        npm.node(),
        module / "dist" / "src" / "blob" / "main.js",
        *("--blobHost", "127.0.0.1", "--blobPort", str(port)),
        *("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"),
        env={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}", "PATH": os.environ["PATH"]},
    )
    processes.wait_http(endpoint, lambda status: status != 0)
    version = json.loads((module / "package.json").read_text("utf-8"))["version"]
    return processes.server(NAME, version, endpoint, profiles(endpoint))


def profiles(endpoint: str) -> dict[str, dict[str, object]]:
    """What profiles of it say."""
    profile = {"driver": "azure", "endpoint_url": endpoint, "account_name": ACCOUNT}
    return {
        "default": {**profile, "account_key": KEY},
        "denied": {**profile, "sas_token": account_sas(permissions="r", resources="s")},
        "wrong_credentials": {**profile, "account_key": WRONG_KEY},
    }


def account_sas(*, permissions: str, resources: str, hours: int = 12) -> str:
    """A shared access signature of the account ("Create an account SAS" in the REST reference).

    Args:
        permissions: Letters of what it allows, in the reference's order.
        resources: ``s`` the service, ``c`` its containers, ``o`` the objects in them.
        hours: How long it is good.
    """
    expires = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = (ACCOUNT, permissions, "b", resources, "", expires, "", "", SAS_VERSION, "")
    text = "".join(f"{field}\n" for field in fields)
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    return urlencode(
        {
            "sv": SAS_VERSION,
            "ss": "b",
            "srt": resources,
            "sp": permissions,
            "se": expires,
            "sig": base64.b64encode(digest).decode(),
        }
    )
