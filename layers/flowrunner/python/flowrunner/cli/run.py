"""`flowrunner run`: start a flow, watch it, print what came of it."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowrunner.bootstrap import LOCAL_ACCOUNT
from flowrunner.cli.engines import settings_for, working_engine
from flowrunner.cli.exits import ExitCode, option, read_flow_file
from flowrunner.cli.inputs import read_input
from flowrunner.cli.report import run_document, step_documents
from flowrunner.cli.view import RunView, make_view
from flowrunner.core.durations import parse_duration
from flowrunner.core.ids import AccountId, RunId
from flowrunner.engine.engine import Engine, RunResult
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import Conflict, NotFound
from flowrunner.ports.flows import FlowRow

ACCOUNT = AccountId(LOCAL_ACCOUNT)
TURN_SECONDS = 0.25
"""How long to wait for the run's end before looking whether somebody has to be asked something."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of the command, as given."""

    flow: str
    inputs: list[str]
    store: str | None
    json: bool
    timeout: str | None
    allow: list[str] | None
    secrets_file: Path | None
    config_file: Path | None


def run_flow(options: RunOptions) -> ExitCode:
    """Run a flow to its end. Answers the exit code."""
    value = read_input(options.inputs)
    timeout = option(options.timeout, "timeout", parse_duration) / 1000 if options.timeout else None
    loaded = settings_for(
        options.config_file,
        store=options.store or "memory:",
        allow=options.allow,
        secrets_file=options.secrets_file,
    )
    with working_engine(loaded) as (engine, _):
        row = _flow(engine, options)
        run = RunId(engine.parts.draws.new_id())
        view = make_view(engine, run, row.name, quiet=options.json)
        leave, leave_others = engine.watchers.watch(run, view.change), engine.watchers.watch_all(view.other)
        try:
            with view, _cancelled_by_signal(engine, run) as stopped:
                engine.start(StartRequest(ACCOUNT, row.id, row.revision, value, run=run, started_by="cli"))
                if stopped.is_set():
                    _cancel(engine, run)
                result = _wait(engine, run, view, timeout)
        finally:
            leave()
            leave_others()
        if result is None:
            print(f"run {run} has not ended within {options.timeout}; it goes on", file=sys.stderr)
            return ExitCode.FAILED
        _print(engine, result, options, view)
        return ExitCode.OK if result.status == "completed" else ExitCode.FAILED


def _flow(engine: Engine, options: RunOptions) -> FlowRow:
    """The flow to run: a file, or with a store a stored one."""
    path = Path(options.flow)
    if options.flow == "-" or path.exists() or options.store is None or path.suffix in (".yaml", ".yml", ".json"):
        text = read_flow_file(path)
        loaded = engine.load(text, ACCOUNT)
        for warning in loaded.warnings:
            if not options.json:
                print(warning, file=sys.stderr)
        return engine.save_flow(ACCOUNT, text.decode("utf-8-sig"))
    found = engine.parts.backend.flows.find(ACCOUNT, options.flow)
    if found is None:
        raise NotFound(f"there is no file and no stored flow {options.flow!r}")
    return found


@contextmanager
def _cancelled_by_signal(engine: Engine, run: RunId) -> Iterator[threading.Event]:
    """While inside, Ctrl-C or SIGTERM sets the event and cancels the run if it has started; a second one leaves."""
    stopped = threading.Event()

    def stop(*_: Any) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        _cancel(engine, run)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cancel(engine: Engine, run: RunId) -> None:
    try:
        engine.control.cancel(ACCOUNT, run, "cancelled from the terminal")
    except (Conflict, NotFound):
        return  # it has ended, or has not started yet


def _wait(engine: Engine, run: RunId, view: RunView, timeout: float | None) -> RunResult | None:
    """Wait for the end, asking the person at the terminal what waits for a decision."""
    clock = engine.parts.clock
    deadline = None if timeout is None else clock.monotonic() + timeout
    while True:
        left = TURN_SECONDS if deadline is None else min(TURN_SECONDS, max(deadline - clock.monotonic(), 0))
        result = engine.wait(ACCOUNT, run, left)
        if result is not None or (deadline is not None and clock.monotonic() >= deadline):
            return result
        view.ask(lambda asking, step, payload: engine.control.signal(ACCOUNT, asking, step, payload))


def _print(engine: Engine, result: RunResult, options: RunOptions, view: RunView) -> None:
    if options.json:
        document = run_document(result)
        document["steps"] = step_documents(engine, ACCOUNT, result.id)
        print(json.dumps(document, ensure_ascii=False))
        return
    view.finish(result)
    if result.status == "completed":
        print(json.dumps(result.output, ensure_ascii=False, indent=2))
