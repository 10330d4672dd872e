"""The flows that an agent becomes: one for its loop, and one for each call of a tool that is more than a script.

They are flows like any other, so everything that holds for runs holds for agents: each call of the model and of a tool
is a step of its own, stored before the next one begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.nodes.agent_params import AgentTool, AiAgentParams, Asking, McpServer

MAX_NAME = 100
RETRY_DELAY = "1s"
SPARE: Millis = 5_000
"""What a step has beside the exchange that it is for."""
LONG: Millis = 60_000
EGRESS_LEVELS = 2
"""A flow and its nodes: how many lists of hosts one document can hold."""

TASK = "$task"
ARGUMENTS = "${Object.fromEntries(Object.entries(input).filter(([name]) => name !== '$task'))}"
NO_TASK = {"model": "-", "prompt": "-"}
"""For a call to which the task is all the same."""

Document = dict[str, Any]
Egress = Sequence[Sequence[str]]


def loop_document(node: str, params: AiAgentParams, tools: Sequence[Document], egress: Egress) -> Document:
    """The flow of an agent: think, act, think again. `tools` are as written, expressions and all."""
    prepared = bool(params.mcp) or params.memory is not None or any(map(_needs_note, params.tools))
    retry = {"max_attempts": params.attempts, "delay": RETRY_DELAY, "max_delay": "1m"}
    begun = {"begun": "${nodes.begin.output}"} if prepared else {}
    asking = {"task": "${input}", **begun, "thought": "${nodes.think.output}"}
    offered = [_offered(tool) for tool in tools]
    last = {"default": "remember"} if params.memory is not None else {}
    nodes: Document = {}
    if prepared:
        nodes["begin"] = {"type": "agent.begin", "params": {"task": "${input}", "tools": offered}, "next": "think"}
    nodes["think"] = {
        "type": "agent.think",
        "params": {**asking, "tools": offered, "condensed": "${nodes.condense.output}", "came": "${prev}"},
        "next": {"tools": "act", "condense": "condense", "again": "think", **last},
    }
    nodes["condense"] = {"type": "agent.condense", "params": asking, "next": "think"}
    nodes["act"] = {
        "type": "agent.tool",
        "foreach": {"items": "${prev.calls}", "as": "call", "max_concurrency": params.parallel},
        "params": {"call": "${call}", "task": "${input}", **begun, "tools": tools},
        "next": "think",
    }
    if params.memory is not None:
        thought = {"task": "${input}", "thought": "${nodes.think.output}"}
        nodes["remember"] = {"type": "agent.remember", "params": thought}
    limits = _time_limits(params)
    nodes = {name: {**each, "retry": retry, **limits.get(name, {})} for name, each in nodes.items()}
    document = _document(f"agent {node}", nodes, egress, {"answer": "${nodes.think.output.answer}"})
    document["start"] = "begin" if prepared else "think"
    if params.time_limit is not None:
        document["timeout"] = f"{params.time_limit}ms"
    return document


def _time_limits(params: AiAgentParams) -> dict[str, Document]:
    """Steps that talk to others have as long as the exchange may take: longer than steps usually have."""
    limits = {"think": params.timeout, "condense": params.timeout}
    if params.mcp:
        limits["begin"] = sum(server.timeout for server in params.mcp)
        limits["act"] = max(server.timeout for server in params.mcp)
    return {name: {"timeout": _patience(limit)} for name, limit in limits.items()}


def _patience(exchange: Millis) -> str:
    """The time limit of a step with an exchange of that length. It is never short: on AWS a step that says that it
    ends soon is executed where the libraries for models and MCP servers are not.
    """
    return f"{max(exchange + SPARE, LONG)}ms"


def tool_document(tool: AgentTool, egress: Egress) -> Document:
    """The flow of a call of a tool that is a node. Its input is the `arguments`; what they are called, are they."""
    nodes: Document = {"call": _call(tool), "shown": {"type": "transform"}}
    if tool.result is not None:
        nodes["shown"]["params"] = {"value": tool.result}
    nodes["call"]["next"] = "shown"
    return _document(f"tool {tool.name}", nodes, egress, {"result": "${nodes.shown.output}"})


def asking_document(
    name: str, asking: Asking, tool: Json, served: tuple[McpServer, Document] | None, egress: Egress
) -> Document:
    """The flow of a call that a person decides about. Its input is the arguments, which the question may name.

    What a server's tool needs comes along in the input as `$task`, since credentials stand in no document.
    """
    question = asking.message or f"The agent wants to call {name}."
    params: Document = {"message": question, "approvers": asking.approvers}
    params["data"] = {"tool": name, "arguments": ARGUMENTS if served else "${input}"}
    if asking.timeout is not None:
        params["timeout"] = f"{asking.timeout}ms"
    ways = {"approved": "call", "rejected": "refused", "timeout": "refused"}
    nodes: Document = {
        "ask": {"type": "approval", "params": params, "next": ways},
        "call": {
            "type": "agent.tool",
            "params": {
                "call": {"name": name, "arguments": ARGUMENTS if served else "${input}"},
                "task": "${input['$task']}" if served else NO_TASK,
                "begun": {"served": [served[1]]} if served else None,
                "tools": [tool] if tool else [],
                "approved": True,
            },
        },
        "refused": {"type": "transform", "params": {"value": "${prev}"}},
    }
    if served is not None:
        nodes["call"]["timeout"] = _patience(served[0].timeout)
    outputs = {"decided": True, "call": "${nodes.call.output}", "refused": "${nodes.refused.output}"}
    return _document(f"tool {name}", nodes, egress, outputs)


def _offered(tool: Document) -> Document:
    """A tool as far as it matters before it is called; all of it stands in the document once."""
    names = ("name", "description", "parameters", "flow", "revision")
    about: Document = {name: tool[name] for name in names if name in tool}
    return about if "flow" in tool else {**about, "script": "-"}


def _call(tool: AgentTool) -> Document:
    if tool.http is not None:
        return {"type": "http.request", "params": tool.http}
    if tool.store is not None:
        return {"type": "store", "params": tool.store}
    assert tool.node is not None, "scripts and flows are called without a flow of their own"
    return tool.node.model_dump(mode="json", exclude_unset=True)


def _needs_note(tool: AgentTool) -> bool:
    return tool.flow is not None and tool.parameters is None


def _document(name: str, nodes: Document, egress: Egress, outputs: Mapping[str, Json] | None = None) -> Document:
    # On AWS a turn follows the other without a message in between, while there is time.
    document: Document = {"metadata": {"name": name[:MAX_NAME]}, "mode": "express", "nodes": nodes}
    if outputs is not None:
        document["outputs"] = dict(outputs)
    rules = [{"egress": {"allow": list(allowed)}} for allowed in egress[:EGRESS_LEVELS]]
    if rules:
        document |= rules[0]
    if len(rules) == EGRESS_LEVELS:
        document["defaults"] = rules[1]
    return document
