"""The result of a completed run: its `outputs`, or the output of each end node that ran, by node id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowrunner.core.flow import Json
from flowrunner.core.state import State
from flowrunner.core.status import StepStatus
from flowrunner.engine.evaluate import evaluate
from flowrunner.engine.outcome import RunView
from flowrunner.engine.records import Attempt
from flowrunner.engine.run_info import run_info
from flowrunner.engine.scope import Scope
from flowrunner.engine.services import Services
from flowrunner.errors import StepError, ValueLost


class RunOutputs:
    """Evaluates and stores the result of a run."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def __call__(self, view: RunView, state: State, fresh: Sequence[Attempt]) -> Json:
        """The stored output. `fresh` are attempts of the commit under way, which no store has yet.

        Raises `StepError` when an expression of `outputs` fails, the value is too large, or one that it needs is lost.
        """
        scope = self._scope(view, state, fresh)
        try:
            value = self._value(view, state, scope)
        except StepError as error:
            raise scope.redactor().error(error) from None
        except ValueLost as error:  # it would be lost the next time, too
            raise StepError(str(error), code=error.code) from None
        known, redactor = scope.known(), scope.redactor()
        key, where = f"output/{state.rev}", "the output of the run"
        return self._services.values.store(view.row.account, view.row.id, key, value, where, known, redactor)

    def _value(self, view: RunView, state: State, scope: Scope) -> Json:
        template = view.program.outputs
        if template is None:
            return self._end_outputs(view, state, scope)
        now, seed = self._services.clock.now(), f"{view.row.id}/outputs"
        return evaluate(self._services.sandbox, template, scope, "outputs", now=now, seed=seed)

    def _end_outputs(self, view: RunView, state: State, scope: Scope) -> Mapping[str, Json]:
        return {
            node: scope.load("nodes", node)["output"]
            for node in view.program.end_nodes
            if node in state.nodes and state.nodes[node].status is not StepStatus.SKIPPED
        }

    def _scope(self, view: RunView, state: State, fresh: Sequence[Attempt]) -> Scope:
        row = view.row
        info = run_info(row, view.facts, state, "outputs")
        for attempt in fresh:
            self._services.reader.remember(row.account, row.id, attempt.row(attempt.rev))
        return Scope(
            self._services.reader,
            self._services.run_secrets,
            row.account,
            row.id,
            info,
            view.facts,
            view.program,
            state,
        )
