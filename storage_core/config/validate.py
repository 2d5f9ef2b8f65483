"""Checking values against models, and saying what is wrong without showing any value.

pydantic does the checking; this module turns its findings into one `ConfigError` that names
the place, the setting and the remedy. Values never appear in a message: a secret may stand in
the wrong field.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from storage_core.config.profile import SECRET_MASK, ProfileConfig, ProfileOptions, Source
from storage_core.config.tree import Keys, dotted
from storage_core.errors import ConfigError, DriverNotFoundError

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter, ValidationError
    from pydantic_core import ErrorDetails

    from storage_core.driver import Driver

OPTION_NAMES = frozenset(field.name for field in dataclasses.fields(ProfileOptions))
MIN_REDACTED = 4
MAX_LISTED = 12

Where = Callable[[Keys], str]
T = TypeVar("T")


def load_class(profile: ProfileConfig) -> type[Driver]:
    """Import the driver of a profile.

    Raises:
        DriverNotFoundError: it is not installed; names the line that asks for it.
        ConfigError: it is offered twice, or can not be imported.
    """
    from storage_core.plugins import load_driver

    try:
        return load_driver(profile.driver)
    except DriverNotFoundError as error:
        message = f"{locate(profile, ('driver',))}: {error.message}"
        raise DriverNotFoundError(message) from error


def driver_settings(profile: ProfileConfig, driver_class: type[Driver]) -> BaseModel:
    """Check a profile's settings against the driver's model.

    Relative paths count from the configuration they are written in, else from the current
    folder. Lists and tables from the environment or a URL are JSON.

    Args:
        profile: The profile.
        driver_class: The class its driver's name stands for.

    Returns:
        An instance of ``driver_class.settings_model()``.

    Raises:
        ConfigError: naming every unknown, missing or wrong setting with its line.
    """
    from pydantic import ValidationError

    model = driver_class.settings_model()
    known = model_fields(model)
    values = {
        name: _prepare(profile, name, value, known.get(name))
        for name, value in profile.settings.items()
    }
    where = functools.partial(locate, profile)
    unknown = [name for name in values if name not in known]
    if unknown:
        names = {*known, *OPTION_NAMES, "driver"}
        raise _joined(
            f"{where((name,))}: unknown setting of the driver {profile.driver!r}"
            f"{suggest(name, names)}"
            for name in unknown
        )
    try:
        return model.model_validate(values)
    except ValidationError as error:
        details = _details(error)
    # Outside the handler: pydantic's error carries the values along.
    raise _explain(details, values, model, where, {*profile.sensitive, *_texts(values)})


def parse_options(values: Mapping[str, Any], where: Where, secrets: set[str]) -> ProfileOptions:
    """Check the options that every profile takes.

    Args:
        values: The options, references replaced.
        where: Tells the place of an option.
        secrets: Texts no message may repeat.

    Raises:
        ConfigError: naming every unknown or wrong option with its line.
    """
    if not values:
        return ProfileOptions()
    options = parse_table(ProfileOptions, values, where, secrets)
    overrides = _capabilities(options.capabilities, where)
    return dataclasses.replace(options, capabilities=overrides)


def parse_table(kind: type[T], values: Mapping[str, Any], where: Where, secrets: set[str]) -> T:
    """Check values against a dataclass of settings.

    Args:
        kind: The dataclass.
        values: The values by name, references replaced.
        where: Tells the place of a value.
        secrets: Texts no message may repeat.

    Raises:
        ConfigError: naming every unknown or wrong value with its line.
    """
    from pydantic import ValidationError

    try:
        settings: T = _adapter(cast("Any", kind)).validate_python(dict(values))
    except ValidationError as error:
        details = _details(error)
    else:
        return settings
    # Outside the handler: pydantic's error carries the values along.
    raise _explain(details, values, kind, where, secrets)


def locate(profile: ProfileConfig, keys: Keys) -> str:
    """The place of a value for a message: source, then the setting."""
    source = profile.source(*keys)
    name = dotted(keys)
    if source.kind == "environment":
        return str(source)
    if source.kind == "url":
        return f"URL, {name}" if name else "URL"
    label = dotted(("profiles", profile.name, *keys))
    return f"{source}: {label}" if source.kind == "file" else label


def suggest(word: str, names: Iterable[str]) -> str:
    """``; did you mean …?`` or, when nothing is close, the names there are."""
    import difflib

    names = sorted(names)
    if close := difflib.get_close_matches(word.lower(), names, 1):
        return f"; did you mean {close[0]!r}?"
    more = ", …" if len(names) > MAX_LISTED else ""
    return f"; known: {', '.join(names[:MAX_LISTED])}{more}" if names else ""


def model_fields(model: Any) -> dict[str, Any]:
    """Names a settings model or options dataclass takes, with their annotations."""
    from typing import get_type_hints

    if dataclasses.is_dataclass(model):
        hints = get_type_hints(model)
        return {field.name: hints[field.name] for field in dataclasses.fields(model)}
    fields = getattr(model, "model_fields", {})
    return {field.alias or name: field.annotation for name, field in fields.items()}


def nested_fields(annotation: Any) -> dict[str, Any]:
    """Names of the first model or options dataclass an annotation holds; empty without one."""
    for kind in _types(annotation):
        if fields := model_fields(kind):
            return fields
    return {}


def is_secret(annotation: Any) -> bool:
    """Whether values of this type must not be shown."""
    from pydantic import Secret, SecretBytes, SecretStr

    kinds = (SecretStr, SecretBytes, Secret)
    return any(isinstance(t, type) and issubclass(t, kinds) for t in _types(annotation))


def redact(text: str, secrets: Iterable[str]) -> str:
    """``text`` with every secret masked, the longest first, as it is and as its repr."""
    spelt = {form for secret in secrets for form in (secret, repr(secret)[1:-1])}
    for secret in sorted(spelt, key=len, reverse=True):
        if len(secret) >= MIN_REDACTED:
            text = text.replace(secret, SECRET_MASK)
    return text


def _prepare(profile: ProfileConfig, name: str, value: Any, annotation: Any) -> Any:
    return prepare(value, annotation, profile.source(name), lambda: locate(profile, (name,)))


def prepare(value: Any, annotation: Any, source: Source, place: Callable[[], str]) -> Any:
    """A value as its setting takes it: a list or table from the environment or a URL is JSON,
    a path becomes an absolute one.

    Args:
        value: As written.
        annotation: Type of the setting.
        source: Where it is written.
        place: The same for a message.

    Raises:
        ConfigError: it is not JSON.
    """
    types = list(_alternatives(annotation))
    if isinstance(value, Path):
        return value.absolute()
    if not isinstance(value, str):
        return value
    if source.kind in {"environment", "url"} and _wants_json(types):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            pass
        raise ConfigError(f"{place()}: not the JSON this setting takes")
    if not _any_subclass(types, (PurePath,)):
        return value
    if source.kind in {"file", "environment"}:
        return absolute(value, source.name if source.kind == "file" else None)
    return str(Path(value).absolute())


def absolute(text: str, document: str | None) -> str:
    """A path setting as it is meant: ``~`` is the home, relative to the document's folder or the
    current one. Absolute, so that a pickled storage opens the same place anywhere."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # no home of that name; opening it will say so
        path = Path(text)
    return str((Path(document).parent / path if document else path).absolute())


