"""Wide, long and large: 200 branches and their join, 100 steps in a row, an output of more than a megabyte."""

from __future__ import annotations

import pytest

from tests.e2e.client import Team, fresh

WIDTH = 200
STEPS = 100
"""More than the sixteen hops after which Lambda would break the chain SQS, executor, SQS."""

LOOP = """
metadata: {name: NAME}
MODE
start: count
nodes:
  count:
    type: script
    hooks:
      exec: "vars.n = (vars.n ?? 0) + 1; return vars.n"
      post: "return output < LAST ? 'again' : 'done'"
    next: {again: count, done: end}
  end: {type: transform, params: {value: "${vars.n}"}}
"""
LARGE = """
metadata: {name: NAME}
outputs: {sizes: "${nodes.measure.output}"}
nodes:
  make:
    type: script
    foreach: {items: "${[1, 2, 3, 4, 5, 6]}", as: seed}
    hooks:
      exec: |
        let state = seed, text = "";      // noise, so that compressing it gains little
        while (text.length < 200000) {
          state = (state * 1103515245 + 12345) % 2147483648;
          text += state.toString(36);
        }
        return text.slice(0, 200000);
    next: keep
  keep: {type: transform, params: {value: "${prev}"}, next: measure}
  measure: {type: transform, params: {value: "${nodes.keep.output.map(text => text.length)}"}}
"""


def wide(name: str) -> str:
    """One step, then 200 at once, then a join of them all."""
    branches = "\n".join(f"  b{n}: {{type: transform, params: {{value: {n}}}}}" for n in range(WIDTH))
    targets = ", ".join(f"b{n}" for n in range(WIDTH))
    return f"""
metadata: {{name: {name}}}
limits: {{max_parallel: {WIDTH}}}
outputs: {{sum: "${{nodes.join.output}}"}}
nodes:
  split: {{type: log, params: {{message: go}}, next: [{targets}]}}
{branches}
  join:
    type: script
    needs: [{targets}]
    hooks: {{exec: "return Object.values(input).reduce((sum, n) => sum + n, 0)"}}
"""


def test_200_branches_run_once_and_join_once(team: Team) -> None:
    """None is lost, none comes twice, and the join waits for the last."""
    run = team.run(wide(fresh("wide")))
    assert (run["status"], run["output"]) == ("completed", {"sum": sum(range(WIDTH))}), run["error"]
    steps = team.steps(run["id"])
    assert sorted(step["node"] for step in steps) == sorted(["split", "join", *(f"b{n}" for n in range(WIDTH))])
    assert {step["status"] for step in steps} == {"succeeded"}


@pytest.mark.parametrize("mode", ["standard", "express"])
def test_a_loop_of_100_steps_ends(team: Team, mode: str) -> None:
    """Each step once, in both modes with the same result."""
    text = LOOP.replace("NAME", fresh("loop")).replace("MODE", f"mode: {mode}").replace("LAST", str(STEPS))
    run = team.run(text)
    assert (run["status"], run["output"]) == ("completed", {"end": STEPS}), run["error"]
    nodes = [step["node"] for step in team.steps(run["id"])]
    assert nodes == ["count"] * STEPS + ["end"]


def test_an_output_of_more_than_a_megabyte_is_passed_on(team: Team) -> None:
    """It goes by way of the bucket, and comes out as it went in."""
    run = team.run(LARGE.replace("NAME", fresh("large")))
    assert (run["status"], run["output"]) == ("completed", {"sizes": [200_000] * 6}), run["error"]
    shown = team.step(run["id"], "keep")["output"]
    assert len("".join(shown)) == 1_200_000
    assert len(set(shown)) == 6
