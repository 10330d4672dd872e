"""What is asked of a model, and what comes of it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from flowrunner.core.flow import Json
from flowrunner.nodes.base import Output, Params
from flowrunner.nodes.fields import Period, presence

OPENAI = "https://api.openai.com/v1"
OURS = frozenset({"messages", "model", "stream"})
"""What `provider_params` may not say."""


class Message(Params):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(description="Who says it.")
    content: str | list[Json] | None = Field(None, description="A text, or parts as the server takes them (images).")
    name: str | None = Field(None, max_length=64, description="Tells apart those who speak in one role.")
    tool_call_id: str | None = Field(None, max_length=256, description="Of a tool's result: the call that it answers.")
    tool_calls: list[Json] | None = Field(None, max_length=128, description="Of an assistant, as the API has them.")


class Tool(Params):
    """A function that the model may ask for."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="By which the model asks for it.")
    description: str | None = Field(None, max_length=10_000, description="Tells the model what it does.")
    parameters: dict[str, Json] = Field(
        default_factory=lambda: {"type": "object", "properties": {}}, description="JSON Schema of its arguments."
    )


class Prices(Params):
    """US dollars per million tokens."""

    input: float = Field(ge=0, le=1e6, allow_inf_nan=False, description="For what the model is told.")
    output: float = Field(ge=0, le=1e6, allow_inf_nan=False, description="For what it answers.")


class LlmChatParams(Params):
    """Parameters of `llm.chat`."""

    model: str = Field(min_length=1, max_length=256, description="As the server calls it.")
    prompt: str | None = Field(None, min_length=1, description="The user's message; or give `messages`.")
    messages: list[Message] | None = Field(None, min_length=1, max_length=2000, description="Instead of `prompt`.")
    system: str | None = Field(None, description="Put before all other messages.")
    temperature: float | None = Field(
        None, ge=0, le=2, allow_inf_nan=False, description="0 for the likeliest answer; the server's own if left out."
    )
    max_tokens: int | None = Field(None, ge=1, description="Of the answer.")
    stop: str | list[str] | None = Field(None, description="Texts at which the answer ends.")
    response_format: Literal["text", "json", "json_schema"] = Field(
        "text",
        description="json, json_schema: the answer is read as JSON into `json`, and put right once if it is bad.",
    )
    json_schema: dict[str, Json] | None = Field(None, description="For response_format json_schema.")
    strict: bool = Field(False, description="Ask the server to enforce json_schema; it then takes fewer schemas.")
    tools: list[Tool] | None = Field(None, min_length=1, max_length=128, description="What the model may ask for.")
    memory: str | None = Field(
        None,
        pattern=r"^[^\x00]{1,256}$",
        description="A key under which the account keeps the conversation; put before these messages.",
    )
    memory_messages: int = Field(40, ge=1, le=1000, description="How many messages are kept, the last ones.")
    memory_tokens: int = Field(8000, ge=1, le=50_000, description="And up to how many tokens, of some 4 characters.")
    memory_ttl: Period | None = Field(None, description="After that time without a message it is forgotten.")
    stream: bool = Field(False, description="Tell the text as it comes, by events `token` of the step.")
    base_url: str = Field(OPENAI, min_length=1, max_length=2048, description="Of any server with this API.")
    api_key: str | None = Field(
        None, min_length=1, description="Left out without base_url: the secret OPENAI_API_KEY; with one: none is sent."
    )
    timeout: Period = Field(
        120_000,
        description="For one call of the model, its stream included.",
        json_schema_extra={"default": "2m"},
    )
    prices: Prices | None = Field(None, description="For `cost_usd`.")
    provider_params: dict[str, Json] = Field(
        default_factory=dict, description="More of the request's body, which goes before what is said here."
    )

    @field_validator("provider_params")
    @classmethod
    def _not_ours(cls, value: dict[str, Json]) -> dict[str, Json]:
        for name in sorted(OURS & value.keys()):
            raise ValueError(f"`{name}` is a parameter of its own")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise presence("give exactly one of `prompt` and `messages`")
        if self.json_schema is None and self.response_format == "json_schema":
            raise presence("response_format json_schema needs `json_schema`")
        if self.json_schema is not None and self.response_format != "json_schema":
            raise presence("`json_schema` is for response_format json_schema")
        return self


class Usage(Output):
    """Tokens of all calls together."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ToolCallOutput(Output):
    """What the model wants to be called."""

    id: str
    name: str
    arguments: Json = Field(description="Null when they are no JSON.")
    invalid_arguments: str | None = Field(None, description="Their text when they are no JSON.")


class LlmChatOutput(Output):
    """What the model answered."""

    text: str
    json_: Json = Field(None, alias="json", description="The answer's value, for response_format json and json_schema.")
    tool_calls: list[ToolCallOutput]
    finish_reason: str | None = Field(description="stop, length, tool_calls, or what else the server says.")
    usage: Usage | None = Field(description="Null when the server counts nothing.")
    cost_usd: float | None = Field(description="By `prices`; null without them or without usage.")
    model: str = Field(description="The one that answered.")
    attempts: int = Field(description="Calls of the model: 2 when the first answer had to be put right.")
