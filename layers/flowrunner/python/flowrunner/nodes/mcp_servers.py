"""Tools of servers that speak the Model Context Protocol."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.agent_params import McpServer
from flowrunner.nodes.agent_results import bad, good, of_error
from flowrunner.nodes.base import Context, Result

SERVER = "MCP_SERVER"
NOT_ALLOWED = "PROGRAMS_NOT_ALLOWED"
MAX_NAME = 64
_STRANGE = re.compile(r"[^A-Za-z0-9_-]")


def served_tools(ctx: Context[Any], server: McpServer, taken: Collection[str]) -> list[Json]:
    """The tools of a server as the agent offers them, under names of their own. Raises `MCP_SERVER`."""
    _check_usable(ctx, server)
    # Imported by now: most agents have no such servers.
    from flowrunner.nodes.mcp_client import list_tools

    offered: list[Json] = []
    names = {*taken}
    found = list_tools(ctx, server)
    for tool in found:
        if server.tools is not None and tool.name not in server.tools:
            continue
        name = _STRANGE.sub("_", f"{server.name}__{tool.name}")[:MAX_NAME]
        if name in names:
            raise StepError(f"two tools would be called {name!r}", code=SERVER, hint="rename the server or the tool")
        names.add(name)
        about = {"name": name, "server": server.name, "tool": tool.name}
        offered.append({**about, "description": tool.description, "parameters": tool.parameters})
    for wanted in server.tools or ():
        if all(tool.name != wanted for tool in found):
            raise StepError(f"the server {server.name} has no tool {wanted!r}", code=SERVER)
    return offered


def call_tool(ctx: Context[Any], server: McpServer, tool: str, arguments: dict[str, Json]) -> Result:
    """A call of a server's tool; what goes wrong is for the model to know."""
    _check_usable(ctx, server)
    from flowrunner.nodes.mcp_client import call

    try:
        answer = call(ctx, server, tool, arguments)
    except StepError as error:
        return of_error(error)
    return bad("TOOL_FAILED", answer.text) if answer.failed else good(answer.value)


def _check_usable(ctx: Context[Any], server: McpServer) -> None:
    try:
        import flowrunner.nodes.mcp_client  # noqa: F401 - whether it can be imported is the question
    except ImportError as error:
        raise StepError(
            "the client for MCP servers (the package mcp) is not installed here",
            code="NotInstalled",
            hint="on AWS, deploy with the extra `mcp`",
        ) from error
    if server.command is not None and not ctx.programs_allowed:
        raise StepError(
            f"the server {server.name} is a program, and this installation starts none",
            code=NOT_ALLOWED,
            hint="egress.programs allows it, where all who write flows may use this machine",
        )
