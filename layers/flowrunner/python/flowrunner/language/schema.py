"""The document as Pydantic models: what is allowed where, and the JSON Schema that editors use."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from flowrunner.core.durations import parse_duration
from flowrunner.core.flow import Json

ID = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
KEY = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
PORT = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}(?:\[\d{1,6}\]|\.[A-Za-z_][A-Za-z0-9_-]{0,63}){0,16}$"
HEADER = r"^[A-Za-z0-9-]{1,64}$"
ONE_LINE = r"^[^\r\n]*$"


def _positive(value: Any) -> int:
    millis = parse_duration(value)
    if millis <= 0:
        raise ValueError("a duration here must be more than 0")
    return millis


_DURATION_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)?\s*$"},
            {"type": "number", "minimum": 0},
        ],
        "description": "500ms, 20s, 5m, 2h, 1d, or seconds as a number",
    }
)
Duration = Annotated[int, BeforeValidator(parse_duration), _DURATION_SCHEMA]
PositiveDuration = Annotated[int, BeforeValidator(_positive), _DURATION_SCHEMA]
NodeName = Annotated[str, Field(pattern=ID)]
SecretName = Annotated[str, Field(pattern=KEY)]
Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^(\*\.)?[A-Za-z0-9.:_\[\]/-]+$")]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True, strict=True, defer_build=True)


class Metadata(Model):
    name: str = Field(pattern=r"^[A-Za-z0-9 _.-]{1,128}$", description="The flow's name, unique in the account.")
    description: str | None = Field(None, max_length=4096, description="For people, and for assistants that use it.")
    version: str | None = Field(None, max_length=64, description="The author's own label.")
    labels: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=256)]] = Field(
        default_factory=dict, max_length=32, description="For searching."
    )


class RetryDocument(Model):
    max_attempts: int = Field(1, ge=1, le=100, description="Attempts, the first one included.")
    delay: Duration = Field(1_000, description="Wait before the second attempt.")
    backoff: float = Field(2.0, ge=1, le=100, description="Each further wait is this many times longer.")
    max_delay: Duration = Field(300_000, description="No wait is longer.")
    jitter: Literal["none", "full"] = Field("full", description="full: a random share of the wait.")
    on: list[str] = Field(default_factory=list, description="Error codes to retry; default: every retryable error.")


class RetryRunDocument(Model):
    max_attempts: int = Field(ge=1, le=100, description="Starts of the run, the first one included.")
    delay: Duration = Field(1_000, description="Wait before the second start.")
    backoff: float = Field(2.0, ge=1, le=100, description="Each further wait is this many times longer.")
    max_delay: Duration = Field(300_000, description="No wait is longer.")
    jitter: Literal["none", "full"] = Field("full", description="full: a random share of the wait.")


class RetryRun(Model):
    retry_run: RetryRunDocument = Field(description="Start the run again, so often and after such waits.")


def _tolerance(value: Any) -> Any:
    count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    share = isinstance(value, str) and re.fullmatch(r"\d{1,3}(\.\d{1,3})?%", value)
    if not count and not share:
        raise ValueError('write a number of items, or a share like "5%"')
    if share and float(value[:-1]) > 100:
        raise ValueError("a share is at most 100%")
    return value


def _items(value: Any) -> Any:
    whole = isinstance(value, str) and value.strip().startswith("${") and value.strip().endswith("}")
    if not whole and not isinstance(value, list):
        raise ValueError("must be a list, or an expression that gives one")
    return value


class ForeachDocument(Model):
    items: Annotated[Json, BeforeValidator(_items)] = Field(description="An expression that gives a list, or a list.")
    as_: str = Field("item", alias="as", pattern=KEY, description="The name of the item in expressions and hooks.")
    max_concurrency: int = Field(10, ge=1, le=400, description="Items at once; 1 is one after the other.")
    tolerate_failures: Annotated[int | str, BeforeValidator(_tolerance)] = Field(
        0, description="How many items may fail: a number, or a share like 5%."
    )


class NeedsDocument(Model):
    nodes: list[NodeName] = Field(min_length=1, description="Those that it waits for.")
    mode: Literal["all", "any", "settled"] = Field(
        "all", description="all: runs if none failed unhandled; any: at the first success; settled: whatever happened."
    )


class HooksDocument(Model):
    prep: str | None = Field(None, description="Before the params are evaluated; may fill `context`.")
    exec: str | None = Field(None, description="Instead of the node's own work.")
    post: str | None = Field(None, description="After it; may change output and action.")


class CacheDocument(Model):
    key: Json = Field(description="Usually an expression.")
    ttl: PositiveDuration = Field(description="How long an output is used again.")


class EgressDocument(Model):
    allow: list[Host] = Field(description="Host names or *.example.com; nothing else can be reached.")


class UiDocument(Model):
    x: float = Field(description="From the left, in pixels.")
    y: float = Field(description="From the top, in pixels.")


Next = NodeName | list[NodeName] | dict[str, NodeName | list[NodeName]]


class NodeDefaults(Model):
    """What `defaults` may set for every node."""

    retry: RetryDocument | None = Field(None, description="What is tried again, how often, after which waits.")
    timeout: PositiveDuration | None = Field(None, description="For one attempt.")
    on_error: Literal["fail", "continue"] | None = Field(
        None, description="continue: go on along `default`, with the output null. Default: fail."
    )
    at_most_once: bool | None = Field(None, description="Never executed a second time after a crash.")
    egress: EgressDocument | None = Field(None, description="Narrows what it may reach.")


class NodeDocument(NodeDefaults):
    type: str = Field(min_length=1, max_length=128, description="A node type; see `flowrunner nodes`.")
    params: dict[str, Json] = Field(default_factory=dict, description="What the type takes; may hold expressions.")
    next: Next | None = Field(None, description="What follows: a node, a list, or an object by action.")
    needs: Annotated[list[NodeName], Field(min_length=1)] | NeedsDocument | NodeName | None = Field(
        None, description="A join: the nodes it waits for."
    )
    inputs: dict[str, Json] = Field(default_factory=dict, description="Named ports.")
    when: Json = Field(None, description="An expression; false: the node is skipped.")
    foreach: ForeachDocument | None = Field(None, description="Runs the node once per item.")
    fallback: Json = Field(None, description="The output when every attempt failed.")
    hooks: HooksDocument | None = Field(None, description="JavaScript before, instead of and after its work.")
    cache: CacheDocument | None = Field(None, description="Not executed when the same was computed lately.")
    name: str | None = Field(None, max_length=256, description="For people; the id is what edges name.")
    description: str | None = Field(None, max_length=4096, description="For people.")
    ui: UiDocument | None = Field(None, description="Where it stands on the console's canvas.")


class ConnectionDocument(Model):
    from_node: NodeName = Field(description="Whose output it is.")
    from_port: str | None = Field(None, pattern=PORT, description="A field of the output; left out: all of it.")
    to_node: NodeName = Field(description="Who waits for it.")
    to_port: str = Field(pattern=KEY, description="Its name there: `ports.NAME`.")


class LimitsDocument(Model):
    max_parallel: int = Field(10, ge=1, le=400, description="Steps at once; items of a foreach have their own limit.")
    max_steps: int = Field(10_000, ge=1, le=1_000_000, description="Ends a runaway loop.")


class ConcurrencyDocument(Model):
    max_runs: int = Field(ge=1, le=10_000, description="Runs at once for each value of `key`.")
    key: Json = Field(None, description="An expression; runs with different values do not count together.")
    on_limit: Literal["queue", "reject", "cancel_oldest"] = Field("queue", description="What becomes of one too many.")


class VerifyDocument(Model):
    scheme: Literal["standard-webhooks", "github", "stripe", "slack", "shared-secret"] = Field(
        description="How the sender signs."
    )
    secret: SecretName = Field(description="The name of the secret with the signing key.")
    header: str | None = Field(None, pattern=HEADER, description="For shared-secret.")


class WebhookTrigger(Model):
    type: Literal["webhook"] = Field(description="A request of others starts the flow.")
    path: str = Field(
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", max_length=128, description="Below /hooks/ACCOUNT/."
    )
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field("POST", description="Of the request.")
    verify: VerifyDocument | None = Field(None, description="Left out, whoever knows the address may call it.")
    respond: Literal["async", "sync"] = Field("async", description="sync: answered with the run's output.")


class ScheduleTrigger(Model):
    type: Literal["schedule"] = Field(description="The clock starts the flow.")
    cron: str | None = Field(None, max_length=256, description="Five fields: minute, hour, day, month, weekday.")
    at: str | None = Field(None, max_length=64, description="One moment (RFC 3339).")
    timezone: str = Field("UTC", description="Of `cron`, like Europe/Berlin.")
    input: Json = Field(None, description="The run's input.")
    enabled: bool = Field(True, description="False: it rests.")
    missed: Literal["skip", "run_once"] = Field("skip", description="run_once: one run makes up for all missed ones.")


EVENTS = (
    "run.started",
    "run.completed",
    "run.failed",
    "run.cancelled",
    "step.scheduled",
    "step.started",
    "step.retrying",
    "step.waiting",
    "step.succeeded",
    "step.failed",
    "step.skipped",
    "step.log",
    "step.event",
    "node.started",
    "node.completed",
    "node.failed",
    "node.skipped",
    "node.retrying",
    "node.waiting",
)
EVENT_ALIASES = {
    "node.started": "step.started",
    "node.completed": "step.succeeded",
    "node.failed": "step.failed",
    "node.skipped": "step.skipped",
    "node.retrying": "step.retrying",
    "node.waiting": "step.waiting",
}
"""Authors think in nodes; what is sent are the events of the steps that they become."""


class WebhookDocument(Model):
    url: str = Field(pattern=r"^https?://", max_length=2048, description="Where it is sent.")
    events: list[Literal[EVENTS]] = Field(  # type: ignore[valid-type]  # a tuple of literals is meant
        min_length=1, description="What is told."
    )
    nodes: list[NodeName] = Field(default_factory=list, description="Only of these nodes; left out: of all.")
    secret: SecretName | None = Field(None, description="The name of the secret that signs it.")
    headers: dict[Annotated[str, Field(pattern=HEADER)], Annotated[str, Field(pattern=ONE_LINE)]] = Field(
        default_factory=dict, description="Sent along; never secrets, which are not masked here."
    )


class FlowDocument(Model):
    """A flow of flowrunner."""

    metadata: Metadata = Field(description="What it is called.")
    inputs: dict[str, Json] | bool | None = Field(None, description="JSON Schema (2020-12) of the run's input.")
    outputs: dict[str, Json] | None = Field(None, description="The run's result; usually expressions.")
    defaults: NodeDefaults = Field(default_factory=NodeDefaults, description="For nodes that say nothing else.")
    on_error: Literal["stop", "continue"] | RetryRun = Field(
        "stop", description="What a failure does that no node handles."
    )
    timeout: PositiveDuration | None = Field(None, description="For the whole run.")
    limits: LimitsDocument = Field(default_factory=LimitsDocument, description="Of steps, at once and in all.")
    concurrency: ConcurrencyDocument | None = Field(None, description="How many runs of it there may be at once.")
    priority: Literal["high", "normal", "low"] = Field("normal", description="Which runs a busy worker takes first.")
    egress: EgressDocument | None = Field(None, description="The flow may reach nothing else.")
    mode: Literal["standard", "express"] = Field(
        "standard", description="express: on AWS one invocation executes several steps, while there is time."
    )
    triggers: list[Annotated[WebhookTrigger | ScheduleTrigger, Field(discriminator="type")]] = Field(
        default_factory=list, max_length=100, description="What starts the flow by itself."
    )
    webhooks: list[WebhookDocument] = Field(
        default_factory=list, max_length=100, description="Who is told of what happens."
    )
    start: NodeName | list[NodeName] | None = Field(None, description="The first node or nodes.")
    connections: list[str | ConnectionDocument] = Field(default_factory=list, description="`fetch.body -> parse.text`")
    nodes: dict[NodeName, NodeDocument] = Field(min_length=1, description="By their ids.")


def flow_json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a flow document."""
    schema = _closed(FlowDocument.model_json_schema(by_alias=True))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Flowrunner flow"}


def _closed(schema: Any) -> Any:
    """A schema in which keys must have their pattern: Pydantic writes the pattern, but lets other keys pass."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    return {**closed, "additionalProperties": False} if "patternProperties" in closed else closed
