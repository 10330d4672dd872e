"""The shared corpus of attacks on outbound webhooks, on endpoints and their deliveries."""

from __future__ import annotations

import html
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.errors import InvalidInput

from tests.attacks import attacks, needs_corpus
from tests.engine.harness import ACCOUNT, flow
from tests.servers import RecordingServer, Reply
from tests.services.outbound import DONE, OWNER, answering, post


@needs_corpus
@pytest.mark.parametrize("entry", attacks("corpus.json", "webhook_out"), ids=lambda entry: entry["id"])
def test_webhook_out_corpus(entry: dict[str, Any]) -> None:
    """Every entry on outbound webhooks of the shared corpus, on endpoints and their deliveries."""
    given = entry["input"]
    match entry["id"]:
        case "webhook_out-01":
            _denied_at_save_and_at_send(given["url"])
        case "webhook_out-02":
            _denied_at_send(given["url"], given["dns_at_save"], given["dns_at_send"])
        case "webhook_out-04":
            with post(answering(given["status"])) as p:
                endpoint = p.webhook().endpoint.id
                p.run(DONE)
                assert not p.out.webhooks.get(OWNER, endpoint).enabled
        case "webhook_out-05":
            with post(answering(given["status"], retry_after=given["retry-after"])) as p:
                endpoint = p.webhook().endpoint.id
                p.run(DONE)
                assert p.only(endpoint).next_try == p.now() + 3_600_000
        case "webhook_out-07":
            with post() as p:
                p.webhook()
                p.executor.hold = True
                run = p.run(DONE)
                assert p.bench.result(run).status == "completed"
                p.executor.release()
                assert p.receiver.requests[0].timeout <= 15
        case "webhook_out-08":
            body = given["response_body"].encode() * 1000
            with RecordingServer(lambda _: Reply(500, body)) as server, _loopback() as client, post(http=client) as p:
                endpoint = p.webhook(url=server.url).endpoint.id
                p.run(DONE)
                shown = p.only(endpoint).tries[0].response
                assert shown.startswith(html.escape(given["response_body"]))
                assert len(shown) <= 1024
                assert "<" not in shown
        case "webhook_out-10":
            with post(secrets={"TOKEN": "canary-7f3a91"}) as p:
                endpoint = p.webhook("step.log", "step.event", "step.failed").endpoint.id
                p.run(LEAKS)
                assert {one.type for one in p.to(endpoint)} == {"step.log", "step.event", "step.failed"}
                assert all(b"canary-7f3a91" not in (one.content or b"") for one in p.receiver.requests)
        case other:
            pytest.fail(f"the corpus has {other}, which this test does not know")


LEAKS = flow("""
a: {type: script, hooks: {exec: "log(secrets.TOKEN); emit('e', {v: secrets.TOKEN}); return 1"}, next: b}
b: {type: script, hooks: {exec: "throw new Error(secrets.TOKEN)"}}""")


def _loopback() -> Any:
    return closing(GuardedClient(Guard(["127.0.0.1"])))


def _denied_at_save_and_at_send(url: str) -> None:
    with closing(GuardedClient(Guard())) as client, post(http=client) as p:
        made = p.webhook().endpoint
        p.check.guard = Guard()
        with pytest.raises(InvalidInput, match="not public"):
            p.webhook(url=url)
        p.out.relay._endpoints.change(ACCOUNT, made.id, lambda one: replace(one, url=url))
        p.run(DONE)
        assert (p.only(made.id).tries[0].error or "").startswith("EGRESS_DENIED")


def _denied_at_send(url: str, at_save: list[str], at_send: list[str]) -> None:
    answers = iter([at_save])
    guard = Guard(resolver=lambda *_: next(answers, at_send))
    with closing(GuardedClient(guard)) as client, post(http=client) as p:
        p.check.guard = guard
        made = p.webhook(url=url).endpoint
        p.run(DONE)
        assert (p.only(made.id).tries[0].error or "").startswith("EGRESS_DENIED")
