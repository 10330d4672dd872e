"""The place for importers: how one is chosen, what none has to look after, and the format `flowengine`."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
from flowrunner.bootstrap import make_engine
from flowrunner.core.flow import Json
from flowrunner.errors import InvalidInput, NotFound
from flowrunner.language.importers.base import CannotImport, Converted, Problems
from flowrunner.language.importers.flowengine import FlowengineImporter
from flowrunner.language.importers.registry import Importers, import_flow
from flowrunner.settings import Settings

from tests.language.flowengine import data, flow_of, node, refusals, workflow


class Words:
    """A format of tests: {"say": [texts]}."""

    name = "words"

    def recognizes(self, document: Json) -> bool:
        return isinstance(document, dict) and "say" in document

    def convert(self, document: Json, problems: Problems) -> Converted:
        return Converted(
            "metadata: {name: words}\nnodes:\n  say: {type: log, params: {massage: x}}\n", {"say": ("say", 0)}
        )


class Greedy(FlowengineImporter):
    name = "greedy"


def plugin(name: str, of: str) -> EntryPoint:
    return EntryPoint(name, of, "flowrunner.importers")


HERE = "tests.language.test_importers"


@pytest.fixture(scope="module")
def check() -> Any:
    """Loading as the commands do it."""
    engine = make_engine(Settings(), {})
    yield engine.load
    engine.close()


# -- the place for importers ----------------------------------------------------------------------------------------------


def test_a_plugin_is_an_importer_like_any_other(check: Any) -> None:
    """Found by its name and by the look of the document; what its flow is refused for is named at its origin."""
    importers = Importers([plugin("words", f"{HERE}:Words")])
    assert importers.names() == ["flowengine", "words"]
    for name in ("words", None):
        with pytest.raises(CannotImport) as caught:
            import_flow(b'{"say": ["x"]}', check, name, importers)
        assert [problem.field for problem in caught.value.problems] == ["say[0]"]
        assert "nodes.say.params.massage" in str(caught.value)


def test_a_broken_plugin_hides_no_other(check: Any) -> None:
    """It says why when it is asked for by name."""
    importers = Importers([plugin("broken", "no.such.module:X"), plugin("flowengine", f"{HERE}:Words")])
    assert import_flow(data(workflow([node("a", "debug.log")])), check, None, importers)
    with pytest.raises(InvalidInput, match="'broken' cannot be loaded"):
        importers.get("broken")


def test_an_unknown_format_names_the_nearest() -> None:
    """And all there are when none is near."""
    with pytest.raises(NotFound, match="did you mean 'flowengine'"):
        Importers([]).get("flowengin")
    with pytest.raises(NotFound, match="there are flowengine"):
        Importers([]).get("xyz")


def test_a_document_of_no_format_or_of_two_is_refused(check: Any) -> None:
    """With the names to choose from."""
    with pytest.raises(CannotImport, match="of no format"):
        import_flow(b'{"a": 1}', check, None, Importers([]))
    with pytest.raises(CannotImport, match=r"several formats.*flowengine, greedy"):
        import_flow(b'{"nodes": [], "connections": []}', check, None, Importers([plugin("greedy", f"{HERE}:Greedy")]))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"nodes": [], "nodes": []}', "twice"),
        (b'{"nodes": NaN}', "no JSON value"),
        (b'{"nodes": 1e999}', "beyond"),
        (b'{"nodes": "\\ud800"}', "surrogate"),
        (b"[" * 40 + b"]" * 40, "nested deeper than 32"),
        (b"[" * 100_000, "nested deeper"),
        (b'"' + b"x" * 300_000 + b'"', "300,002 bytes"),
        (b"[" + b"1," * 25_000 + b"1]", "more than 20,000 values"),
        (b"!!python/object:os.system {}", "not JSON"),
    ],
)
def test_hostile_json_is_refused(text: bytes, why: str) -> None:
    """By the limits of flow documents, before an importer sees it."""
    with pytest.raises(CannotImport, match=why):
        import_flow(text, lambda _: None, "flowengine")


# -- the format -----------------------------------------------------------------------------------------------------------


def test_a_whole_workflow_reads_as_a_person_would_write_it(check: Any) -> None:
    """Names instead of UUIDs, comments for what was renamed, settings in our words."""
    first, second = "d78dfffd-0a95-4e30-97b4-dc792d0217c8", "d78dfffd-0a95-4e30-97b4-dc792d0217c2"
    document = {
        "id": "550e8400-e29b-41d4-a716-446655440000",
        "name": "Order & check",
        "description": "Fetches.\nSays.",
        "nodes": [
            {
                "id": first,
                "node_type": "http.request",
                "name": "Fetch Data",
                "config": {"method": {"type": "String", "value": "get"}},
                "position": {"x": 100.0, "y": 20.5},
                "retry_policy": {
                    "max_attempts": 4,
                    "delay_ms": 500,
                    "backoff_multiplier": 2.0,
                    "max_delay_ms": 90000,
                    "retry_on_timeout": False,
                },
            },
            {
                "id": second,
                "node_type": "debug.log",
                "name": None,
                "config": {},
                "position": None,
                "retry_policy": None,
            },
        ],
        "connections": [{"from_node": first, "from_port": "body", "to_node": second, "to_port": "message"}],
        "triggers": [{"id": "t", "trigger_type": {"type": "Manual"}, "enabled": True}],
        "settings": {"max_execution_time_ms": 90000, "max_parallel_nodes": 5, "on_error": "ContinueOnError"},
    }
    assert import_flow(data(document), check) == (
        """\
