"""What an expression would give in a run that was executed already: for people who write it.

Nothing is executed beside the expression, nothing is written, and no secret gets near it: `secrets.NAME` is the mask,
and values that hold a secret are read in their masked form. So it does not matter what an expression does with them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from flowrunner.core.flow import Json
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import Entry, State
from flowrunner.core.status import StepStatus
from flowrunner.engine.evaluate import evaluate
from flowrunner.engine.heads import read_run
from flowrunner.engine.program import Program
from flowrunner.engine.programs import Programs
from flowrunner.engine.records import Attempt
from flowrunner.engine.redaction import MASK
from flowrunner.engine.run_info import run_info
from flowrunner.engine.scope import Scope
from flowrunner.engine.services import Services
from flowrunner.ports.runs import RunRow
from flowrunner.sandbox.errors import ExpressionError, TemplateSyntaxError
from flowrunner.sandbox.templates import Template, compile_template

LATER = {
    "context": "what `prep` leaves in `context`",
    "params": "what `params` holds",
    "output": "the node's own `output`",
}
"""Roots that a node's execution fills."""


@dataclass(frozen=True, slots=True)
class Question:
    """An expression, and where it stands.

    `node` need not be in the run: then it is taken to follow the nodes `after`, or to wait for them (`join`). With
    `each`, a template for a list (or for one value), the item `index` of that is `item`, and what `alias` says.
    """

    value: Json
    node: NodeId | None = None
    after: Sequence[NodeId] = ()
    join: bool = False
    each: Json = None
    alias: str = "item"
    index: int = 0


@dataclass(slots=True)
class _Masked(Scope):
    """A scope in which everything is as people see it."""

    names: Callable[[], Collection[str]] | None = None
    alias: str = "item"

    def stored(self, stored: Json) -> Json:
        return self.reader.value(self.account, self.run, stored)

    def load(self, root: str, key: str | None) -> Json:
        if root in LATER and root not in self.given:
            raise ExpressionError(f"{LATER[root]} is not known before the node is executed")
        # `super()` without arguments means another class here: slots make a new one.
        return Scope.load(self, root, key)

    def _secret(self, key: str | None) -> Json:
        if key is None:
            raise ExpressionError("secrets can be read one by one only: secrets.NAME")
        if self.names is not None and key not in self.names():
            raise ExpressionError(f"there is no secret {key!r}")
        return MASK

    def extra(self) -> Mapping[str, Json]:
        return {self.alias: self.given["item"]} if self.alias != "item" and "item" in self.given else {}


def preview(services: Services, programs: Programs, row: RunRow, question: Question, *, tells: bool) -> Json:
    """The value of the question's expression; `tells`: whoever asks may know which secrets there are.

    Raises `StepError` when it fails, `NotFound` without the run's flow.
    """
    program = programs.get(row.account, row.flow, row.revision)
    facts, state = read_run(row)
    step, entry = _place(services, row, state, question.node)
    node = program.nodes.get(question.node) if question.node is not None else None
    info = run_info(row, facts, state, step or "")
    run = (services.reader, services.run_secrets, row.account, row.id, info, facts, program, state)
    names = partial(services.secrets.names, row.account) if tells else None
    scope = _Masked(*run, step, entry, node, names=names, alias=question.alias)
    if entry is None and question.node is not None:
        scope.given["prev"] = _arrived(scope, question)
        scope.given["error"] = _error_of(scope, program, question)
    now, seed = services.clock.now(), f"{row.id}/preview"
    template = _compiled(question.value)
    if node is not None and node.ports is not None and any(one.root == "ports" for one in template.references):
        scope.given["ports"] = evaluate(services.sandbox, node.ports, scope, "inputs", now=now, seed=seed)
    if question.each is not None:
        items = evaluate(services.sandbox, _compiled(question.each), scope, "items", now=now, seed=seed)
        _bind(scope, question, items)
    return evaluate(services.sandbox, template, scope, "value", now=now, seed=seed)


def _compiled(value: Json) -> Template:
    try:
        return compile_template(value)
    except TemplateSyntaxError as error:
        raise ExpressionError(error.message) from None


def _place(
    services: Services, row: RunRow, state: State, node: NodeId | None
) -> tuple[StepId, Entry] | tuple[None, None]:
    """The last step of a node in the run and how it was reached; None for a node that the run has not reached."""
    if node is None:
        return None, None
    for entries in (state.frontier, state.parked):
        for step, entry in entries.items():
            if entry.node == node:
                return step, entry
    ended = state.nodes.get(node)
    last: Attempt | None = services.reader.attempt(row.account, row.id, ended.step, ended.attempt) if ended else None
    if last is None:
        return None, None
    return last.step, Entry(last.node, last.parent, last.via, attempt=last.attempt, n=last.n)


def _arrived(scope: Scope, question: Question) -> Json:
    """What would come along the edges to a node that the run does not know."""
    ended = [node for node in question.after if node in scope.state.nodes]
    outputs = {node: scope.load("nodes", node)["output"] for node in ended}
    return outputs if question.join else next(iter(outputs.values()), None)


def _error_of(scope: Scope, program: Program, question: Question) -> Json:
    for node in question.after:
        ended = scope.state.nodes.get(node)
        if ended is not None and ended.status is StepStatus.FAILED and node in program.nodes:
            error: Json = scope.load("nodes", node)["error"]
            return error
    return None


def _bind(scope: Scope, question: Question, items: Json) -> None:
    items = items if isinstance(items, list) else [items]  # `filter` takes one value as well
    if question.index >= len(items):
        raise ExpressionError(f"the list has no item {question.index}: its length is {len(items)}")
    scope.given["item"] = items[question.index]
    scope.given["index"] = question.index
