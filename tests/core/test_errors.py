"""The error tree, and what an error carries from the driver to the caller and between processes."""

from __future__ import annotations

import copy
import copyreg
import pickle
import re
import threading
from typing import Any

import pytest

from storage_core import errors
from storage_core.errors import (
    BucketNotFoundError,
    ConfigError,
    InvalidKeyError,
    NotFoundError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PermissionDeniedError,
    StorageError,
    TransientError,
    UnavailableError,
    UnsupportedError,
)
from storage_core.transfer.report import TransferIncompleteError

ALL = [
    *(
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, StorageError)
    ),
    TransferIncompleteError,  # lives with its report
]


def drawn() -> dict[str, tuple[str, str | None]]:
    """Class to parent and builtin base, as the module's docstring draws them."""
    assert errors.__doc__ is not None
    found: dict[str, tuple[str, str | None]] = {}
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        match = re.fullmatch(r"    ([│├└─ ]*)(\w+Error)(?: \((\w+)\))?", line)
        if match:
            depth = len(match.group(1)) // 3
            path[depth:] = [match.group(2)]
            parent = path[depth - 1] if depth else "Exception"
            found[match.group(2)] = (parent, match.group(3))
    return found


def test_the_tree_is_the_one_drawn_in_the_docstring():
    actual = {}
    for cls in ALL:
        parent, *others = cls.__bases__
        actual[cls.__name__] = (parent.__name__, others[0].__name__ if others else None)
    assert drawn() == actual


def test_every_class_is_exported_and_documented():
    import storage_core

    for cls in ALL:
        assert getattr(storage_core, cls.__name__) is cls
        assert cls.__doc__


def full(cls: type[StorageError]) -> StorageError:
    error = cls(
        "it broke; mend it",
        operation="put",
        bucket="fruit",
        key="a/b",
        status=503,
        code="SlowDown",
        request_id="r-1",
        retry_after=1.5,
    )
    error.attempts = 3
    return error


@pytest.mark.parametrize("cls", ALL)
def test_an_error_is_an_ordinary_exception(cls: type[StorageError]):
    error = full(cls)
    assert error.args == ("it broke; mend it",)
    expected = (
        "put fruit/a/b: it broke; mend it (status 503, code SlowDown, request id r-1, 3 attempts)"
    )
    assert str(error) == expected
    assert str(cls()) == cls.__name__
    assert getattr(error, "errno", None) is None  # OSError must not take the text apart
    assert getattr(error, "filename", None) is None


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    "again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy]
)
def test_pickled_and_copied_whole(cls: type[StorageError], again):
    error = full(cls)
    error.retryable = True
    error.add_note("a note")
    twin = again(error)
    assert type(twin) is cls
    assert twin is not error
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)
    assert twin.__notes__ == ["a note"]


def test_a_copy_does_not_change_with_the_original():
    error = UnavailableError("x", key="a")
    twin = copy.copy(error)
    error.key, error.retryable, error.attempts = "b", False, 9
    assert (twin.key, twin.retryable, twin.attempts) == ("a", True, 0)


def test_the_cause_goes_along_where_it_can_be_pickled():
    error = UnavailableError("x")
    error.__cause__ = ConnectionResetError(104, "reset")
    twin = pickle.loads(pickle.dumps(error))
    assert repr(twin.__cause__) == repr(error.__cause__)


class UnpicklableError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.held: Any = None


def test_a_cause_that_can_not_be_pickled_does_not_keep_the_error_back(
    monkeypatch: pytest.MonkeyPatch,
):
    # tblib, which Dask loads, pickles the exceptions it finds in a way of its own, and so that
    # the constructor alone is no obstacle.
    monkeypatch.delitem(copyreg.dispatch_table, UnavailableError, raising=False)
    error = UnavailableError("x")
    error.__cause__ = cause = UnpicklableError(1, "y")
    cause.held = threading.Lock()
    twin = pickle.loads(pickle.dumps(error))
    assert str(twin) == "x"
    assert twin.__cause__ is None
    assert copy.copy(error).__cause__ is error.__cause__


def test_context_is_filled_in_and_never_overwritten():
    error = BucketNotFoundError("none", bucket="other")
    assert error.with_context("copy", "fruit", "a") is error
    assert (error.operation, error.bucket, error.key) == ("copy", "other", "a")
    error.with_context("get", "x", "y")
    assert (error.operation, error.bucket, error.key) == ("copy", "other", "a")


@pytest.mark.parametrize(
    ("context", "text"),
    [
        ((None, None, None), "x"),
        (("open", None, None), "open: x"),
        (("info", "fruit", None), "info fruit: x"),
        (("get", "fruit", "a/b"), "get fruit/a/b: x"),
        (("get", "fruit", "a\nb\x1b[2J"), r"get fruit/a\nb\x1b[2J: x"),
        (("get", "fruit", "é b"), "get fruit/é b: x"),
    ],
)
def test_the_place_in_the_message(context, text: str):
    assert str(StorageError("x").with_context(*context)) == text


def test_only_what_passes_by_itself_is_retryable():
    for cls in ALL:
        assert cls("x").retryable is issubclass(cls, TransientError)


def test_builtin_bases_catch_what_users_catch():
    for cls, base in (
        (InvalidKeyError, ValueError),
        (ConfigError, StorageError),
        (UnsupportedError, NotImplementedError),
        (ObjectNotFoundError, FileNotFoundError),
        (NotFoundError, OSError),
        (PermissionDeniedError, PermissionError),
        (OperationTimeoutError, TimeoutError),
    ):
        with pytest.raises(base):
            raise cls("x")
