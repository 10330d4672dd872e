"""A model that works with tools until it has an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.agent_flow import loop_document
from flowrunner.nodes.agent_params import AgentOutput, AgentTools, AiAgentParams, task_of, tool_as_written
from flowrunner.nodes.base import Context, NodeType, Result, Wait
from flowrunner.nodes.llm_chat import OPENAI_KEY
from flowrunner.nodes.problems import problems

EXPRESSION = "${"
"""Where there is one in the tools, only `AiAgentNode.problems` looks at them when a flow is saved."""


class AiAgentNode(NodeType[AiAgentParams]):
    """Lets a language model work with tools until it has an answer.

    The model is asked, the tools that it wants are called, side by side, it is shown the results, and so on until it
    answers. A tool is a `script` (JavaScript that sees `args`), an `http` request, a `store` operation, a `node` of
    any type, or a stored `flow`; servers in `mcp` bring more. Expressions in a tool are those of a flow of its own,
    whose `input` are the call's arguments: `${input.city}`, `${secrets.KEY}`. Arguments are checked by `parameters`.
    What goes wrong with a call is told to the model, which goes on. Before a tool with `approval` is called, a
    person decides; a refusal is told to the model, too.

    The agent is a run of its own, which this step waits for. Each call of the model and of a tool is a step of it,
    stored when it has ended: after a crash it goes on with the next one. With `memory` the conversation goes on in
    the next run; one that is too long is summed up by the model.

    Errors: `AGENT_MAX_TURNS`, `AGENT_BUDGET_EXCEEDED`, `LLM_BAD_OUTPUT` (still not as `json_schema` wants it),
    `RUN_TIMEOUT` (`time_limit`), `MCP_SERVER` (a server of tools does not answer at the beginning),
    `PROGRAMS_NOT_ALLOWED` (`command` where the settings do not allow it), `FLOW_NOT_FOUND` or `FLOW_INVALID` (of a
    tool), and those of `llm.chat`. A retry of the node starts an agent anew; `attempts` is for single calls.
    """

    name = "ai.agent"
    params = AiAgentParams
    output = AgentOutput
    category = "ai"
    icon = "bot"
    slow = False
    example = """\
type: ai.agent
params:
  model: gpt-4o-mini
  system: You help customers of a shop. Look up orders before you speak about them.
  prompt: ${input.question}
  max_turns: 8
  fixed: {find_orders: {customer: "${input.customer}"}}
  tools:
    - name: find_orders
      description: The customer's orders, the newest first.
      parameters: {type: object, properties: {status: {enum: [open, sent]}}}
      http:
        url: https://shop.example.com/orders
        query: {customer: "${input.customer}", status: "${input.status}"}
    - name: add
      description: Adds numbers.
      parameters: {type: object, required: [numbers], properties: {numbers: {type: array, items: {type: number}}}}
      script: return args.numbers.reduce((sum, one) => sum + one, 0)
    - name: refund
      description: Pays an order back. A person decides.
      parameters: {type: object, required: [order], properties: {order: {type: string}}}
      approval: {message: "Pay back order ${input.order}?", timeout: 1d}
      flow: refund
"""

    @classmethod
    def complete(cls, params: dict[str, Any]) -> dict[str, Any]:
        if not {"api_key", "base_url"} & params.keys():
            return {**params, "api_key": OPENAI_KEY}
        return params

    @classmethod
    def problems(cls, params: Mapping[str, Json]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        tools = params.get("tools")
        if not isinstance(tools, list) or EXPRESSION not in str(tools):
            return
        try:
            AgentTools.model_validate({"tools": tools})
        except ValidationError as error:
            yield from problems(error, AgentTools, {"tools": tools})

    def execute(self, ctx: Context[AiAgentParams]) -> Wait:
        params = ctx.params
        tools = [tool_as_written(tool) for tool in params.tools]
        run = ctx.children.start(
            flow=None,
            revision=None,
            document=loop_document(ctx.node, params, tools, ctx.egress),
            input=task_of(params),
            signal_parent=True,
        )
        return Wait(child=run, data={"run_id": run})

    def returned(self, output: Json, error: StepError | None) -> Result:
        if error is not None:
            raise _own(error)
        return Result(output["answer"])


def _own(error: StepError) -> StepError:
    """What ended the agent's run as this step's own error."""
    details: Mapping[str, Any] = error.details or {}
    inner: Mapping[str, Any] = details.get("error") or {}
    if not inner:
        return error
    more: Mapping[str, Any] = inner.get("details") or {}
    reserved = ("message", "code", "retryable", "retry_after", "hint", "run")
    kept = {name: value for name, value in more.items() if name not in reserved}
    return StepError(str(inner["message"]), code=str(inner["code"]), run=details.get("run"), **kept)
