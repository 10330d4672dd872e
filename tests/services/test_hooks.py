"""Inbound webhooks: paths of flows, verification, repetitions, and the run's answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.core.ids import AccountId, FlowId, RunId
from flowrunner.errors import Conflict, Forbidden, InvalidInput, NotFound, QuotaExceeded, TooManyRequests
from flowrunner.services.flow_records import FlowStatus
from flowrunner.services.hook_paths import KIND, Hook
from flowrunner.services.hooks import MESSAGE_KIND, Accepted, HookCall, HookService, WrongMethod
from flowrunner.services.identity import Actor
from flowrunner.services.signatures import BadSignature
from flowrunner.settings import HookSettings
from flowrunner.testing import START

from tests.engine.harness import ACCOUNT
from tests.services.triggering import OWNER, STRANGER, Services, over, services

KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
SIGNED = "verify: {scheme: standard-webhooks, secret: SIGNING}"
HOUR = 3_600_000


def hook(*fields: str, name: str = "orders", inputs: str = "", outputs: str = "", more: str = "") -> str:
    """A flow with one hook."""
    line = ", ".join(("type: webhook", *(fields or ("path: orders",))))
    return (
        f"metadata: {{name: {name}}}\n{inputs}{outputs}{more}triggers:\n  - {{{line}}}\n"
        "nodes:\n  a: {type: transform, params: {value: '${input}'}}\n"
    )


def call(body: bytes = b'{"n": 1}', *, method: str = "POST", path: str = "orders", **headers: str) -> HookCall:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HookCall(ACCOUNT, path, method, {"content-type": "application/json", **named}, "", body, "192.0.2.1", "c-1")


def signed(
    body: bytes = b'{"n": 1}', message: str = "msg_1", moment: int = START // 1000, key: bytes = b"k" * 32
) -> HookCall:
    content = f"{message}.{moment}.".encode() + body
    mac = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return call(body, webhook_id=message, webhook_timestamp=str(moment), webhook_signature=f"v1,{mac}")


@pytest.fixture
def made() -> Iterator[Services]:
    """The services, with the secret that signs."""
    with services(secrets={"SIGNING": KEY}) as ready:
        yield ready


def receive(made: Services, wanted: HookCall) -> Accepted:
    return made.hooks.receive(wanted)


def test_a_request_starts_a_run(made: Services) -> None:
    """A request to the path of a flow starts it, and the answer says where to look."""
    flow = made.save(hook())
    accepted = receive(made, call())
    shown = made.runs.get(OWNER, accepted.run)
    assert (shown.row.flow, shown.facts.started_by) == (flow, "hook:orders")
    assert shown.facts.labels == {"correlation_id": "c-1"}
    answer = made.hooks.reply(accepted)
    assert answer.status == 202
    assert json.loads(answer.content) == {"run_id": accepted.run, "status_url": f"/v1/runs/{accepted.run}"}


def test_without_inputs_the_run_gets_the_request(made: Services) -> None:
    """A flow that does not say what it takes sees the whole request, without credentials."""
    made.save(hook())
    wanted = replace(call(user_agent="curl", authorization="Bearer x"), query="a=1&b=2&b=3")
    receive(made, wanted)
    assert made.inputs() == [
        {
            "body": {"n": 1},
            "headers": {"content-type": "application/json", "user-agent": "curl"},
            "query": {"a": "1", "b": ["2", "3"]},
            "method": "POST",
            "path": "orders",
        }
    ]


def test_with_inputs_the_run_gets_what_was_sent(made: Services) -> None:
    """A flow with `inputs` gets the body, checked against them; without a body the query."""
    inputs = "inputs: {type: object, required: [n]}\n"
    made.save(hook(inputs=inputs))
    made.save(hook("path: orders", "method: GET", name="get", inputs=inputs))
    receive(made, call())
    receive(made, replace(call(b"", method="GET"), query="n=7"))
    assert made.inputs() == [{"n": 1}, {"n": "7"}]
    with pytest.raises(InvalidInput) as refused:
        receive(made, call(b"{}"))
    assert refused.value.details["problems"]
    assert len(made.started()) == 2


def test_unknown_and_disabled_look_alike(made: Services) -> None:
    """auth-12: drafts, archived and deleted flows, other accounts and unknown paths all answer with the same error."""

    def refused(wanted: HookCall) -> str:
        with pytest.raises(NotFound) as refusal:
            receive(made, wanted)
        return str(refusal.value)

    flow = made.save(hook(), FlowStatus.DRAFT)
    messages = {refused(call())}
    made.flows.set_status(OWNER, flow, FlowStatus.ACTIVE)
    receive(made, call())
    for path in ("nowhere", "orders\0", "../orders", "orders/", "x" * 129, ""):
        messages.add(refused(call(path=path)))
    for account in ("other", "a\0b", "", f"{ACCOUNT}/orders"):
        messages.add(refused(replace(call(), account=AccountId(account))))
    made.flows.set_status(OWNER, flow, FlowStatus.ARCHIVED)
    messages |= {refused(call()), refused(call(method="GET"))}
    made.flows.delete(OWNER, flow, force=True)
    assert messages == {refused(call())}


def test_drafts_hold_no_path(made: Services) -> None:
    """A draft's hook does not answer, and its path can be taken by another flow, which then keeps it."""
    draft = made.save(hook(name="draft"), FlowStatus.DRAFT)
    with pytest.raises(NotFound):
        receive(made, call())
    made.save(hook())
    with pytest.raises(Conflict):
        made.flows.set_status(OWNER, draft, FlowStatus.ACTIVE)


