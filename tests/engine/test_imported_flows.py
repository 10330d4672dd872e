"""Imported workflows run as in the engine that they come from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flowrunner.core.flow import Json
from flowrunner.language.importers.registry import import_flow
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import ACCOUNT, Bench, bench
from tests.language.flowengine import Model, connect, data, node, workflow
from tests.servers import Received, RecordingServer, Reply, flaky


def imported(one: Bench, document: Json) -> str:
    """The flow, which loads without a warning."""

    def check(text: str) -> None:
        assert one.engine.load(text, ACCOUNT).warnings == (), text

    return import_flow(data(document), check)


def answer(request: Received) -> Reply:
    if request.path == "/missing":
        return Reply(404, b"not here")
    return Reply(200, b'{"ok": true, "items": [1, 2]}', (("Content-Type", "application/json"),))


def test_a_pipeline_fetches_parses_waits_and_logs() -> None:
    """The body reaches the parser as text, the delay hands on, and the text at the end is pretty JSON."""
    document = workflow(
        [
            node(
                "fetch",
                "http.request",
                {"headers": {"type": "Object", "value": {"X-A": {"type": "String", "value": "${a}"}}}},
            ),
            node("parse", "transform.json_parse"),
            node("wait", "time.delay", {"delay_ms": {"type": "Number", "value": 1500.0}}),
            node("text", "transform.json_stringify"),
            node("say", "debug.log"),
        ],
        "fetch.body -> parse.json",
        "parse.parsed -> wait.data",
        "wait.data -> text.value",
        "text.json -> say.message",
        "fetch.status -> say.status",
    )
    with RecordingServer(answer) as server, bench(allow=["127.0.0.1"]) as one:
        began = one.clock.now()
        run = one.start(imported(one, document), {"url": f"{server.url}/x"})
        one.work()
        assert one.result(run).status == "completed"
        assert one.clock.now() - began >= 1500
        assert server.requests[0].headers["x-a"] == "${a}"
        pretty = '{\n  "items": [\n    1,\n    2\n  ],\n  "ok": true\n}'
        said = one.output(run, "say")
        assert (said["message"], said["data"]) == (pretty, {"status": 200})


def test_no_status_is_a_failure() -> None:
    """A 404 is handed on with its body and headers."""
    document = workflow(
        [node("fetch", "http.request"), node("all", "flow.merge")],
        "fetch.status -> all.status",
        "fetch.body -> all.body",
        "fetch.headers -> all.headers",
    )
    with RecordingServer(answer) as server, bench(allow=["127.0.0.1"]) as one:
        run = one.start(imported(one, document), {"url": f"{server.url}/missing"})
        one.work()
        merged = one.output(run, "all")
        assert (merged["status"], merged["body"], merged["headers"]["content-length"]) == (404, "not here", "8")


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("given_body", "sent", "kind"),
    [
        ({"a": [1]}, b'{"a":[1]}', "application/json"),
        ("plain", b"plain", "text/plain; charset=utf-8"),
        (None, b"", None),
    ],
)
def test_bodies_from_the_input(method: str, given_body: Json, sent: bytes, kind: str | None) -> None:
    """A text goes as it is, another value as JSON, and without one none."""
    document = workflow([node("send", "http.request", {"method": method})])
    with RecordingServer(answer) as server, bench(allow=["127.0.0.1"]) as one:
        run = one.start(imported(one, document), {"url": server.url, "body": given_body})
        one.work()
        assert one.result(run).error is None
        request = server.requests[0]
        assert (request.method, request.body, request.headers.get("content-type")) == (method, sent, kind)


@pytest.mark.parametrize(("out", "sent"), [("parsed", b'{"a":1}'), ("json", b'{\n  "a": 1\n}')])
def test_bodies_from_nodes(out: str, sent: bytes) -> None:
    """What is parsed goes as JSON, what is text as text."""
    nodes = [node("parse", "transform.json_parse", {"json": '{"a": 1}'})]
    wires = []
    if out == "json":
        nodes.append(node("text", "transform.json_stringify"))
        wires = ["parse.parsed -> text.value", "text.json -> send.body"]
    with RecordingServer(answer) as server, bench(allow=["127.0.0.1"]) as one:
        nodes.append(node("send", "http.request", {"method": "post", "url": server.url}))
        one.run(imported(one, workflow(nodes, *(wires or ["parse.parsed -> send.body"]))), {})
        assert server.requests[0].body == sent


def test_retries_as_often_as_the_policy_says() -> None:
    """A connection that breaks is tried again, with the waits of the policy and without jitter."""
    policy = {"max_attempts": 3, "delay_ms": 1000, "backoff_multiplier": 3.0, "max_delay_ms": 2000}
    document = workflow([node("fetch", "http.request", {"url": "http://127.0.0.1:8080/"}, retry_policy=policy)])
    with RecordingServer() as closed, bench(allow=["127.0.0.1"]) as one:
        text = imported(one, document).replace("http://127.0.0.1:8080/", "http://127.0.0.1:9/")
        began = one.clock.now()
        run = one.start(text, {})
        one.work()
        assert one.result(run).status == "failed"
        assert len(one.steps(run)) == 3
        assert one.clock.now() - began == 1000 + 2000
        assert closed.requests == []


def test_a_server_that_recovers_is_not_asked_again() -> None:
    """503 is an answer to flowengine, and no reason to retry."""
    document = workflow([node("fetch", "http.request", retry_policy={"max_attempts": 5})])
    with RecordingServer(flaky(1)) as server, bench(allow=["127.0.0.1"]) as one:
        run = one.start(imported(one, document), {"url": server.url})
        one.work()
        assert (one.output(run, "fetch")["status"], len(server.requests)) == (503, 1)


def test_the_whole_run_is_started_again() -> None:
    """RetryWorkflow: as often as it says."""
    document = workflow(
        [node("parse", "transform.json_parse")], settings={"on_error": {"RetryWorkflow": {"max_attempts": 3}}}
    )
    with bench() as one:
        run = one.start(imported(one, document), {"json": "{"})
        one.work()
        assert one.result(run).status == "failed"
        assert len([step for step in one.steps(run) if step.node == "parse"]) == 3


def test_a_run_ends_at_its_time_limit() -> None:
    """max_execution_time_ms."""
    document = workflow([node("wait", "time.delay", {"delay_ms": 60_000})], settings={"max_execution_time_ms": 2_000})
    with bench() as one:
        run = one.start(imported(one, document), {})
        one.work()
        assert one.result(run).status == "failed"


@pytest.mark.parametrize(("condition", "path"), [(True, ["b", "yes", "m"]), (False, ["b", "no", "m"])])
def test_only_the_side_that_was_taken_runs(condition: bool, path: list[str]) -> None:
    """The other does not, and the merge has what came."""
    document = workflow(
        [node("b", "flow.branch"), node("yes", "debug.log"), node("no", "debug.log"), node("m", "flow.merge")],
        "b.true_out -> yes.message",
        "b.false_out -> no.message",
        "yes.message -> m.text",
        "no.message -> m.text",
    )
    with bench() as one:
        run = one.start(imported(one, document), {"condition": condition, "payload": "hello"})
        one.work()
        assert one.path(run) == path
        assert one.output(run, "m") == {"text": "hello"}


@pytest.mark.parametrize("on_error", ["StopWorkflow", "ContinueOnError"])
@pytest.mark.parametrize("condition", [True, False])
@pytest.mark.parametrize("inner", [True, False])
def test_a_join_behind_branches_runs_if_anything_came(on_error: str, condition: bool, inner: bool) -> None:
    """Joins of one side only, of both sides, and of a branch inside a branch; a failure comes, and gives nothing."""
    document = workflow(
        [
            node("outer", "flow.branch"),
            node("inner", "flow.branch", {"condition": inner}),
            node("say", "debug.log"),
            node("parse", "transform.json_parse", {} if on_error == "ContinueOnError" else {"json": "[1]"}),
            node("either", "flow.merge"),
            node("one", "flow.merge"),
            node("never", "flow.merge"),
        ],
        "outer.true_out -> inner.payload",
        "outer.false_out -> say.message",
        "outer.true_out -> parse." + ("json" if on_error == "ContinueOnError" else "order"),
        "say.message -> either.x",
        "inner.true_out -> either.y",
        "parse.parsed -> one.x",
        "inner.false_out -> one.y",
        "inner.true_out -> never.x",
        "outer.false_out -> never.y",
        settings={"on_error": on_error},
    )
    given_input: dict[str, Json] = {"condition": condition, "payload": "no json"}
    model = InnerKnown(document, given_input, inner=inner, parsed=on_error == "StopWorkflow").run()
    with bench() as one:
        flow = imported(one, document)
        run = one.start(flow, given_input)
        one.work()
        assert one.result(run).status == "completed", flow
        ran = {step.node for step in one.steps(run) if step.status.value != "skipped"}
        assert ran == {*model.outputs, *model.failed}, flow
        for name in {"either", "one", "never"} & ran:
            assert one.output(run, name) == model.outputs[name]["merged"], flow


class InnerKnown(Model):
    """The model with what the test writes into `config`, which flowengine itself does not read."""

    def __init__(self, document: dict[str, Any], input: dict[str, Json], *, inner: bool, parsed: bool) -> None:
        super().__init__(document, input)
        self.inner, self.parsed = inner, parsed

    def _execute(self, one: dict[str, Any], ports: dict[str, Json]) -> dict[str, Json]:
        if one["id"] == "inner":
            ports = {**ports, "condition": self.inner}
        if one["id"] == "parse" and self.parsed:
            ports = {"json": "[1]"}
        return super()._execute(one, ports)


@pytest.mark.parametrize(
    ("body", "sent"),
    [("plain ${x}", b"plain ${x}"), ({"a": 1}, b'{"a":1}'), ({"type": "Bytes", "value": [1, 2]}, b"\x01\x02")],
)
def test_bodies_from_the_configuration(body: Json, sent: bytes) -> None:
    """A text and bytes as they are, anything else as JSON."""
    with RecordingServer(answer) as server, bench(allow=["127.0.0.1"]) as one:
        document = workflow([node("send", "http.request", {"method": "POST", "url": server.url, "body": body})])
        one.run(imported(one, document), {})
        assert server.requests[0].body == sent


NAMES = "abcdefg"
GIVES = {
    "transform.json_parse": ["parsed"],
    "transform.json_stringify": ["json"],
    "debug.log": ["message"],
    "flow.branch": ["true_out", "false_out"],
    "flow.merge": ["merged"],
}
READS = {
    "transform.json_parse": ["json"],
    "transform.json_stringify": ["value"],
    "debug.log": ["message"],
    "flow.branch": ["condition", "payload"],
    "flow.merge": ["x", "y"],
    "time.delay": ["x", "payload"],
}
TEXTS = {"transform.json_stringify", "debug.log"}


@st.composite
def workflows(draw: st.DrawFn) -> dict[str, Json]:
    """Acyclic workflows of what needs no network, in which a log gets texts only (see docs/importing.md)."""
    kinds = draw(st.lists(st.sampled_from(sorted(READS)), min_size=1, max_size=len(NAMES)))
    nodes = [
        node(name, kind, {"delay_ms": 20} if kind == "time.delay" else {})
        for name, kind in zip(NAMES, kinds, strict=False)
    ]
    wires: list[str] = []
    ports: dict[str, list[str]] = {}
    for place, (name, kind) in enumerate(zip(NAMES, kinds, strict=False)):
        for port in READS[kind] if place else ():
            for _ in range(draw(st.integers(0, 2))):
                before = draw(st.integers(0, place - 1))
                source = kinds[before]
                outs = GIVES.get(source) or ports.get(NAMES[before], []) or ["x"]
                if kind == "debug.log" and source not in TEXTS:
                    continue
                wires.append(f"{NAMES[before]}.{draw(st.sampled_from(outs))} -> {name}.{port}")
                ports.setdefault(name, []).append(port)
        if place and kind.startswith("transform") and name not in ports:
            out = (GIVES.get(kinds[0]) or ["x"])[0]
            wires.append(f"{NAMES[0]}.{out} -> {name}.{READS[kind][0]}")
    return workflow(nodes, *wires, settings={"on_error": draw(st.sampled_from(["StopWorkflow", "ContinueOnError"]))})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=workflows(), condition=st.booleans(), text=st.sampled_from(['{"k": "ü"}', "7", "no json"]))
def test_random_workflows_do_what_the_model_does(document: dict[str, Any], condition: bool, text: str) -> None:
    """The same nodes run, fail and hand on the same values."""
    given_input: dict[str, Json] = {
        "condition": condition,
        "payload": "p",
        "json": text,
        "value": [1],
        "message": "m",
        "x": "from the start",
    }
    model = Model(document, given_input).run()
    with bench() as one:
        flow = imported(one, document)
        run = one.start(flow, given_input)
        one.work()
        assert one.result(run).status == ("failed" if model.stopped else "completed"), flow
        if model.stopped:
            return
        ran = {step.node: step.status.value for step in one.steps(run) if step.status.value != "skipped"}
        expected = dict.fromkeys(model.outputs, "succeeded") | dict.fromkeys(model.failed, "failed")
        assert ran == expected, flow
        for each in document["nodes"]:
            if each["id"] in model.outputs:
                assert gave(one, run, each) == readable(each["node_type"], model.outputs[each["id"]]), (each, flow)


def gave(one: Bench, run: Any, of: dict[str, Any]) -> Json:
    """What our node gave, as the ports of flowengine's; of a delay and a branch what is not null."""
    output = one.output(run, of["id"])
    match of["node_type"]:
        case "debug.log":
            return output["message"]
        case "time.delay":
            return (
                {port: value for port, value in (output or {}).items() if value is not None}
                if isinstance(output, dict)
                else {}
            )
        case "flow.branch":
            return output["payload"]
        case "flow.merge":
            return {port: value for port, value in output.items() if value is not None}
        case _:
            return output


def readable(kind: str, ports: dict[str, Json]) -> Json:
    if kind in ("time.delay", "flow.merge"):
        inside = ports["merged"] if kind == "flow.merge" else ports
        assert isinstance(inside, dict)
        return {port: value for port, value in inside.items() if value is not None}
    return next(iter(ports.values()))


def test_the_model_is_no_yes_man() -> None:
    """What it says of a small workflow is what one works out by hand."""
    document = workflow(
        [node("a", "flow.branch"), node("b", "debug.log"), node("c", "debug.log")],
        "a.true_out -> b.message",
        "a.false_out -> c.message",
    )
    assert document["connections"] == [connect("a.true_out -> b.message"), connect("a.false_out -> c.message")]
    model = Model(document, {"condition": True, "payload": json.dumps(1)}).run()
    assert model.outputs == {"a": {"true_out": "1"}, "b": {"message": "1"}}