# Imported from a workflow of flowengine, where its id is 550e8400-e29b-41d4-a716-446655440000
# Its name there is Order & check
metadata:
  name: Order - check
  description: "Fetches.\\nSays."

on_error: continue
timeout: 90s
limits: {max_parallel: 5}

nodes:
  # in flowengine: d78dfffd-0a95-4e30-97b4-dc792d0217c8
  fetch_data:
    type: http.request
    name: Fetch Data
    params:
      url: ${input.url}
      timeout: 5m
      response: text
      expect_status: [1xx, 2xx, 3xx, 4xx, 5xx]
    retry:
      max_attempts: 4
      delay: 500ms
      backoff: 2.0
      max_delay: 90s
      jitter: none
      on: [HttpConnect]
    next: log
    ui: {x: 100, y: 20.5}

  # in flowengine: d78dfffd-0a95-4e30-97b4-dc792d0217c2
  log:
    type: log
    params: {message: "${nodes.fetch_data.output?.body ?? \\"(no message)\\"}"}
"""
    )


@pytest.mark.parametrize(
    ("given_value", "plain"),
    [
        ({"type": "Null"}, None),
        ({"type": "Bool", "value": True}, True),
        ({"type": "Number", "value": 1.5}, 1.5),
        ({"type": "String", "value": "${x}"}, "$${x}"),
        ({"type": "Json", "value": {"type": "String", "value": 1}}, {"type": "String", "value": 1}),
        ({"type": "Array", "value": [{"type": "Null"}, 1]}, [None, 1]),
        ({"type": "Object", "value": {"a": {"type": "String", "value": "b"}}}, {"a": "b"}),
        ({"type": "Bytes", "value": [104, 105]}, {"$bytes": "aGk="}),
        ({"type": "t", "other": 1}, {"type": "t", "other": 1}),
        ([1, "x"], [1, "x"]),
    ],
)
def test_values_of_every_type(given_value: Json, plain: Json, check: Any) -> None:
    """Tagged or plain."""
    document = workflow([node("s", "transform.json_stringify", {"value": given_value})])
    assert flow_of(document, check)["nodes"]["s"]["params"]["value"] == plain


@pytest.mark.parametrize(
    ("trigger", "ours"),
    [
        ({"type": "Cron", "expression": "0 9 * * 1"}, {"type": "schedule", "cron": "0 9 * * 1"}),
        ({"Cron": {"expression": "0 9 * * 1"}}, {"type": "schedule", "cron": "0 9 * * 1"}),
        ({"type": "Webhook", "path": "/my-hook"}, {"type": "webhook", "path": "my-hook"}),
        ({"Webhook": {"path": "my/hook"}}, {"type": "webhook", "path": "my/hook"}),
    ],
)
def test_triggers(trigger: Json, ours: Json, check: Any) -> None:
    """In both forms that flowengine's documents have."""
    document = workflow([node("a", "debug.log")], triggers=[{"id": "t", "trigger_type": trigger, "enabled": True}])
    assert flow_of(document, check)["triggers"] == [ours]


