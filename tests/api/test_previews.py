"""Expressions that are being written, tried on a run: with its values, and without its secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flowrunner.core.ids import RunId
from flowrunner.services.identity import Role

from tests.api.harness import Service, service

SECRET = "correct-horse-battery-staple"
FLOW = """
metadata: {name: previews}
inputs: {type: object}
nodes:
  make: {type: transform, params: {value: {n: 1, list: [3, 4, 5], long: "${'x'.repeat(5000)}"}}, next: [tell, each]}
  tell: {type: transform, params: {value: "it is ${secrets.API_KEY}"}}
  each:
    type: transform
    foreach: {items: "${nodes.make.output.list}", as: price}
    params: {value: "${price * 2}"}
  join: {type: log, needs: [tell, each], params: {message: joined}, next: boom}
  boom: {type: script, hooks: {exec: "throw new Error('no luck')"}, next: {error: after}}
  after: {type: log, params: {message: "${error.message}"}}
  never: {type: condition, params: {if: true}, when: "${false}"}
"""


@pytest.fixture(scope="module")
def api() -> Iterator[Service]:
    with service({"api": {"requests_per_account": 0}}) as made:
        yield made


@pytest.fixture(scope="module")
def run(api: Service) -> RunId:
    assert api.call("PUT", "/v1/secrets/API_KEY", json={"value": SECRET}).is_success
    return api.start(api.flow(FLOW)["id"], {"name": "Ada"})


def ask(api: Service, run: str, value: Any, **options: Any) -> dict[str, Any]:
    answer = api.call("POST", f"/v1/runs/{run}/evaluate", json={"value": value, **options})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        ("hi ${input.name}", {}, "hi Ada"),
        ("plain", {}, "plain"),
        ({"a": ["${nodes.make.output.n}", 2]}, {}, {"a": [1, 2]}),
        ("${nodes.make.output.list.map(one => one + 1)}", {}, [4, 5, 6]),
        ("${prev.n}", {"node": "tell"}, 1),
        ("${prev.each}", {"node": "join"}, [6, 8, 10]),
        ("${error.message}", {"node": "after"}, "exec hook, line 12: Error: no luck"),
        ("${prev}", {"node": "make"}, None),
        ("${prev.n}", {"node": "new", "after": ["later", "make"]}, 1),
        ("${prev.make.n}", {"node": "new", "after": ["make", "later"], "join": True}, 1),
        ("${error.code}", {"node": "new", "after": ["boom"]}, "SCRIPT_ERROR"),
        ("${item}/${index}/${price + 1}", {"each": "${prev.list}", "alias": "price", "node": "each"}, "3/0/4"),
        ("${item}", {"each": [7, 8], "index": 1}, 8),
        ("${item}", {"each": "${input.name}"}, "Ada"),
        ("${flow.name} ${typeof run.id} ${vars.none}", {}, "previews string "),
    ],
)
def test_shows_what_an_expression_would_give(
    api: Service, run: RunId, value: Any, options: dict[str, Any], expected: Any
) -> None:
    """With the run's values, as the node would see them: one that it has executed, or a new one."""
    assert ask(api, run, value, **options) == {"value": expected, "cut": False, "error": None}


@pytest.mark.parametrize(
    ("value", "options", "words"),
    [
        ("${input.name", {}, "no closing brace"),
        ("${input.}", {}, "input."),
        ("${nodes.none.output}", {}, "of undefined"),
        ("${secrets.NO_SUCH}", {}, "there is no secret 'NO_SUCH'"),
        ("${secrets}", {}, "one by one"),
        ("${context.a}", {}, "not known before"),
        ("${item}", {"each": [1], "index": 5}, "has no item 5"),
    ],
)
def test_says_why_an_expression_fails(
    api: Service, run: RunId, value: Any, options: dict[str, Any], words: str
) -> None:
    """In words, as an answer: somebody is still writing it."""
    said = ask(api, run, value, **options)
    assert said["value"] is None
    assert words in said["error"]["message"]


