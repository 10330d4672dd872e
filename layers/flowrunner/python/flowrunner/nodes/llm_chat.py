"""Asking a language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flowrunner.core.flow import DEFAULT, Json
from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.errors import StepError
from flowrunner.nodes.base import Context, NodeType, Result
from flowrunner.nodes.llm_errors import BAD_OUTPUT, REFUSED
from flowrunner.nodes.llm_memory import Memory, Messages
from flowrunner.nodes.llm_params import LlmChatOutput, LlmChatParams, Message, Prices
from flowrunner.nodes.llm_tokens import Tokens

if TYPE_CHECKING:
    from flowrunner.nodes.llm_client import Answer, Endpoint, ToolCall

OPENAI_KEY = "${secrets.OPENAI_API_KEY}"
TOOL_CALLS = "tool_calls"
CALLS = 2
"""An answer that is no JSON, or not the JSON it should be, is put right once."""
SHOWN = 2000

Check = Callable[[Json], list[str]]


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
        check = _check(ctx)
        memory = Memory(ctx, params.memory) if params.memory is not None else None
        before = memory.load() if memory is not None else []
        given = _given(params)
        system: Messages = [{"role": "system", "content": params.system}] if params.system else []
        messages = [*system, *before, *given]
        usage: dict[str, int] | None = None
        for attempt in range(1, CALLS + 1):
            tokens = Tokens(ctx, attempt) if params.stream else None
            answer = ask(_endpoint(ctx), _body(params, messages), tokens.add if tokens is not None else None)
            if tokens is not None:
                tokens.flush()
            usage = _sum(usage, answer.usage)
            _raise_refusal(answer)
            value, wrong = _value(answer, check)
            if not wrong:
                break
            if attempt == CALLS or answer.finish_reason == "length":
                raise _bad_output(answer, wrong, attempt)
            ctx.log(f"the answer is not as it should be and is asked for again: {'; '.join(wrong)[:SHOWN]}", "warning")
            messages = [*messages, {"role": "assistant", "content": answer.text}, _complaint(wrong)]
        if memory is not None:
            memory.save(before, [*given, _said(answer)])
        output = {
            "text": answer.text,
            "json": value,
            "tool_calls": [_tool_call(call) for call in answer.tool_calls],
            "finish_reason": answer.finish_reason,
            "usage": usage,
            "cost_usd": _cost(params.prices, usage),
            "model": answer.model or params.model,
            "attempts": attempt,
        }
        return Result(output, TOOL_CALLS if answer.tool_calls else DEFAULT)


def _endpoint(ctx: Context[LlmChatParams]) -> Endpoint:
    from flowrunner.nodes.llm_client import Endpoint

    params = ctx.params
    return Endpoint(
        base_url=params.base_url.strip(),
        key=params.api_key,
        http=ctx.http,
        allow=ctx.egress,
        timeout=min(params.timeout / 1000, ctx.time_left()),
        stop=ctx.cancelled,
        now=ctx.now,
    )


def _given(params: LlmChatParams) -> Messages:
    if params.prompt is not None:
        return [{"role": "user", "content": params.prompt}]
    return [_message(one) for one in params.messages or ()]


def _message(message: Message) -> dict[str, Json]:
    # `content` is there even when it is null: servers ask for it beside tool calls.
    return {"role": message.role, "content": message.content, **message.model_dump(exclude_none=True)}


def _body(params: LlmChatParams, messages: Messages) -> dict[str, Json]:
    body: dict[str, Json] = {
        "temperature": params.temperature,
        "max_tokens": params.max_tokens,
        "stop": params.stop,
        "tools": [{"type": "function", "function": tool.model_dump(exclude_none=True)} for tool in params.tools or ()]
        or None,
        "response_format": _format(params),
    }
    said = {name: value for name, value in body.items() if value is not None}
    return {**said, **params.provider_params, "model": params.model, "messages": messages}


def _format(params: LlmChatParams) -> Json:
    match params.response_format:
        case "text":
            return None
        case "json":
            return {"type": "json_object"}
        case "json_schema":
            schema = {"name": "answer", "schema": params.json_schema, "strict": params.strict}
            return {"type": "json_schema", "json_schema": schema}


def _check(ctx: Context[LlmChatParams]) -> Check | None:
    """What the value of an answer must pass; None when the answer is just text. Raises `ParamsInvalid`."""
    if ctx.params.response_format == "json_schema":
        return ctx.validator(ctx.params.json_schema)
    return (lambda _: []) if ctx.params.response_format == "json" else None


def _value(answer: Answer, check: Check | None) -> tuple[Json, list[str]]:
    """The value of an answer that is to be JSON, and what is wrong with it. Calls of tools come before an answer."""
    if check is None or answer.tool_calls:
        return None, []
    try:
        value = parse_json(_unfenced(answer.text).encode())
    except BadJson as error:
        return None, [str(error)]
    return value, check(value)


def _unfenced(text: str) -> str:
    """The text without the fence that many models put around JSON."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text.partition("\n")[2].removesuffix("```")
    return text


def _complaint(wrong: list[str]) -> dict[str, Json]:
    listed = "\n".join(f"- {one}" for one in wrong)[:SHOWN]
    text = f"Your answer is not valid:\n{listed}\nAnswer again, with the corrected JSON and nothing else."
    return {"role": "user", "content": text}


def _bad_output(answer: Answer, wrong: list[str], attempts: int) -> StepError:
    cut = answer.finish_reason == "length"
    return StepError(
        "the model's answer is not as it should be: " + "; ".join(wrong)[:SHOWN],
        code=BAD_OUTPUT,
        hint="it was cut off: raise max_tokens" if cut else None,
        problems=wrong[:20],
        text=answer.text[:SHOWN],
        attempts=attempts,
    )


def _raise_refusal(answer: Answer) -> None:
    if answer.refusal or answer.finish_reason == "content_filter":
        why = answer.refusal or "the answer was stopped by a content filter"
        raise StepError(f"the model refuses to answer: {why[:SHOWN]}", code=REFUSED)


def _said(answer: Answer) -> dict[str, Json]:
    """The answer as a message of the conversation."""
    if not answer.tool_calls:
        return {"role": "assistant", "content": answer.text}
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.tool_calls
    ]
    return {"role": "assistant", "content": answer.text or None, "tool_calls": calls}


def _tool_call(call: ToolCall) -> dict[str, Json]:
    try:
        arguments, invalid = parse_json(call.arguments.encode()) if call.arguments.strip() else {}, None
    except BadJson:
        arguments, invalid = None, call.arguments
    return {"id": call.id, "name": call.name, "arguments": arguments, "invalid_arguments": invalid}


def _sum(one: dict[str, int] | None, other: Mapping[str, int] | None) -> dict[str, int] | None:
    if one is None or other is None:
        return dict(other) if other is not None else one
    return {name: one[name] + count for name, count in other.items()}


def _cost(prices: Prices | None, usage: Mapping[str, int] | None) -> float | None:
    if prices is None or usage is None:
        return None
    dollars = usage["prompt_tokens"] * prices.input + usage["completion_tokens"] * prices.output
    return round(dollars / 1_000_000, 9)
