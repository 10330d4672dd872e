"""What an agent is told, what it may use, and what comes of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from flowrunner.core.flow import Json
from flowrunner.nodes.base import Deferred, Output, Params
from flowrunner.nodes.fields import Period, presence
from flowrunner.nodes.llm_params import OPENAI, OURS, Message, Prices, Usage

NAME = r"^[A-Za-z0-9_-]{1,64}$"
PERIODS = frozenset({"timeout", "memory_ttl"})
KINDS = ("script", "http", "store", "node", "flow")


class Asking(Params):
    """A person decides about each call."""

    message: str | None = Field(
        None, min_length=1, max_length=10_000, description="The question; one is made up if not."
    )
    approvers: list[str] = Field(default_factory=list, max_length=100, description="Who is asked; shown, not checked.")
    timeout: Period | None = Field(None, description="After that time the call counts as refused.")


class ToolNode(Params):
    """A node as a tool."""

    type: str = Field(min_length=1, max_length=128, description="Any node type.")
    params: dict[str, Json] = Field(default_factory=dict, description="Its params; `${input.x}` is an argument.")
    retry: dict[str, Json] | None = Field(None, description="As of any node.")
    timeout: str | float | None = Field(None, description="As of any node.")
    at_most_once: bool = Field(False, description="As of any node.")


class AgentTool(Params):
    """A tool of the agent: exactly one of `script`, `http`, `store`, `node` and `flow`."""

    name: str = Field(pattern=NAME, description="By which the model asks for it.")
    description: str | None = Field(None, max_length=10_000, description="Tells the model when and how to use it.")
    parameters: dict[str, Json] | None = Field(
        None, description="JSON Schema of its arguments; of a flow its `inputs` if left out."
    )
    script: str | None = Field(None, min_length=1, description="The body of a JavaScript function that sees `args`.")
    http: dict[str, Json] | None = Field(None, description="Params of an `http.request`.")
    store: dict[str, Json] | None = Field(None, description="Params of a `store`.")
    node: ToolNode | None = Field(None, description="A node of any type.")
    flow: str | None = Field(
        None, min_length=1, max_length=128, description="A stored flow, whose input the arguments are."
    )
    revision: int | None = Field(None, ge=1, description="Of the flow; left out: the newest.")
    result: Json = Field(
        None, description="What the model is shown, with `${nodes.call.output}`; left out: what goes along an edge."
    )
    approval: bool | Asking = Field(False, description="Whether a person is asked before each call.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise presence("a tool is exactly one of " + ", ".join(f"`{kind}`" for kind in KINDS))
        if self.revision is not None and self.flow is None:
            raise presence("`revision` goes with `flow`")
        if self.result is not None and self.node is None and self.http is None and self.store is None:
            raise presence("`result` is for `node`, `http` and `store`")
        return self


class AgentTools(Params):
    """The tools by themselves: expressions in them are data here, and put nothing right."""

    tools: list[AgentTool]


class McpServer(Params):
    """A server of tools that speaks the Model Context Protocol."""

    name: str = Field(pattern=r"^[A-Za-z0-9-]{1,32}$", description="Its tools are called `name__tool`.")
    url: str | None = Field(None, min_length=1, max_length=2048, description="Of a server over streamable HTTP.")
    headers: dict[str, str] = Field(
        default_factory=dict, max_length=32, description="For each request, as credentials."
    )
    command: list[str] | None = Field(
        None, min_length=1, max_length=64, description="A program that is started for each call, where that is allowed."
    )
    env: dict[str, str] = Field(default_factory=dict, max_length=64, description="Of the program.")
    tools: list[str] | None = Field(None, max_length=128, description="Only these of its tools; left out: all.")
    approval: bool | Asking = Field(False, description="Whether a person is asked before each call.")
    timeout: Period = Field(60_000, description="For one exchange.", json_schema_extra={"default": "1m"})

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise presence("give exactly one of `url` and `command`")
        if self.headers and self.url is None:
            raise presence("`headers` go with `url`")
        if self.env and self.command is None:
            raise presence("`env` goes with `command`")
        return self


class ModelParams(Params):
    """Which model is asked, and how; as for `llm.chat`."""

    model: str = Field(min_length=1, max_length=256, description="As the server calls it.")
    system: str | None = Field(None, description="Who the agent is and what it is to do.")
    prompt: str | None = Field(None, min_length=1, description="The task; or give `messages`.")
    messages: list[Message] | None = Field(None, min_length=1, max_length=2000, description="Instead of `prompt`.")
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False, description="0 for the likeliest answer.")
    max_tokens: int | None = Field(None, ge=1, description="Of one answer of the model.")
    json_schema: dict[str, Json] | None = Field(
        None, description="What the final answer must fit: it is read as JSON into `json`, and put right twice at most."
    )
    stream: bool = Field(False, description="Tell the text as it comes, by events `token` in the agent's own run.")
    base_url: str = Field(OPENAI, min_length=1, max_length=2048, description="Of any server with OpenAI's API.")
    api_key: str | None = Field(
        None, min_length=1, description="Left out without base_url: the secret OPENAI_API_KEY; with one: none is sent."
    )
    timeout: Period = Field(120_000, description="For one call of the model.", json_schema_extra={"default": "2m"})
    prices: Prices | None = Field(None, description="For `cost_usd` and `max_cost_usd`.")
    provider_params: dict[str, Json] = Field(default_factory=dict, description="More of each request's body.")

    @field_validator("provider_params")
    @classmethod
    def _not_ours(cls, value: dict[str, Json]) -> dict[str, Json]:
        for name in sorted((OURS | {"tools", "tool_choice"}) & value.keys()):
            raise ValueError(f"`{name}` is the agent's own")
        return value


class Task(ModelParams):
    """All that an agent's run is given as its input."""

    fixed: dict[str, dict[str, Json]] = Field(
        default_factory=dict,
        description="By tool: arguments that the model neither sees nor chooses, such as whose data it may read.",
    )
    mcp: list[McpServer] = Field(default_factory=list, max_length=16, description="Servers of further tools.")
    max_turns: int = Field(20, ge=1, le=200, description="Calls of the model until it must have answered.")
    max_total_tokens: int | None = Field(None, ge=1, description="Budget of tokens of all calls of the model.")
    max_cost_usd: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Budget in US dollars, by `prices`."
    )
    on_limit: Literal["fail", "answer"] = Field(
        "fail",
        description="Beyond `max_turns` or a budget. answer: the model is told to answer, in one call more.",
    )
    memory: str | None = Field(
        None,
        pattern=r"^[^\x00]{1,256}$",
        description="A key under which the account keeps the conversation; `llm.chat` may go on with it.",
    )
    memory_ttl: Period | None = Field(None, description="After that time without a message it is forgotten.")
    context_tokens: int = Field(
        64_000,
        ge=500,
        le=10_000_000,
        description="Of a longer conversation, at 4 characters a token, the older part is summed up by the model.",
    )
    result_characters: int = Field(
        50_000, ge=100, le=4_000_000, description="How much the model is shown of one tool's result."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise presence("give exactly one of `prompt` and `messages`")
        if self.max_cost_usd is not None and self.prices is None:
            raise presence("`max_cost_usd` needs `prices`")
        names = [server.name for server in self.mcp]
        if len({*names}) != len(names):
            raise ValueError("two servers of `mcp` have the same name")
        return self


class AiAgentParams(Task):
    """Parameters of `ai.agent`."""

    tools: Annotated[list[AgentTool], Deferred()] = Field(
        default_factory=list,
        max_length=128,
        description="What the agent may use; expressions see the call's arguments.",
    )
    parallel: int = Field(8, ge=1, le=100, description="Calls of tools at once.")
    attempts: int = Field(8, ge=1, le=20, description="Of a call of the model that fails for a passing reason.")
    time_limit: Period | None = Field(None, description="For all of it, the time it waits for people included.")

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [tool.name for tool in self.tools]
        for name in names:
            if names.count(name) > 1:
                raise presence(f"two tools are called {name!r}")
        for name in sorted(self.fixed.keys() - {*names}):
            if not any(name.startswith(f"{server.name}__") for server in self.mcp):
                raise presence(f"`fixed` is for a tool {name!r} that is not there")
        return self


class AgentOutput(Output):
    """What the agent found out, and what it took."""

    text: str
    json_: Json = Field(None, alias="json", description="The answer's value, with `json_schema`.")
    turns: int = Field(description="Calls of the model; those that failed or summed up are not counted.")
    tool_calls: int = Field(description="Calls of tools, those that went wrong included.")
    limit: str | None = Field(description="turns, tokens or cost, when the answer was asked for beyond that.")
    finish_reason: str | None
    usage: Usage | None = Field(description="Tokens of all calls; null when the server counts nothing.")
    cost_usd: float | None = Field(description="By `prices`; null without them or without usage.")
    model: str = Field(description="The one that answered.")
    run_id: str = Field(description="The agent's own run, in which each call of a model or a tool is a step.")


def task_of(params: Task) -> dict[str, Json]:
    """What the agent's run is given: all but what stands in its flow."""
    exclude = {"tools", "parallel", "attempts", "time_limit"}
    return _written(params.model_dump(mode="json", exclude=exclude, exclude_unset=True))


def tool_as_written(tool: AgentTool) -> dict[str, Any]:
    """A tool as it stands in a document."""
    return _written(tool.model_dump(mode="json", exclude_unset=True))


def _written(value: dict[str, Any]) -> dict[str, Json]:
    """Parameters with their durations as one writes them: a number would be read as seconds."""
    return {name: _written_part(name, part) for name, part in value.items()}


def _written_part(name: str, part: Any) -> Json:
    if name in PERIODS and isinstance(part, int):
        return f"{part}ms"
    if name == "mcp":
        return [_written(one) for one in part]
    return _written(part) if name == "approval" and isinstance(part, dict) else part
