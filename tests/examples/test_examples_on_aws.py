"""Every example gives what it gives with a worker when it is executed by invocations, in express mode or not."""

from __future__ import annotations

import json
import re

import pytest
from flowrunner.engine.records import Attempt

from tests.engine.cloud import Cloud, cloud
from tests.engine.harness import ACCOUNT, bench
from tests.engine.test_agents import decide
from tests.examples.test_examples import (
    AGENT_SAYS,
    EXAMPLES,
    LOCAL,
    REMOTE,
    agent_turns,
    answer,
    original,
    shop,
)
from tests.model_server import ModelServer, Says
from tests.servers import Received, RecordingServer, Reply, flaky

MODES = pytest.mark.parametrize("express", [False, True], ids=["standard", "express"])


def document(text: str, *, express: bool) -> str:
    assert not re.search(r"^mode:", text, re.MULTILINE)
    return f"{text}\nmode: express\n" if express else text


def sound(c: Cloud) -> None:
    """Nothing went wrong on the way."""
    assert not c.trouble
    assert not c.queue.dead
    assert not c.queue.handed


@MODES
@pytest.mark.parametrize("name", LOCAL)
def test_an_example_gives_its_output(name: str, express: bool) -> None:
    """Those that need nothing but the engine."""
    value, expected = LOCAL[name]
    with cloud() as c:
        c.batch = 2
        result = c.run(document((EXAMPLES / f"{name}.yaml").read_text(), express=express), value)
        assert (result.status, result.output) == ("completed", expected), result.error
        sound(c)


@MODES
@pytest.mark.parametrize("name", REMOTE)
def test_an_example_with_services_gives_its_output(name: str, express: bool) -> None:
    """Those that talk to a server."""
    value, expected = REMOTE[name]
    with RecordingServer(shop) as server, cloud(allow=["127.0.0.1"], lanes=True) as c:
        text = document((EXAMPLES / f"{name}.yaml").read_text(), express=express)
        result = c.run(text, {**value, "api": server.url})
        assert (result.status, result.output) == ("completed", expected), result.error
        sound(c)


@MODES
def test_the_retry_example_gets_through_to_a_flaky_server(express: bool) -> None:
    """The waits between the attempts are the queue's; the idempotency key stays."""
    with RecordingServer(flaky(2, lambda _: answer("yes"))) as server, cloud(allow=["127.0.0.1"]) as c:
        result = c.run(document((EXAMPLES / "retry.yaml").read_text(), express=express), {"api": server.url})
        assert result.output == {"answer": "yes", "attempts": 3}
        assert len({request.headers["idempotency-key"] for request in server.requests}) == 1
        sound(c)


@MODES
def test_the_summary_is_made_in_the_slow_lane(express: bool) -> None:
    """A model is asked where a step may take long."""
    good = {"summary": "Weather.", "topics": ["rain"]}
    text = document((EXAMPLES / "summarise.yaml").read_text(), express=express)
    with (
        ModelServer([Says(json.dumps(good))], key="key-1") as server,
        cloud(secrets={"API_KEY": "key-1"}, allow=["127.0.0.1"], lanes=True) as c,
    ):
        result = c.run(text, {"text": "Rain in Rome.", "api": server.base_url})
        assert result.output is not None, result.error
        assert result.output["answer"]["summary"] == "Weather."
        sound(c)


@MODES
def test_an_agent_is_executed_turn_by_turn(express: bool) -> None:
    """Its own run and those of its tools are executed by invocations like any other; a person is waited for by none."""
    text = document((EXAMPLES / "agent.yaml").read_text(), express=express)
    with (
        RecordingServer(shop) as api,
        ModelServer(agent_turns(), key="key-1") as model,
        cloud(secrets={"API_KEY": "key-1"}, allow=["127.0.0.1"], lanes=True) as c,
    ):
        run = c.start(text, {"question": "My money?", "api": api.url, "model_api": model.base_url})
        c.work(until=c.clock.now() + 3_600_000)
        decide(c, run, {"approved": True})
        c.work()
        assert c.result(run).output == {"answer": json.loads(AGENT_SAYS), "calls": 4}, c.result(run).error
        sound(c)


@MODES
def test_the_original_example_runs(express: bool) -> None:
    """Only its two addresses lead to this machine."""

    def route(request: Received) -> Reply:
        if request.path == "/data":
            return answer({"data": {"items": [{"id": 1, "name": "one", "x": 0}]}})
        return answer({"ok": True})

    with (
        RecordingServer(route) as server,
        cloud(secrets={"API_KEY": "key-123456"}, allow=["127.0.0.1"]) as c,
    ):
        result = c.run(document(original(server.url), express=express))
        assert result.status == "completed", result.error
        assert json.loads(server.requests[1].body) == [{"id": 1, "name": "one"}]
        sound(c)


@MODES
def test_the_approval_example_waits_for_a_person(express: bool) -> None:
    """The answer pokes the step through the queue."""
    with cloud() as c:
        text = document((EXAMPLES / "approval.yaml").read_text(), express=express)
        run = c.start(text, {"amount": 500, "what": "a desk"})
        c.work(until=c.clock.now() + 3_600_000)
        assert c.result(run).status == "waiting"
        c.engine.control.signal(ACCOUNT, run, "ask", {"approved": True, "by": "ann"})
        c.work()
        assert c.result(run).output == {"pay": {"paid": 500, "what": "a desk"}}
        sound(c)


def told(steps: list[Attempt]) -> list[tuple[str, int, str, str]]:
    return sorted((one.label, one.attempt, str(one.status), str(one.action)) for one in steps)


@pytest.mark.parametrize("name", sorted({*LOCAL} - {"fan-out"}))
def test_the_history_is_that_of_a_worker(name: str) -> None:
    """Each step stands in it once, with the same end, whoever executed it."""
    value, _ = LOCAL[name]
    text = (EXAMPLES / f"{name}.yaml").read_text()
    with bench() as b:
        run = b.start(text, value)
        b.work()
        expected = told(b.steps(run))
    for express in (False, True):
        with cloud() as c:
            run = c.start(document(text, express=express), value)
            c.work()
            assert told(c.steps(run)) == expected
