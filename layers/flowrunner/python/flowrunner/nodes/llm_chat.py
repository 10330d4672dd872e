"""Asking a language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowrunner.core.flow import DEFAULT, Json
from flowrunner.nodes.base import Context, NodeType, Result
from flowrunner.nodes.llm_memory import Memory, Messages
from flowrunner.nodes.llm_params import LlmChatOutput, LlmChatParams
from flowrunner.nodes.llm_talk import (
    SHOWN,
    answer_check,
    bad_output,
    checked_value,
    complaint,
    cost,
    endpoint,
    given_messages,
    raise_refusal,
    request_body,
    said,
    summed,
    tool_call,
)
from flowrunner.nodes.llm_tokens import Tokens

OPENAI_KEY = "${secrets.OPENAI_API_KEY}"
TOOL_CALLS = "tool_calls"
CALLS = 2
"""An answer that is no JSON, or not the JSON it should be, is put right once."""


class LlmChatNode(NodeType[LlmChatParams]):
    """Asks a language model, on any server that speaks the API of OpenAI.

    With `tools` the model may ask for calls: the action is then `tool_calls`, and what is to be called stands
    in `tool_calls`. With `response_format: json` or `json_schema` the answer is read and checked; one that is
    bad is shown to the model with what is wrong, once. With `memory` the conversation is kept under a key of
    the account, so that the next step or run goes on with it. With `stream` the text is told as it comes, by
    events `token` with `{text, attempt}`; a live listener sees words, not parts of them.

    Errors: `LLM_AUTH` (wrong key), `LLM_MODEL_NOT_FOUND`, `LLM_CONTEXT_OVERFLOW` (too much text),
    `LLM_RATE_LIMIT` (retryable, as late as the server's `Retry-After` says), `LLM_SERVER` (retryable; also for
    a stream that breaks off), `LLM_REQUEST` (the server does not take a parameter), `LLM_REFUSED`,
    `LLM_BAD_OUTPUT` (still no JSON as it should be), `VALUE_TOO_LARGE` (an answer of more than 4 MiB),
    `NodeTimeout` and `HttpConnect` (both retryable), `EGRESS_DENIED`.

    Nothing is tried again but by the node's `retry`. Every attempt is paid for.
    """

    name = "llm.chat"
    params = LlmChatParams
    output = LlmChatOutput
    category = "ai"
    icon = "sparkles"
    slow = True
    actions = (DEFAULT, TOOL_CALLS)
    example = """\
type: llm.chat
params:
  model: gpt-4o-mini
  system: You sum up texts in one sentence.
  prompt: ${input.text}
retry: {max_attempts: 4, delay: 1s}
"""

    @classmethod
    def complete(cls, params: dict[str, Any]) -> dict[str, Any]:
        if not {"api_key", "base_url"} & params.keys():
            return {**params, "api_key": OPENAI_KEY}
        return params

    @classmethod
    def actions_for(cls, params: Mapping[str, Json]) -> tuple[str, ...] | None:
        return (DEFAULT, TOOL_CALLS) if "tools" in params else (DEFAULT,)

    def execute(self, ctx: Context[LlmChatParams]) -> Result:
        # Imported by now, for whoever looks at a node type is not yet calling a model.
        from flowrunner.nodes.llm_client import ask

        params = ctx.params
        check = answer_check(ctx, params)
        memory = _memory(ctx)
        before = memory.load() if memory is not None else []
        given = given_messages(params)
        system: Messages = [{"role": "system", "content": params.system}] if params.system else []
        messages = [*system, *before, *given]
        usage: dict[str, int] | None = None
        for attempt in range(1, CALLS + 1):
            tokens = Tokens(ctx, attempt) if params.stream else None
            answer = ask(
                endpoint(ctx, params), request_body(params, messages), tokens.add if tokens is not None else None
            )
            if tokens is not None:
                tokens.flush()
            usage = summed(usage, answer.usage)
            raise_refusal(answer)
            value, wrong = checked_value(answer, check)
            if not wrong:
                break
            if attempt == CALLS or answer.finish_reason == "length":
                raise bad_output(answer, wrong, attempt)
            ctx.log(f"the answer is not as it should be and is asked for again: {'; '.join(wrong)[:SHOWN]}", "warning")
            messages = [*messages, {"role": "assistant", "content": answer.text}, complaint(wrong)]
        if memory is not None:
            memory.save(before, [*given, said(answer)])
        output = {
            "text": answer.text,
            "json": value,
            "tool_calls": [tool_call(call) for call in answer.tool_calls],
            "finish_reason": answer.finish_reason,
            "usage": usage,
            "cost_usd": cost(params.prices, usage),
            "model": answer.model or params.model,
            "attempts": attempt,
        }
        return Result(output, TOOL_CALLS if answer.tool_calls else DEFAULT)


def _memory(ctx: Context[LlmChatParams]) -> Memory | None:
    params = ctx.params
    if params.memory is None:
        return None
    return Memory(ctx, params.memory, params.memory_messages, params.memory_tokens, params.memory_ttl)
