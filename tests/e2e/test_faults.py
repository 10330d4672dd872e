"""What goes wrong: a step that fails and is tried again later, and one that fails for good."""

from __future__ import annotations

from tests.e2e.client import Team, fresh

RETRY = """
metadata: {name: NAME}
nodes:
  flaky:
    type: script
    retry: {max_attempts: 3, delay: 1s, jitter: none, on: [SCRIPT_ERROR]}
    hooks: {exec: "throw new Error('not yet')"}
    fallback: "it was ${nodes.flaky.attempts} times"
    next: after
  after: {type: transform, params: {value: "${nodes.flaky.attempts}"}}
"""


def test_a_step_that_fails_is_tried_again_after_its_delay(team: Team) -> None:
    """Each attempt is a message of its own that SQS delivers when it is due; then the run goes on."""
    run = team.run(RETRY.replace("NAME", fresh("retry")))
    assert run["status"] == "completed", run["error"]
    attempts = team.step(run["id"], "flaky")["attempts"]
    assert [attempt["attempt"] for attempt in attempts] == [1, 2, 3]
    assert run["output"]["after"] == 3
    assert run["duration_ms"] >= 3_000  # 1 s, then 2 s
