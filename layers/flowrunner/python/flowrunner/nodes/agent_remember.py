"""The last step of an agent with a memory."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.nodes.agent_params import Task
from flowrunner.nodes.agent_state import newest
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.llm_memory import Memory

MOST_MESSAGES = 1_000


class AgentRememberParams(Params):
    task: Task = Field(description="What the agent's run was given.")
    thought: Json = Field(description="What `agent.think` gave the last time.")


class AgentRememberNode(NodeType[AgentRememberParams]):
    """Keeps an agent's conversation under the key of its memory. Part of the run of an `ai.agent`."""

    name = "agent.remember"
    params = AgentRememberParams
    category = "ai"
    icon = "bot"
    slow = False

    def execute(self, ctx: Context[AgentRememberParams]) -> Result:
        task, state = ctx.params.task, newest(ctx.params.thought)
        memory = memory_of(ctx, task)
        if memory is not None and state is not None:
            memory.save([], state.messages)
        return Result(None)


def memory_of(ctx: Context[Any], task: Task) -> Memory | None:
    """The memory of a task that has one. What is older than the agent's context is summed up in there already."""
    if task.memory is None:
        return None
    return Memory(ctx, task.memory, MOST_MESSAGES, task.context_tokens, task.memory_ttl)
