"""Loading: what is mentioned at once, what is touched on the way, and that loading has no effects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flowrunner.errors import SecretMissing, ValueTooLarge
from flowrunner.sandbox.errors import ScriptError, ScriptLimitExceeded
from flowrunner.sandbox.evaluator import Limits, LogEntry, Sandbox
from flowrunner.sandbox.references import Reference
from flowrunner.sandbox.script import Script

Scenes = Callable[..., Any]


@pytest.fixture
def at(scene: Scenes) -> Any:
    """A scene with a hundred nodes, each knowing the next, and secrets."""
    nodes = {f"n{number}": {"output": {"next": f"n{number + 1}", "n": number}} for number in range(100)}
    return scene(input={"first": "n1", "key": "A"}, nodes=nodes, secrets={"A": "sa", "B": "sb"}, vars={"v": 1})


def test_only_what_is_mentioned_is_loaded(at: Any) -> None:
    """Names in the source are loaded up front, once each, and nothing else."""
    done = at.hook("return input.first + nodes.n5.output.n + nodes['n6'].output.n + secrets.A // nodes.n9")
    assert done.value == "n156sa"
    assert sorted(at.loaded) == [("input", None), ("nodes", "n5"), ("nodes", "n6"), ("secrets", "A")]
    assert done.touched == {Reference(root, key) for root, key in at.loaded}


TOUCHING: list[tuple[str, Any, list[tuple[str, str | None]]]] = [
    ("return nodes[input.first].output.n", 1, [("nodes", "n1")]),
    ("return nodes[nodes[input.first].output.next].output.n", 2, [("nodes", "n1"), ("nodes", "n2")]),
    ("return secrets[input.key]", "sa", [("secrets", "A")]),
    ("return nodes['n' + 'one']", None, [("nodes", "none")]),
    ("return input.key in secrets", True, [("secrets", "A")]),
    ("return Object.keys(nodes).length", 100, [("nodes", None)]),
    ("return eval('in' + 'put').key", "A", []),
    ("return new Function('return no' + 'des.n3.output.n')()", 3, [("nodes", "n3")]),
    ("return globalThis['base' + '64'].encode('x')", "eA==", []),
    ("globalThis['lo' + 'g']('x'); return 1", 1, []),
]


@pytest.mark.parametrize(("body", "value", "loaded"), TOUCHING, ids=[body for body, _, _ in TOUCHING])
def test_what_is_touched_is_loaded(at: Any, body: str, value: Any, loaded: list[tuple[str, str | None]]) -> None:
    """What a script reaches without naming it is loaded when it is touched."""
    assert at.hook(body).value == value
    assert [one for one in at.loaded if one != ("input", None)] == loaded


SWALLOWING = [
    "try { return nodes[input.first].output.n } catch (e) { return 'swallowed' }",
    "let n = 'none'; try { n = nodes[input.first].output.n } finally { return n }",
    "const f = () => { try { return nodes[input.first] } catch { return f2() } }; const f2 = () => null; return f().output.n",
]


@pytest.mark.parametrize("body", SWALLOWING)
def test_the_marker_cannot_be_swallowed(at: Any, body: str) -> None:
    """A script that catches everything gets the value all the same."""
    assert at.hook(body).value == 1


def test_effects_happen_once(at: Any) -> None:
    """However often a script is evaluated for loading, its effects are those of the last time."""
    done = at.hook(
        "log('start'); emit('e', uuid()); vars.count = (vars.count ?? 0) + 1;"
        "let at = input.first; for (let i = 0; i < 5; i++) at = nodes[at].output.next; log(at); return at"
    )
    assert done.value == "n6"
    assert done.logs == (LogEntry("info", "start"), LogEntry("info", "n6"))
    assert len(done.events) == 1
    assert done.vars_written == {"count": 1}


def test_a_walk_over_many_nodes_ends_in_loading_them_all(at: Any) -> None:
    """Key after key is loaded for a while, then everything: a long walk works."""
    assert at.hook("let at = input.first; while (nodes[at]) at = nodes[at].output.next; return at").value == "n100"
    assert ("nodes", None) in at.loaded


def test_secrets_are_never_loaded_as_a_whole(scene: Scenes) -> None:
    """A script that goes through ever more secrets is stopped instead."""
    at = scene(secrets={f"S{number}": "x" for number in range(100)})
    with pytest.raises(ScriptLimitExceeded) as caught:
        at.hook("for (let i = 0; i < 100; i++) secrets['S' + i]")
    assert caught.value.details == {"limit": "rounds"}


def test_a_missing_secret_fails_only_when_it_is_touched(at: Any) -> None:
    """A secret in a branch that is not taken need not exist."""
    assert at.hook("return input.key === 'x' ? secrets.GONE : 'fine'").value == "fine"
    with pytest.raises(SecretMissing, match="GONE"):
        at.hook("return secrets.GONE")
    with pytest.raises(SecretMissing, match="GONE"):
        at.hook("try { return secrets['GO' + 'NE'] } catch { return 'swallowed' }")


def test_all_rounds_share_one_time_limit(at: Any) -> None:
    """Touching one thing after the other does not buy a script time: each round is short here, all are not."""
    sandbox = Sandbox(Limits(cpu=5_000, wall=600), processes=1)
    body = "for (let k = 0; k < 2e6; k++); for (let i = 0; i < 30; i++) nodes['n' + i]; return 'too long'"
    try:
        with pytest.raises(ScriptLimitExceeded) as caught:
            sandbox.evaluate("acme", Script(kind="hook", name="exec", body=body), at.load, now_ms=0, seed="")
    finally:
        sandbox.close()
    assert caught.value.details["limit"] == "wall"
    assert 0 < len(at.loaded) < 30


def test_a_large_input_can_be_read(scene: Scenes) -> None:
    """Values of several megabytes reach a script within its memory and time."""
    rows = [{"id": number, "name": "some text"} for number in range(150_000)]
    assert scene(input=rows).hook("return input.reduce((sum, row) => sum + row.id, 0)").value == sum(range(150_000))


def test_more_than_the_limit_is_refused_by_name(scene: Scenes) -> None:
    """What a script reads in all is limited, and the error says what it reads."""
    sandbox = Sandbox(Limits(input=10_000), processes=1)
    try:
        with pytest.raises(ValueTooLarge, match="it reads input"):
            sandbox.evaluate(
                "acme",
                Script(kind="hook", name="exec", body="return input"),
                scene(input="x" * 20_000).load,
                now_ms=0,
                seed="",
            )
    finally:
        sandbox.close()


def test_a_value_that_is_nested_too_deeply_is_refused(scene: Scenes) -> None:
    """Neither what a script reads nor what it gives can exhaust a stack of ours."""
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueTooLarge, match="nested too deeply"):
        scene(input=deep).hook("return input")
    with pytest.raises(ScriptError, match="nested too deeply"):
        scene().hook("let v = 0; for (let i = 0; i < 500; i++) v = [v]; return v")
