"""The functions as Lambda calls them, in this process on moto: HTTP in, messages through the executor, the minute."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flowrunner.bootstrap import make_executor, make_platform
from flowrunner.functions import api, dead_letter, executor, scheduler
from flowrunner.functions.api import MOST, Api
from flowrunner.functions.observing import Observed
from flowrunner.settings import Settings

from tests.aws import Cloud, cloud
from tests.functions.installation import Context, Installation, http_event, install

pytestmark = pytest.mark.usefixtures("quiet_logging")

FLOW = """
metadata: {name: greet}
inputs: {type: object, required: [name], properties: {name: {type: string, minLength: 1}}}
outputs: {said: "${nodes.tell.output}"}
nodes:
  make: {type: script, hooks: {exec: "return {text: 'hi ' + input.name}"}, next: {default: tell}}
  tell: {type: transform, params: {value: "${nodes.make.output.text}"}}
"""


@dataclass
class Functions:
    """The installation with the handlers that a test has made."""

    cloud: Cloud
    installed: Installation
    headers: dict[str, str] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)

    def handler(self, name: str, **more: str) -> Any:
        """A function's handler, made as in a new process."""
        module = {"api": api, "executor": executor, "dead_letter": dead_letter, "scheduler": scheduler}[name]
        key = f"{name} {sorted(more.items())}"
        if key not in self.made:
            self.made[key] = module.make_handler({**self.installed.environment, **more})
        return self.made[key]

    def http(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, Any]:
        """A request to the API, signed in when somebody is; its status and JSON."""
        event = http_event(method, path, body, {"content-type": "application/json", **self.headers, **headers})
        answer = self.handler("api")(event, Context())
        text = b64decode(answer["body"]).decode() if answer["isBase64Encoded"] else answer["body"]
        return answer["statusCode"], json.loads(text or "null")

    def start(self, flow: str = FLOW) -> str:
        """Store a flow and start it; the run's id."""
        status, stored = self.http("POST", "/v1/flows", flow, **{"content-type": "application/yaml"})
        assert status == 201, stored
        status, run = self.http("POST", f"/v1/flows/{stored['id']}/runs", json.dumps({"input": {"name": "Ada"}}))
        assert status == 202, run
        id: str = run["id"]
        return id

    def execute(self, lane: str = "fast", **more: str) -> int:
        """Give what a queue has to its executor until it has no more; answers how many invocations that took."""
        invocations = 0
        while records := self.installed.messages(lane):
            answer = self.handler("executor", **more)({"Records": records}, Context())
            assert answer == {"batchItemFailures": []}
            self.installed.done(lane, records)
            invocations += 1
        return invocations


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What handlers make, to be closed at the end: on Lambda the process just ends."""
    made: list[Any] = []

    def kept(make: Callable[..., Any]) -> Callable[..., Any]:
        def make_and_keep(*given: Any) -> Any:
            made.append(make(*given))
            return made[-1]

        return make_and_keep

    for module in (executor, dead_letter):
        monkeypatch.setattr(module, "make_executor", kept(make_executor))
    for module in (api, scheduler):
        monkeypatch.setattr(module, "make_platform", kept(make_platform))
    return made


@pytest.fixture
def functions(engines: list[Any]) -> Iterator[Functions]:
    """An installation with an account that is signed in."""
    with cloud() as there:
        there.backend().migrate()
        made = Functions(there, install(there.clients))
        owner = {"name": "acme", "username": "ada@example.org", "password": "correct horse battery"}
        status, answer = made.http("POST", "/v1/accounts", json.dumps(owner))
        assert status == 201, answer
        made.headers = {"authorization": "Basic " + b64encode(b"ada@example.org:correct horse battery").decode()}
        yield made
        for one in engines:
            one.close()


def test_a_run_through_all_functions(functions: Functions, capsys: pytest.CaptureFixture[str]) -> None:
    """A flow is stored and started over HTTP, executed by messages one step each, and read over HTTP again.

    No function pays for a line of metrics meanwhile: what they do is counted from the table's stream.
    """
    id = functions.start()
    assert functions.execute() == 2
    assert '"_aws"' not in capsys.readouterr().out
    status, run = functions.http("GET", f"/v1/runs/{id}")
    assert (status, run["status"], run["output"]) == (200, "completed", {"said": "hi Ada"}), run
    assert functions.http("GET", "/v1/nothing")[0] == 404


def test_flows_are_tools_of_assistants(functions: Functions) -> None:
    """An MCP client lists a flow, calls it, and asks for its output later: each message is an invocation of its own."""
    status, stored = functions.http(
        "POST",
        "/v1/flows",
        FLOW.replace("name: greet", "name: greet, description: Greets"),
        **{"content-type": "application/yaml"},
    )
    assert status == 201, stored
    handler = functions.handler("api", FLOWRUNNER_MCP__WAIT="0")

    def ask(method: str, **params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"content-type": "application/json", "accept": "application/json", **functions.headers}
        answer = handler(http_event("POST", "/mcp", body, headers), Context())
        assert answer["statusCode"] == 200, answer
        return json.loads(answer["body"])["result"]

    assert "greet" in {tool["name"] for tool in ask("tools/list")["tools"]}
    begun = ask("tools/call", name="greet", arguments={"name": "Ada"})["structuredContent"]
    assert begun["status"] == "running"
    functions.execute()
    ended = ask("tools/call", name="flowrunner_get_run", arguments={"run_id": begun["run_id"]})
    assert ended["structuredContent"] == {"said": "hi Ada"}


def test_a_tick_of_an_idle_installation(functions: Functions, capsys: pytest.CaptureFixture[str]) -> None:
    """All rounds of a minute run, raise nothing, and say nothing: an idle month costs next to nothing."""
    tick = functions.handler("scheduler")
    capsys.readouterr()
    tick({}, Context())
    assert capsys.readouterr().out == ""


def test_a_dead_letter_that_says_nothing(functions: Functions, capsys: pytest.CaptureFixture[str]) -> None:
    """It is logged and counted, and leaves the queue."""
    functions.installed.sqs.send_message(QueueUrl=functions.installed.queues["dead"], MessageBody="junk")
    records = functions.installed.messages("dead")
    answer = functions.handler("dead_letter")({"Records": records}, Context())
    assert answer == {"batchItemFailures": []}
    assert '"junk"' in capsys.readouterr().out


def test_a_dead_letter_of_a_run_is_sent_again(functions: Functions) -> None:
    """A message that the executor never finished finds its step still owed, and the run goes on."""
    functions.start()
    (lost,) = functions.installed.messages()
    functions.installed.done("fast", [lost])
    functions.installed.sqs.send_message(QueueUrl=functions.installed.queues["dead"], MessageBody=lost["body"])
    records = functions.installed.messages("dead")
    assert functions.handler("dead_letter")({"Records": records}, Context()) == {"batchItemFailures": []}
    delayed = functions.installed.sqs.get_queue_attributes(
        QueueUrl=functions.installed.queues["fast"], AttributeNames=["All"]
    )["Attributes"]
    waiting = int(delayed["ApproximateNumberOfMessages"]) + int(delayed["ApproximateNumberOfMessagesDelayed"])
    assert waiting == 1


@pytest.mark.parametrize("character", ["x", '"', "\u00fc", "\x01"])
def test_an_answer_that_is_too_large_says_so(quiet_logging: None, character: str) -> None:
    """Lambda would hand on no answer above 6 MB, however its characters are counted; one that fits stays as it is."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = int(scope["path"].removeprefix("/"))
        start = {"type": "http.response.start", "status": 200}
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1"), (b"x-correlation-id", b"c1")]
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": (character * length).encode()})

    handler = Api(app, Observed("api", Settings()))
    weight = len(json.dumps(character, ensure_ascii=False).encode()) - 2
    fits = handler(http_event("GET", f"/{MOST // weight - 10}"), Context())
    assert (fits["statusCode"], len(fits["body"])) == (200, MOST // weight - 10)
    refused = handler(http_event("GET", f"/{MOST // weight + 1}"), Context())
    assert refused["statusCode"] == 500
    assert "content-length" not in refused["headers"]
    error = json.loads(refused["body"])["error"]
    assert (error["code"], error["correlation_id"]) == ("TOO_LARGE", "c1")
