"""What runs hold: values small and large, cached ones, secrets."""

from __future__ import annotations

import pytest
from flowrunner.engine.values import ValueLimits
from flowrunner.errors import InvalidInput

from tests.engine.harness import bench, flow


def test_a_cached_node_is_not_executed_again() -> None:
    """Within the time to live the second run takes the first one's output."""
    document = flow("""
a: {type: store, params: {op: increment, key: n}, cache: {key: "${input}", ttl: 1h}}""")
    with bench() as b:
        assert b.run(document, "k").output == {"a": {"value": 1}}
        run = b.start(document, "k")
        b.work()
        assert b.result(run).output == {"a": {"value": 1}}
        assert b.steps(run)[0].cached
        b.clock.turn_to(b.clock.now() + 3_600_001)
        assert b.run(document, "k").output == {"a": {"value": 2}}


def test_large_values_travel_as_blobs() -> None:
    """An output above the inline limit is stored aside and read back whole."""
    document = flow("""
a: {type: transform, params: {value: "${input}"}, next: b}
b: {type: transform, params: {value: "${prev.length}"}}""")
    with bench(limits=ValueLimits(inline=1000)) as b:
        run = b.start(document, "x" * 50_000)
        b.work()
        assert b.result(run).output == {"b": 50_000}
        assert "b" in b.steps(run)[0].output


def test_a_value_above_the_limit_fails_its_step_by_name() -> None:
    """The message names node and size."""
    with bench(limits=ValueLimits(inline=100, largest=1000)) as b:
        result = b.run(flow("""a: {type: transform, params: {value: "${input}${input}"}}"""), "x" * 900)
        assert result.error is not None
        assert result.error["code"] == "VALUE_TOO_LARGE"
        assert "node a has 1,802 bytes" in result.error["message"]


def test_a_wrong_input_is_refused_with_every_problem() -> None:
    """Nothing is started."""
    head = "inputs: {type: object, required: [n, m], properties: {n: {type: integer}, m: {type: string}}}"
    with bench() as b:
        with pytest.raises(InvalidInput) as caught:
            b.start(flow("a: {type: log}", head), {"n": "x"})
        assert len(caught.value.details["problems"]) == 2


def test_secrets_are_masked_in_logs_errors_and_the_output_of_log() -> None:
    """In the forms in which they slip out; what is sent on purpose is sent."""
    document = flow("""
a: {type: script, hooks: {exec: "log('key', secrets.K, base64.encode(secrets.K)); emit('e', {k: secrets.K}); return secrets.K"}, next: b}
b: {type: log, params: {message: "again ${nodes.a.output}"}, next: c}
c: {type: script, hooks: {exec: "throw new Error('bad ' + nodes.a.output)"}}""")
    with bench(secrets={"K": "hunter2hunter2"}) as b:
        run = b.start(document)
        b.work()
        assert b.output(run, "a") == "***"
        shown = [(one.logs, one.events, one.error) for one in b.steps(run)] + [b.output(run, "b"), b.result(run).error]
        text = repr(shown)
        assert "***" in text
        for form in ("hunter2", "aHVudGVyMmh1bnRlcjI"):
            assert form not in text


def test_a_missing_secret_names_itself() -> None:
    """And says how to set it."""
    with bench() as b:
        result = b.run(flow("""a: {type: transform, params: {value: "${secrets.NOPE}"}}"""))
        assert result.error is not None
        assert result.error["code"] == "SECRET_MISSING"
        assert "NOPE" in result.error["message"]
