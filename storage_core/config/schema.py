"""The JSON schema of a configuration, for editors, and the reference tables made from it.

Both come from the models that check the values, so they can not disagree with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from storage_core.config.gateway import GatewaySettings
from storage_core.config.profile import ProfileOptions
from storage_core.errors import ConfigError
from storage_core.plugins import installed_drivers, load_driver

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = {
    "type": "string",
    "pattern": r"\$\{(env|file):[^{}]+\}",
    "description": "A reference: ${env:NAME} or ${file:PATH}.",
}
NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"


def config_schema() -> dict[str, Any]:
    """The schema of ``storage.toml``, with the settings of every installed driver.

    A driver that can not be imported takes part with its name alone.
    """
    definitions: dict[str, Any] = {"reference": REFERENCE}
    options = _adopt(_schema_of(ProfileOptions), "options", definitions)["properties"]
    gateway = _adopt(_schema_of(GatewaySettings), "gateway", definitions)
    profiles = []
    for name in dict.fromkeys(info.name for info in installed_drivers()):
        definitions[f"driver.{name}"] = _driver_schema(name, options, definitions)
        profiles.append({"$ref": f"#/$defs/driver.{name}"})
    return {
        "$schema": DIALECT,
        "title": "storage-core configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "default_profile": {
                "type": "string",
                "description": "The profile used when none is named.",
            },
            "gateway": gateway,
            "profiles": {
                "type": "object",
                "description": "Named settings, one table each.",
                "patternProperties": {NAME_PATTERN: {"anyOf": profiles}},
                "additionalProperties": False,
            },
        },
        "$defs": definitions,
    }


def reference_table(model: Any) -> str:
    """A Markdown table of a model's settings: name, type, default, meaning.

    Args:
        model: A driver's settings model, `ProfileOptions` or `GatewaySettings`.
    """
    schema = _schema_of(model)
    rows = list(_rows(schema, schema.get("$defs", {}), ""))
    head = ["| Setting | Type | Default | Meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _schema_of(model: Any) -> dict[str, Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(model).json_schema()


def _driver_schema(
    name: str, options: Mapping[str, Any], definitions: dict[str, Any]
) -> dict[str, Any]:
    driver = {"const": name, "description": "The driver."}
    try:
        schema = load_driver(name).settings_model().model_json_schema()
    except ConfigError as error:
        return {
            "type": "object",
            "description": error.message,
            "properties": {"driver": driver, **options},
            "required": ["driver"],
        }
    own = _adopt(schema, name, definitions)
    return {
        "type": "object",
        "description": own.get("description", ""),
        "properties": {"driver": driver, **own.get("properties", {}), **options},
        "required": ["driver", *own.get("required", [])],
        "additionalProperties": False,
    }


def _adopt(schema: dict[str, Any], owner: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Move a model's definitions under names of its own, and let values be references."""
    for name, definition in schema.pop("$defs", {}).items():
        definitions[f"{owner}.{name}"] = _rewrite(definition, owner)
    return _rewrite(schema, owner)


def _rewrite(schema: dict[str, Any], owner: str) -> dict[str, Any]:
    rewritten: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref":
            rewritten[key] = value.replace("#/$defs/", f"#/$defs/{owner}.")
        elif key == "properties":
            rewritten[key] = {n: _or_reference(_rewrite(p, owner)) for n, p in value.items()}
        elif isinstance(value, dict):
            rewritten[key] = _rewrite(value, owner)
        elif isinstance(value, list):
            rewritten[key] = [_rewrite(v, owner) if isinstance(v, dict) else v for v in value]
        else:
            rewritten[key] = value
    return rewritten


def _or_reference(schema: dict[str, Any]) -> dict[str, Any]:
    """Numbers, booleans, choices and patterned text may be written as a reference as well."""
    free_text = schema.get("type") == "string" and not {"pattern", "enum", "format"} & set(schema)
    if free_text or schema.get("type") == "object" or "$ref" in schema:
        return schema
    about = {k: v for k, v in schema.items() if k in {"description", "default", "title"}}
    value = {k: v for k, v in schema.items() if k not in about}
    return {**about, "anyOf": [value, {"$ref": "#/$defs/reference"}]}


def _rows(schema: Mapping[str, Any], definitions: Mapping[str, Any], above: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        inner = definitions.get(field.get("$ref", "").rpartition("/")[2])
        if inner is not None and "properties" in inner:
            yield from _rows(inner, definitions, f"{above}{name}.")
            continue
        default = "required" if name in required else _default(field)
        meaning = " ".join(field.get("description", "").split()).replace("|", "\\|")
        yield f"| `{above}{name}` | {_type(field, definitions)} | {default} | {meaning} |"


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value is None or value in ({}, []):
        return ""
    if value == "":
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return _type(definitions[field["$ref"].rpartition("/")[2]], definitions)
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "anyOf" in field:
        kinds = [_type(f, definitions) for f in field["anyOf"] if f.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if field.get("format") in {"password", "path"}:
        return "secret" if field["format"] == "password" else "path"
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}), definitions)}"
    names = {"object": "table", "boolean": "boolean", "string": "text"}
    return names.get(str(field.get("type")), str(field.get("type", "any")))
