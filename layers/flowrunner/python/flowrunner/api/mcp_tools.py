"""What the MCP server answers: the tools that there are, what their calls came to, and runs as resources.

A call starts a run and waits for its end, for `mcp.wait` at most; then it answers with the run's id, and the client
asks on with `flowrunner_get_run` or reads `flowrunner://runs/{id}`. What is wrong with the arguments, and why a run
failed, is told as a result that the model reads, not as an error of the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import orjson
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    ResourceLink,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from starlette.concurrency import run_in_threadpool

from flowrunner import __version__
from flowrunner.api.waiting import wait_for_end
from flowrunner.core.flow import Json
from flowrunner.core.ids import RunId
from flowrunner.core.status import TERMINAL
from flowrunner.engine.heads import read_run
from flowrunner.errors import Conflict, FlowrunnerError, InvalidInput, NotFound
from flowrunner.ports.runs import RunRow
from flowrunner.services.flow_tools import CANCEL_RUN, GET_RUN, FlowTool
from flowrunner.services.identity import Actor
from flowrunner.services.platform import Platform
from flowrunner.services.runs import ShownRun

PAGE = 50
LONGEST_TEXT = 100_000
"""Characters of an output that a model gets to read; the rest is in the API."""
RUN_URI = "flowrunner://runs/"
INSTRUCTIONS = (
    "Each tool is a workflow on this server; its result is the workflow's output. A workflow that takes longer than "
    f"the server waits answers with a run_id: ask on with {GET_RUN}, stop it with {CANCEL_RUN}."
)
_RUN_ID = {"type": "string", "description": "The run_id that a tool has answered with.", "maxLength": 64}
OWN_TOOLS = (
    Tool(
        name=GET_RUN,
        title="Look at a run",
        description="Status, progress and, once it has ended, the output of a run that a tool has started. Waits for "
        "its end for up to `wait_seconds`.",
        input_schema={
            "type": "object",
            "properties": {
                "run_id": _RUN_ID,
                "wait_seconds": {"type": "number", "minimum": 0, "description": "0: answer at once."},
            },
            "required": ["run_id"],
            "additionalProperties": False,
        },
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    ),
    Tool(
        name=CANCEL_RUN,
        title="Stop a run",
        description="Stop a run that a tool has started and that goes on. What it has done already stays done.",
        input_schema={
            "type": "object",
            "properties": {"run_id": _RUN_ID},
            "required": ["run_id"],
            "additionalProperties": False,
        },
        annotations=ToolAnnotations(read_only_hint=False, idempotent_hint=True, open_world_hint=False),
    ),
)


@dataclass(slots=True)
class Call:
    """Who asks for what. `name` is set where a later message can cancel it; `gone` when the client has left."""

    platform: Platform
    actor: Actor
    name: str | None = None
    gone: bool = False


Context = ServerRequestContext[Any, Any]


def make_server(call: Call) -> Server[Any]:
    """The server for one message."""
    handlers = _Handlers(call)
    return Server(
        "flowrunner",
        version=__version__,
        title="flowrunner",
        instructions=INSTRUCTIONS,
        # Nothing in our schemas asks clients to repeat arguments as headers.
        get_tool_input_schema=lambda name: None,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_resource_templates,
        on_read_resource=handlers.read_resource,
    )


class _Handlers:
    """The methods of the protocol."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._platform = call.platform
        self._actor = call.actor
        self._tools = call.platform.flow_tools

    async def list_tools(self, context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        after = (params.cursor if params is not None else None) or ""
        found, rest = await run_in_threadpool(self._tools.list, self._actor, after, PAGE)
        own = [] if after else list(OWN_TOOLS)
        return ListToolsResult(tools=[*own, *map(_tool, found)], next_cursor=rest)

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        arguments = params.arguments or {}
        try:
            match params.name:
                case "flowrunner_get_run":
                    return await self._get_run(context, arguments)
                case "flowrunner_cancel_run":
                    run = _run_id(arguments)
                    await run_in_threadpool(self._tools.cancel, self._actor, run)
                    return await self._outcome(run)
                case name:
                    return await self._run_flow(context, name, arguments)
        except FlowrunnerError as error:
            return _failure(f"{error.code}: {error}", {"code": error.code})

    async def list_resources(self, context: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        """None are listed: runs are found by the links in results."""
        return ListResourcesResult(resources=[])

    async def list_resource_templates(
        self, context: Context, params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        template = ResourceTemplate(
            name="run",
            title="A run",
            uri_template=f"{RUN_URI}{{run_id}}",
            description="A run that a tool has started, as it is now.",
            mime_type="application/json",
        )
        return ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(self, context: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        uri = str(params.uri)
        try:
            if not uri.startswith(RUN_URI):
                raise NotFound("there is no such resource")
            shown, output = await run_in_threadpool(self._shown, RunId(uri.removeprefix(RUN_URI)))
        except FlowrunnerError as error:
            raise MCPError(INVALID_PARAMS, str(error), {"uri": uri}) from None
        text = orjson.dumps({**_facts(shown), "output": output}).decode()
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type="application/json", text=text)])

    # -- how ----------------------------------------------------------------------------------------------------

    async def _run_flow(self, context: Context, name: str, arguments: Mapping[str, Json]) -> CallToolResult:
        try:
            tool = await run_in_threadpool(self._tools.find, self._actor, name)
        except NotFound as error:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {error.message}") from None
        run = await run_in_threadpool(self._tools.name_run, self._actor, self._call.name)
        try:
            await run_in_threadpool(self._tools.start, self._actor, tool, arguments, run)
            await self._wait(context, run, self._longest())
        except anyio.get_cancelled_exc_class():
            # Closing the connection is how a client cancels since 2026-07-28; a server that stops is no client.
            if self._call.gone and context.protocol_version in MODERN_PROTOCOL_VERSIONS:
                with anyio.CancelScope(shield=True):
                    await run_in_threadpool(self._cancel, run)
            raise
        return await self._outcome(run)

    async def _get_run(self, context: Context, arguments: Mapping[str, Json]) -> CallToolResult:
        run, seconds = _run_id(arguments), arguments.get("wait_seconds") or 0
        if not isinstance(seconds, int | float) or seconds < 0:
            raise InvalidInput("wait_seconds is a number of seconds")
        await run_in_threadpool(self._tools.get, self._actor, run)
        await self._wait(context, run, min(float(seconds), self._longest()))
        return await self._outcome(run)

    def _longest(self) -> float:
        settings = self._platform.settings
        return min(settings.mcp.wait, settings.api.max_wait) / 1000

    async def _wait(self, context: Context, run: RunId, seconds: float) -> None:
        told = 0

        async def tell(row: RunRow) -> None:
            nonlocal told
            _, state = read_run(row)
            if state.progress > told:
                told = state.progress
                where = ", ".join(state.current_nodes[:5])
                await context.session.report_progress(told, 100, f"at {where}" if where else None)

        if seconds:
            await wait_for_end(self._platform, self._actor.account, run, seconds, tell)

    async def _outcome(self, run: RunId) -> CallToolResult:
        shown, output = await run_in_threadpool(self._shown, run)
        return _result(shown, output)

    def _shown(self, run: RunId) -> tuple[ShownRun, Json]:
        shown = self._tools.get(self._actor, run)
        return shown, self._tools.output(shown)

    def _cancel(self, run: RunId) -> None:
        try:
            self._tools.cancel(self._actor, run)
        except (Conflict, NotFound):
            return


def _tool(tool: FlowTool) -> Tool:
    return Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=dict(tool.schema),
    )


