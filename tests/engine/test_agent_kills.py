"""An agent whose worker is killed with SIGKILL in the middle of calls goes on, and repeats nothing that had ended."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from flowrunner.bootstrap import make_backend
from flowrunner.core.ids import RunId
from flowrunner.engine.engine import Engine
from flowrunner.engine.starter import StartRequest
from flowrunner.ports.runs import RowStatus
from flowrunner.settings import Settings, StoreSettings

from tests.engine.test_agents import agent
from tests.engine.test_kills import ACCOUNT, engine_on, until_ended, worker
from tests.model_server import Calls, ModelServer, Says
from tests.servers import Received, RecordingServer, Reply

TURNS = 4
KILLED_IN_MODEL = 2
"""The turn in which the worker dies while the model thinks."""
KILLED_IN_TOOL = 5
"""The call in which it dies while the tool works."""
PATIENCE = 180.0


class Deaths:
    """A worker that can be killed, and the one after it."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._process = worker(store)
        self.happened: set[str] = set()

    def once(self, why: str) -> None:
        """Kill the worker, the first time that this happens; the next one starts at once."""
        if why not in self.happened:
            self.happened.add(why)
            self.end()
            self._process = worker(self._store)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def beside_ended(engine: Engine, run: RunId) -> bool:
    """Whether the call that the model wanted together with the deadly one is stored as ended."""
    loops = [step.wait.child for step in engine.steps(ACCOUNT, run) if step.wait is not None]
    items = [step for loop in loops for step in engine.steps(ACCOUNT, RunId(str(loop)))]
    turn, place = divmod(KILLED_IN_TOOL ^ 1, 2)
    ended = [one for one in items if one.status is RowStatus.SUCCEEDED and one.label == f"act.{turn + 1}[{place}]"]
    return bool(ended)


def test_a_killed_agent_goes_on_and_repeats_no_finished_call(tmp_path: Path) -> None:
    """Killed once in a call of the model and once in one of eight calls of tools, it ends as if nothing had been: no
    call of a tool is made after it has ended, the one that was cut off again, under the same key.
    """
    store = f"sqlite:///{tmp_path}/agent.db"
    engine = engine_on(make_backend(Settings(store=StoreSettings(url=store))))
    deaths = Deaths(store)
    made: Counter[int] = Counter()
    keys: dict[int, set[str]] = {}
    ended: set[int] = set()
    repeated: list[int] = []
    never = threading.Event()
    runs: list[RunId] = []

    def work(received: Received) -> Reply:
        number = json.loads(received.body)["number"]
        made[number] += 1
        keys.setdefault(number, set()).add(received.headers["idempotency-key"])
        if number in ended:
            repeated.append(number)
        if number == KILLED_IN_TOOL and "tool" not in deaths.happened:
            for _ in range(100):
                if beside_ended(engine, runs[0]):
                    ended.add(KILLED_IN_TOOL ^ 1)
                    break
                never.wait(0.1)
            deaths.once("tool")
        return Reply(body=b"{}", headers=(("Content-Type", "application/json"),))

    def think(body: Any) -> Says:
        results = [one for one in body["messages"] if one["role"] == "tool"]
        ended.update(range(len(results)))
        if len(results) == 2 * KILLED_IN_MODEL:
            deaths.once("model")
        if len(results) >= 2 * TURNS:
            return Says("done")
        return Says(calls=[Calls("work", {"number": len(results) + place}) for place in (0, 1)])

    with RecordingServer(work) as server, ModelServer([think] * 40) as model:
        tool = {"name": "work", "http": {"method": "POST", "url": f"{server.url}/work", "json": "${input}"}}
        row = engine.save_flow(ACCOUNT, agent(model, [tool]))
        runs.append(engine.start(StartRequest(ACCOUNT, row.id, row.revision)))
        try:
            statuses = until_ended(engine, runs, PATIENCE)
        finally:
            deaths.end()
    assert statuses == ["completed"]
    assert deaths.happened == {"tool", "model"}
    assert repeated == []
    assert (sorted(made), made[KILLED_IN_TOOL] >= 2) == (list(range(2 * TURNS)), True)
    assert all(len(each) == 1 for each in keys.values())
    output: Any = engine.run(ACCOUNT, runs[0]).output
    assert (output["agent"]["turns"], output["agent"]["tool_calls"]) == (TURNS + 1, 2 * TURNS)