def test_other_methods_are_named(made: Services) -> None:
    """auth-13: a path that is called with another method says with which."""
    made.save(hook())
    made.save(hook("path: orders", "method: PUT", name="put"))
    with pytest.raises(WrongMethod) as refused:
        receive(made, call(method="GET"))
    assert refused.value.allowed == ("POST", "PUT")


def test_a_path_belongs_to_one_flow(made: Services) -> None:
    """A second flow with the same path and method is refused before it is stored; another account has its own."""
    made.save(hook())
    with pytest.raises(Conflict, match="POST orders"):
        made.save(hook(name="second"))
    assert made.flows.by_name(ACCOUNT, "second") is None
    made.save(hook(name="second"), actor=STRANGER)
    receive(made, replace(call(), account=STRANGER.account))
    assert len(made.started(STRANGER.account)) == 1
    assert made.started() == []


def test_two_flows_that_race_for_a_path(made: Services) -> None:
    """Should two flows have passed the check at once, the store lets one have the path; the other's rest is made."""
    made.save(hook(name="first"))
    text = hook("path: free", name="second")
    second = made.save(text)
    document = made.engine.load(text.replace("path: free", "path: orders") + "").flow
    more = replace(document, triggers=(*document.triggers, {"type": "webhook", "path": "also", "method": "PUT"}))
    with pytest.raises(Conflict):
        made.paths.sync(ACCOUNT, second, more, active=True)
    assert [one.path for one in made.hooks.list(OWNER) if one.flow == second] == ["also"]


def test_saving_moves_hooks(made: Services) -> None:
    """The hooks are those of the newest document; what is the same is not written again."""
    flow = made.save(hook())
    entities = made.engine.parts.backend.entities
    before = entities.list(ACCOUNT, KIND, START)[0]
    made.save(hook(inputs="inputs: {type: object}\n"))
    assert entities.list(ACCOUNT, KIND, START)[0].rev == before.rev
    made.save(hook("path: new/orders", SIGNED, "respond: sync"))
    assert made.hooks.list(OWNER) == [
        Hook(ACCOUNT, flow, "new/orders", "POST", "standard-webhooks", "SIGNING", None, sync=True)
    ]
    made.save(hook("path: new/orders", "verify: {scheme: shared-secret, secret: SIGNING, header: X-Token}"))
    assert made.hooks.list(OWNER)[0].header == "X-Token"


