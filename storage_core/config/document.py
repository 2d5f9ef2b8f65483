"""Reading one configuration: TOML or YAML, with the line of every key."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from storage_core.config.profile import Source
from storage_core.config.tree import MAX_DEPTH, MAX_VALUES, Keys
from storage_core.errors import ConfigError

MAX_BYTES = 1024 * 1024
PYPROJECT = "pyproject.toml"

Origin: TypeAlias = Literal["named", "environment", "folder", "user"]
Lines: TypeAlias = Mapping[Keys, int]


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration as read.

    Attributes:
        path: Absolute path.
        origin: How it was found: named in code or on the command line, by
            ``$STORAGE_CONFIG``, in the current folder, or in the user's configuration folder.
        table: Its content; of ``pyproject.toml`` only ``[tool.storage]``.
        lines: Line of each key, from 1.
    """

    path: Path
    origin: Origin
    table: Mapping[str, Any] = field(repr=False)
    lines: Lines = field(repr=False)

    def source(self, keys: Keys) -> Source:
        """The source of the value under ``keys``, with the line of the nearest key known."""
        for end in range(len(keys), 0, -1):
            if line := self.lines.get(keys[:end]):
                return Source("file", str(self.path), line)
        return Source("file", str(self.path))


def read_document(path: Path, origin: Origin) -> Document | None:
    """Read a configuration.

    Args:
        path: A ``.toml``, ``.yaml`` or ``.yml``, or a ``pyproject.toml``.
        origin: How it was found.

    Returns:
        The document; None for a ``pyproject.toml`` without ``[tool.storage]``.

    Raises:
        ConfigError: it can not be read or parsed, naming the line where there is one.
    """
    path = Path(os.path.abspath(path))  # keeps symbolic links as they are written
    reader = {".toml": _read_toml, ".yaml": _read_yaml, ".yml": _read_yaml}.get(path.suffix)
    if reader is None:
        raise ConfigError(f"{path}: a configuration is a .toml, .yaml or .yml file; rename it")
    text = _read_text(path)
    if path.name == PYPROJECT and not _TOOL_STORAGE.search(text):
        return None  # somebody else's, and perhaps half-edited: not ours to complain about
    table, lines = reader(path, text)
    if path.name != PYPROJECT:
        return Document(path, origin, table, lines)
    own = _tool_storage(path, table)
    if own is None:
        return None
    inner = {keys[2:]: n for keys, n in lines.items() if keys[:2] == ("tool", "storage")}
    return Document(path, origin, own, inner)


def read_limited(path: Path, limit: int) -> bytes:
    """The bytes of a regular file, refused beyond ``limit`` bytes.

    Raises:
        ConfigError: naming what is wrong with it.
    """
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"{path} is not a regular file")
            data = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigError(f"{path} can not be read: {reason or 'not a valid name'}") from None
    if len(data) > limit:
        raise ConfigError(f"{path} is larger than {limit} bytes")
    return data


def _read_text(path: Path) -> str:
    data = read_limited(path, MAX_BYTES)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    # Outside the handler: the codec's error would carry the content along.
    raise ConfigError(f"{path}:{line}: not UTF-8 text")


def _read_toml(path: Path, text: str) -> tuple[dict[str, Any], Lines]:
    import tomllib

    problem = ""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # RecursionError from deep nesting; ValueError from a number of thousands of digits.
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    else:
        return table, _toml_lines(text)
    line = re.search(r" ?\(at line (\d+), column \d+\)", problem)
    where = f"{path}:{line[1]}" if line else str(path)
    raise ConfigError(f"{where}: not valid TOML: {problem}")


_TOOL_STORAGE = re.compile(r"""\btool["'\s]*(\.["'\s]*storage\b|\])""")
_SIMPLE = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_SIMPLE}(?:[ \t]*\.[ \t]*{_SIMPLE})*"
_HEADER = re.compile(rf"[ \t]*\[\[?[ \t]*({_DOTTED})[ \t]*\]")
_ASSIGNMENT = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")


def _toml_lines(text: str) -> Lines:
    """Line of each table header and each key at the start of a line of valid TOML."""
    lines: dict[Keys, int] = {}
    table: Keys = ()
    quote = ""
    for number, line in enumerate(text.split("\n"), 1):
        if quote:
            quote = "" if line.count(quote) % 2 else quote
            continue
        if header := _HEADER.match(line):
            table = _toml_keys(header[1])
            lines.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault((*table, *_toml_keys(assignment[1])), number)
        if not line.lstrip().startswith("#"):
            quote = next((q for q in ('"""', "'''") if line.count(q) % 2), "")
    return lines


def _toml_keys(text: str) -> Keys:
    if '"' not in text and "'" not in text:
        return tuple(part.strip() for part in text.split("."))
    import tomllib

    try:
        table: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:  # a line inside an array that only looks like a key
        return ()
    keys: Keys = ()
    while isinstance(table, dict):
        ((key, table),) = table.items()
        keys = (*keys, key)
    return keys


def _tool_storage(path: Path, table: Mapping[str, Any]) -> dict[str, Any] | None:
    tool = table.get("tool")
    storage = tool.get("storage") if isinstance(tool, dict) else None
    if storage is None or isinstance(storage, dict):
        return storage
    raise ConfigError(f"{path}: tool.storage is not a table; write [tool.storage]")


def _read_yaml(path: Path, text: str) -> tuple[dict[str, Any], Lines]:
    try:
        import yaml
    except ModuleNotFoundError:
        raise ConfigError(
            f"{path}: reading YAML needs an extra: pip install 'storage-core[yaml]'"
        ) from None
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        lines: dict[Keys, int] = {}
        if node is not None:
            _yaml_lines(path, node, (), lines, 0)
        table = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = f"{where}: not valid YAML: {error.problem or error.context}"
    except (yaml.YAMLError, ValueError, RecursionError):
        # Their texts may quote the content.
        problem = f"{path}: not valid YAML: unreadable character, number, date or nesting"
    else:
        if isinstance(table, dict):
            return table, lines
        problem = f"{path}: the document is not a mapping of settings"
    finally:
        if loader is not None:
            loader.dispose()
    raise ConfigError(problem)


def _yaml_lines(path: Path, node: Any, keys: Keys, lines: dict[Keys, int], count: int) -> int:
    """Collect lines, and refuse what aliases could blow up before anything expands them."""
    import yaml

    line = node.start_mark.line + 1
    if count > MAX_VALUES or len(keys) > MAX_DEPTH:
        raise ConfigError(f"{path}:{line}: too many or too deeply nested values")
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            count = _yaml_lines(path, item, (*keys, "-"), lines, count + 1)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            at = key.start_mark.line + 1
            if name in seen:
                raise ConfigError(
                    f"{path}:{at}: {name!r} is given twice, first in line {seen[name]}"
                )
            seen[name] = at
            lines.setdefault((*keys, name), at)
            count = _yaml_lines(path, value, (*keys, name), lines, count + 1)
    return count
