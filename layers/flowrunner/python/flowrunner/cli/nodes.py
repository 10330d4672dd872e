"""`flowrunner nodes` and `flowrunner schema`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from flowrunner.bootstrap import make_registry
from flowrunner.cli.engines import settings_for
from flowrunner.cli.exits import escape
from flowrunner.core.flow import Json
from flowrunner.errors import NotFound
from flowrunner.language.schema import flow_json_schema
from flowrunner.nodes.registry import NodeTypeDescription


def show_nodes(name: str | None, *, as_json: bool) -> None:
    """List all node types, or one in full. Raises `NotFound`."""
    registry = make_registry(settings_for().settings)
    if name is not None:
        found = registry.describe(name)
        print(json.dumps(dataclasses.asdict(found), indent=2) if as_json else _page(found))
        return
    described = []
    for known in registry.names():
        try:
            described.append(registry.describe(known))
        except NotFound:
            continue
    if as_json:
        files = {one.name: one.error for one in registry.installed().values() if one.error is not None}
        errors = {**files, **registry.plugin_errors()}
        document = {"node_types": [dataclasses.asdict(one) for one in described], "errors": errors}
        print(json.dumps(document, indent=2))
        return
    width = max(len(one.name) for one in described)
    for one in described:
        print(f"{one.name:<{width}}  {one.title}")
    errors = {one.name: one.error for one in registry.installed().values() if one.error is not None}
    for plugin, error in {**errors, **registry.plugin_errors()}.items():
        print(escape(f"{plugin:<{width}}  (not loaded: {error})"))


def show_schema(output: Path | None) -> None:
    """Print the flow schema, or write it to a file."""
    text = json.dumps(flow_json_schema(), indent=2) + "\n"
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, "utf-8")
        print(f"wrote {output}")


def _page(one: NodeTypeDescription) -> str:
    actions = ", ".join(one.actions) if one.actions is not None else "as its params say"
    parts = [f"{one.name}: {one.title}", "", one.description, "", f"Actions: {actions}", "", "Parameters:"]
    parts += _parameters(one.params_schema)
    if one.example:
        parts += ["", "Example:", *(f"  {line}" for line in one.example.splitlines())]
    return "\n".join(parts)


def _parameters(schema: Json) -> list[str]:
    required = set(schema.get("required", ()))
    properties = schema.get("properties", {})
    width = max((len(name) for name in properties), default=0)
    lines = []
    for name, field in properties.items():
        default = f"default {json.dumps(field['default'])}" if "default" in field else ""
        need = "required" if name in required else default
        text = " ".join(part for part in (field.get("description", ""), f"({need})" if need else "") if part)
        lines.append(f"  {name:<{width}}  {text}".rstrip())
    return lines or ["  none"]