def test_what_starts_nothing_leaves_no_trigger(check: Any) -> None:
    """Manual is how any flow can be started; a schedule that is off stays off."""
    cron: Json = {"trigger_type": {"type": "Cron", "expression": "0 9 * * 1"}, "enabled": False}
    document = workflow([node("a", "debug.log")], triggers=[{"trigger_type": "Manual"}, cron])
    assert flow_of(document, check)["triggers"] == [{"type": "schedule", "cron": "0 9 * * 1", "enabled": False}]


def test_names_that_clash_or_mean_something_are_made_ids(check: Any) -> None:
    """Each node gets one of its own."""
    uuid = "d78dfffd-0a95-4e30-97b4-dc792d0217c%d"
    names = ["Log it!", "log it", "Öl 1", "", "9 lives", "constructor"]
    nodes = [node(uuid % place, "debug.log", name=name) for place, name in enumerate(names)]
    flow = flow_of(workflow([*nodes, node("log_it", "debug.log"), node("__proto__", "debug.log")]), check)
    assert list(flow["nodes"]) == ["log_it_2", "log_it_3", "l_1", "log", "_9_lives", "constructor_2", "log_it", "log_2"]


def test_a_connection_to_a_port_that_is_not_read_only_orders(check: Any) -> None:
    """It stays an edge, and a comment says so."""
    document = workflow(
        [node("wait", "time.delay"), node("get", "http.request", {"url": "https://x.example/"})],
        "wait.x -> get.trigger",
        "wait.x -> get.body",
    )
    document["connections"].append({"from_node": "wait", "from_port": "x", "to_node": "get", "to_port": "trigger"})
    text = import_flow(data(document), check)
    assert "next: get" in text
    assert "# x of wait came to the port trigger, which flowengine does not read" in text
    assert "# something is connected to the port body, which flowengine does not send by GET" in text


def test_a_header_with_a_credential_is_pointed_out(check: Any) -> None:
    """It would stand in the flow for everyone to read."""
    config: dict[str, Json] = {"url": "https://x.example/", "headers": {"Authorization": "Bearer x"}}
    assert "keep it as a secret" in import_flow(data(workflow([node("get", "http.request", config)])), check)


