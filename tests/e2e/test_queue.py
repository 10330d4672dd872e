"""Messages that nobody can read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.client import PATIENCE, Team, fresh, tries
from tests.e2e.evidence import Evidence


def messages(evidence: Evidence, url: str) -> list[dict[str, Any]]:
    """What lies in a queue, looked at without receiving it."""
    with evidence.installation.peek() as peeked:
        queues = [
            queue
            for regions in peeked["messages"].values()
            for names in regions.values()
            for name, queue in names.items()
            if name.rpartition("/")[2] == url.rpartition("/")[2]
        ]
    return [message for queue in queues for message in queue]


@pytest.mark.parametrize("output", ["QueueUrl", "DeadLetterQueueUrl"])
def test_a_message_that_nobody_can_read_harms_nothing(team: Team, evidence: Evidence, output: str) -> None:
    """The executor gives it back, for the dead-letter queue; there it is told of and dropped. Runs go on."""
    mark = fresh("nonsense")
    evidence.poison(mark)
    url = evidence.installation.outputs[output]
    sqs = evidence.sqs
    sqs.send_message(QueueUrl=url, MessageBody=f"{{{mark}", MessageGroupId=team.account)
    sqs.close()
    name = "Executor" if output == "QueueUrl" else "DeadLetter"
    for told in tries(lambda: [line for line in evidence.said(name) if mark in str(line)], PATIENCE):
        if told:
            break
    assert told[0]["message"] == "a message cannot be read"
    left = [message["ReceiveCount"] for message in messages(evidence, url) if mark in message["Body"]]
    assert left == ([1] if output == "QueueUrl" else [])
    run = team.run(
        "metadata: {name: NAME}\nnodes: {a: {type: log, params: {message: hi}}}".replace("NAME", fresh("after"))
    )
    assert run["status"] == "completed"
