"""Every example runs, as its reader would run it, with the answers that its comments promise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from flowrunner.core.flow import Json

from tests.engine.harness import ACCOUNT, bench
from tests.engine.test_agents import decide
from tests.model_server import Calls, Fails, ModelServer, Says, Turn
from tests.servers import Received, RecordingServer, Reply, flaky

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))


def answer(value: Json, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), (("Content-Type", "application/json"),))


def shop(request: Received) -> Reply:
    """The services that the examples talk to."""
    match request.path:
        case "/orders/7":
            return answer({"customer": "Ada"})
        case "/orders/7/history":
            return answer({"payments": [{"amount": 5}, {"amount": 37}]})
        case "/items":
            page = int(request.query.get("cursor") or 0)
            return answer({"items": [page * 2, page * 2 + 1], "next": str(page + 1) if page < 4 else None})
        case "/discount/A1":
            return answer({"error": "down"}, 503)
        case "/price/A1":
            return answer({"amount": 80})
        case _:
            return answer({"error": "no such thing"}, 404)


LOCAL: dict[str, tuple[Json, Json]] = {
    "fan-out": (None, {"count": 1000, "sum": 332833500}),
    "ports": ({"name": "Ada Lovelace"}, {"greeting": "Good day, Ada Lovelace."}),
    "map-reduce": (
        {"texts": ["the cat", "the dog and the cat"]},
        {"top": [{"word": "the", "count": 3}, {"word": "cat", "count": 2}, {"word": "and", "count": 1}]},
    ),
    "chat-loop": (
        {"questions": ["hi", "bye"]},
        {
            "history": [{"you": "hi", "me": "You said: hi"}, {"you": "bye", "me": "You said: bye"}],
            "turns": 2,
        },
    ),
    "sub-flow": (
        {"cities": [{"name": "Rome", "fahrenheit": 80}, {"name": "Oslo", "fahrenheit": 50}]},
        {"warmest": {"name": "Rome", "celsius": 26.7}},
    ),
    "approval": ({"amount": 20, "what": "stamps"}, {"pay": {"paid": 20, "what": "stamps"}}),
    "triggers": ({"sku": "A1"}, {"status": 200, "body": {"sku": "A1", "stock": 17}}),
}
REMOTE: dict[str, tuple[Json, Json]] = {
    "parallel-fetch": ({"order_id": "7"}, {"customer": "Ada", "spent": 42}),
    "pagination": ({}, {"items": list(range(10)), "pages": 5}),
    "error-branch": ({"sku": "A1"}, {"quote": {"sku": "A1", "price": 80}}),
}


@pytest.mark.parametrize("name", LOCAL)
def test_an_example_gives_its_output(name: str) -> None:
    """Those that need nothing but the engine."""
    value, expected = LOCAL[name]
    with bench() as b:
        result = b.run((EXAMPLES / f"{name}.yaml").read_text(), value)
        assert (result.status, result.output) == ("completed", expected), result.error


@pytest.mark.parametrize("name", REMOTE)
def test_an_example_with_services_gives_its_output(name: str) -> None:
    """Those that talk to a server."""
    value, expected = REMOTE[name]
    with RecordingServer(shop) as server, bench(allow=["127.0.0.1"]) as b:
        result = b.run((EXAMPLES / f"{name}.yaml").read_text(), {**value, "api": server.url})
        assert (result.status, result.output) == ("completed", expected), result.error


def test_the_retry_example_gets_through_to_a_flaky_server() -> None:
    """Two failures, then an answer; all with one idempotency key."""
    with RecordingServer(flaky(2, lambda _: answer("yes"))) as server, bench(allow=["127.0.0.1"]) as b:
        result = b.run((EXAMPLES / "retry.yaml").read_text(), {"api": server.url})
        assert result.output == {"answer": "yes", "attempts": 3}
        assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


def test_the_error_branch_is_taken_when_there_is_no_price() -> None:
    """The message of the error is at hand there."""
    with RecordingServer(shop) as server, bench(allow=["127.0.0.1"]) as b:
        result = b.run((EXAMPLES / "error-branch.yaml").read_text(), {"api": server.url, "sku": "B2"})
        assert result.output["apologise"]["code"] == "HttpStatus:404"


def test_the_summary_is_one_that_fits_the_schema() -> None:
    """The model is busy, then forgets the topics, then does it; a text that is too long goes the other way."""
    good = {"summary": "Weather.", "topics": ["rain"]}
    turns: list[Turn] = [
        Fails(429),
        Says('{"summary": "Weather."}'),
        Says(json.dumps(good)),
        Fails(400, "context_length_exceeded"),
    ]
    text = (EXAMPLES / "summarise.yaml").read_text()
    with ModelServer(turns, key="key-1") as server, bench(secrets={"API_KEY": "key-1"}, allow=["127.0.0.1"]) as b:
        result = b.run(text, {"text": "Rain in Rome.", "api": server.base_url})
        assert result.output == {"answer": {**good, "cost_usd": 0.0000081}}, result.error
        result = b.run(text, {"text": "Rain in Rome.", "api": server.base_url})
        assert result.output == {"apologise": {"problem": "LLM_CONTEXT_OVERFLOW"}}


AGENT_SAYS = '{"text": "You get 42 € back.", "paid_back": 42}'


def agent_turns() -> list[Turn]:
    """A model that looks up, adds, and wants money paid back."""
    lookups = [Calls("payments", {"order": "7"}), Calls("payments", {"order": "7/../8"})]
    return [
        Says(calls=lookups),
        Says(calls=[Calls("sum", {"numbers": [5, 37]})]),
        Says(calls=[Calls("pay_back", {"order": "7", "amount": 42})]),
        Says(AGENT_SAYS),
    ]


def test_the_agent_pays_back_what_a_person_approves() -> None:
    """It looks up and adds by itself; the last call waits for an answer, and is made when that has come."""
    text = (EXAMPLES / "agent.yaml").read_text()
    secrets = {"API_KEY": "key-1"}
    with (
        RecordingServer(shop) as api,
        ModelServer(agent_turns(), key="key-1") as model,
        bench(secrets=secrets, allow=["127.0.0.1"]) as b,
    ):
        run = b.start(text, {"question": "My money?", "api": api.url, "model_api": model.base_url})
        b.work(until=b.clock.now() + 3_600_000)
        assert b.result(run).status == "waiting", b.result(run).error
        assert decide(b, run, {"approved": True}).label == "ask"
        b.work()
        assert b.result(run).output == {"answer": json.loads(AGENT_SAYS), "calls": 4}, b.result(run).error
        assert [request.path for request in api.requests] == ["/orders/7/history"]


def test_the_original_example_runs_unchanged() -> None:
    """Only its two addresses lead to this machine."""

    def route(request: Received) -> Reply:
        if request.path == "/data":
            return answer({"data": {"items": [{"id": 1, "name": "one", "x": 0}, {"id": 2, "name": "two"}]}})
        return answer({"ok": True})

    with RecordingServer(route) as server, bench(secrets={"API_KEY": "key-123456"}, allow=["127.0.0.1"]) as b:
        result = b.run(original(server.url))
        assert result.status == "completed", result.error
        fetched, sent = server.requests
        assert fetched.headers["authorization"] == "Bearer key-123456"
        assert json.loads(sent.body) == [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]
        assert "authorization" not in sent.headers


def test_the_original_example_tells_slack_of_a_failure() -> None:
    """The error edge, with the error's message in the notification."""

    def route(request: Received) -> Reply:
        return answer({"no": "data"}, 500) if request.path == "/data" else answer({"ok": True})

    with RecordingServer(route) as server:
        secrets = {"API_KEY": "key-123456", "SLACK_WEBHOOK_URL": f"{server.url}/slack"}
        with bench(secrets=secrets, allow=["127.0.0.1"]) as b:
            result = b.run(original(server.url))
            assert result.status == "completed", result.error
        assert [request.path for request in server.requests] == ["/data", "/slack", "/callback"]
        text = json.loads(server.requests[1].body)["text"]
        assert text.startswith("Flow failed: ")
        assert "answered 500" in text


