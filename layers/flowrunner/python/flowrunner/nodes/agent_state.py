"""What an agent knows between two of its steps: the conversation, and what it took so far.

It travels in the outputs of the steps, so that it is as durable as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from flowrunner.core.flow import Json
from flowrunner.nodes.agent_params import Task
from flowrunner.nodes.llm_memory import CHARACTERS_PER_TOKEN, Messages
from flowrunner.nodes.llm_params import LlmChatParams
from flowrunner.nodes.llm_talk import cost, given_messages, summed

ASKED = "model", "system", "temperature", "max_tokens", "stream", "base_url", "api_key", "timeout", "prices"


class AgentState(BaseModel):
    """The state after a step. `serial` counts those that made one: of several the highest is the newest."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    serial: int = 0
    messages: Messages = Field(default_factory=list)
    """Without the system's."""
    before: int = 0
    """How many of them came from the memory."""
    turns: int = 0
    tool_calls: int = 0
    repairs: int = 0
    limit: str | None = None
    """What was used up, when the model was told to answer without more calls."""
    usage: dict[str, int] | None = None
    cost_usd: float | None = None

    def after(self, **changes: Any) -> Self:
        """The next state."""
        return self.model_copy(update={"serial": self.serial + 1, **changes})

    def paid(self, usage: Mapping[str, int] | None, task: Task) -> dict[str, Any]:
        """What it took with one more call of a model, as changes for `after`."""
        total = summed(self.usage, usage)
        return {"usage": total, "cost_usd": cost(task.prices, total)}

    def used_up(self, task: Task) -> str | None:
        """The name of the limit that has been reached."""
        if task.max_total_tokens is not None and (self.usage or {}).get("total_tokens", 0) >= task.max_total_tokens:
            return "tokens"
        if task.max_cost_usd is not None and (self.cost_usd or 0) >= task.max_cost_usd:
            return "cost"
        return "turns" if self.turns >= task.max_turns else None

    def dump(self) -> dict[str, Json]:
        return self.model_dump(mode="json", exclude_defaults=True)


def newest(*outputs: Json) -> AgentState | None:
    """The newest state that steps have given; None before the first one."""
    states = [AgentState.model_validate(one["state"]) for one in outputs if isinstance(one, dict) and "state" in one]
    return max(states, key=lambda state: state.serial, default=None)


def asking(task: Task, messages: Messages) -> tuple[LlmChatParams, Messages]:
    """How the model is asked, as `llm.chat` would, and with which messages."""
    # Not `messages`: they were checked when they came in, and the conversation is longer than what may come in.
    given: dict[str, Any] = {name: getattr(task, name) for name in ASKED if name in task.model_fields_set}
    params = LlmChatParams.model_construct(**{**_DEFAULTS, **given, "provider_params": task.provider_params})
    system: Messages = [{"role": "system", "content": task.system}] if task.system else []
    return params, [*system, *messages]


def task_messages(task: Task) -> Messages:
    """What the agent is asked to do, as messages."""
    params = LlmChatParams.model_construct(**{**_DEFAULTS, "prompt": task.prompt, "messages": task.messages})
    return given_messages(params)


_DEFAULTS: Mapping[str, Any] = {
    name: field.get_default(call_default_factory=True) for name, field in LlmChatParams.model_fields.items()
}


def tokens_of(messages: Messages) -> int:
    """Roughly, as everywhere: some 4 characters a token."""
    return sum(len(json.dumps(one, ensure_ascii=False)) for one in messages) // CHARACTERS_PER_TOKEN