def test_hooks_are_listed(made: Services) -> None:
    """Those of the account, page by page, with their addresses."""
    for name in "abc":
        made.save(hook(f"path: {name}", name=name))
    found = made.hooks.list(OWNER, limit=2)
    found += made.hooks.list(OWNER, after=found[-1].id)
    assert sorted(one.path for one in found) == ["a", "b", "c"]
    assert made.hooks.url(found[0]) == f"/hooks/{ACCOUNT}/{found[0].path}"
    assert made.hooks.list(STRANGER) == []
    with pytest.raises(Forbidden):
        made.hooks.list(Actor(ACCOUNT, "nobody", frozenset()))


def test_more_hooks_than_a_page(made: Services) -> None:
    """Flows with many hooks lose all of them."""
    flow = made.save(hook())
    document = made.engine.programs.get(ACCOUNT, flow, 1).flow
    many = replace(document, triggers=tuple({"type": "webhook", "path": f"p{number}"} for number in range(250)))
    made.paths.sync(ACCOUNT, flow, many, active=True)
    assert made.paths.find(ACCOUNT, "p249", "POST") is not None
    made.paths.forget(ACCOUNT, flow)
    assert made.hooks.list(OWNER) == []


def test_signed_hooks(made: Services) -> None:
    """A signed request is taken, an unsigned one starts nothing."""
    made.save(hook("path: orders", SIGNED))
    receive(made, signed())
    for bad in (call(), signed(key=b"x" * 32), replace(signed(), body=b'{"n": 2}')):
        with pytest.raises(BadSignature):
            receive(made, bad)
    assert len(made.started()) == 1
    assert made.inputs()[0]["headers"].keys() == {"content-type", "webhook-id", "webhook-timestamp"}


def test_refusals_are_recorded_once_a_day(made: Services) -> None:
    """A stranger can't fill the audit log: each reason is in it once a day per hook."""
    made.save(hook("path: orders", SIGNED))

    def refused() -> list[Any]:
        for _ in range(3):
            with pytest.raises(BadSignature):
                receive(made, call())
        return [one for one in made.audit.list(OWNER).records if one.action == "hook.refused"]

    assert len(refused()) == 1
    made.bench.clock.turn_to(START + 24 * HOUR)
    first = refused()
    assert len(first) == 2
    assert (first[0].target, first[0].details["reason"]) == ("POST orders", "missing_header")


def test_without_its_secret_a_hook_is_closed() -> None:
    """A secret that does not exist refuses everybody, and says to strangers what a wrong signature says."""
    with services() as made:
        made.save(hook("path: orders", SIGNED))
        with pytest.raises(BadSignature) as missing:
            receive(made, signed())
        assert missing.value.reason == "config"
        assert str(missing.value) == str(BadSignature("signature"))
        assert made.started() == []
        record = next(one for one in made.audit.list(OWNER).records if one.action == "hook.refused")
        assert record.details["reason"] == "config"


