"""The public names and signatures as text, one per line. Writes tests/public_api.txt:

.venv/bin/python -m tests.public_api
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import storage_core
import storage_core.aio

LIST = Path(__file__).with_name("public_api.txt")
FACES: tuple[ModuleType, ...] = (storage_core, storage_core.aio)

# Special methods that are part of how an object is used.
PROTOCOL = {
    "__enter__", "__exit__", "__iter__", "__next__", "__len__", "__contains__", "__getitem__",
    "__aenter__", "__aexit__", "__aiter__", "__anext__", "__await__", "__call__",
}  # fmt: skip


def parameters(function: Any) -> list[inspect.Parameter]:
    """The parameters without `self` and without annotations."""
    found = inspect.signature(function).parameters.values()
    return [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in found
        if parameter.name not in {"self", "cls"}
    ]


def shape(function: Any) -> str:
    return str(inspect.Signature(parameters(function)))


def members(cls: type) -> dict[str, Any]:
    """The public attributes that our own classes define, as found in the class dictionaries."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] != "storage_core":
            continue
        found.update(vars(base))
        # Fields without a default are in no class dictionary; a method is no field.
        found.update(dict.fromkeys(set(base.__annotations__) - set(found)))
    return {
        name: value
        for name, value in sorted(found.items())
        if name in PROTOCOL or not name.startswith("_")
    }


def function_of(member: Any) -> Any:
    """What is called when `member` of a class is called, or None if it is not called."""
    if isinstance(member, staticmethod | classmethod):
        return member.__func__
    return member if inspect.isfunction(member) else None


def describe(prefix: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield f"{prefix}{shape(value)}" if inspect.isroutine(value) else prefix
        return
    yield f"{prefix}({', '.join(base.__name__ for base in value.__bases__)})"
    for name, member in members(value).items():
        function = function_of(member)
        yield f"{prefix}.{name}{shape(function) if function else ''}"


def lines() -> list[str]:
    """Every public name with its parameters, and the bases and members of every class."""
    return [
        line
        for module in FACES
        for name in sorted(module.__all__)
        for line in describe(f"{module.__name__}.{name}", getattr(module, name))
    ]


if __name__ == "__main__":
    LIST.write_text("\n".join(lines()) + "\n", "utf-8")
