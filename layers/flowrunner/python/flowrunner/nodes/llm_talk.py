"""What the nodes that ask a model share: its request, its answer, and what becomes of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flowrunner.core.flow import Json
from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.errors import StepError
from flowrunner.nodes.base import Context
from flowrunner.nodes.llm_errors import BAD_OUTPUT, REFUSED
from flowrunner.nodes.llm_memory import Messages
from flowrunner.nodes.llm_params import LlmChatParams, Message, Prices

if TYPE_CHECKING:
    from flowrunner.nodes.llm_client import Answer, Endpoint, ToolCall

SHOWN = 2000

Check = Callable[[Json], list[str]]


def endpoint(ctx: Context[Any], params: LlmChatParams) -> Endpoint:
    """Where the model is asked, within what this execution may reach and has time for."""
    # Imported by now, for whoever looks at a node type is not yet calling a model.
    from flowrunner.nodes.llm_client import Endpoint

    return Endpoint(
        base_url=params.base_url.strip(),
        key=params.api_key,
        http=ctx.http,
        allow=ctx.egress,
        timeout=min(params.timeout / 1000, ctx.time_left()),
        stop=ctx.cancelled,
        now=ctx.now,
    )


def given_messages(params: LlmChatParams) -> Messages:
    """The prompt or the messages as the API has them."""
    if params.prompt is not None:
        return [{"role": "user", "content": params.prompt}]
    return [_message(one) for one in params.messages or ()]


def _message(message: Message) -> dict[str, Json]:
    # `content` is there even when it is null: servers ask for it beside tool calls.
    return {"role": message.role, "content": message.content, **message.model_dump(exclude_none=True)}


def request_body(params: LlmChatParams, messages: Messages) -> dict[str, Json]:
    """The body of a call."""
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


def answer_check(ctx: Context[Any], params: LlmChatParams) -> Check | None:
    """What the value of an answer must pass; None when the answer is just text. Raises `ParamsInvalid`."""
    if params.response_format == "json_schema":
        return ctx.validator(params.json_schema)
    return (lambda _: []) if params.response_format == "json" else None


def checked_value(answer: Answer, check: Check | None) -> tuple[Json, list[str]]:
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


def complaint(wrong: list[str]) -> dict[str, Json]:
    """What the model is told of an answer that is not as it should be."""
    listed = "\n".join(f"- {one}" for one in wrong)[:SHOWN]
    text = f"Your answer is not valid:\n{listed}\nAnswer again, with the corrected JSON and nothing else."
    return {"role": "user", "content": text}


def bad_output(answer: Answer, wrong: list[str], attempts: int) -> StepError:
    """The error of an answer that stays bad."""
    cut = answer.finish_reason == "length"
    return StepError(
        "the model's answer is not as it should be: " + "; ".join(wrong)[:SHOWN],
        code=BAD_OUTPUT,
        hint="it was cut off: raise max_tokens" if cut else None,
        problems=wrong[:20],
        text=answer.text[:SHOWN],
        attempts=attempts,
    )


def raise_refusal(answer: Answer) -> None:
    """Raises `LLM_REFUSED` when the answer is none."""
    if answer.refusal or answer.finish_reason == "content_filter":
        why = answer.refusal or "the answer was stopped by a content filter"
        raise StepError(f"the model refuses to answer: {why[:SHOWN]}", code=REFUSED)


def said(answer: Answer) -> dict[str, Json]:
    """The answer as a message of the conversation."""
    if not answer.tool_calls:
        return {"role": "assistant", "content": answer.text}
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.tool_calls
    ]
    return {"role": "assistant", "content": answer.text or None, "tool_calls": calls}


def tool_call(call: ToolCall) -> dict[str, Json]:
    """A call as the output shows it."""
    try:
        arguments, invalid = parse_json(call.arguments.encode()) if call.arguments.strip() else {}, None
    except BadJson:
        arguments, invalid = None, call.arguments
    return {"id": call.id, "name": call.name, "arguments": arguments, "invalid_arguments": invalid}


def summed(one: dict[str, int] | None, other: Mapping[str, int] | None) -> dict[str, int] | None:
    """Usage of several calls."""
    if one is None or other is None:
        return dict(other) if other is not None else one
    return {name: one[name] + count for name, count in other.items()}


def cost(prices: Prices | None, usage: Mapping[str, int] | None) -> float | None:
    """US dollars, if that can be told."""
    if prices is None or usage is None:
        return None
    dollars = usage["prompt_tokens"] * prices.input + usage["completion_tokens"] * prices.output
    return round(dollars / 1_000_000, 9)
