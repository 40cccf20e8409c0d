"""The settings of config.json as tables, from the pydantic models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from solominer.config.environment import ENV_PREFIX
from solominer.config.models import Config

_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "array": "list"}
_BOUNDS = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))


def settings() -> str:
    """A table for the top level, and one for each group."""
    schema = Config.model_json_schema()
    parts = ["\n".join(_table(schema, "", schema["$defs"]))]
    for name, field in Config.model_fields.items():
        model = _model_in(field.annotation)
        if model is None:
            continue
        about = " ".join((model.__doc__ or "").split("\n\n")[0].split())
        rows = _table(schema["$defs"][model.__name__], f"{name}.", schema["$defs"])
        parts.append("\n".join([f"## {name}", "", about, "", *rows]))
    return "\n\n".join(parts)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in `Model`, `Model | None` or `tuple[Model, ...]`."""
    for each in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def _table(schema: dict[str, Any], prefix: str, definitions: dict[str, Any]) -> Iterator[str]:
    yield "| setting | meaning | allowed | default |"
    yield "| --- | --- | --- | --- |"
    yield from _rows(schema, prefix, definitions)


def _rows(schema: dict[str, Any], prefix: str, definitions: dict[str, Any]) -> Iterator[str]:
    """A row for each setting; a group within a group is followed by its own."""
    for name, field in schema["properties"].items():
        about = field.get("description", "")
        inner = _reference(field)
        if inner is not None and not about:
            about = f"see [{name}](#{name})" if not prefix else " ".join(definitions[inner]["description"].split())
        default = _default(field)
        cells = (f"`{prefix}{name}`", about, _allowed(field), default)
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
        if inner is not None and prefix:
            yield from _rows(definitions[inner], f"{prefix}{name}.", definitions)


def _reference(field: dict[str, Any]) -> str | None:
    """The name of a field's model, if it has one."""
    for each in (field, field.get("items", {}), *field.get("anyOf", []), *field.get("allOf", [])):
        if "$ref" in each:
            return str(each["$ref"]).rsplit("/", 1)[-1]
    return None


def _allowed(field: dict[str, Any]) -> str:
    options = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]
    return " or ".join(_one(each) for each in options)


def _one(option: dict[str, Any]) -> str:
    if "$ref" in option:
        return "group"
    if "enum" in option or "const" in option:
        return ", ".join(f"`{value}`" for value in option.get("enum", [option.get("const")]))
    if option.get("type") == "array":
        items = option["items"]
        return "list of groups" if "$ref" in items else f"list of {_TYPES[items['type']]}s"
    kind = "path" if option.get("format") == "path" else _TYPES[option["type"]]
    bounds = [f"{sign} {option[key]:,g}".replace(",", " ") for key, sign in _BOUNDS if key in option]
    return " ".join([kind, ", ".join(bounds)]).strip()


def _default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return "required"
    value = field["default"]
    if _reference(field) is not None:
        return ""
    return "" if value in (None, "", []) else f"`{json.dumps(value)}`"


def variable(setting: str) -> str:
    """The environment variable of a setting, as in `bitcoin_rpc.host`."""
    return ENV_PREFIX + setting.replace(".", "__").upper()
