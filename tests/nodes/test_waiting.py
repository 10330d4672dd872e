"""delay, wait.callback and approval: steps that wait and hold no worker."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flowrunner.core.durations import MAX_DURATION
from flowrunner.core.flow import Json
from flowrunner.errors import EgressDenied, ParamsInvalid, StepError
from flowrunner.nodes.approval import ApprovalNode
from flowrunner.nodes.base import Callback, Result, Wait
from flowrunner.nodes.delay import DelayNode
from flowrunner.nodes.wait_callback import WaitCallbackNode
from flowrunner.ports.http import HttpResponse
from pydantic import ValidationError

from tests.nodes.context import NOW, RUN, FakeHttp, context

DELAY, CALLBACK, APPROVAL = DelayNode(), WaitCallbackNode(), ApprovalNode()
TOKEN = Callback("token-1", "https://flows.example/v1/callbacks/token-1")
DAY = 86_400_000


@pytest.mark.parametrize(
    ("params", "until"),
    [
        ({"for": "250ms"}, NOW + 250),
        ({"for": 2}, NOW + 2_000),
        ({"for": "1d"}, NOW + DAY),
        ({"for": 0}, NOW),
        ({"for": "400d"}, NOW + MAX_DURATION),
        ({"until": "2023-11-14T22:13:21Z"}, NOW + 1_000),
        ({"until": "2023-11-14T23:13:21.500+01:00"}, NOW + 1_500),
        ({"until": "2023-11-14T22:13:19Z"}, NOW),
        ({"until": "0001-01-01T00:00:00+14:00"}, NOW),
    ],
)
def test_delay_waits_and_passes_its_input_on(params: dict[str, Json], until: int) -> None:
    """The wait ends at the moment, not before now, and the input is the output."""
    assert DELAY.execute(context(DELAY, params, input={"a": 1})) == Wait(until=until, output={"a": 1})


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59-23:59", "2024-12-20T00:00:00Z"])
def test_delay_refuses_a_moment_too_far_away(until: str) -> None:
    """More than 400 days is a mistake, and is said to be one."""
    with pytest.raises(ParamsInvalid, match="more than 400 days away"):
        DELAY.execute(context(DELAY, {"until": until}))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "exactly one of `for` and `until`"),
        ({"for": 1, "until": "2030-01-01T00:00:00Z"}, "exactly one of `for` and `until`"),
        ({"for": "soon"}, "'soon' is not a duration"),
        ({"for": -1}, "0 or more"),
        ({"for": "401d"}, "at most 400 days"),
        ({"for": [1]}, "a duration is written like"),
        ({"for_": 1}, "Extra inputs"),
        ({"until": "tomorrow"}, "a moment is written like 2030-01-31T09:00:00Z"),
        ({"until": "2030-01-01T00:00:00"}, "needs its time zone"),
        ({"until": "2030-02-30T00:00:00Z"}, "a moment is written like"),
        ({"until": 5}, "valid string"),
    ],
)
def test_delay_refuses_bad_params(params: dict[str, Json], message: str) -> None:
    """Each wrong way to give a time has its message."""
    with pytest.raises(ValidationError, match=message):
        context(DELAY, params)


@pytest.mark.parametrize(("timeout", "until"), [(None, None), ("1h", NOW + 3_600_000)])
def test_a_callback_is_waited_for(timeout: Json, until: int | None) -> None:
    """The wait carries the token, ends with action `timeout`, and shows its link and data."""
    waiting = CALLBACK.execute(context(CALLBACK, {"timeout": timeout, "data": {"n": 1}}))
    assert waiting == Wait(until, None, "timeout", {"data": {"n": 1}, "link": TOKEN.url}, TOKEN)


def test_the_answer_is_the_output() -> None:
    """What the other system sends goes out along `default`."""
    assert CALLBACK.answered({"any": ["thing"]}) == Result({"any": ["thing"]})


def _request(**more: Json) -> dict[str, Json]:
    return {"request": {"url": "https://jobs.example/start", **more}}


def test_the_request_tells_how_to_answer() -> None:
    """The body is the author's with `callback` in it, under the step's idempotency key and the flow's egress rules."""
    http = FakeHttp()
    ctx = context(
        CALLBACK,
        _request(body={"job": 7, "callback": "spoofed"}),
        http=http,
        left=12.0,
        egress=[["jobs.example"]],
    )
    CALLBACK.execute(ctx)
    (sent,) = http.sent
    assert (sent.method, sent.url, sent.timeout, sent.allow) == (
        "POST",
        "https://jobs.example/start",
        12.0,
        [["jobs.example"]],
    )
    assert json.loads(sent.content or b"") == {"job": 7, "callback": {"token": TOKEN.token, "url": TOKEN.url}}
    assert dict(sent.headers)["Idempotency-Key"] == RUN.idempotency_key
    assert sent.max_redirects == 0


