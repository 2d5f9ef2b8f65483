"""The public names against the list of them, and the blocking face against the async one."""

import inspect
import re
from typing import Any

import pytest

import storage_core
import storage_core.aio
from tests.public_api import FACES, LIST, function_of, lines, members, parameters

# The special methods that have another name on the async face.
TWINS = {
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
    "__iter__": "__aiter__",
    "__next__": "__anext__",
}

# What only the async face needs: `await bucket.get(key)` beside `async with bucket.get(key)`.
ASYNC_ONLY = {"__await__"}

# Classes of the async face whose blocking counterpart is the standard library's:
# `Bucket.open` gives an `io.BufferedReader` there.
WITHOUT_TWIN = {"AsyncSeekableReader"}

# What only the blocking face needs: a reader is a file for `io.TextIOWrapper`.
BLOCKING_ONLY = {"flush", "readable", "seekable", "writable"}

# (blocking class, async class) for every class of the async face that has a blocking twin.
PAIRS = [
    (getattr(storage_core, name.removeprefix("Async")), getattr(storage_core.aio, name))
    for name in sorted(storage_core.aio.__all__)
    if name.startswith("Async") and name not in WITHOUT_TWIN
]
EXPECTED_PAIRS = {"Storage", "Bucket", "Reader", "Writer", "Upload"}


def exported() -> list[Any]:
    """Each exported class and function of our own, once."""
    found = {}
    for module in FACES:
        for name in module.__all__:
            value = getattr(module, name)
            if getattr(value, "__module__", "").startswith("storage_core"):
                found[f"{module.__name__}.{name}"] = value
    return [pytest.param(value, id=name) for name, value in sorted(found.items())]


def test_public_names_are_those_of_the_list():
    listed = LIST.read_text("utf-8").splitlines()
    found = lines()
    assert found == listed, "meant? then: .venv/bin/python -m tests.public_api"


@pytest.mark.parametrize("module", FACES, ids=lambda module: module.__name__)
def test_every_exported_name_is_there_and_in_order(module):
    assert len(set(module.__all__)) == len(module.__all__)
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert missing == []
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("module", FACES, ids=lambda module: module.__name__)
def test_an_unknown_name_is_an_attribute_error(module):
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


# -- the two faces -------------------------------------------------------------


def signature_of(member: Any) -> list[tuple[str, Any, Any]] | str:
    function = function_of(member)
    if function is None:
        return "property" if isinstance(member, property) else "attribute"
    return [(one.name, one.kind, one.default) for one in parameters(function)]


def differences(blocking: type, twin: type) -> list[str]:
    """What one class has and the other has not, or has otherwise."""
    ours = {
        TWINS.get(name, name): member
        for name, member in members(blocking).items()
        if name not in BLOCKING_ONLY
    }
    theirs = {name: member for name, member in members(twin).items() if name not in ASYNC_ONLY}
    found = [f"only one has {name}" for name in sorted(ours.keys() ^ theirs.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        left, right = signature_of(ours[name]), signature_of(theirs[name])
        if left != right:
            found.append(f"{name}: {left} is not {right}")
    return found


def test_the_pairs_are_all_there():
    assert {blocking.__name__ for blocking, _ in PAIRS} >= EXPECTED_PAIRS


@pytest.mark.parametrize(("blocking", "twin"), PAIRS, ids=lambda cls: cls.__name__)
def test_both_faces_have_the_same_methods(blocking: type, twin: type):
    assert differences(blocking, twin) == []


@pytest.mark.parametrize("name", ["open", "open_url"])
def test_both_faces_open_alike(name: str):
    blocking, twin = getattr(storage_core, name), getattr(storage_core.aio, name)
    assert parameters(blocking) == parameters(twin)


@pytest.mark.parametrize("blocking", [pair[0] for pair in PAIRS], ids=lambda cls: cls.__name__)
def test_the_blocking_face_returns_no_awaitables(blocking: type):
    for name, member in members(blocking).items():
        function = function_of(member)
        waits = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        assert not waits, name


# -- docstrings and annotations ------------------------------------------------


@pytest.mark.parametrize("value", exported())
def test_everything_public_is_documented(value):
    missing = [] if not callable(value) or inspect.getdoc(value) else ["itself"]
    if inspect.isclass(value):
        missing += [
            name
            for name, member in members(value).items()
            if not name.startswith("__")
            and (isinstance(member, property) or function_of(member))
            and not inspect.getdoc(getattr(value, name))
        ]
    assert missing == []


@pytest.mark.parametrize("value", exported())
def test_everything_public_is_annotated(value):
    functions = [value] if inspect.isfunction(value) else []
    if inspect.isclass(value):
        functions = [found for found in map(function_of, members(value).values()) if found]
    for function in functions:
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty, function.__qualname__
        for parameter in signature.parameters.values():
            annotated = parameter.annotation is not parameter.empty
            assert annotated or parameter.name in {"self", "cls"}, function.__qualname__


@pytest.mark.parametrize("value", exported())
def test_options_are_named_not_collected(value):
    """No `**kwargs`: each option is a parameter of its own."""
    functions = [value] if inspect.isfunction(value) else []
    if inspect.isclass(value):
        functions = [found for found in map(function_of, members(value).values()) if found]
    for function in functions:
        kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD not in kinds, function.__qualname__


# -- the checks themselves -----------------------------------------------------


class _Left:
    def same(self, key: str, *, size: int = 1) -> None: ...
    def other(self, key: str) -> None: ...
    def extra(self) -> None: ...


class _Right:
    async def same(self, key: str, *, size: int = 1) -> None: ...
    async def other(self, name: str) -> None: ...


def test_a_difference_between_the_faces_is_seen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_Left, "__module__", "storage_core.blocking")
    monkeypatch.setattr(_Right, "__module__", "storage_core.aio")
    found = differences(_Left, _Right)
    assert len(found) == 2
    assert found[0] == "only one has extra"
    assert re.match(r"other: .*'key'.* is not .*'name'", found[1])
