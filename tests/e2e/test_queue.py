"""What cannot be done ends in the dead-letter queue, and what ends there is seen to."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.client import ENDED, PATIENCE, Team, fresh, tries
from tests.e2e.evidence import Evidence

NEEDS_ITS_INPUT = """
metadata: {name: NAME}
nodes:
  first: {type: delay, params: {for: 5s}, next: measure}
  measure: {type: transform, params: {value: "${input.text.length}"}}
"""


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


@contextmanager
def given_up_at_once(evidence: Evidence) -> Iterator[None]:
    """Messages are dead letters after one delivery: five, with their pauses, take a quarter of an hour."""
    sqs, url = evidence.sqs, evidence.installation.outputs["QueueUrl"]
    [before] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"].values()
    policy = json.loads(before)
    assert int(policy["maxReceiveCount"]) == 5
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps({**policy, "maxReceiveCount": "1"})})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": before})
        sqs.close()


def dead(evidence: Evidence, mark: str) -> list[str]:
    """Each time that the function of the dead-letter queue has seen to something."""
    lines = [line for line in evidence.said("DeadLetter") if mark in str(line)]
    return [line["message"] for line in lines if "is a dead letter" in line["message"]]


def test_a_step_that_cannot_be_done_is_a_failed_run(team: Team, evidence: Evidence) -> None:
    """Its input is lost from the bucket, so each delivery fails: it becomes a dead letter, is tried again, becomes one
    again, and with the third time the run fails and says why.
    """
    flow = team.flow(NEEDS_ITS_INPUT.replace("NAME", fresh("poisoned")))
    run = team.start(flow, {"text": secrets.token_hex(300_000)})
    evidence.poison(run)
    lose_input(evidence, run)
    queue, last = evidence.installation.outputs["QueueUrl"], evidence.installation.outputs["DeadLetterQueueUrl"]
    with given_up_at_once(evidence):
        for found in tries(lambda: dead(evidence, run)):
            if found:
                break
    assert [line.partition(" of run ")[2] for line in found] == [f"{run} is a dead letter; it is tried again"]
    assert listed(team, flow)["status"] != "failed"

    # Not waiting for the pauses of 1 and of 15 minutes: whoever sends a dead letter by hand does the same.
    for bodies in tries(lambda: {one["Body"] for one in messages(evidence, queue) if run in one["Body"]}):
        if bodies:
            break
    [body] = bodies
    sqs = evidence.sqs
    for visit in (2, 3):
        while len(found) < visit:  # one that the emulator was too slow for lies there for minutes
            sqs.send_message(QueueUrl=last, MessageBody=body, MessageGroupId=team.account)
            for found in tries(lambda: dead(evidence, run), 60):
                if len(found) >= visit:
                    break
    sqs.close()
    failed: dict[str, Any] = {}
    for failed in tries(lambda: listed(team, flow)):
        if failed["status"] in ENDED:
            break
    assert (failed["status"], failed["error"]["code"]) == ("failed", "ENGINE_ERROR")
    assert failed["error"]["node"] in {"first", "measure"}  # whichever came to look for the input first
    shown = team.get(run)
    assert shown["error"] == failed["error"]
    assert shown["lost"] == ([] if shown["input"] else ["input"])  # who has stored it may have it in memory still
    for left in tries(lambda: messages(evidence, last)):  # the queue hears of it after the run has failed
        if not left:
            break
    assert left == []


def listed(team: Team, flow: str) -> dict[str, Any]:
    """The flow's run as lists show it: without its input, which is lost."""
    [run] = team.call("GET", "/v1/runs", 200, params={"flow": flow})["items"]
    shown: dict[str, Any] = run
    return shown


def lose_input(evidence: Evidence, run: str) -> None:
    """Remove the objects of a run from the bucket, as nobody should."""
    s3, bucket = evidence.client("s3"), evidence.installation.outputs["BucketName"]
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", []) if run in one["Key"]]
    assert keys
    for key in keys:
        s3.delete_object(Bucket=bucket, Key=key)
    s3.close()


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
    wanted = [1] if output == "QueueUrl" else []
    for left in tries(lambda: [one["ReceiveCount"] for one in messages(evidence, url) if mark in one["Body"]]):
        if left == wanted:
            break
    assert left == wanted
    run = team.run(
        "metadata: {name: NAME}\nnodes: {a: {type: log, params: {message: hi}}}".replace("NAME", fresh("after"))
    )
    assert run["status"] == "completed"
