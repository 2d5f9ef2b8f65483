"""What the installed drivers can do, as a Markdown table, asked of the drivers themselves.

    python examples/capabilities.py

A driver states its capabilities as data (`storage_core.Capabilities`), and the conformance
suite holds it to them. Each driver is opened twice, as it is and with `versions` switched on,
to tell what a setting decides.
"""

import base64
import tempfile
from collections.abc import Callable

import storage_core
from storage_core import Capabilities
from storage_core.model import Operation

KEY = base64.b64encode(bytes(32)).decode()
DRIVERS: dict[str, dict[str, object]] = {
    "local": {},
    "memory": {},
    "s3": {"region": "eu-central-1", "access_key_id": "none", "secret_access_key": "none"},
    "azure": {"account_name": "none", "account_key": KEY},
    "gcs": {"project": "none", "token": "none", "hmac_access_id": "none", "hmac_secret": "none"},
}
"""Settings of each that are good enough to ask it; nothing is sent to anyone."""


def size(number: int) -> str:
    """Bytes in the largest binary unit that divides them."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while number and number % 1024 == 0 and len(units) > 1:
        number, units = number // 1024, units[1:]
    return f"{number} {units[0]}"


def conditions(operation: Operation) -> Callable[[Capabilities], str]:
    """The conditions an operation honours."""
    return lambda able: ", ".join(f"`{name}`" for name in sorted(able.conditions[operation]))


ROWS: dict[str, Callable[[Capabilities], object]] = {
    "Conditions of a put": conditions("put"),
    "Conditions of a get and a head": conditions("get"),
    "Conditions of a delete": conditions("delete"),
    "Checksum of every object": lambda able: able.default_checksum,
    "Digests kept when asked for": lambda able: ", ".join(sorted(able.checksums)),
    "Ordered listing, `start_after`": lambda able: able.ordered_listing,
    "Metadata, content headers": lambda able: able.content_headers,
    "`update_metadata` in place": lambda able: able.update_metadata,
    "Copy inside the service": lambda able: able.server_side_copy,
    "Move in one atomic step": lambda able: able.atomic_move,
    "Multipart, resumable by id": lambda able: able.multipart,
    "Least size of a part": lambda able: size(able.min_part_size),
    "Versions": lambda able: able.versions,
    "Tags": lambda able: able.tags,
    "Object expiry": lambda able: able.object_expiry,
    "Presigned links": lambda able: "own" if able.presign else "gateway",
    "Largest object": lambda able: size(able.max_object_size),
}


def capabilities(driver: str, versions: bool) -> Capabilities:
    """What a driver declares with these settings."""
    with tempfile.TemporaryDirectory() as root:
        place = {"root": root} if driver == "local" else {}
        profile = {"driver": driver, "versions": versions, **DRIVERS[driver], **place}
        with storage_core.open(config=profile) as storage:
            return storage.capabilities


def cell(plain: object, versioned: object) -> str:
    """One entry: what holds always, or which setting decides."""
    words = {True: "yes", False: "no"}
    if plain == versioned:
        return words.get(plain, str(plain)) if isinstance(plain, bool) else str(plain)
    return "with `versions = true`" if versioned else "with `versions = false`"


def table() -> str:
    """The table."""
    able = {name: (capabilities(name, False), capabilities(name, True)) for name in DRIVERS}
    lines = [f"| | {' | '.join(f'`{name}`' for name in able)} |", "|---" * (len(able) + 1) + "|"]
    for title, look in ROWS.items():
        cells = (cell(look(plain), look(versioned)) for plain, versioned in able.values())
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
