"""An agent whose worker is killed with SIGKILL in the middle of calls goes on, and repeats nothing that had ended."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from flowrunner.bootstrap import make_backend
from flowrunner.engine.starter import StartRequest
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


def test_a_killed_agent_goes_on_and_repeats_no_finished_call(tmp_path: Path) -> None:
    """Killed once in a call of the model and once in one of eight calls of tools, it ends as if nothing had been:
    each call of a tool that had ended was made once, the one that was cut off twice under the same key.
    """
    store = f"sqlite:///{tmp_path}/agent.db"
    engine = engine_on(make_backend(Settings(store=StoreSettings(url=store))))
    deaths = Deaths(store)
    made: Counter[int] = Counter()
    keys: dict[int, set[str]] = {}

    def work(received: Received) -> Reply:
        number = json.loads(received.body)["number"]
        made[number] += 1
        keys.setdefault(number, set()).add(received.headers["idempotency-key"])
        if number == KILLED_IN_TOOL:
            deaths.once("tool")
        return Reply(body=b"{}", headers=(("Content-Type", "application/json"),))

    def think(body: Any) -> Says:
        results = [one for one in body["messages"] if one["role"] == "tool"]
        if len(results) == 2 * KILLED_IN_MODEL:
            deaths.once("model")
        if len(results) >= 2 * TURNS:
            return Says("done")
        return Says(calls=[Calls("work", {"number": len(results) + place}) for place in (0, 1)])

    with RecordingServer(work) as server, ModelServer([think] * 40) as model:
        tool = {"name": "work", "http": {"method": "POST", "url": f"{server.url}/work", "json": "${input}"}}
        row = engine.save_flow(ACCOUNT, agent(model, [tool]))
        run = engine.start(StartRequest(ACCOUNT, row.id, row.revision))
        statuses = until_ended(engine, [run], PATIENCE)
        deaths.end()
    assert statuses == ["completed"]
    assert deaths.happened == {"tool", "model"}
    beside = KILLED_IN_TOOL ^ 1  # asked for in the same turn: it may have been cut off, too
    once = {number: 1 for number in range(2 * TURNS) if number not in (KILLED_IN_TOOL, beside)}
    assert {number: made[number] for number in once} == once
    assert (made[KILLED_IN_TOOL], made[beside] in (1, 2)) == (2, True)
    assert all(len(each) == 1 for each in keys.values())
    output: Any = engine.run(ACCOUNT, run).output
    assert (output["agent"]["turns"], output["agent"]["tool_calls"]) == (TURNS + 1, 2 * TURNS)
