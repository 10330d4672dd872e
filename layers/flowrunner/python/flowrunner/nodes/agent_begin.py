"""The first step of an agent that has a memory, or tools that have to be asked for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.nodes.agent_params import AgentTool, Task
from flowrunner.nodes.agent_remember import memory_of
from flowrunner.nodes.agent_think import begun
from flowrunner.nodes.base import Context, Deferred, NodeType, Params, Result
from flowrunner.nodes.mcp_servers import served_tools


class AgentBeginParams(Params):
    task: Task = Field(description="What the agent's run was given.")
    tools: Annotated[list[AgentTool], Deferred()] = Field(default_factory=list, description="As the agent has them.")


class AgentBeginNode(NodeType[AgentBeginParams]):
    """Looks up what an agent starts from. Part of the run of an `ai.agent`.

    The output has the first `state`, what stored `flows` say of their inputs, and the tools `served` by MCP servers.
    """

    name = "agent.begin"
    params = AgentBeginParams
    category = "ai"
    icon = "bot"

    def execute(self, ctx: Context[AgentBeginParams]) -> Result:
        task = ctx.params.task
        memory = memory_of(ctx, task)
        notes: dict[str, Json] = {
            tool.name: _note(ctx, tool)
            for tool in ctx.params.tools
            if tool.flow is not None and tool.parameters is None
        }
        taken = {tool.name for tool in ctx.params.tools}
        served = [tool for server in task.mcp for tool in served_tools(ctx, server, taken)]
        state = begun(task, memory.load() if memory is not None else None)
        return Result({"state": state.dump(), "flows": notes, "served": served})


def _note(ctx: Context[Any], tool: AgentTool) -> Json:
    note = ctx.children.note(tool.flow or "", tool.revision)
    return {"description": note.description, "inputs": note.inputs if isinstance(note.inputs, dict) else None}
