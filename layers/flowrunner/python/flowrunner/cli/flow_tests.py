"""`flowrunner test`: flow tests, in memory, on a clock of their own.

Waits and retries take no time: whenever nothing is due the clock is turned to the next moment at which something is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flowrunner.adapters.local.clock import SystemDraws
from flowrunner.adapters.local.secrets import LocalSecrets
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.adapters.memory.cipher import MemorySealer
from flowrunner.bootstrap import LOCAL_ACCOUNT
from flowrunner.cli.engines import settings_for
from flowrunner.cli.exits import ExitCode, UsageError, escape, read_flow_file
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, RunId
from flowrunner.core.problems import Problem
from flowrunner.core.state import parent_of_item
from flowrunner.engine.engine import Engine, Parts, RunResult
from flowrunner.engine.records import Attempt
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import Conflict, FlowrunnerError, InvalidInput
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.load import load_valid_flow
from flowrunner.language.reader import path_text, read_document
from flowrunner.nodes.registry import Registry
from flowrunner.ports.runs import RowStatus
from flowrunner.sandbox.evaluator import Sandbox
from flowrunner.testing import MockRegistry, NoDialer, NoHttp, TurnedClock, with_mocks

ACCOUNT = AccountId(LOCAL_ACCOUNT)
MAX_TURNS = 100_000
"""Times that the clock is turned for one case, before the flow is taken to go on for ever."""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StepExpectation(Model):
    status: str | None = None
    action: str | None = None
    attempts: int | None = None
    runs: int | None = Field(None, description="How often the node was activated.")
    output: Json = None
    error: str | None = Field(None, description="The error's code.")


class Expectation(Model):
    status: str = "completed"
    output: Json = Field(None, description="The run's output, exactly.")
    contains: dict[str, Json] | None = Field(None, description="Fields that the run's output has, at any depth.")
    path: list[str] | None = Field(None, description="The nodes that ended, in that order; skipped ones left out.")
    error: str | None = Field(None, description="The code of the run's error.")
    steps: dict[str, StepExpectation] = Field(default_factory=dict)


class Case(Model):
    name: str
    input: Json = None
    secrets: dict[str, str] = Field(default_factory=dict)
    mocks: dict[str, dict[str, Json] | list[dict[str, Json]]] = Field(default_factory=dict)
    answers: dict[str, Json] = Field(default_factory=dict, description="Payloads for steps that wait, by node.")
    expect: Expectation = Field(default_factory=Expectation)


class Suite(Model):
    flow: str
    cases: list[Case] = Field(min_length=1)


@dataclass(slots=True)
class Outcome:
    """What became of a case; no failures: it passed."""

    suite: str
    case: str
    failures: list[str] = field(default_factory=list)


def test_files(files: Sequence[Path], *, as_json: bool, only: str | None) -> ExitCode:
    """Run the cases of all files; failed ones give exit code 1."""
    outcomes: list[Outcome] = []
    folder = settings_for().settings.plugins.folder
    registry = MockRegistry(Path(folder).expanduser() if folder else None)
    sandbox = Sandbox(processes=1)
    sandbox.helpers = lambda account: registry.helper_sources()
    try:
        for file in files:
            suite = _read_suite(file)
            text = read_flow_file(file.parent / suite.flow)
            for case in suite.cases:
                if only is None or only in case.name:
                    outcome = Outcome(str(file), case.name, _run_case(text, case, sandbox, registry))
                    outcomes.append(outcome)
                    if not as_json:
                        _show(outcome)
    finally:
        sandbox.close()
    failed = sum(1 for outcome in outcomes if outcome.failures)
    if as_json:
        rows = [
            {"file": one.suite, "case": one.case, "passed": not one.failures, "failures": one.failures}
            for one in outcomes
        ]
        print(json.dumps({"passed": len(outcomes) - failed, "failed": failed, "cases": rows}, ensure_ascii=False))
    else:
        print(f"{len(outcomes) - failed} passed, {failed} failed")
    return ExitCode.FAILED if failed else ExitCode.OK


def _read_suite(file: Path) -> Suite:
    document = read_document(read_flow_file(file))
    try:
        return Suite.model_validate(document.value)
    except ValidationError as error:
        problems = [
            Problem(path_text(item["loc"]), item["msg"].lower(), *document.place(item["loc"]))
            for item in error.errors()
        ]
        raise InvalidFlow(problems) from None


def _run_case(text: bytes, case: Case, sandbox: Sandbox, registry: Registry) -> list[str]:
    clock = TurnedClock()
    mocks = {node: answers if isinstance(answers, list) else [answers] for node, answers in case.mocks.items()}
    known = load_valid_flow(text).nodes
    for node in [*mocks, *case.answers, *case.expect.steps]:
        if node not in known:
            raise UsageError(f"case {case.name!r}: the flow has no node {node!r}")
    engine = Engine(
        Parts(
            backend=MemoryBackend(),
            registry=registry,
            sandbox=sandbox,
            secrets=LocalSecrets({f"FLOWRUNNER_SECRET_{key}": value for key, value in case.secrets.items()}),
            http=NoHttp(),
            dialer=NoDialer(),
            clock=clock,
            draws=SystemDraws(),
            compile=lambda document: with_mocks(load_valid_flow(document), mocks),
            sealer=MemorySealer(),
        )
    )
    try:
        row = engine.save_flow(ACCOUNT, text.decode("utf-8-sig"))
        run = engine.start(StartRequest(ACCOUNT, row.id, row.revision, case.input, started_by="test"))
    except InvalidFlow:
        raise
    except (InvalidInput, Conflict) as error:
        wanted = case.expect.error == error.code
        return [] if wanted else [f"the run could not start: {error}"]
    _drive(engine, run, clock, dict(case.answers), until=case.expect.status)
    return _compare(engine, run, case.expect)


def _drive(engine: Engine, run: RunId, clock: TurnedClock, answers: dict[str, Json], until: str) -> None:
    """Work until the run has ended or has the status `until`, or waits for somebody who never comes."""
    worker = engine.worker()
    for _ in range(MAX_TURNS):
        due = worker.drain()
        for node in list(answers):
            try:
                engine.control.signal(ACCOUNT, run, node, answers[node])
            except FlowrunnerError:
                continue  # not waiting yet
            del answers[node]
            due = clock.now()
        result = engine.run(ACCOUNT, run)
        if due is None or result.ended_at is not None or (result.status == until and not answers):
            return
        clock.turn_to(due)
    raise UsageError(f"the flow did not come to an end in {MAX_TURNS:,} turns of the clock")


def _compare(engine: Engine, run: RunId, expect: Expectation) -> list[str]:
    result = engine.run(ACCOUNT, run)
    attempts = [attempt for attempt in engine.steps(ACCOUNT, run) if parent_of_item(attempt.step) is None]
    ended = sorted((one for one in attempts if one.rev and one.status.final), key=lambda one: one.rev)
    last = list({one.step: one for one in ended}.values())
    failures = _compare_run(result, expect)
    path = [one.node for one in last if one.status is not RowStatus.SKIPPED]
    if expect.path is not None and path != expect.path:
        failures.append(f"path: expected {' → '.join(expect.path)}, got {' → '.join(path)}")
    for node, wanted in expect.steps.items():
        failures += _compare_step(engine, run, node, wanted, [one for one in last if one.node == node])
    return failures


def _compare_run(result: RunResult, expect: Expectation) -> list[str]:
    code = result.error.get("code") if result.error else None
    failures: list[str] = []
    if result.status != expect.status:
        why = f" ({code}: {result.error.get('message')})" if result.error else ""
        failures.append(f"status: expected {expect.status}, got {result.status}{why}")
    if "output" in expect.model_fields_set and result.output != expect.output:
        failures.append(f"output: expected {_short(expect.output)}, got {_short(result.output)}")
    if expect.contains is not None:
        failures += _missing(expect.contains, result.output, "output")
    if expect.error is not None and code != expect.error:
        failures.append(f"error: expected {expect.error}, got {code}")
    return failures


def _compare_step(
    engine: Engine, run: RunId, node: str, wanted: StepExpectation, steps: Sequence[Attempt]
) -> list[str]:
    """What differs in the last activation of a node, and in how often it ran."""
    if wanted.runs is not None and len(steps) != wanted.runs:
        return [f"steps.{node}.runs: expected {wanted.runs}, got {len(steps)}"]
    if not steps:
        return [] if wanted.runs == 0 else [f"steps.{node}: the node did not run"]
    got = {
        "status": steps[-1].status.value,
        "action": steps[-1].action,
        "attempts": steps[-1].attempt,
        "output": engine.value(ACCOUNT, run, steps[-1].output),
        "error": (steps[-1].error or {}).get("code"),
    }
    return [
        f"steps.{node}.{name}: expected {_short(getattr(wanted, name))}, got {_short(got[name])}"
        for name in sorted(wanted.model_fields_set - {"runs"})
        if got[name] != getattr(wanted, name)
    ]


def _missing(wanted: Mapping[str, Any], value: Json, where: str) -> list[str]:
    """Fields of `wanted` that `value` does not have, or has with another value."""
    failures: list[str] = []
    for name, inner in wanted.items():
        place = f"{where}.{name}"
        if not isinstance(value, dict) or name not in value:
            failures.append(f"{place}: is not there")
        elif isinstance(inner, dict):
            failures += _missing(inner, value[name], place)
        elif value[name] != inner:
            failures.append(f"{place}: expected {_short(inner)}, got {_short(value[name])}")
    return failures


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}…"


def _show(outcome: Outcome) -> None:
    mark = "✘" if outcome.failures else "✔"
    print(f"{mark} {outcome.case}")
    for failure in outcome.failures:
        print(f"    {escape(failure)}", file=sys.stderr)
