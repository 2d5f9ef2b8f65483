"""Trust in a configuration that merely lies in the current folder.

A program started in a folder reads the ``storage.toml`` it finds there, which may have come
with a download. Until its reader says otherwise (``storage config trust``) such a
configuration can do nothing outside its own folder. Its profiles may use

- the drivers ``memory``, and ``local`` with a ``root`` inside the folder (symbolic links
  followed), and all their settings;
- the options ``prefix``, ``bucket_prefix``, ``retry``, ``capabilities``, ``links.route``.

Of the table ``[gateway]`` it may set limits, names and facades (`HARMLESS_GATEWAY`).

Everything else waits for trust: any other driver (it would use the user's credentials
towards a place of the configuration's choosing), ``${env:…}`` and ``${file:…}``,
``links.base_url`` and ``links.keys``. Only values written in the configuration count, not
those from the environment, and only those of the profile that is opened, or of the gateway.

A configuration named in code, on the command line or by ``$STORAGE_CONFIG``, and the one in
the user's configuration folder, are trusted. Trust is kept in the user's state folder and
holds for one path and one content: any change of a setting asks again; comments, and other
tables of a ``pyproject.toml``, do not count.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from storage_core.config.discover import user_state_folder
from storage_core.config.document import Document
from storage_core.config.references import references
from storage_core.config.tree import Keys, Leaf, Tree, dotted
from storage_core.errors import ConfigError

HARMLESS = frozenset({"prefix", "bucket_prefix", "retry", "capabilities"})
HARMLESS_LINKS: Keys = ("links", "route")
CONTAINED = frozenset({"local", "memory"})
HARMLESS_GATEWAY: frozenset[Keys] = frozenset(
    {
        ("profiles",),
        ("facades",),
        ("log_format",),
        ("metrics",),
        ("requests_per_minute",),
        ("max_client_requests",),
        ("max_json_body",),
        ("max_body_size",),
        ("root_path",),
        ("stall_timeout",),
        ("min_rate",),
        ("drain_timeout",),
        ("max_connections",),
        ("z3", "path"),
        ("z3", "profile"),
        ("z3", "bucket"),
        ("z3", "link_seconds"),
        ("imports", "file_types"),
        ("imports", "workers"),
        ("imports", "link_seconds"),
        ("imports", "lease_seconds"),
    }
)
"""The others say who may come in, where links lead, or what is told to whom."""


def is_trusted(document: Document) -> bool:
    """Whether the configuration may do everything."""
    if document.origin != "folder":
        return True
    try:
        record = _record(document.path).read_text(encoding="ascii")
    except (OSError, ConfigError, ValueError):
        return False
    return record.strip() == _digest(document)


def trust(document: Document) -> Path:
    """Trust a configuration as it is now.

    Returns:
        The record made.

    Raises:
        ConfigError: the user's state folder can not be written.
    """
    import tempfile

    record = _record(document.path)
    try:
        record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Renamed into place, so that a reader never sees half a record.
        descriptor, temporary = tempfile.mkstemp(dir=record.parent)
        with open(descriptor, "w", encoding="ascii") as stream:
            stream.write(_digest(document) + "\n")
        Path(temporary).replace(record)
    except OSError as error:
        raise ConfigError(
            f"trust can not be recorded in {record.parent}: {error.strerror}"
        ) from error
    return record


def distrust(path: Path) -> bool:
    """Forget the trust in a configuration; whether there was any."""
    try:
        _record(path).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(f"trust can not be withdrawn: {error.strerror}") from error
    return True


def needs_trust(document: Document, tree: Tree) -> tuple[Keys, str] | None:
    """What of a profile goes beyond the configuration's folder.

    Args:
        document: Where the profile is written.
        tree: Its values, by names inside the profile, overrides included.

    Returns:
        The keys of the first such value and what it could do; None if there is none.
    """
    driver = tree.get(("driver",))
    name = driver.value if driver else None
    for keys, leaf in tree.items():
        if leaf.source.kind == "file" and (reason := _reach(document, keys, leaf, name)):
            return keys, reason
    return None


def gateway_needs_trust(tree: Tree) -> tuple[Keys, str] | None:
    """What of the table ``[gateway]`` waits for trust, as `needs_trust`."""
    for keys, leaf in tree.items():
        if leaf.source.kind != "file":
            continue
        if any(references(leaf.value)):
            return keys, "reads a secret"
        if keys not in HARMLESS_GATEWAY:
            return keys, "decides whom the gateway serves, and where links and figures go"
    return None


def refuse(
    document: Document, table: Keys, keys: Keys, reason: str, *, also: str = ""
) -> ConfigError:
    """The error that says what needs trust, and how to give it.

    Args:
        document: The configuration.
        table: Keys of the table concerned.
        keys: Keys inside it.
        reason: What it could do.
        also: Another fault, told first.
    """
    place = document.source((*table, *keys))
    first = f"{also}\n" if also else ""
    return ConfigError(
        f"{first}{place}: {dotted((*table, *keys))} {reason}, and {document.path} was found in"
        f" the current folder, not chosen by you. Read it, then: storage config trust"
        f" {document.path}"
    )


def _reach(document: Document, keys: Keys, leaf: Leaf, driver: object) -> str | None:
    if any(references(leaf.value)):
        return "reads a secret"
    if keys == ("driver",):
        return None if driver in CONTAINED else "uses your credentials"
    if keys[0] in HARMLESS or keys == HARMLESS_LINKS:
        return None
    if keys[0] == "links":
        return "decides where links lead and who can sign them"
    if driver not in CONTAINED:
        return "steers a driver that uses your credentials"
    # Any text might be a path to the driver; a name such as "md5" lies inside by itself.
    texts = leaf.value if isinstance(leaf.value, list) else [leaf.value]
    if not all(_inside(document.path, text) for text in texts if isinstance(text, str)):
        return "reaches outside its folder"
    return None


def _inside(document: Path, place: str) -> bool:
    if place.startswith("~"):
        return False
    try:
        folder = document.parent.resolve()
        return (folder / place).resolve().is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):
        return False


def _digest(document: Document) -> str:
    content = json.dumps([str(document.path.resolve()), document.table], default=str)
    return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()


def _record(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    return user_state_folder() / "trust" / name