def test_no_expression_gets_at_a_secret(api: Service, run: RunId) -> None:
    """Neither by its name nor through an output that holds it, whatever it is turned into."""
    for value in (
        "${secrets.API_KEY}",
        "${secrets.API_KEY.split('').reverse().join('')}",
        "${nodes.tell.output}",
        "${[...nodes.tell.output].map(one => one.charCodeAt(0)).join()}",
        "${Object.values(prev)}",
    ):
        said = ask(api, run, value, node="join")
        shown = str(said["value"])
        assert said["error"] is None, said
        assert SECRET not in shown
        assert SECRET[::-1] not in shown
        assert ",".join(str(ord(one)) for one in SECRET) not in shown
    assert ask(api, run, "${secrets.API_KEY}")["value"] == "***"


def test_tells_nobody_which_secrets_there_are(api: Service, run: RunId) -> None:
    """Who may not see their names gets the mask for any."""
    scopes = ["flows:write", "runs:read"]
    token = api.call("POST", "/v1/tokens", json={"name": "writer", "scopes": scopes}).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    said = api.call("POST", f"/v1/runs/{run}/evaluate", role=None, headers=headers, json={"value": "${secrets.NONE}"})
    assert said.json() == {"value": "***", "cut": False, "error": None}


def test_needs_both_to_write_flows_and_to_read_runs(api: Service, run: RunId) -> None:
    """Who may only look runs no code here, and who may only write flows sees no values."""
    body = {"value": "${input}"}
    for role in (Role.VIEWER, Role.OPERATOR):
        assert api.call("POST", f"/v1/runs/{run}/evaluate", role=role, json=body).status_code == 403
    token = api.call("POST", "/v1/tokens", json={"name": "blind", "scopes": ["flows:write"]}).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = api.call("POST", f"/v1/runs/{run}/evaluate", role=None, headers=headers, json=body)
    assert answer.status_code == 403
    assert "runs:read" in answer.text


def test_a_large_value_is_cut_short(api: Service, run: RunId) -> None:
    """Long texts, lists and deep things: what is shown has a bound, and says so."""
    text = ask(api, run, "${nodes.make.output.long}")
    assert text["cut"]
    assert len(text["value"]) == 2_001
    wide = ask(api, run, "${[...Array(300).keys()].map(n => ({n, m: [n, n]}))}")
    assert wide["cut"]
    assert len(wide["value"]) == 100
    deep = ask(api, run, "${[...Array(40)].reduce((inner) => [inner], 1)}")
    assert deep["cut"]
    assert str(deep["value"]).count("[") < 30
    many = ask(api, run, "${Object.fromEntries([...Array(90).keys()].map(n => [n, [...Array(90).keys()]]))}")
    assert many["cut"]
    assert len(str(many["value"])) < 20_000
    assert ask(api, run, "${[1, [2], {a: 'b'}]}") == {"value": [1, [2], {"a": "b"}], "cut": False, "error": None}


def test_a_live_run_is_read_as_it_is(api: Service) -> None:
    """A node that waits is in its place, and what has not run reads as empty."""
    text = (
        "metadata: {name: asking}\nnodes:\n  a: {type: transform, params: {value: 7}, next: ask}\n"
        '  ask: {type: approval, params: {message: "go?"}, next: b}\n  b: {type: log, params: {message: b}}\n'
    )
    run = api.start(api.flow(text)["id"])
    assert ask(api, run, "${prev}", node="ask")["value"] == 7
    assert ask(api, run, "${nodes.b.status}")["value"] is None


def test_ports_are_what_the_connections_give(api: Service) -> None:
    """`ports` of a node in the run's revision."""
    text = (
        "metadata: {name: ported}\nconnections: [a.n -> b.value]\nnodes:\n"
        '  a: {type: transform, params: {value: {n: 7}}}\n  b: {type: log, params: {message: "${ports.value}"}}\n'
    )
    run = api.start(api.flow(text)["id"])
    assert ask(api, run, "got ${ports.value}", node="b")["value"] == "got 7"
