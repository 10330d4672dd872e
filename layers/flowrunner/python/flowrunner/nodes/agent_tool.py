"""One call of a tool, as a model asked for it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.agent_flow import TASK, asking_document, tool_document
from flowrunner.nodes.agent_offers import ANY_ARGUMENTS
from flowrunner.nodes.agent_params import AgentTool, Asking, McpServer, Task, task_of
from flowrunner.nodes.agent_results import bad, good, of_error
from flowrunner.nodes.base import Context, Deferred, NodeType, Params, Result, Wait
from flowrunner.nodes.mcp_servers import call_tool

SHOWN = 500
TOLD = frozenset({"INPUT_INVALID"})
"""What the model did wrong when a run cannot start; anything else is wrong with the agent itself, and fails it."""


class AgentToolParams(Params):
    call: dict[str, Json] = Field(description="`name`, `arguments` and `invalid_arguments` of the model's call.")
    task: Task = Field(description="What the agent's run was given.")
    tools: Annotated[list[AgentTool], Deferred()] = Field(default_factory=list, description="As the agent has them.")
    begun: Json = Field(None, description="What `agent.begin` gave.")
    approved: bool = Field(False, description="Whether a person has agreed to the call.")


class AgentToolNode(NodeType[AgentToolParams]):
    """Calls a tool for a model. Part of the run of an `ai.agent`.

    The output is `{ok: true, result}` or `{ok: false, error}`: what goes wrong with a call is for the model to know.
    """

    name = "agent.tool"
    params = AgentToolParams
    category = "ai"
    icon = "bot"

    def execute(self, ctx: Context[AgentToolParams]) -> Result | Wait:
        name = str(ctx.params.call.get("name"))
        tool = next((one for one in ctx.params.tools if one.name == name), None)
        served = _served(ctx.params, name)
        if tool is None and served is None:
            known = [one.name for one in ctx.params.tools] + [one["name"] for one in _all_served(ctx.params)]
            return bad("UNKNOWN_TOOL", f"there is no tool {name[:SHOWN]!r}; there are: {', '.join(known) or 'none'}")
        arguments, wrong = _arguments(ctx, name, tool)
        if wrong is not None:
            return wrong
        asking = _asking(tool.approval if tool is not None else served[0].approval if served is not None else False)
        if asking is not None and not ctx.params.approved:
            return self._ask(ctx, name, asking, arguments)
        if served is not None:
            return call_tool(ctx, served[0], str(served[1]["tool"]), arguments)
        assert tool is not None, "a call is of one or the other"
        return _call(ctx, tool, arguments)

    def returned(self, output: Json, error: StepError | None) -> Result:
        if error is not None:
            inner = (error.details or {}).get("error")
            inner = inner if isinstance(inner, dict) else {}
            return bad(str(inner.get("code") or error.code), str(inner.get("message") or error.message))
        value = output if isinstance(output, dict) else {}
        if value.keys() == {"decided", "call", "refused"}:
            if value["call"] is not None:
                return Result(value["call"])
            answer = value["refused"] or {}
            comment = answer.get("comment")
            return bad("REFUSED", "a person refused this call" + (f": {comment}" if comment else ""))
        return good(value["result"] if value.keys() == {"result"} else output)

    def _ask(self, ctx: Context[AgentToolParams], name: str, asking: Asking, arguments: dict[str, Json]) -> Wait:
        params = ctx.params
        tool = next((_as_written(one) for one in params.tools if one.name == name), None)
        served = _served(params, name)
        document = asking_document(name, asking, tool, served, ctx.egress)
        given: dict[str, Json] = dict(arguments)
        if served is not None:
            given[TASK] = task_of(Task(model="-", prompt="-", mcp=[served[0]]))
        run = ctx.children.start(flow=None, revision=None, document=document, input=given, signal_parent=True)
        return Wait(child=run, data={"run_id": run, "tool": name})


def _call(ctx: Context[AgentToolParams], tool: AgentTool, arguments: dict[str, Json]) -> Result | Wait:
    if tool.script is not None:
        try:
            return good(ctx.script(tool.script, {"args": arguments, "input": arguments}))
        except StepError as error:
            return of_error(error)
    document = tool_document(tool, ctx.egress) if tool.flow is None else None
    try:
        run = ctx.children.start(
            flow=tool.flow, revision=tool.revision, document=document, input=arguments, signal_parent=True
        )
    except StepError as error:
        if error.code not in TOLD:
            raise
        return of_error(error)
    return Wait(child=run, data={"run_id": run, "tool": tool.name})


def _arguments(
    ctx: Context[AgentToolParams], name: str, tool: AgentTool | None
) -> tuple[dict[str, Json], Result | None]:
    """What the tool is called with: the model's arguments, if they are any, under what is fixed."""
    call = ctx.params.call
    given = call.get("arguments")
    if not isinstance(given, dict):
        text = str(call.get("invalid_arguments") or given)[:SHOWN]
        return {}, bad("ARGUMENTS_INVALID", f"the arguments are not a JSON object: {text}")
    arguments = {**given, **ctx.params.task.fixed.get(name, {})}
    # What a server or a flow demands, it checks itself.
    schema = tool.parameters if tool is not None and tool.parameters is not None else ANY_ARGUMENTS
    problems = ctx.validator(schema)(arguments)
    if problems:
        return {}, bad("ARGUMENTS_INVALID", "the arguments do not fit: " + "; ".join(problems)[:SHOWN])
    return arguments, None


def _asking(approval: bool | Asking) -> Asking | None:
    if isinstance(approval, Asking):
        return approval
    return Asking() if approval else None


def _all_served(params: AgentToolParams) -> list[dict[str, Any]]:
    begun: Any = params.begun if isinstance(params.begun, dict) else {}
    return list(begun.get("served") or ())


def _served(params: AgentToolParams, name: str) -> tuple[McpServer, dict[str, Any]] | None:
    """The server of a tool, and what it says of it."""
    for one in _all_served(params):
        for server in params.task.mcp:
            if one["name"] == name and one["server"] == server.name:
                return server, one
    return None


def _as_written(tool: AgentTool) -> dict[str, Json]:
    return tool.model_dump(mode="json", exclude={"approval"}, exclude_unset=True)
