"""What a step was given, found again from what is stored: nothing is written twice to show it."""

from __future__ import annotations

from flowrunner.core.flow import Json
from flowrunner.core.state import Entry
from flowrunner.engine.evaluate import evaluate
from flowrunner.engine.heads import read_run
from flowrunner.engine.programs import Programs
from flowrunner.engine.records import Attempt
from flowrunner.engine.redaction import Redactor
from flowrunner.engine.run_info import run_info
from flowrunner.engine.scope import Scope
from flowrunner.engine.seals import values_of
from flowrunner.engine.services import Services
from flowrunner.ports.runs import RunRow


def step_input(services: Services, programs: Programs, row: RunRow, attempt: Attempt) -> Json:
    """The input of an attempt before its hooks, with the outputs that its predecessors have now.

    Secrets in it are masked, as everywhere. Raises `NotFound` when the run's flow cannot be loaded, `StepError` when
    an expression of `inputs` fails.
    """
    program = programs.get(row.account, row.flow, row.revision)
    node = program.nodes.get(attempt.node)
    if node is None:  # the run went on with a later revision, which has lost the node
        return None
    facts, state = read_run(row)
    info = run_info(row, facts, state, attempt.step)
    entry = Entry(attempt.node, attempt.parent, attempt.via, attempt=attempt.attempt, n=attempt.n)
    reader, secrets = services.reader, services.run_secrets
    scope = Scope(reader, secrets, row.account, row.id, info, facts, program, state, attempt.step, entry, node)
    if node.ports is not None:
        seed = f"{row.id}/{attempt.step}/{attempt.attempt}"
        given = evaluate(services.sandbox, node.ports, scope, "inputs", now=attempt.started_at, seed=seed)
        scope.given["ports"] = given
    value = scope.start_input()
    known = scope.known() | secrets.known(row.account, row.id, attempt.secrets)
    return Redactor(values_of(known)).value(value)