def test_a_header_of_the_author_replaces_the_nodes_own() -> None:
    """Headers are compared without case, so none is sent twice."""
    http = FakeHttp()
    CALLBACK.execute(context(CALLBACK, _request(headers={"content-type": "application/vnd.job+json"}), http=http))
    names = [name.lower() for name, _ in http.sent[0].headers]
    assert names.count("content-type") == 1
    assert dict(http.sent[0].headers)["content-type"] == "application/vnd.job+json"


@pytest.mark.parametrize(("status", "retryable"), [(503, True), (429, True), (400, False), (302, False)])
def test_a_request_that_is_not_accepted_fails(status: int, retryable: bool) -> None:
    """Only 2xx means that the other system will answer; the failure carries the status."""
    http = FakeHttp([HttpResponse(status, url="https://jobs.example/start", content=b"no")])
    with pytest.raises(StepError) as caught:
        CALLBACK.execute(context(CALLBACK, _request(), http=http))
    assert (caught.value.code, caught.value.retryable) == (f"HttpStatus:{status}", retryable)


def test_a_body_of_half_a_character_is_sent_all_the_same() -> None:
    """A script can make a string that has no UTF-8 form; as an escape JSON has it."""
    http = FakeHttp()
    CALLBACK.execute(context(CALLBACK, _request(body={"text": "\ud800"}), http=http))
    (sent,) = http.sent
    assert json.loads(sent.content or b"")["text"] == "\ud800"


def test_a_forbidden_address_is_not_asked() -> None:
    """The guard's refusal is the step's failure."""
    with pytest.raises(EgressDenied):
        CALLBACK.execute(context(CALLBACK, _request(), http=FakeHttp([EgressDenied("no")])))


def test_approval_asks_a_person() -> None:
    """The wait shows the question with its link, and a timeout approves nothing."""
    params = {"message": "Pay?", "approvers": ["ann"], "timeout": "2d", "data": 5}
    assert APPROVAL.execute(context(APPROVAL, params)) == Wait(
        NOW + 2 * DAY,
        {"approved": False, "by": None, "comment": None},
        "timeout",
        {"message": "Pay?", "approvers": ["ann"], "data": 5, "link": TOKEN.url},
        TOKEN,
    )


def test_approval_without_a_timeout_waits_on() -> None:
    """Nothing ends the wait but an answer."""
    assert APPROVAL.execute(context(APPROVAL, {"message": "Pay?"})).until is None


@pytest.mark.parametrize(
    ("payload", "output", "action"),
    [
        ({"approved": True}, {"approved": True, "by": None, "comment": None}, "approved"),
        (
            {"approved": False, "by": "ann", "comment": "too much"},
            {"approved": False, "by": "ann", "comment": "too much"},
            "rejected",
        ),
        ({"approved": True, "more": 1}, {"approved": True, "by": None, "comment": None}, "approved"),
    ],
)
def test_an_answer_decides(payload: Json, output: Json, action: str) -> None:
    """The action is the decision, the output says who and why."""
    assert APPROVAL.answered(payload) == Result(output, action)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (None, "answered with"),
        ("yes", "answered with"),
        ([True], "answered with"),
        ({}, "answered with"),
        ({"approved": "true"}, "answered with"),
        ({"approved": 1}, "answered with"),
        ({"approved": True, "by": ["ann"]}, "`by` of an approval's answer is a text, not a list"),
        ({"approved": True, "comment": {}}, "`comment` of an approval's answer is a text, not an object"),
        ({"approved": True, "by": "a" * 257}, "`by` of an approval's answer has at most 256 characters"),
        ({"approved": True, "comment": "a" * 10_001}, "at most 10,000 characters"),
    ],
)
def test_an_unusable_answer_is_an_error(payload: Json, message: str) -> None:
    """Nothing but a clear yes or no decides; anything else fails with ANSWER_INVALID."""
    with pytest.raises(StepError) as caught:
        APPROVAL.answered(payload)
    assert caught.value.code == "ANSWER_INVALID"
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("node", "params", "field"),
    [
        (CALLBACK, {"timeout": 0}, "timeout"),
        (CALLBACK, {"timeout": "x"}, "timeout"),
        (CALLBACK, {"request": {}}, "url"),
        (CALLBACK, {"request": {"url": "https://a.example", "method": "GET"}}, "method"),
        (CALLBACK, {"request": {"url": ""}}, "url"),
        (CALLBACK, {"request": {"url": "https://a.example", "body": [1]}}, "body"),
        (CALLBACK, {"requests": {}}, "requests"),
        (APPROVAL, {}, "message"),
        (APPROVAL, {"message": ""}, "message"),
        (APPROVAL, {"message": "?", "approvers": "ann"}, "approvers"),
        (APPROVAL, {"message": "?", "timeout": True}, "timeout"),
    ],
)
def test_bad_params_are_refused(node: Any, params: dict[str, Json], field: str) -> None:
    """The error stands at the parameter that is wrong."""
    with pytest.raises(ValidationError) as caught:
        context(node, params)
    assert [error["loc"][-1] for error in caught.value.errors()] == [field]
