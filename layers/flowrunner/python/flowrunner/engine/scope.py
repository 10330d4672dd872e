"""What expressions and hooks of one execution can see, loaded when it is touched.

Everything is read as of one head, so an execution sees one moment of the run however long it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowrunner.core.flow import ERROR, Json
from flowrunner.core.ids import AccountId, NodeId, RunId, StepId
from flowrunner.core.state import Entry, NodeState, State, item_index, parent_of_item
from flowrunner.engine.history import StepReader
from flowrunner.engine.program import NodeProgram, Program
from flowrunner.engine.records import Attempt, RunFacts
from flowrunner.engine.redaction import Redactor
from flowrunner.engine.run_secrets import RunSecrets
from flowrunner.engine.seals import Known, Opened
from flowrunner.nodes.base import RunInfo
from flowrunner.sandbox.templates import UNDEFINED

NOT_RUN = {"output": None, "status": None, "error": None, "action": None, "attempts": 0}
"""What `nodes.<id>` holds for a node that has not run."""

ITEMS_PER_PAGE = 100
"""Items of a foreach that share one stored value; an item's execution loads one page."""


@dataclass(slots=True)
class Scope:
    """The scope of one execution. `load` is the function that templates and the sandbox call."""

    reader: StepReader
    secrets: RunSecrets
    account: AccountId
    run: RunId
    info: RunInfo
    facts: RunFacts
    program: Program
    state: State
    step: StepId | None = None
    entry: Entry | None = None
    node: NodeProgram | None = None
    given: dict[str, Json] = field(default_factory=dict)
    """Values known already: ports, params, context, output."""
    read_secrets: dict[str, str] = field(default_factory=dict)
    carried: set[tuple[str, str]] = field(default_factory=set)
    """Secrets that came with values that hold them, by name and value."""
    written: dict[str, Json] = field(default_factory=dict)
    """Vars that this execution has written; they land in the store with its commit."""
    removed: set[str] = field(default_factory=set)
    _masks: tuple[tuple[int, int], Known, Redactor] | None = None

    def known(self) -> Known:
        """Every secret that the run has read so far."""
        return self._masking()[0]

    def redactor(self) -> Redactor:
        """Masks every secret that the run has read so far."""
        return self._masking()[1]

    def _masking(self) -> tuple[Known, Redactor]:
        size = (len(self.read_secrets), len(self.carried))
        if self._masks is None or self._masks[0] != size:
            names = {*self.state.secrets, *self.read_secrets}
            known = self.secrets.known(self.account, self.run, names) if names else frozenset()
            known = frozenset({*known, *self.carried, *list(self.read_secrets.items())})
            self._masks = (size, known, self.secrets.redactor(known))
        return self._masks[1:]

    def opened(self, opened: Opened) -> Json:
        """The value, for this execution to use; what it holds of secrets is masked from now on."""
        if opened.secrets:
            self.carried |= opened.secrets
        return opened.value

    def stored(self, stored: Json) -> Json:
        """The value behind a stored form."""
        return self.opened(self.reader.open(self.account, self.run, stored))

    def load(self, root: str, key: str | None) -> Any:
        """The value of `root`, or of `root.key` for the roots that are loaded by key."""
        if root in self.given:
            return self.given[root]
        match root:
            case "nodes":
                return self._nodes(key)
            case "vars":
                return self._vars(key)
            case "secrets":
                return self._secret(key)
            case _:
                value = self._plain(root)
                self.given[root] = value
                return value

    def _plain(self, root: str) -> Json:
        match root:
            case "input":
                return self.stored(self.facts.input)
            case "prev":
                return self.previous(whole=True)
            case "item":
                return self._item()
            case "index":
                return item_index(self.step) if self.step and parent_of_item(self.step) else UNDEFINED
            case "error":
                return self._error()
            case "run":
                return {
                    "id": self.info.id,
                    "started_at": self.info.started_at,
                    "attempt": self.info.attempt,
                    "idempotency_key": self.info.idempotency_key,
                    "depth": self.info.depth,
                }
            case "flow":
                flow = self.program.flow
                return {
                    "id": self.info.flow,
                    "name": flow.name,
                    "version": flow.version,
                    "revision": self.info.revision,
                }
            case "account":
                return {"id": self.account}
            case _:
                return UNDEFINED

    def previous(self, *, whole: bool) -> Json:
        """What the step came from gave: its output, or only the payload that travels along an edge.

        For a join: an object by the id of each needed node that has ended. None at a start node.
        """
        if self.entry is None or self.node is None:
            return None
        join = self.node.node.join
        if join is not None:
            ended = {need: self.state.nodes[need] for need in join.needs if need in self.state.nodes}
            return {need: self._output_of(need, state, whole=whole) for need, state in ended.items()}
        if self.entry.parent is None:
            return None
        row = self._last(self.entry.parent)
        if row is None:
            return None
        output = self.stored(row.output)
        return output if whole else self._payload(row.node, output)

    def _last(self, step: StepId) -> Attempt | None:
        """The last attempt of a step that has ended: by its number if the state knows it, which is one read less."""
        number = next((ended.attempt for ended in self.state.nodes.values() if ended.step == step), None)
        row = self.reader.attempt(self.account, self.run, step, number) if number is not None else None
        return row or self.reader.last(self.account, self.run, step)

    def start_input(self) -> Json:
        """The node's input before its hooks: ports, else what came along the edge, else the run's input."""
        if "ports" in self.given:
            return self.given["ports"]
        if self.entry is None or (self.entry.parent is None and not self._is_join()):
            return self.load("input", None)
        return self.previous(whole=False)

    def _is_join(self) -> bool:
        return self.node is not None and self.node.node.join is not None

    def _output_of(self, node: NodeId, state: NodeState, *, whole: bool) -> Json:
        row = self.reader.attempt(self.account, self.run, state.step, state.attempt)
        output = self.stored(row.output) if row else None
        return output if whole else self._payload(node, output)

    def _payload(self, node: NodeId, output: Json) -> Json:
        source = self.program.nodes.get(node)
        name = source.type.payload if source and source.foreach is None and "exec" not in source.node.hooks else None
        return output[name] if name and isinstance(output, dict) and name in output else output

    def _nodes(self, key: str | None) -> Any:
        if key is None:
            return {node: self._nodes(node) for node in self.state.nodes}
        state = self.state.nodes.get(NodeId(key))
        if state is None:
            # A node of the flow that has not run, such as one on a branch that was not taken, reads as empty.
            return dict(NOT_RUN) if key in self.program.nodes else UNDEFINED
        row = self.reader.attempt(self.account, self.run, state.step, state.attempt)
        return {
            "output": self.stored(row.output) if row else None,
            "status": state.status.value,
            "error": row.error if row else None,
            "action": state.action,
            "attempts": state.attempt,
        }

    def _vars(self, key: str | None) -> Any:
        if key is None:
            names = {*self.state.vars, *self.written} - self.removed
            return {name: self._vars(name) for name in sorted(names)}
        if key in self.written:
            return self.written[key]
        if key in self.removed:
            return UNDEFINED
        step = self.state.vars.get(key)
        if step is None:
            return UNDEFINED
        row = self._last(step)
        return self.stored(row.vars.get(key)) if row else UNDEFINED

    def _secret(self, key: str | None) -> Json:
        if key is None:
            raise TypeError("secrets can be read one by one only: secrets.NAME")
        if key not in self.read_secrets:
            first = key not in self.state.secrets
            self.read_secrets[key] = self.secrets.read(self.account, self.run, key, first=first)
        return self.read_secrets[key]

    def _error(self) -> Json:
        if self.entry is None or self.entry.via != ERROR or self.entry.parent is None:
            return UNDEFINED
        row = self._last(self.entry.parent)
        return dict(row.error) if row and row.error else None

    def _item(self) -> Any:
        parent = parent_of_item(self.step) if self.step else None
        if parent is None or self.step is None:
            return UNDEFINED
        row = self.reader.expansion(self.account, self.run, parent)
        if row is None:
            return None
        page, place = divmod(item_index(self.step), ITEMS_PER_PAGE)
        items = self.stored(row.items[page])
        if not isinstance(items, list):
            raise TypeError(f"page {page} of the items of step {parent} is not a list")
        return items[place]

    def extra(self) -> Mapping[str, Json]:
        """Bindings under names of the author's choosing: the alias of a foreach item."""
        foreach = self.node.foreach if self.node else None
        if foreach is None or foreach.alias == "item" or not self.step or not parent_of_item(self.step):
            return {}
        return {foreach.alias: self.load("item", None)}
