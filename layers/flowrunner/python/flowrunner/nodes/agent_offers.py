"""The tools as the model sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.nodes.agent_params import AgentTool

ANY_ARGUMENTS: Mapping[str, Json] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool that the model may ask for. `parameters` are without what is fixed."""

    name: str
    description: str | None
    parameters: Mapping[str, Json]

    def as_function(self) -> dict[str, Json]:
        """As the API has it."""
        function: dict[str, Json] = {"name": self.name, "parameters": dict(self.parameters)}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": function}


def offers_of(tools: Iterable[AgentTool], begun: Json, fixed: Mapping[str, Mapping[str, Json]]) -> list[Offer]:
    """All tools: the agent's own, and those that `agent.begin` has found at servers."""
    found: Mapping[str, Any] = begun if isinstance(begun, dict) else {}
    notes: Mapping[str, Any] = found.get("flows") or {}
    own = []
    for tool in tools:
        note = notes.get(tool.name) or {}
        parameters = tool.parameters or note.get("inputs") or ANY_ARGUMENTS
        own.append(Offer(tool.name, tool.description or note.get("description"), parameters))
    served = [Offer(one["name"], one.get("description"), one["parameters"]) for one in found.get("served") or ()]
    return [Offer(one.name, one.description, without(one.parameters, fixed.get(one.name, {}))) for one in own + served]


def without(parameters: Mapping[str, Json], fixed: Mapping[str, Json]) -> Mapping[str, Json]:
    """A schema of arguments without those that the model does not give."""
    if not fixed:
        return parameters
    left = dict(parameters)
    properties, required = left.get("properties"), left.get("required")
    if isinstance(properties, dict):
        left["properties"] = {name: value for name, value in properties.items() if name not in fixed}
    if isinstance(required, list):
        left["required"] = [name for name in required if name not in fixed]
    return left
