"""Workflows of flowengine for tests: short to write, long as JSON; and what flowengine does with them, as a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from flowrunner.core.flow import Json
from flowrunner.language.importers.base import CannotImport
from flowrunner.language.importers.registry import import_flow
from flowrunner.language.reader import read_document

Ports = dict[str, Json]
FAST: dict[str, Json] = {"max_attempts": 2}


def node(id: str, kind: str, config: Mapping[str, Json] | None = None, **others: Json) -> dict[str, Json]:
    return {"id": id, "node_type": kind, "config": dict(config or {}), **others}


def connect(text: str) -> dict[str, Json]:
    """`fetch.body -> parse.json` as a connection."""
    source, target = (part.strip().split(".") for part in text.split("->"))
    return {"from_node": source[0], "from_port": source[1], "to_node": target[0], "to_port": target[1]}


def workflow(nodes: Iterable[Mapping[str, Json]], *connections: str, **others: Json) -> dict[str, Json]:
    wired: Json = [connect(text) for text in connections]
    listed: Json = list(nodes)
    return {"id": "w", "name": "tested", "nodes": listed, "connections": wired, **others}


def data(document: Json) -> bytes:
    return json.dumps(document).encode()


@dataclass
class Model:
    """flowengine as its pages describe it. `outputs` by node, for those that ran and did not fail."""

    document: dict[str, Any]
    input: dict[str, Json]
    outputs: dict[str, Ports] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    stopped: bool = False

    def run(self) -> Model:
        """The nodes in the order written, which must be an order of the graph."""
        goes_on = self.document.get("settings", {}).get("on_error") == "ContinueOnError"
        for one in self.document["nodes"]:
            into = [wire for wire in self.document["connections"] if wire["to_node"] == one["id"]]
            if into and not any(self._reached(wire) for wire in into):
                continue
            try:
                self.outputs[one["id"]] = self._execute(one, self._ports(into))
            except (KeyError, TypeError, ValueError):
                self.failed.add(one["id"])
                if not goes_on:
                    self.stopped = True
                    return self
        return self

    def _reached(self, wire: dict[str, str]) -> bool:
        source = wire["from_node"]
        if self._kind(source) == "flow.branch":
            return wire["from_port"] in self.outputs.get(source, {})
        return source in self.outputs or source in self.failed

    def _ports(self, into: list[dict[str, str]]) -> Ports:
        if not into:
            return dict(self.input)
        ports: Ports = {}
        for wire in into:
            given = self.outputs.get(wire["from_node"], {})
            if wire["from_port"] in given:
                ports[wire["to_port"]] = given[wire["from_port"]]
        return ports

    def _kind(self, id: str) -> str:
        return next(str(one["node_type"]) for one in self.document["nodes"] if one["id"] == id)

    def _execute(self, one: dict[str, Any], ports: Ports) -> Ports:
        match one["node_type"]:
            case "transform.json_parse":
                return {"parsed": json.loads(ports["json"])}
            case "transform.json_stringify":
                return {"json": json.dumps(ports["value"], indent=2, sort_keys=True, ensure_ascii=False)}
            case "time.delay":
                return ports
            case "debug.log":
                return {"message": ports.get("message", "(no message)")}
            case "flow.branch":
                port = "true_out" if ports.get("condition") is True else "false_out"
                return {port: ports.get("payload")}
            case _:
                return {"merged": ports}


def refusals(document: Json, check: Any = lambda _: None) -> list[str]:
    """Each problem as `field: message`."""
    with pytest.raises(CannotImport) as caught:
        import_flow(data(document), check)
    return [f"{problem.field}: {problem.message}" for problem in caught.value.problems]


def flow_of(document: Json, check: Any) -> dict[str, Any]:
    value: dict[str, Any] = read_document(import_flow(data(document), check)).value
    return value
