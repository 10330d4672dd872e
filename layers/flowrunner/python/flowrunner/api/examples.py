"""Examples for the OpenAPI document: each is put together from its schema, so that none can be out of date.

A field's own `examples`, `default` or first choice counts; what has none of these gets a value that its name and type
suggest. tests/api/test_openapi.py validates every example against its schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

AN_ID = "01a1fd64-f987-7655-b0d6-4b9c9d01df13"
MAX_DEPTH = 8

BY_NAME: Mapping[str, Any] = {
    "account_id": AN_ID,
    "created_by": "ada",
    "updated_by": "ada",
    "started_by": "ada",
    "document": "metadata: {name: greet}\nnodes:\n  greet: {type: transform, params: {value: hello}}\n",
    "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "name": "greet",
    "username": "ada",
    "password": "correct horse battery staple",
    "node": "greet",
    "message": "all is well",
    "timezone": "Europe/Berlin",
    "url": "https://example.com/hook",
}


def example_of(schema: Mapping[str, Any], components: Mapping[str, Any], name: str = "", depth: int = 0) -> Any:
    """A value that fits `schema` (JSON Schema 2020-12 as Pydantic writes it); `name` is the field's."""
    if "$ref" in schema:
        target = components[schema["$ref"].rpartition("/")[2]]
        return example_of(target, components, name, depth)
    if "const" in schema:
        return schema["const"]
    if schema.get("examples"):
        return schema["examples"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return example_of(schema[choice][0], components, name, depth)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return _object(schema, components, depth)
        case "array":
            item = schema.get("items", {})
            return [] if depth > MAX_DEPTH else [example_of(item, components, name, depth + 1)]
        case _:
            return _scalar(schema, name)


def _scalar(schema: Mapping[str, Any], name: str) -> Any:
    match schema.get("type"):
        case "string":
            return _text(schema, name)
        case "integer" | "number":
            return schema.get("default", schema.get("minimum", 1))
        case "boolean":
            return schema.get("default", True)
        case _:  # null, or any value at all
            return {"order_id": "A-17"} if name in ("input", "output", "payload", "body") else None


def _object(schema: Mapping[str, Any], components: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    if not properties or depth > MAX_DEPTH:
        return {}
    required = schema.get("required", ())
    # An optional field that is null by default says nothing in an example.
    shown = {key: field for key, field in properties.items() if key in required or field.get("default") is not None}
    return {key: example_of(field, components, key, depth + 1) for key, field in shown.items()}


def _text(schema: Mapping[str, Any], name: str) -> str:
    if "default" in schema:
        return str(schema["default"])
    if schema.get("format") == "date-time":
        return "2026-11-21T08:49:07.123Z"
    if name in BY_NAME:
        return str(BY_NAME[name])
    if name == "id" or name.endswith("_id"):
        return AN_ID
    return name or "text"
