"""Flows run end to end over the memory backend: what an author sees of each feature of the language."""

from __future__ import annotations

import pytest
from flowrunner.core.state import parent_of_item
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import Conflict, NotFound

from tests.engine.harness import ACCOUNT, bench, flow
from tests.servers import RecordingServer, Reply, flaky

CASES = {
    "a value goes along the edges": (
        flow("""
a: {type: transform, params: {mapping: {v: "${input.a}"}}, next: b}
b: {type: transform, params: {value: "${prev.v}"}}"""),
        {"a": 2},
        {"b": 2},
    ),
    "a condition takes one branch": (
        flow("""
a: {type: condition, params: {if: "${input.n > 1}"}, next: {true: big, false: small}}
big: {type: transform, params: {value: big}}
small: {type: transform, params: {value: small}}"""),
        {"n": 5},
        {"big": "big"},
    ),
    "a switch takes the first case that fits": (
        flow("""
a: {type: switch, params: {value: "${input.c}", cases: {de: DE, se: SE}}, next: {se: s, default: d}}
s: {type: transform, params: {value: nordic}}
d: {type: transform, params: {value: other}}"""),
        {"c": "SE"},
        {"s": "nordic"},
    ),
    "a join waits for both branches": (
        flow("""
a: {type: transform, params: {value: 1}, next: [b, c]}
b: {type: delay, params: {for: 5m}}
c: {type: transform, params: {value: 2}}
d: {type: transform, needs: [b, c], params: {mapping: {b: "${nodes.b.output}", c: "${prev.c}"}}}"""),
        None,
        {"d": {"b": 1, "c": 2}},
    ),
    "a join is not blocked by a branch that was not taken": (
        flow("""
a: {type: condition, params: {if: true}, next: {true: b, false: c}}
b: {type: transform, params: {value: 1}}
c: {type: transform, params: {value: 2}}
d: {type: transform, needs: [b, c], params: {value: "${nodes.c.status}"}}"""),
        None,
        {"d": None},
    ),
    "a loop ends when its post hook says so": (
        flow(
            """
a: {type: script, hooks: {exec: "vars.n = (vars.n ?? 0) + 1; return vars.n", post: "return output < 4 ? 'more' : 'done'"}, next: {more: a, done: z}}
z: {type: transform, params: {value: "${vars.n}"}}""",
            "start: a",
        ),
        None,
        {"z": 4},
    ),
    "foreach keeps the order of the items": (
        flow("""
a: {type: transform, foreach: {items: "${input}", as: word, max_concurrency: 2}, params: {value: "${index}:${word}"}}"""),
        ["x", "y", "z"],
        {"a": ["0:x", "1:y", "2:z"]},
    ),
    "foreach over nothing gives nothing": (
        flow("""a: {type: transform, foreach: {items: "${input}"}, params: {value: 1}}"""),
        [],
        {"a": []},
    ),
    "tolerated failures leave null": (
        flow("""
a: {type: script, foreach: {items: [1, 2, 3], tolerate_failures: 1}, hooks: {exec: "if (item === 2) throw new Error('two'); return item"}}"""),
        None,
        {"a": [1, None, 3]},
    ),
    "a failure goes along the error edge with its error": (
        flow("""
a: {type: script, hooks: {exec: "throw new Error('no')"}, next: {default: b, error: c}}
b: {type: transform, params: {value: 1}}
c: {type: transform, params: {mapping: {code: "${error.code}", node: "${error.node}"}}}"""),
        None,
        {"c": {"code": "SCRIPT_ERROR", "node": "a"}},
    ),
    "on_error continue goes on with null": (
        flow("""
a: {type: script, on_error: continue, hooks: {exec: "throw new Error('no')"}, next: b}
b: {type: transform, params: {mapping: {out: "${nodes.a.output}", status: "${nodes.a.status}", code: "${nodes.a.error.code}"}}}"""),
        None,
        {"b": {"out": None, "status": "failed", "code": "SCRIPT_ERROR"}},
    ),
    "a fallback is the output when every attempt failed": (
        flow("""
a: {type: script, fallback: {was: "${error.code}"}, hooks: {exec: "throw new Error('no')"}, next: b}
b: {type: transform, params: {value: "${prev.was}"}}"""),
        None,
        {"b": "SCRIPT_ERROR"},
    ),
    "when false skips the node and its dependents see it": (
        flow("""
a: {type: transform, params: {value: 1}}
b: {type: transform, when: "${input.go}", params: {value: 2}}
c: {type: transform, needs: {nodes: [a, b], mode: settled}, params: {value: "${nodes.b.status}"}}"""),
        {"go": False},
        {"c": "skipped"},
    ),
    "connections wire ports": (
        flow(
            """
a: {type: transform, params: {mapping: {x: 1}}}
b: {type: transform, params: {value: "${ports.n}"}}""",
            "connections: [a.x -> b.n]",
        ),
        None,
        {"b": 1},
    ),
    "outputs are expressions": (
        flow("a: {type: transform, params: {value: 3}}", 'outputs: {twice: "${nodes.a.output * 2}"}'),
        None,
        {"twice": 6},
    ),
    "a sub-flow's output is the node's": (
        flow("""
a: {type: flow.run, params: {input: {x: 4}, inline: {metadata: {name: inner}, nodes: {z: {type: transform, params: {value: "${input.x * 2}"}}}}}}"""),
        None,
        {"a": {"z": 8}},
    ),
    "prep sets parameters, and other fields of the context": (
        flow("""
a: {type: transform, params: {mapping: {x: 1}}, hooks: {prep: "context.mapping = {y: 2}; context.extra = 3; return context", post: "return {output: {...output, extra: context.extra}}"}}"""),
        None,
        {"a": {"x": 1, "y": 2, "extra": 3}},
    ),
    "transform selects what exec works on": (
        flow("""
a: {type: transform, params: {mapping: {result: "$.data.items"}}, hooks: {exec: "return input.map(item => item.id)"}}"""),
        {"data": {"items": [{"id": 1}, {"id": 2}]}},
        {"a": [1, 2]},
    ),
    "bytes and nulls survive": (
        flow("""a: {type: transform, params: {value: {b: {$bytes: "aGk="}, n: null}}}"""),
        None,
        {"a": {"b": {"$bytes": "aGk="}, "n": None}},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_flow_gives_what_its_author_expects(name: str) -> None:
    """Each feature in one small flow."""
    document, value, expected = CASES[name]
    with bench() as b:
        result = b.run(document, value)
        assert result.status == "completed", result.error
        assert result.output == expected
        assert result.progress == 100


def test_a_retry_waits_longer_each_time_and_keeps_its_idempotency_key() -> None:
    """Attempts of one step share the key and the step's id."""
    document = flow("""
a: {type: http.request, params: {url: "${input.url}/x", method: POST}, retry: {max_attempts: 4, delay: 1s, backoff: 2, jitter: none}}""")
    with RecordingServer(flaky(2)) as server, bench(allow=["127.0.0.1"]) as b:
        begun = b.clock.now()
        run = b.start(document, {"url": server.url})
        b.work()
        assert b.result(run).status == "completed"
        assert [one.attempt for one in b.steps(run)] == [1, 2, 3]
        assert b.clock.now() - begun == 3_000
        keys = {request.headers["idempotency-key"] for request in server.requests}
        assert len(server.requests) == 3
        assert len(keys) == 1


def test_retry_after_is_not_undercut() -> None:
    """A server that asks for ten seconds gets them."""
    reply = Reply(503, headers=(("Retry-After", "10"),))
    document = flow("""a: {type: http.request, params: {url: "${input}"}, retry: {max_attempts: 2, delay: 1ms}}""")
    with RecordingServer(flaky(1, failure=reply)) as server, bench(allow=["127.0.0.1"]) as b:
        begun = b.clock.now()
        assert b.run(document, server.url).status == "completed"
        assert b.clock.now() - begun == 10_000


def test_an_unhandled_failure_stops_the_run_and_names_the_node() -> None:
    """Nothing more is started, and the error says where."""
    document = flow("""
a: {type: script, hooks: {exec: "\\n throw new Error('no')"}, next: b}
b: {type: log}""")
    with bench() as b:
        result = b.run(document)
        assert result.status == "failed"
        assert result.error is not None
        assert (result.error["code"], result.error["node"]) == ("SCRIPT_ERROR", "a")
        assert result.error["details"]["line"] == 2


def test_retry_run_starts_the_whole_run_again() -> None:
    """State is forgotten, the attempt counts."""
    document = flow(
        """
a: {type: store, params: {op: increment, key: tries}, next: b}
b: {type: condition, params: {if: "${prev.value >= 2}"}, next: {true: c, false: d}}
c: {type: transform, params: {value: "${run.attempt}"}}
d: {type: script, hooks: {exec: "throw new Error('again')"}}""",
        "on_error: {retry_run: {max_attempts: 3, delay: 10s, jitter: none}}",
    )
    with bench() as b:
        begun = b.clock.now()
        result = b.run(document)
        assert (result.status, result.output, result.attempt) == ("completed", {"c": 2}, 2)
        assert b.clock.now() - begun == 10_000


def test_the_runs_timeout_ends_it() -> None:
    """A run that waits for ever is ended at its timeout."""
    with bench() as b:
        result = b.run(flow("a: {type: wait.callback}", "timeout: 1h"))
        assert result.status == "failed"
        assert result.error is not None
        assert result.error["code"] == "RUN_TIMEOUT"


def test_a_runaway_loop_is_ended() -> None:
    """max_steps is a guard rail."""
    with bench() as b:
        result = b.run(flow("a: {type: transform, next: a}", "limits: {max_steps: 20}"))
        assert result.error is not None
        assert result.error["code"] == "STEP_LIMIT_EXCEEDED"


def test_an_approval_waits_and_goes_on_by_the_answer() -> None:
    """The run is shown as waiting, the answer becomes the output, a second answer is refused."""
    document = flow("""
a: {type: approval, params: {message: "go?"}, next: {approved: b, rejected: c}}
b: {type: transform, params: {value: "${prev.by}"}}
c: {type: transform, params: {value: no}}""")
    with bench() as b:
        run = b.start(document)
        b.work()
        assert b.result(run).status == "waiting"
        assert b.result(run).current_nodes == ("a",)
        b.engine.control.signal(ACCOUNT, run, "a", {"approved": True, "by": "ann"})
        with pytest.raises(Conflict, match="answered already"):
            b.engine.control.signal(ACCOUNT, run, "a", {"approved": False})
        b.work()
        assert b.result(run).output == {"b": "ann"}


def test_nobody_answers_in_time() -> None:
    """The timer of a wait gives the action timeout."""
    document = flow("""
a: {type: approval, params: {message: "go?", timeout: 2d}, next: {timeout: b}}
b: {type: transform, params: {value: late}}""")
    with bench() as b:
        begun = b.clock.now()
        assert b.run(document).output == {"b": "late"}
        assert b.clock.now() - begun == 2 * 86_400_000


def test_a_callback_token_is_answered_once_and_only_its_hash_is_kept() -> None:
    """The token goes out by the request; an answer before the step waits is not lost."""
    got: list[str] = []

    with bench(allow=["127.0.0.1"]) as b:

        def route(request: object) -> Reply:
            import json

            token = json.loads(request.body)["callback"]["token"]  # type: ignore[attr-defined]  # a Received
            got.append(token)
            b.engine.control.answer(token, {"early": True})
            return Reply()

        with RecordingServer(route) as server:
            document = flow("""a: {type: wait.callback, params: {request: {url: "${input}"}}}""")
            result = b.run(document, server.url)
        assert (result.status, result.output) == ("completed", {"a": {"early": True}})
        with pytest.raises(Conflict):
            b.engine.control.answer(got[0], {"late": True})
        with pytest.raises(NotFound):
            b.engine.control.answer("guessed", None)


def test_a_failed_child_fails_the_step() -> None:
    """The parent hears why."""
    document = flow("""
a: {type: flow.run, params: {inline: {metadata: {name: inner}, nodes: {w: {type: script, hooks: {exec: "throw new Error('inner no')"}}}}}}""")
    with bench() as b:
        result = b.run(document)
        assert result.error is not None
        assert result.error["code"] == "CHILD_FAILED"
        assert "inner no" in result.error["message"]


def test_a_flow_that_calls_itself_ends() -> None:
    """Ten levels, then an error."""
    document = flow("a: {type: flow.run, params: {flow: test, input: {}}}")
    with bench() as b:
        result = b.run(document)
        assert result.status == "failed"
        assert "10 levels" in str(result.error)


@pytest.mark.parametrize(("policy", "second"), [("queue", "queued"), ("cancel_oldest", "queued")])
def test_run_concurrency_by_key(policy: str, second: str) -> None:
    """One live run per customer; the next one waits for its place, or pushes the oldest out."""
    document = flow(
        "a: {type: wait.callback}",
        f'concurrency: {{max_runs: 1, key: "${{input.c}}", on_limit: {policy}}}',
    )
    with bench() as b:
        first = b.start(document, {"c": 1})
        other = b.start(document, {"c": 2})
        b.work()
        follower = b.start(document, {"c": 1})
        assert b.result(follower).status == second
        b.work()
        assert b.result(other).status == "waiting"
        if policy == "queue":
            assert b.result(follower).status == "queued"
            b.engine.control.signal(ACCOUNT, first, "a", {})
            b.work()
        else:
            assert b.result(first).status == "cancelled"
        assert b.result(follower).status == "waiting"


def test_a_place_given_before_the_run_was_stored_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder ends between the wish for a place and the write of the run that wants it."""
    document = flow("a: {type: wait.callback}", "concurrency: {max_runs: 1, on_limit: queue}")
    with bench() as b:
        first = b.start(document)
        b.work()
        create = b.engine.parts.backend.runs.create

        def late_create(*args: object, **kwargs: object) -> object:
            monkeypatch.undo()
            b.engine.control.cancel(ACCOUNT, first)
            b.work()
            return create(*args, **kwargs)  # type: ignore[arg-type]  # as they came

        monkeypatch.setattr(b.engine.parts.backend.runs, "create", late_create)
        second = b.start(document)
        b.work()
        assert b.result(second).status == "waiting"


def test_run_concurrency_can_reject() -> None:
    """The caller hears at once."""
    document = flow("a: {type: wait.callback}", "concurrency: {max_runs: 1, on_limit: reject}")
    with bench() as b:
        first = b.start(document)
        b.work()
        with pytest.raises(Conflict, match="live already"):
            b.start(document)
        b.engine.control.signal(ACCOUNT, first, "a", {})
        b.work()
        b.start(document)


def test_high_priority_is_taken_first() -> None:
    """Of two runs that are due, the more important one goes first."""
    with bench() as b:
        low = b.start(flow("a: {type: transform}", "priority: low"))
        high = b.start(flow("a: {type: transform, name: other}", "priority: high"))
        order: list[str] = []
        for run in (low, high):
            b.engine.watchers.watch(run, lambda change: order.append(change.run) if change.ended else None)
        b.work()
        assert order == [high, low]


def test_max_parallel_holds_steps_back() -> None:
    """Three branches, one place: they run one after the other and all of them run."""
    document = flow(
        """
a: {type: transform, next: [b, c, d]}
b: {type: transform}
c: {type: transform}
d: {type: transform}""",
        "limits: {max_parallel: 1}",
    )
    with bench() as b:
        run = b.start(document)
        b.work()
        assert b.path(run) == ["a", "b", "c", "d"]


def test_starting_twice_with_one_id_starts_once() -> None:
    """The second start answers the same run."""
    with bench() as b:
        document = flow("a: {type: store, params: {op: increment, key: n}}")
        row = b.engine.save_flow(ACCOUNT, document)
        request = StartRequest(ACCOUNT, row.id, row.revision, run="same")  # type: ignore[arg-type]  # a RunId
        assert b.engine.start(request) == b.engine.start(request)
        b.work()
        assert b.result("same").output == {"a": {"value": 1}}  # type: ignore[arg-type]  # a RunId


def test_the_egress_list_of_a_flow_narrows_what_it_reaches() -> None:
    """Even what the setting opens is closed to a flow that does not list it."""
    with RecordingServer() as server, bench(allow=["127.0.0.1"]) as b:
        document = flow("""a: {type: http.request, params: {url: "${input}"}}""", "egress: {allow: [api.example.com]}")
        result = b.run(document, server.url)
        assert result.error is not None
        assert result.error["code"] == "EGRESS_DENIED"
        assert server.requests == []


def test_items_of_a_foreach_are_steps_of_their_own() -> None:
    """Each has a label with its index."""
    with bench() as b:
        run = b.start(flow("""a: {type: transform, foreach: {items: [1, 2]}, params: {value: "${item}"}}"""))
        b.work()
        assert [one.label for one in b.steps(run) if parent_of_item(one.step)] == ["a[0]", "a[1]"]