def original(url: str) -> str:
    text = (EXAMPLES / "original.yaml").read_text()
    return text.replace("https://api.example.com", url).replace("https://webhook.example.com", url)


def test_the_approval_example_waits_for_a_person() -> None:
    """And pays when they say so."""
    with bench() as b:
        run = b.start((EXAMPLES / "approval.yaml").read_text(), {"amount": 500, "what": "a desk"})
        b.work(until=b.clock.now() + 3_600_000)
        assert b.result(run).status == "waiting"
        b.engine.control.signal(ACCOUNT, run, "ask", {"approved": True, "by": "ann"})
        b.work()
        assert b.result(run).output == {"pay": {"paid": 500, "what": "a desk"}}


def test_every_example_is_run_here() -> None:
    """A new example needs a row."""
    covered = {*LOCAL, *REMOTE, "retry", "original", "summarise", "agent"}
    covered.add("mail-answer")  # in tests/nodes/test_email_fetch.py, which has the mail servers
    assert {file.stem for file in FILES} == covered
    assert len(covered) >= 10


def test_the_examples_are_valid_without_warnings() -> None:
    """Examples are copied, so they are clean."""
    done = subprocess.run(
        [sys.executable, "-m", "flowrunner", "validate", "--strict", *map(str, FILES)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", sorted((EXAMPLES / "tests").glob("*.yaml")), ids=lambda file: file.name)
def test_the_flow_tests_of_the_examples_pass(file: Path) -> None:
    """`flowrunner test` on each."""
    done = subprocess.run(
        [sys.executable, "-m", "flowrunner", "test", str(file)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
