"""Reads what the CDK has written: stacks by part, their resources by type."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

Resource = Mapping[str, Any]

FUNCTIONS = {
    "api": "Api",
    "websocket": "WebSocket",
    "executor": "Executor",
    "executor-slow": "ExecutorSlow",
    "dead-letter": "DeadLetter",
    "stream": "Stream",
    "scheduler": "Scheduler",
}
"""What logs call a function, and its construct's id."""


class Assembly:
    """One deployment, synthesized."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        manifest: Mapping[str, Any] = json.loads((self.folder / "manifest.json").read_text())["artifacts"]
        return {name: one for name, one in manifest.items() if one["type"] == "aws:cloudformation:stack"}

    @cached_property
    def templates(self) -> Mapping[str, Any]:
        """Templates by part of the deployment: data, api, engine, console, observability."""
        return {
            name.rpartition("-")[2]: json.loads((self.folder / f"{name}.template.json").read_text())
            for name in self.manifest
        }

    def resources(self, type: str, part: str | None = None) -> dict[str, Resource]:
        """Resources of that type by logical id, of one part or of all."""
        parts = [part] if part else list(self.templates)
        return {
            id: resource
            for one in parts
            for id, resource in self.templates[one]["Resources"].items()
            if resource["Type"] == type
        }

    def one(self, type: str, begins: str = "", part: str | None = None) -> Resource:
        """The properties of the one resource of that type whose id begins so."""
        found = [resource for id, resource in self.resources(type, part).items() if id.startswith(begins)]
        assert len(found) == 1, f"{len(found)} resources of {type} begin with {begins!r}"
        properties: Resource = found[0].get("Properties", {})
        return properties

    def functions(self) -> dict[str, Resource]:
        """The functions' properties by the name that their logs have."""
        found = {}
        for resource in self.resources("AWS::Lambda::Function").values():
            properties = resource["Properties"]
            found[properties["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]] = properties
        return found

    def statements(self, function: str) -> Iterator[Mapping[str, Any]]:
        """What the function's role allows."""
        role = self.one("AWS::IAM::Role", f"{FUNCTIONS[function]}Role")
        for policy in role["Policies"]:
            yield from policy["PolicyDocument"]["Statement"]

    def sources(self) -> dict[str, Resource]:
        """The event sources by the construct of their function."""
        found = self.resources("AWS::Lambda::EventSourceMapping")
        return {id.partition("Source")[0]: resource["Properties"] for id, resource in found.items()}

    def outputs(self, part: str) -> Mapping[str, Any]:
        outputs: Mapping[str, Any] = self.templates[part]["Outputs"]
        return {name: one["Value"] for name, one in outputs.items() if not name.startswith("Exports")}


def listed(value: Any) -> list[Any]:
    """A policy's value, which may stand alone, as a list."""
    return value if isinstance(value, list) else [value]


def text(value: Any, named: Callable[[str], str] = "<{}>".format) -> str:
    """A value as one text: what is only known on AWS stands there as `named` says, by its name in angle brackets."""
    if isinstance(value, Mapping):
        ((function, of),) = value.items()
        match function:
            case "Fn::Join":
                return str(of[0]).join(text(part, named) for part in of[1])
            case "Ref" | "Fn::ImportValue":
                return named(of)
            case "Fn::GetAtt":
                return named(".".join(of))
            case _:
                return named(function)
    return str(value)


def on_aws(value: Any) -> str:
    """A value as a function might find it."""

    def found(name: str) -> str:
        if "Fast" in name or "Slow" in name or "ApiEndpoint" in name:
            return f"https://amazonaws.com/{name.rpartition(':')[2].replace('.', '-')}"
        return "us-east-1" if name == "AWS::Region" else name.rpartition(":")[2]

    return text(value, found)