def _facts(shown: ShownRun) -> dict[str, Any]:
    """What there is to say of a run beside its output."""
    error = shown.result.get("err") or shown.state.error
    return {
        "run_id": shown.row.id,
        "flow": shown.row.flow_name,
        "status": shown.row.status if shown.over else shown.state.shown_status,
        "progress": shown.state.progress,
        "current_nodes": list(shown.state.current_nodes),
        **({"error": {key: error.get(key) for key in ("code", "message", "node")}} if error else {}),
    }


def _result(shown: ShownRun, output: Json) -> CallToolResult:
    facts = _facts(shown)
    if shown.row.status == "completed":
        return _success(shown, output)
    if shown.row.status in TERMINAL:
        error = facts.get("error") or {}
        why = ": ".join(str(part) for part in (error.get("code"), error.get("message")) if part)
        return _failure(f"The run {shown.row.id} {facts['status']}{': ' if why else ''}{why}", facts)
    text = (
        f"The run {shown.row.id} is {facts['status']} ({facts['progress']} %) and goes on. "
        f"Ask for it with {GET_RUN}, stop it with {CANCEL_RUN}."
    )
    link = ResourceLink(
        name=shown.row.id, uri=f"{RUN_URI}{shown.row.id}", title="The run", mime_type="application/json"
    )
    return CallToolResult(content=[TextContent(text=text), link], structured_content=facts, _meta=_meta(shown))


def _success(shown: ShownRun, output: Json) -> CallToolResult:
    text = output if isinstance(output, str) else orjson.dumps(output).decode()
    if len(text) > LONGEST_TEXT:
        more = f"\n… {len(text) - LONGEST_TEXT:,} more characters: GET /v1/runs/{shown.row.id}"
        return CallToolResult(content=[TextContent(text=text[:LONGEST_TEXT] + more)], _meta=_meta(shown))
    structured = output if isinstance(output, dict) else None
    return CallToolResult(content=[TextContent(text=text)], structured_content=structured, _meta=_meta(shown))


def _failure(text: str, facts: Mapping[str, Any]) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], structured_content=dict(facts), is_error=True)


def _meta(shown: ShownRun) -> dict[str, Any]:
    return {"io.flowrunner/run": shown.row.id}


def _run_id(arguments: Mapping[str, Json]) -> RunId:
    run = arguments.get("run_id")
    if not isinstance(run, str) or not 0 < len(run) <= 64:
        raise InvalidInput("run_id is the text that a tool has answered with")
    return RunId(run)