LOG = node("a", "debug.log")


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"nodes": [LOG]}, ": the workflow needs a `name`"),
        (workflow([]), ": the workflow has no `nodes`"),
        (workflow([LOG], variables={}), "variables: 'variables' is nothing that can be imported"),
        (workflow([LOG, LOG]), "nodes[1].id: another node has the same `id`"),
        (workflow([{"node_type": "debug.log"}]), "nodes[0]: the node has no `id`"),
        (workflow([{"id": "a"}]), "nodes[0]: the node has no `node_type`"),
        (workflow([node("a", "shell.exec")]), "nodes[0].node_type: the node type 'shell.exec' cannot be imported"),
        (workflow([node("a", "debug.log", colour="red")]), "nodes[0].colour: 'colour' is nothing that can be imported"),
        (
            workflow([node("a", "debug.log", {"level": "info"})]),
            "nodes[0].config.level: 'level' is nothing that can be imported",
        ),
        (
            workflow([node("a", "time.delay", {"delay_ms": -1})]),
            "nodes[0].config.delay_ms: must be a number from 0 to 34,560,000,000",
        ),
        (
            workflow([node("a", "time.delay", {"delay_ms": {"type": "Numer", "value": 1}})]),
            "nodes[0].config.delay_ms: 'Numer' is no type of a value; there are Null, Bool, Number, String, Bytes, Json, Array, Object",
        ),
        (
            workflow([node("a", "http.request", {"method": "PATCH"})]),
            "nodes[0].config.method: flowengine sends GET, POST, PUT, DELETE only, not 'PATCH'",
        ),
        (workflow([node("a", "http.request", {"headers": {"X": 1}})]), "nodes[0].config.headers.X: must be a text"),
        (
            workflow([node("a", "http.request", {"body": "x"})]),
            "nodes[0].config.body: flowengine sends a body by POST and PUT only",
        ),
        (
            workflow([node("a", "flow.branch", {"condition": "yes"})]),
            "nodes[0].config.condition: must be true or false",
        ),
        (workflow([node("a", "debug.log", position={"x": 1})]), "nodes[0].position: a position has `x` and `y`"),
        (
            workflow([node("a", "debug.log", retry_policy={"max_attempts": 0})]),
            "nodes[0].retry_policy.max_attempts: must be a whole number from 1 to 100",
        ),
        (
            workflow([node("a", "debug.log", retry_policy={"backoff_multiplier": 0.5})]),
            "nodes[0].retry_policy.backoff_multiplier: must be a number from 1 to 100",
        ),
        (
            workflow([node("a", "debug.log", retry_policy={"max_attempts": 100, "max_delay_ms": None})]),
            "nodes[0].retry_policy: without `max_delay_ms` the last wait is longer than 400 days; give one",
        ),
        (
            workflow([LOG, node("b", "debug.log")], "a.massage -> b.x"),
            "connections[0].from_port: a debug.log node has no port 'massage' to give from; it has message",
        ),
        (workflow([LOG], "b.message -> a.x"), "connections[0].from_node: no node has the id 'b'"),
        (workflow([LOG], "a.message -> a.x"), "connections[0]: the connections go round in a circle: a → a"),
        (
            workflow([LOG, node("b", "debug.log")], "a.message -> b.x", "b.message -> a.x"),
            "connections[0]: the connections go round in a circle: b → a → b",
        ),
        (
            workflow([LOG, node("b", "transform.json_parse")], "a.message -> b.text"),
            "nodes[1]: nothing is connected to the port 'json', without which transform.json_parse fails",
        ),
        (
            workflow([LOG], triggers=[{"trigger_type": {"type": "Event", "event_type": "x"}}]),
            "triggers[0].trigger_type: the trigger type 'Event' cannot be imported; Manual, Cron and Webhook can",
        ),
        (
            workflow([LOG], triggers=[{"trigger_type": {"type": "Cron"}}]),
            "triggers[0].trigger_type: the trigger has no `expression`",
        ),
        (
            workflow([LOG], triggers=[{"trigger_type": {"type": "Webhook", "path": "x"}, "enabled": False}]),
            "triggers[0]: a webhook that is not enabled cannot be imported: remove it",
        ),
        (
            workflow([LOG], settings={"max_parallel_nodes": 1000}),
            "settings.max_parallel_nodes: must be a whole number from 1 to 400",
        ),
        (
            workflow([LOG], settings={"max_execution_time_ms": 0}),
            "settings.max_execution_time_ms: must be a whole number from 1 to 34,560,000,000",
        ),
        (
            workflow([LOG], settings={"on_error": "Explode"}),
            "settings.on_error: must be StopWorkflow, ContinueOnError or {RetryWorkflow: {max_attempts}}",
        ),
        (
            workflow([LOG], settings={"on_error": {"RetryWorkflow": {}}}),
            "settings.on_error: RetryWorkflow needs `max_attempts`",
        ),
        (workflow([LOG], settings={"priority": 1}), "settings.priority: 'priority' is nothing that can be imported"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(document: Json, problem: str) -> None:
    """With its place in the JSON."""
    assert refusals(document) == [problem]


def test_what_only_loading_finds_is_named_at_its_node(check: Any) -> None:
    """A cron that is none, a text that no YAML document may hold, a name that is too long."""
    nodes = [LOG, node("b", "debug.log", {"message": "\x01"})]
    assert "not allowed" in refusals(workflow(nodes), check)[0]
    found = refusals(workflow([node("x", "debug.log", name="n" * 300)]), check)
    assert found[0].startswith("nodes[0]: ")
    bad: Json = [{"trigger_type": {"type": "Cron", "expression": "often"}}]
    assert "triggers[0].cron" in refusals(workflow([LOG], triggers=bad), check)[0]


def test_all_problems_come_at_once() -> None:
    """Of every part, and not endlessly many."""
    nodes: Any = [node("a", "nope"), node("b", "debug.log", {"x": 1}), {}]
    found = refusals(workflow(nodes, "c.x -> b.message", settings={"on_error": 1}))
    places = [one.partition(": ")[0] for one in found]
    assert places == [
        "nodes[0].node_type",
        "nodes[1].config.x",
        "nodes[2]",
        "nodes[2]",
        "connections[0].from_node",
        "settings.on_error",
    ]
    many = refusals(workflow([node(f"n{place}", "nope") for place in range(500)]))
    assert many[-1] == ": there are more problems"
