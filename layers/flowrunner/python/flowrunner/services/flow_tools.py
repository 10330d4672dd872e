"""Flows as tools of AI assistants: which are offered, under which names and schemas, and the runs that they start.

Offered is every active flow with a description. A tool is called like its flow, with `_` for what model APIs do not
take in a name; if that is taken, by a flow that is called so or by an older one, a part of the flow's id follows.

`mcp:use` is enough for all of this and lets one see no other runs than those that one has started here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId
from flowrunner.engine.engine import Engine
from flowrunner.errors import Conflict, FlowrunnerError, NotFound
from flowrunner.ports.entities import Entity
from flowrunner.services.flow_records import FlowQuery, FlowRecord, FlowStatus
from flowrunner.services.flows import FlowService
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.runs import RunService, ShownRun, StartWish

CALL = "mcp-call"
CALL_KEPT: Millis = 10 * 60_000
"""How long a call can be cancelled by the id that its client gave it."""
CALLER = "mcp"
"""The label of a run that says who has started it as a tool."""

GET_RUN = "flowrunner_get_run"
CANCEL_RUN = "flowrunner_cancel_run"
RESERVED = frozenset({GET_RUN, CANCEL_RUN})

LONGEST = 64
"""Of a tool's name: what the APIs of models take."""
ALL = 100_000
_OTHER = re.compile(r"[^A-Za-z0-9_-]")
_P = Permission


@dataclass(frozen=True, slots=True)
class FlowTool:
    """A flow as a tool. With `wrapped` its input is the argument `input`, since it need not be an object."""

    name: str
    flow: FlowId
    title: str
    description: str
    revision: int
    schema: Mapping[str, Json]
    wrapped: bool = False


class FlowTools:
    """See the module."""

    def __init__(self, engine: Engine, flows: FlowService, runs: RunService) -> None:
        self._engine = engine
        self._entities = engine.parts.backend.entities
        self._flows = flows
        self._runs = runs

    # -- which there are ----------------------------------------------------------------------------------------

    def list(self, actor: Actor, after: str = "", limit: int = 50) -> tuple[Sequence[FlowTool], str | None]:
        """The tools by name, from behind that of `after`; and where the next page begins, if there is one."""
        offered = self._offered(actor)
        names = sorted(name for name in offered if name > after)
        found = [self._tool(actor.account, name, offered[name]) for name in names[:limit]]
        return [tool for tool in found if tool is not None], names[limit - 1] if len(names) > limit else None

    def find(self, actor: Actor, name: str) -> FlowTool:
        """The tool of that name. Raises `NotFound`."""
        record = self._called(actor, name) or self._offered(actor).get(name)
        tool = self._tool(actor.account, name, record) if record is not None else None
        if tool is None:
            raise NotFound(f"there is no tool {name[:LONGEST]!r}")
        return tool

    # -- runs ---------------------------------------------------------------------------------------------------

    def name_run(self, actor: Actor, call: str | None = None) -> RunId:
        """The id of a run that is about to be started; `call` names the call for `cancel_call`, from now on."""
        require(actor, Permission.MCP_USE)
        run = RunId(self._engine.parts.draws.new_id())
        if call is not None:
            now = self._engine.parts.clock.now()
            body = orjson.dumps({"run": run})
            entity = Entity(actor.account, CALL, _call_id(actor, call), body, expires_at=now + CALL_KEPT)
            self._entities.put(entity, now)
        return run

    def start(self, actor: Actor, tool: FlowTool, arguments: Mapping[str, Json], run: RunId) -> None:
        """Start a run of that id. Raises as `RunService.start`."""
        require(actor, Permission.MCP_USE)
        given = arguments.get("input") if tool.wrapped else dict(arguments)
        wish = StartWish(tool.flow, given, tool.revision, {CALLER: _caller(actor)}, run=run)
        self._runs.start(_acting(actor, _P.RUNS_WRITE), wish)

    def get(self, actor: Actor, run: RunId) -> ShownRun:
        """A run that the actor has started as a tool, or may see anyway. Raises `NotFound`."""
        return self._run(actor, run, Permission.RUNS_READ)

    def output(self, shown: ShownRun) -> Json:
        """The run's output; None while there is none."""
        return self._runs.output(shown)

    def cancel(self, actor: Actor, run: RunId, reason: str = "cancelled by the client") -> None:
        """Stop such a run. Raises `NotFound`, or `Conflict` when it has ended."""
        self._run(actor, run, Permission.RUNS_WRITE)
        self._runs.cancel(_acting(actor, _P.RUNS_WRITE), run, reason)

    def cancel_call(self, actor: Actor, call: str) -> None:
        """Stop the run of a call, if there is one and it goes on."""
        require(actor, Permission.MCP_USE)
        found = self._entities.get(actor.account, CALL, _call_id(actor, call), self._engine.parts.clock.now())
        if found is None:
            return
        try:
            self.cancel(actor, RunId(orjson.loads(found.body)["run"]))
        except (Conflict, NotFound):
            return

    # -- how ----------------------------------------------------------------------------------------------------

    def _run(self, actor: Actor, run: RunId, otherwise: Permission) -> ShownRun:
        require(actor, Permission.MCP_USE)
        shown = self._runs.get(_acting(actor, _P.RUNS_READ), run)
        if shown.facts.labels.get(CALLER) != _caller(actor) and not actor.may(otherwise):
            raise NotFound("there is no such run")
        return shown

    def _offered(self, actor: Actor) -> dict[str, FlowRecord]:
        require(actor, Permission.MCP_USE)
        records = self._flows.find(_acting(actor, _P.FLOWS_READ), FlowQuery(status=FlowStatus.ACTIVE, limit=ALL))
        return tool_names([record for record in records if _described(record)])

    def _called(self, actor: Actor, name: str) -> FlowRecord | None:
        """The flow that is called as the tool: found without looking at all others."""
        require(actor, Permission.MCP_USE)
        flow = self._flows.by_name(actor.account, name) if _plain(name) else None
        if flow is None:
            return None
        record = self._flows.get(_acting(actor, _P.FLOWS_READ), flow).record
        return record if record.status is FlowStatus.ACTIVE and _described(record) else None

    def _tool(self, account: AccountId, name: str, record: FlowRecord) -> FlowTool | None:
        """None for a flow that this process cannot load."""
        try:
            flow = self._engine.programs.get(account, record.id, record.revision).flow
        except FlowrunnerError:
            return None
        schema, wrapped = tool_schema(flow.inputs)
        description = (flow.description or "").strip()
        return FlowTool(name, record.id, record.name, description, record.revision, schema, wrapped)