def _wants_json(types: list[Any]) -> bool:
    if _any_subclass(types, (str, bytes, PurePath)):
        return False
    tables = any(hasattr(kind, "model_fields") for kind in types)
    return tables or _any_subclass(types, (list, tuple, set, frozenset, Mapping))


def _any_subclass(types: list[Any], classes: tuple[type, ...]) -> bool:
    return any(isinstance(kind, type) and issubclass(kind, classes) for kind in types)


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The members of a union, each without its parameters: ``list`` of ``list[str] | None``."""
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        for member in get_args(annotation):
            yield from _alternatives(member)
    elif origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    else:
        yield origin or annotation


def _types(annotation: Any) -> Iterator[Any]:
    """The classes an annotation is made of: ``list``, ``str`` of ``list[str] | None``."""
    origin = get_origin(annotation)
    yield origin if isinstance(origin, type) else annotation
    for inner in get_args(annotation):
        yield from _types(inner)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)
    elif hasattr(value, "get_secret_value"):
        yield str(value.get_secret_value())
    else:
        yield str(value)


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False, include_input=False)


_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}


def _explain(
    details: list[ErrorDetails], values: Any, model: Any, where: Where, secrets: set[str]
) -> ConfigError:
    """One error for all findings, each with its place."""
    problems = []
    for detail in details:
        fields = model_fields(model)
        keys: Keys = ()
        inner, annotation = values, model
        for part in map(str, detail["loc"]):
            if not isinstance(inner, Mapping) or part not in inner:
                break
            keys, inner, annotation = (*keys, part), inner[part], fields.get(part)
            if annotation is not None and isinstance(inner, Mapping):
                fields = nested_fields(annotation)
        name = str(detail["loc"][-1]) if detail["loc"] else ""
        if detail["type"] in _UNKNOWN:
            problem = f"unknown setting{suggest(name, fields)}"
        elif detail["type"] == "missing":
            problem = f"{name!r} is missing; add it"
        elif is_secret(annotation):
            problem = "not a valid secret"
        else:
            problem = detail["msg"].removeprefix("Value error, ")
            if not _is_pydantics(detail["type"]):
                problem = redact(problem, secrets)
            problem = problem[:1].lower() + problem[1:]
        problems.append(f"{where(_named(problem, keys, values))}: {problem}")
    return _joined(dict.fromkeys(problems))


def _is_pydantics(kind: str) -> bool:
    """Whether a message is one of pydantic's, which repeat no value, and not a validator's."""
    from pydantic_core.core_schema import ErrorType

    return kind in {*get_args(ErrorType)} - {"value_error", "assertion_error", "import_error"}


def _named(problem: str, keys: Keys, values: Any) -> Keys:
    """A check across fields knows no place, but begins with the name of the one at fault."""
    first = tuple(problem.partition(" ")[0].split("."))
    inner = values
    for key in first:
        if not isinstance(inner, Mapping) or key not in inner:
            return keys
        inner = inner[key]
    return first


def _joined(problems: Iterable[str]) -> ConfigError:
    return ConfigError("\n".join(problems))


def _capabilities(overrides: Mapping[str, Any], where: Where) -> Mapping[str, Any]:
    """The overrides with the types `Capabilities` declares."""
    if not overrides:
        return {}
    from pydantic import TypeAdapter, ValidationError

    from storage_core.model import Capabilities

    known = {field.name for field in dataclasses.fields(Capabilities)}
    if unknown := [name for name in overrides if name not in known]:
        raise _joined(
            f"{where(('capabilities', name))}: unknown capability{suggest(name, known)}"
            for name in unknown
        )
    try:
        checked = TypeAdapter(Capabilities).validate_python(dict(overrides))
    except ValidationError as error:
        details = _details(error)
    else:
        return {name: getattr(checked, name) for name in overrides}
    raise _explain(
        details, overrides, Capabilities, lambda keys: where(("capabilities", *keys)), set()
    )


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
