"""One turn of an agent: the results of tools go in, the model's next step comes out."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from flowrunner.core.flow import DEFAULT, Json
from flowrunner.errors import StepError
from flowrunner.nodes.agent_offers import Offer, offers_of
from flowrunner.nodes.agent_params import AgentTool, Task
from flowrunner.nodes.agent_results import result_text
from flowrunner.nodes.agent_state import AgentState, asking, newest, task_messages, tokens_of
from flowrunner.nodes.base import Context, Deferred, NodeType, Params, Result
from flowrunner.nodes.llm_errors import OVERFLOW
from flowrunner.nodes.llm_memory import Messages
from flowrunner.nodes.llm_talk import bad_output, checked_value, complaint, raise_refusal, request_body
from flowrunner.nodes.llm_talk import tool_call as as_output
from flowrunner.nodes.llm_tokens import Tokens

MAX_TURNS = "AGENT_MAX_TURNS"
BUDGET = "AGENT_BUDGET_EXCEEDED"
REPAIRS = 2
MANY = 3
"""Messages of which some can be summed up."""
TOOLS, CONDENSE, AGAIN = "tools", "condense", "again"
STOP = "Not called: {limit} used up. Answer now, with what you know."
_WORDS = {"turns": "the calls of the model are", "tokens": "the budget of tokens is", "cost": "the budget of money is"}


class AgentThinkParams(Params):
    task: Task = Field(description="What the agent's run was given.")
    tools: Annotated[list[AgentTool], Deferred()] = Field(default_factory=list, description="As the agent has them.")
    begun: Json = Field(None, description="What `agent.begin` gave.")
    thought: Json = Field(None, description="What this node gave the last time.")
    condensed: Json = Field(None, description="What `agent.condense` gave.")
    came: Json = Field(None, description="What the step before gave; a list: the results of tools.")


class AgentThinkNode(NodeType[AgentThinkParams]):
    """Asks the model for the agent's next step. Part of the run of an `ai.agent`.

    Actions: `tools` with the `calls`, `condense` when the conversation is too long, `again` when the model was told
    something and is to be asked again, and `default` with the `answer`.
    """

    name = "agent.think"
    params = AgentThinkParams
    category = "ai"
    icon = "bot"
    slow = True
    actions = (DEFAULT, TOOLS, CONDENSE, AGAIN)

    def execute(self, ctx: Context[AgentThinkParams]) -> Result:
        params, task = ctx.params, ctx.params.task
        state = newest(params.begun, params.thought, params.condensed) or begun(task)
        if isinstance(params.came, list):
            state = _with_results(state, params.came, task)
        fresh = isinstance(params.came, dict) and bool(params.came.get("condensed"))
        if not fresh and tokens_of(state.messages) > task.context_tokens:
            return Result({"state": state.dump()}, CONDENSE)
        try:
            return _Turn(ctx, state).take()
        except StepError as error:
            if error.code != OVERFLOW or fresh or len(state.messages) < MANY:
                raise
            ctx.log("the conversation is longer than the model can read: its older half is summed up", "warning")
            return Result({"state": state.dump(), "overflow": True}, CONDENSE)


def begun(task: Task, before: Messages | None = None) -> AgentState:
    """The first state; `before` is what was said earlier."""
    said = before or []
    return AgentState(messages=[*said, *task_messages(task)], before=len(said))


def _with_results(state: AgentState, results: list[Json], task: Task) -> AgentState:
    """The results answer the last message's calls, in the same order."""
    calls: list[Any] = list(state.messages[-1]["tool_calls"])
    answers: Messages = [
        {"role": "tool", "tool_call_id": call["id"], "content": result_text(result, task.result_characters)}
        for call, result in zip(calls, results, strict=True)
    ]
    return state.after(messages=[*state.messages, *answers], tool_calls=state.tool_calls + len(calls))


