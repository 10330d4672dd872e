"""Making room in an agent's conversation."""

from __future__ import annotations

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.agent_params import Task
from flowrunner.nodes.agent_state import asking, newest, tokens_of
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.llm_memory import Messages
from flowrunner.nodes.llm_talk import raise_refusal, request_body

INSTRUCTION = (
    "Sum up the conversation so far for yourself, since you will not see it again. Keep the task as it was put, what "
    "was found out (names, ids, numbers, quotations), what was decided and why, and what is left to do. Write the "
    "summary and nothing else."
)
SUMMARY = "Summary of the conversation so far:\n\n"
KEPT_SHARE = 0.5
"""How much of the room the newest messages may take, word for word."""


class AgentCondenseParams(Params):
    task: Task = Field(description="What the agent's run was given.")
    begun: Json = Field(None, description="What `agent.begin` gave.")
    thought: Json = Field(None, description="What `agent.think` gave the last time.")


class AgentCondenseNode(NodeType[AgentCondenseParams]):
    """Lets the model sum up the older part of a conversation. Part of the run of an `ai.agent`."""

    name = "agent.condense"
    params = AgentCondenseParams
    category = "ai"
    icon = "bot"
    slow = True

    def execute(self, ctx: Context[AgentCondenseParams]) -> Result:
        from flowrunner.nodes.llm_client import ask
        from flowrunner.nodes.llm_talk import endpoint

        task, state = ctx.params.task, newest(ctx.params.begun, ctx.params.thought)
        if state is None:
            raise StepError("there is no conversation to sum up")
        overflow = isinstance(ctx.params.thought, dict) and bool(ctx.params.thought.get("overflow"))
        room = tokens_of(state.messages) if overflow else task.context_tokens
        old, kept = split(state.messages, int(room * KEPT_SHARE))
        if not old:
            return Result({"state": state.after().dump(), "condensed": True})
        model, messages = asking(task, [{"role": "user", "content": f"{INSTRUCTION}\n\n{transcript(old)}"}])
        answer = ask(endpoint(ctx, model), request_body(model, messages))
        raise_refusal(answer)
        ctx.log(f"{len(old)} messages are summed up in {len(answer.text):,} characters")
        summary: Messages = [{"role": "user", "content": SUMMARY + answer.text}]
        changes = {**state.paid(answer.usage, task), "messages": [*summary, *kept], "before": 0}
        return Result({"state": state.after(**changes).dump(), "condensed": True})


def split(messages: Messages, tokens: int) -> tuple[Messages, Messages]:
    """The older part, and the newest messages up to so many tokens: results of tools stay with their calls.

    The last message that is no result of a tool is always kept.
    """
    first = len(messages)
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].get("role") == "tool":
            continue
        if first < len(messages) and tokens_of(messages[index:]) > tokens:
            break
        first = index
    return messages[:first], messages[first:]


def transcript(messages: Messages) -> str:
    """The messages as a text to be read: no server takes calls of tools without the tools."""
    lines = []
    for one in messages:
        content = one.get("content")
        if content:
            lines.append(f"{one['role']}: {content}")
        for call in one.get("tool_calls") or ():
            function = call["function"]
            lines.append(f"{one['role']} calls {function['name']}({function['arguments']})")
    return "\n".join(lines)