def test_a_message_that_comes_again(made: Services) -> None:
    """auth-03: the second delivery, newly signed, answers as the first did: one run."""
    made.save(hook("path: orders", SIGNED))
    first = receive(made, signed())
    made.bench.clock.turn_to(START + 600_000)
    second = receive(made, signed(moment=START // 1000 + 600))
    assert first == second
    assert made.hooks.reply(first) == made.hooks.reply(second)
    assert len(made.started()) == 1
    assert receive(made, signed(message="msg_2", moment=START // 1000 + 600)).run != first.run


def test_a_repetition_does_not_look_at_the_flow_again(made: Services) -> None:
    """A message that was taken is known even after the flow has changed so that it would refuse it."""
    made.save(hook("path: orders", SIGNED))
    first = receive(made, signed())
    made.save(hook("path: orders", SIGNED, inputs="inputs: {type: object, required: [other]}\n"))
    assert receive(made, signed()) == first


def test_a_run_that_was_deleted_does_not_come_back(made: Services) -> None:
    """For 72 hours a message starts nothing again, also when its run is gone by then."""
    made.save(hook("path: orders", SIGNED))
    first = receive(made, signed())
    made.bench.work()
    made.runs.delete(OWNER, first.run)
    assert receive(made, signed()) == first
    assert made.hooks.reply(first).status == 202
    assert made.started() == []


def test_messages_are_forgotten(made: Services) -> None:
    """After 72 hours what was known of a message is removed from the store."""
    made.save(hook("path: orders", SIGNED))
    receive(made, signed())
    entities = made.engine.parts.backend.entities
    assert len(entities.list(ACCOUNT, MESSAGE_KIND, START + 72 * HOUR - 1)) == 1
    assert entities.list(ACCOUNT, MESSAGE_KIND, START + 72 * HOUR) == []


def test_a_crash_before_the_message_is_remembered(made: Services) -> None:
    """A process that dies after starting the run leaves a retry that starts nothing."""
    made.save(hook("path: orders", SIGNED))
    first = receive(made, signed())
    entities = made.engine.parts.backend.entities
    for one in entities.list(ACCOUNT, MESSAGE_KIND, START):
        entities.delete(ACCOUNT, MESSAGE_KIND, one.id)
    assert receive(made, signed()) == first
    assert len(made.started()) == 1


def test_two_deliveries_at_once(made: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that take the same message at the same moment start one run."""
    made.save(hook("path: orders", SIGNED))
    other = over(made.bench)
    answers: list[Accepted] = []
    start = made.runs.start_triggered

    def start_behind_another(*given: Any) -> RunId:
        if not answers:
            answers.append(other.hooks.receive(signed()))
        return start(*given)

    monkeypatch.setattr(made.runs, "start_triggered", start_behind_another)
    assert receive(made, signed()) == answers[0]
    assert len(made.started()) == 1


def test_many_deliveries_at_once(made: Services) -> None:
    """Three messages, each delivered by twenty senders at the same time, newly signed: three runs."""
    made.save(hook("path: orders", SIGNED))
    wanted = [signed(message=f"msg_{number % 3}", moment=START // 1000 + number) for number in range(60)]
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(made.hooks.receive, wanted))
    assert len({one.run for one in taken}) == 3
    assert {one.run for one in taken} == set(made.started())


def test_a_refused_start_is_not_remembered(made: Services) -> None:
    """A message whose run could not start may come again and start it then."""
    made.save(hook("path: orders", SIGNED, inputs="inputs: {type: object, required: [other]}\n"))
    with pytest.raises(InvalidInput):
        receive(made, signed())
    made.save(hook("path: orders", SIGNED))
    receive(made, signed())
    assert len(made.started()) == 1


def test_unsigned_messages_may_have_ids(made: Services) -> None:
    """Where nothing is verified an Idempotency-Key tells a repetition; without one each request starts a run."""
    made.save(hook())
    keyed = call(idempotency_key="k-1")
    assert receive(made, keyed) == receive(made, keyed)
    assert receive(made, call()) != receive(made, call())
    assert len(made.started()) == 3


def test_quotas_hold_for_hooks() -> None:
    """Runs that hooks start count for the account's quota."""
    with services(quotas={"concurrent_runs": 1}) as made:
        made.save(hook())
        receive(made, call())
        with pytest.raises(QuotaExceeded):
            receive(made, call())


def test_concurrency_rejects(made: Services) -> None:
    """A flow that rejects runs over its limit answers with a conflict."""
    made.save(hook(more="concurrency: {max_runs: 1, on_limit: reject}\n"))
    receive(made, call())
    with pytest.raises(Conflict):
        receive(made, call())


def test_a_hook_is_throttled_by_address(made: Services) -> None:
    """Who calls a hook too often waits; others get in, and so does the same one at another hook."""
    made.save(hook())
    made.save(hook("path: other", name="other"))
    parts = made.engine.parts
    strict = HookService(made.engine, made.paths, made.runs, made.audit, HookSettings(per_minute=2))
    for _ in range(2):
        strict.receive(call())
    with pytest.raises(TooManyRequests) as refused:
        strict.receive(call())
    assert refused.value.retry_after == 30
    strict.receive(replace(call(), address="192.0.2.2"))
    strict.receive(call(path="other"))
    unlimited = HookService(made.engine, made.paths, made.runs, made.audit, HookSettings(per_minute=0))
    unlimited.receive(call())
    assert parts.clock.now() == START


@pytest.mark.parametrize(("text", "depth"), [("0", 0), ("10", 10), (" 3 ", 3)])
def test_the_depth_of_calls(made: Services, text: str, depth: int) -> None:
    """A run knows how many runs have called each other before it."""
    made.save(hook())
    accepted = receive(made, call(x_flowrunner_depth=text))
    assert made.runs.get(OWNER, accepted.run).facts.depth == depth


@pytest.mark.parametrize("text", ["11", "33", "-1", "1e1", "x", "99999"])
def test_circles_end(made: Services, text: str) -> None:
    """A call that is too deep, or does not say how deep it is, starts nothing."""
    made.save(hook())
    with pytest.raises(Conflict):
        receive(made, call(x_flowrunner_depth=text))
    assert made.started() == []


OUTPUTS = "outputs: {status: 201, headers: {X-Order: '17'}, body: {got: '${nodes.a.output}'}}\n"


def test_a_sync_hook_answers_with_the_output(made: Services) -> None:
    """When the run has ended its output is the answer: status, headers and body; a repetition answers the same."""
    made.save(hook("path: orders", SIGNED, "respond: sync", inputs="inputs: {type: object}\n", outputs=OUTPUTS))
    accepted = receive(made, signed())
    assert made.hooks.reply(accepted).status == 202
    made.bench.work()
    answer = made.hooks.reply(accepted)
    assert (answer.status, answer.headers["x-order"]) == (201, "17")
    assert json.loads(answer.content) == {"got": {"n": 1}}
    assert made.hooks.reply(receive(made, signed())) == answer


def test_an_async_hook_never_shows_the_output(made: Services) -> None:
    """Without `respond: sync` the answer says where to look, also after the run's end."""
    made.save(hook())
    accepted = receive(made, call(idempotency_key="1"))
    made.bench.work()
    assert made.hooks.reply(receive(made, call(idempotency_key="1"))) == made.hooks.reply(accepted)
    assert made.hooks.reply(accepted).status == 202


def test_a_sync_hook_whose_run_failed(made: Services) -> None:
    """A failed run answers 502 with its error's code and its id, and nothing of the error's text."""
    text = hook("path: orders", "respond: sync").replace("'${input}'", "\"${input.body.n.x.y + 'inside'}\"")
    made.save(text)
    accepted = receive(made, call())
    made.bench.work()
    answer = made.hooks.reply(accepted)
    error = json.loads(answer.content)["error"]
    assert (answer.status, error["code"]) == (502, "RUN_FAILED")
    assert error["details"] == {"run_id": accepted.run, "error_code": "EXPRESSION_ERROR"}
    assert error["correlation_id"] == "c-1"
    assert "inside" not in answer.content.decode()


def test_a_sync_hook_whose_run_was_cancelled(made: Services) -> None:
    """A cancelled run is a failure, too."""
    made.save(hook("path: orders", "respond: sync"))
    accepted = receive(made, call())
    made.runs.cancel(OWNER, accepted.run)
    error = json.loads(made.hooks.reply(accepted).content)["error"]
    assert error["details"]["error_code"] == "CANCELLED"


def test_a_flow_that_goes_out_of_service_meanwhile(made: Services) -> None:
    """A hook whose flow is gone by the time its run is to start answers as if it had never been."""
    made.save(hook())
    ghost = Hook(ACCOUNT, FlowId("gone"), "ghost", "POST")
    made.engine.parts.backend.entities.put(ghost.encode(), START)
    with pytest.raises(NotFound) as refused:
        receive(made, call(path="ghost"))
    with pytest.raises(NotFound) as unknown:
        receive(made, call(path="unknown"))
    assert str(refused.value) == str(unknown.value)