class _Turn:
    """One call of the model, and what follows from its answer."""

    def __init__(self, ctx: Context[AgentThinkParams], state: AgentState) -> None:
        self._ctx = ctx
        self._task = ctx.params.task
        self._state = state
        self._offers: list[Offer] = offers_of(ctx.params.tools, ctx.params.begun, self._task.fixed)

    def take(self) -> Result:
        from flowrunner.nodes.llm_client import ask
        from flowrunner.nodes.llm_talk import endpoint

        ctx, task = self._ctx, self._task
        check = ctx.validator(task.json_schema) if task.json_schema is not None else None
        model, messages = asking(task, self._state.messages)
        tokens = Tokens(ctx, self._state.turns + 1) if task.stream else None
        body = {**request_body(model, messages), **self._extras()}
        answer = ask(endpoint(ctx, model), body, tokens.add if tokens is not None else None)
        if tokens is not None:
            tokens.flush()
        paid = self._state.paid(answer.usage, task)
        turns = self._state.turns + 1
        if answer.tool_calls:
            calls = [_identified(as_output(call), turns, index) for index, call in enumerate(answer.tool_calls)]
            texts = [call.arguments for call in answer.tool_calls]
            said = _called(answer.text, calls, texts)
            state = self._state.after(messages=[*self._state.messages, said], turns=turns, **paid)
            return self._calls(state, calls)
        raise_refusal(answer)
        value, wrong = checked_value(answer, check)
        said = {"role": "assistant", "content": answer.text}
        state = self._state.after(messages=[*self._state.messages, said], turns=turns, **paid)
        if not wrong:
            return self._answered(state, answer.text, value, answer.finish_reason, answer.model)
        if state.repairs >= REPAIRS or answer.finish_reason == "length":
            raise bad_output(answer, wrong, state.repairs + 1)
        self._stop_if_used_up(state)
        ctx.log("the answer is not as it should be and is asked for again", "warning", list(wrong[:20]))
        state = state.after(messages=[*state.messages, complaint(wrong)], repairs=state.repairs + 1)
        return Result({"state": state.dump()}, AGAIN)

    def _extras(self) -> dict[str, Json]:
        """Of the request's body: what the agent adds to how `llm.chat` asks."""
        extras: dict[str, Json] = {}
        if self._offers:
            extras["tools"] = [offer.as_function() for offer in self._offers]
            if self._state.limit is not None:
                extras["tool_choice"] = "none"
        if self._task.json_schema is not None:
            schema = {"name": "answer", "schema": self._task.json_schema, "strict": False}
            extras["response_format"] = {"type": "json_schema", "json_schema": schema}
        return extras

    def _calls(self, state: AgentState, calls: list[dict[str, Json]]) -> Result:
        limit = state.used_up(self._task)
        if limit is None:
            return Result({"state": state.dump(), "calls": calls}, TOOLS)
        if self._task.on_limit == "fail" or state.limit is not None:
            raise _beyond(limit, state)
        self._ctx.log(f"{_WORDS[limit]} used up; the model is told to answer", "warning")
        told: Messages = [
            {"role": "tool", "tool_call_id": call["id"], "content": STOP.format(limit=_WORDS[limit])} for call in calls
        ]
        return Result({"state": state.after(messages=[*state.messages, *told], limit=limit).dump()}, AGAIN)

    def _stop_if_used_up(self, state: AgentState) -> None:
        limit = state.used_up(self._task)
        if limit is not None and state.limit is None:
            raise _beyond(limit, state)

    def _answered(self, state: AgentState, text: str, value: Json, reason: str | None, model: str | None) -> Result:
        answer: dict[str, Json] = {
            "text": text,
            "json": value,
            "turns": state.turns,
            "tool_calls": state.tool_calls,
            "limit": state.limit,
            "finish_reason": reason,
            "usage": state.usage,
            "cost_usd": state.cost_usd,
            "model": model or self._task.model,
            "run_id": self._ctx.run.id,
        }
        return Result({"state": state.dump(), "answer": answer})


def _identified(call: dict[str, Json], turn: int, index: int) -> dict[str, Json]:
    """The call under an id of ours: servers leave theirs out, or give one twice."""
    return {**call, "id": f"call_{turn}_{index}"}


def _called(text: str, calls: list[dict[str, Json]], arguments: list[str]) -> dict[str, Json]:
    """The model's message; arguments that are no JSON are shown to it as text, since not every server takes them."""
    wanted: list[Json] = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": given if call["invalid_arguments"] is None else "{}"},
        }
        for call, given in zip(calls, arguments, strict=True)
    ]
    return {"role": "assistant", "content": text or None, "tool_calls": wanted}


def _beyond(limit: str, state: AgentState) -> StepError:
    took: dict[str, Any] = {
        "turns": state.turns,
        "tool_calls": state.tool_calls,
        "usage": state.usage,
        "cost_usd": state.cost_usd,
    }
    return StepError(
        f"the agent has no answer and {_WORDS[limit]} used up",
        code=MAX_TURNS if limit == "turns" else BUDGET,
        hint="raise the limit, or let `on_limit: answer` make the model answer with what it has",
        **took,
    )