def tool_names(records: Sequence[FlowRecord]) -> dict[str, FlowRecord]:
    """The flows by the names of their tools."""
    found = {record.name: record for record in records if _plain(record.name)}
    for record in sorted(records, key=lambda record: (record.created_at, record.id)):
        if _plain(record.name):
            continue
        name = _OTHER.sub("_", record.name)
        if name in found or name in RESERVED or len(name) > LONGEST:
            name = f"{name[: LONGEST - 9]}_{hashlib.sha256(record.id.encode()).hexdigest()[:8]}"
        found[name] = record
    return found


def tool_schema(inputs: Json) -> tuple[Mapping[str, Json], bool]:
    """The schema of a tool's arguments, which are an object; and whether the input is one of them."""
    if inputs is None:
        return {"type": "object"}, False
    if isinstance(inputs, dict):
        if inputs.get("type") == "object":
            return inputs, False
        if "type" not in inputs and "properties" in inputs:
            return {"type": "object", **inputs}, False
        # References inside it begin at its own root.
        inputs = {"$id": "urn:flowrunner:input", **inputs}
    return {"type": "object", "properties": {"input": inputs}, "required": ["input"]}, True


def _plain(name: str) -> bool:
    """Whether a flow's name can be a tool's."""
    return len(name) <= LONGEST and _OTHER.search(name) is None and name not in RESERVED


def _described(record: FlowRecord) -> bool:
    return bool((record.description or "").strip())


def _caller(actor: Actor) -> str:
    return actor.token or actor.user or actor.name


def _acting(actor: Actor, permission: Permission) -> Actor:
    """The actor with what `mcp:use` stands for at this moment."""
    return replace(actor, permissions=frozenset({permission}))


def _call_id(actor: Actor, call: str) -> str:
    return hashlib.sha256(f"{_caller(actor)}\0{call}".encode()).hexdigest()
