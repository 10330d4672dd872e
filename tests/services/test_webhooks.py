"""Endpoints: made, changed, rotated and deleted by people, or kept in step with the documents of flows."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.core.ids import AccountId, FlowId
from flowrunner.errors import Conflict, Forbidden, InvalidInput, NotFound, QuotaExceeded, StoreError
from flowrunner.services.endpoints import Endpoint
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.services.pace import Pace
from flowrunner.services.webhook_messages import check_headers
from flowrunner.services.webhooks import NewWebhook, WebhookChange

from tests.engine.harness import ACCOUNT, flow
from tests.services.outbound import OWNER, URL, VIEWER, Post, post

DONE = flow("a: {type: transform}")
OPERATOR = Actor(ACCOUNT, "olga", PERMISSIONS[Role.OPERATOR])
STRANGER = replace(OWNER, account=AccountId("theirs"))


def document(*webhooks: str) -> str:
    """A flow with these entries under `webhooks`."""
    return DONE.replace("nodes:", "webhooks:\n" + "".join(f"  - {one}\n" for one in webhooks) + "nodes:")


def followed(p: Post, text: str, *, active: bool = True) -> list[Endpoint]:
    """Check and sync a document as the flow service does; answers the flow's endpoints."""
    row = p.bench.engine.save_flow(ACCOUNT, text)
    program = p.bench.engine.programs.get(ACCOUNT, row.id, row.revision)
    p.out.webhooks.check(ACCOUNT, row.id, program.flow)
    p.out.webhooks.sync(ACCOUNT, row.id, program.flow, active=active)
    return list(p.out.webhooks.list(OWNER, row.id))


def problems(error: InvalidInput) -> list[str]:
    return [one["field"] for one in error.details["problems"]]


# -- by people ----------------------------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_kept_encrypted() -> None:
    """32 random bytes as the specification writes them; in no row of the store, and another one for each endpoint."""
    with post() as p:
        made = p.webhook("node.completed", "run.failed", "step.succeeded")
        raw = base64.b64decode(made.key.removeprefix("whsec_"))
        assert len(raw) == 32
        assert made.endpoint.events == ("step.succeeded", "run.failed")
        assert made.key != p.webhook().key
        store = p.bench.engine.parts.backend.entities
        rows = [one.body for kind in ("webhook", "secret", "audit") for one in store.list(ACCOUNT, kind, p.now())]
        forms = (made.key[6:].encode(), raw, raw.hex().encode(), base64.urlsafe_b64encode(raw))
        assert len(rows) > 4
        assert not [row for row in rows for form in forms if form in row]
        assert p.out.webhooks.get(VIEWER, made.endpoint.id) == made.endpoint


def test_a_key_opens_for_its_own_endpoint_only() -> None:
    """A row that is copied to another endpoint or account signs nothing."""
    with post() as p:
        mine, other = p.webhook().endpoint, p.webhook().endpoint
        store = p.bench.engine.parts.backend.entities
        row = store.get(ACCOUNT, "secret", f"webhook/{mine.id}/{mine.keys[0].id}", p.now())
        assert row is not None
        store.put(replace(row, id=f"webhook/{other.id}/{other.keys[0].id}"), p.now())
        p.run(DONE)
        assert len(p.receiver.requests) == 1
        assert (p.only(other.id).tries[0].error or "").startswith("SECRET_UNREADABLE")


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "example.com"}, "url"),
        ({"url": "https://example.com/" + "x" * 2048}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "http://169.254.169.254/latest"}, "url"),
        ({"url": "https://user:pw@example.com/"}, "url"),
        ({"url": "https://no-such-name.example/"}, "url"),
        ({"events": []}, "events"),
        ({"events": ["run.completed", "run.done"]}, "events[1]"),
        ({"events": ["webhook.test"]}, "events[0]"),
        ({"nodes": ["a"]}, "nodes"),
        ({"flow": "no-such-flow"}, "flow_id"),
        ({"description": "two\nlines"}, "description"),
        ({"description": "x" * 257}, "description"),
        ({"headers": {"Host": "evil.example"}}, "headers.Host"),
        ({"headers": {"X-Fine": "1", "Webhook-Id": "msg_1"}}, "headers.Webhook-Id"),
    ],
)
def test_what_is_refused(wish: dict[str, Any], field: str) -> None:
    """With the field that is wrong, and nothing is stored."""

    def resolve(host: str, _port: int, _seconds: float) -> Sequence[str]:
        if host.startswith("no-such"):
            raise OSError
        return ["93.184.216.34"]

    with post() as p:
        p.check.guard = Guard(resolver=resolve)
        with pytest.raises(InvalidInput) as caught:
            p.out.webhooks.create(OWNER, NewWebhook(**{"url": URL, "events": ["run.failed"], **wish}))
        assert problems(caught.value) == [field]
        assert p.out.webhooks.list(OWNER) == []
        assert p.acts() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "x"),
        ("Content-Type", "text/plain"),
        ("content-length", "0"),
        ("Webhook-Signature", "v1,x"),
        ("Transfer-Encoding", "chunked"),
        ("Proxy-Authorization", "x"),
        ("X-Flowrunner-Depth", "0"),
        ("User-Agent", "x"),
        ("X Y", "1"),
        ("X:Y", "1"),
        ("", "1"),
        ("X-Ü", "1"),
        ("X" * 65, "1"),
        ("X-A", "a\r\nHost: evil"),
        ("X-A", "ü"),
        ("X-A", "\x00"),
        ("X-A", " padded "),
        ("X-A", "x" * 2049),
    ],
)
def test_headers_that_are_refused(name: str, value: str) -> None:
    """Those that we set, those that frame the message, and those that no header may look like."""
    with pytest.raises(InvalidInput) as caught:
        check_headers({name: value})
    assert len(problems(caught.value)) == 1


def test_headers_that_are_fine() -> None:
    """Tokens of the receiver's own making, empty ones, and no more than twenty."""
    check_headers({"Authorization": "Bearer abc", "X-Empty": "", "x-team": "blue green"})
    check_headers({f"X-{number}": "1" for number in range(20)})
    with pytest.raises(InvalidInput, match="at most 20"):
        check_headers({f"X-{number}": "1" for number in range(21)})


def test_changing_an_endpoint() -> None:
    """What is given changes, the rest stays; a wrong change changes nothing."""
    with post() as p:
        made = p.webhook(headers={"X-A": "1"}, description="orders").endpoint
        p.turn(1_000)
        other = "https://other.example.com/"
        after = p.out.webhooks.update(OWNER, made.id, WebhookChange(url=other, events=["node.failed"]))
        assert after == replace(made, url=other, events=("step.failed",), updated_at=p.now())
        after = p.out.webhooks.update(OWNER, made.id, WebhookChange(headers={}, description="", nodes=[]))
        assert (dict(after.headers), after.description, after.url) == ({}, "", other)
        with pytest.raises(InvalidInput):
            p.out.webhooks.update(OWNER, made.id, WebhookChange(url="ftp://x", enabled=False))
        assert p.out.webhooks.get(OWNER, made.id) == after
        assert p.acts() == ["webhook.created", "webhook.changed", "webhook.changed"]


def test_enabling_forgets_why_it_was_disabled() -> None:
    """And since when it had failed, so that it gets its five days again."""
    with post() as p:
        made = p.webhook().endpoint
        p.out.relay._endpoints.change(
            ACCOUNT, made.id, lambda one: replace(one, enabled=False, disabled_reason="gone", failing_since=1)
        )
        assert p.out.webhooks.update(OWNER, made.id, WebhookChange(enabled=False)).disabled_reason == "gone"
        after = p.out.webhooks.update(OWNER, made.id, WebhookChange(enabled=True))
        assert (after.enabled, after.disabled_reason, after.failing_since) == (True, None, None)


def test_a_disabled_endpoint_cannot_be_tested() -> None:
    """It says what to do first."""
    with post() as p:
        made = p.webhook(enabled=False).endpoint
        with pytest.raises(Conflict, match="enable it"):
            p.out.webhooks.test(OWNER, made.id)


def test_a_test_event_is_sent_at_once() -> None:
    """Whatever events the endpoint has chosen; each test is a message of its own."""
    with post() as p:
        made = p.webhook("run.failed").endpoint
        sent = [p.out.webhooks.test(OWNER, made.id) for _ in range(3)]
        p.out.sender.send()
        bodies = [orjson.loads(one.content or b"") for one in p.receiver.requests]
        assert [body["type"] for body in bodies] == ["webhook.test"] * 3
        assert bodies[0]["data"] == {"webhook": made.id, "by": "ann"}
        assert len({one.id for one in sent}) == len(p.to(made.id)) == 3


def test_deleting_takes_the_keys_along() -> None:
    """Nothing of the endpoint is left, and it is gone for everybody."""
    with post() as p:
        made = p.webhook().endpoint
        p.out.webhooks.rotate(OWNER, made.id)
        p.out.webhooks.delete(OWNER, made.id)
        store = p.bench.engine.parts.backend.entities
        assert store.list(ACCOUNT, "secret", p.now(), prefix="webhook/") == []
        with pytest.raises(NotFound):
            p.out.webhooks.get(OWNER, made.id)
        assert p.acts()[-1] == "webhook.deleted"


def test_who_may_do_what() -> None:
    """A viewer and an operator may look; changing anything, retrying and testing need `webhooks:write`."""
    with post() as p:
        made = p.webhook().endpoint.id
        for actor in (VIEWER, OPERATOR):
            assert p.out.webhooks.get(actor, made).id == made
            assert len(p.out.webhooks.list(actor)) == 1
            assert p.out.deliveries.list(actor, made) == []
            for act in (
                lambda one: p.out.webhooks.create(one, NewWebhook(URL, ["run.failed"])),
                lambda one: p.out.webhooks.update(one, made, WebhookChange(enabled=False)),
                lambda one: p.out.webhooks.delete(one, made),
                lambda one: p.out.webhooks.rotate(one, made),
                lambda one: p.out.webhooks.test(one, made),
                lambda one: p.out.deliveries.retry(one, made, "msg_1"),
            ):
                with pytest.raises(Forbidden):
                    act(actor)
        nobody = Actor(ACCOUNT, "nobody", frozenset())
        for look in (
            lambda: p.out.webhooks.get(nobody, made),
            lambda: p.out.webhooks.list(nobody),
            lambda: p.out.deliveries.list(nobody, made),
            lambda: p.out.deliveries.get(nobody, made, "msg_1"),
        ):
            with pytest.raises(Forbidden):
                look()


def test_another_account_sees_nothing() -> None:
    """Its ids answer as missing ones do."""
    with post() as p:
        made = p.webhook().endpoint.id
        for act in (
            lambda: p.out.webhooks.get(STRANGER, made),
            lambda: p.out.webhooks.update(STRANGER, made, WebhookChange(enabled=False)),
            lambda: p.out.webhooks.delete(STRANGER, made),
            lambda: p.out.webhooks.rotate(STRANGER, made),
            lambda: p.out.webhooks.test(STRANGER, made),
            lambda: p.out.deliveries.list(STRANGER, made),
        ):
            with pytest.raises(NotFound):
                act()
        assert p.out.webhooks.list(STRANGER) == []
        row = p.bench.engine.save_flow(ACCOUNT, DONE)
        with pytest.raises(InvalidInput, match="no such flow"):
            p.out.webhooks.create(STRANGER, NewWebhook(URL, ["run.failed"], flow=row.id))


def test_pages_and_scopes_of_lists() -> None:
    """By id, from behind the last one of the page before; those of one flow when it is named."""
    with post() as p:
        row = p.bench.engine.save_flow(ACCOUNT, DONE)
        mine = p.webhook(flow=row.id).endpoint
        ids = sorted([mine.id, *(p.webhook().endpoint.id for _ in range(4))])
        first = p.out.webhooks.list(OWNER, limit=2)
        rest = p.out.webhooks.list(OWNER, after=first[-1].id, limit=10)
        assert [one.id for one in (*first, *rest)] == ids
        assert list(p.out.webhooks.list(OWNER, row.id)) == [mine]


def test_the_quota_counts_what_people_have_made() -> None:
    """Endpoints of documents come with their flows, which have a quota of their own."""
    with post() as p:
        counted: list[int] = []

        def check(account: AccountId, count: Any) -> None:
            counted.append(count())
            if counted[-1] >= 2:
                raise QuotaExceeded

        p.out.webhooks._check_count = check
        followed(p, document(f"{{url: '{URL}', events: [run.failed]}}"))
        p.webhook()
        p.webhook()
        with pytest.raises(QuotaExceeded):
            p.webhook()
        assert counted == [0, 1, 2]


def test_two_who_change_an_endpoint_at_once_both_count() -> None:
    """A change is made to what is there then; one that never gets through says so."""
    with post() as p:
        made = p.webhook().endpoint
        endpoints = p.out.relay._endpoints
        tries: list[int] = []

        def slow(found: Endpoint) -> Endpoint:
            if not tries:
                p.out.webhooks.update(OWNER, made.id, WebhookChange(description="meanwhile"))
            tries.append(1)
            return replace(found, failing_since=5)

        endpoints.change(ACCOUNT, made.id, slow)
        after = p.out.webhooks.get(OWNER, made.id)
        assert (after.description, after.failing_since, len(tries)) == ("meanwhile", 5, 2)

        def never(found: Endpoint) -> Endpoint:
            endpoints.change(ACCOUNT, made.id, lambda one: replace(one, updated_at=one.updated_at + 1))
            return found

        with pytest.raises(StoreError):
            endpoints.change(ACCOUNT, made.id, never)


# -- of documents -------------------------------------------------------------------------------------------------------

ONE = "{url: 'https://one.example.com/', events: [node.completed], nodes: [a], headers: {X-A: '1'}, secret: KEY}"
TWO = "{url: 'https://two.example.com/', events: [run.completed]}"


def test_a_document_makes_its_endpoints() -> None:
    """As it says, with the names that events are sent under; saving it again changes nothing."""
    with post() as p:
        one, two = sorted(followed(p, document(ONE, TWO)), key=lambda found: found.url)
        assert (one.events, one.nodes, dict(one.headers), one.secret) == (
            ("step.succeeded",),
            ("a",),
            {"X-A": "1"},
            "KEY",
        )
        assert (two.secret, two.signed, two.document, two.enabled) == (None, False, True, True)
        p.turn(1_000)
        assert sorted(followed(p, document(TWO, ONE)), key=lambda found: found.url) == [one, two]


def test_a_document_that_changes_changes_them() -> None:
    """The same URL is the same endpoint, with its history; what is not there any more goes; others stay."""
    with post() as p:
        before = {one.url: one for one in followed(p, document(ONE, TWO))}
        own = p.webhook(flow=before["https://one.example.com/"].flow).endpoint
        p.turn(1_000)
        after = {one.url: one for one in followed(p, document(ONE.replace("[a]", "[]")))}
        changed = after.pop("https://one.example.com/")
        assert after == {URL: own}
        assert changed == replace(before["https://one.example.com/"], nodes=(), updated_at=p.now())


def test_equal_urls_of_a_document_are_told_apart() -> None:
    """By their order, so that both are kept."""
    with post() as p:
        same = "{url: 'https://two.example.com/', events: [run.failed]}"
        found = followed(p, document(TWO, same))
        assert sorted(one.events for one in found) == [("run.completed",), ("run.failed",)]


def test_an_endpoint_of_a_document_can_only_be_switched() -> None:
    """And stays off, whatever is saved, until somebody switches it on."""
    with post() as p:
        (one,) = followed(p, document(TWO))
        p.out.webhooks.update(OWNER, one.id, WebhookChange(enabled=False))
        (after,) = followed(p, document(TWO.replace("completed", "failed")))
        assert (after.id, after.enabled, after.events) == (one.id, False, ("run.failed",))
        for act in (
            lambda: p.out.webhooks.update(OWNER, one.id, WebhookChange(url=URL)),
            lambda: p.out.webhooks.update(OWNER, one.id, WebhookChange(enabled=True, headers={})),
            lambda: p.out.webhooks.delete(OWNER, one.id),
            lambda: p.out.webhooks.rotate(OWNER, one.id),
        ):
            with pytest.raises(Conflict):
                act()
        assert p.out.webhooks.update(OWNER, one.id, WebhookChange(enabled=True)).enabled


def test_a_flow_that_is_not_active_is_told_of_still() -> None:
    """Runs that are under way go on, and their end is told."""
    with post() as p:
        assert [one.enabled for one in followed(p, document(TWO), active=False)] == [True]


def test_a_deleted_flow_takes_its_endpoints_along() -> None:
    """Those of its document and those that people made for it, with their keys; the account's stay."""
    with post() as p:
        (one,) = followed(p, document(TWO))
        flow_id = FlowId(one.id.partition(".")[0])
        p.webhook(flow=flow_id)
        whole = p.webhook().endpoint
        p.out.webhooks.forget(ACCOUNT, flow_id)
        p.out.webhooks.forget(ACCOUNT, flow_id)
        assert list(p.out.webhooks.list(OWNER)) == [whole]
        keys = p.bench.engine.parts.backend.entities.list(ACCOUNT, "secret", p.now(), prefix="webhook/")
        assert len(keys) == 1


def test_a_document_is_checked_before_it_is_saved() -> None:
    """All that is wrong is told at once, each with its place; a host that does not resolve just now is let pass."""

    def resolve(host: str, _port: int, _seconds: float) -> Sequence[str]:
        if host.startswith("away"):
            raise OSError
        return ["10.0.0.7"] if host.startswith("inner") else ["93.184.216.34"]

    with post() as p:
        p.check.guard = Guard(resolver=resolve)
        followed(p, document("{url: 'https://away.example.com/', events: [run.failed]}", TWO))
        with pytest.raises(InvalidInput) as caught:
            followed(
                p,
                document(
                    "{url: 'https://inner.example.com/', events: [run.failed]}",
                    "{url: 'https://fine.example.com/', events: [run.failed], headers: {Host: x, X-A: ' y'}}",
                ),
            )
        assert problems(caught.value) == ["webhooks[0].url", "webhooks[1].headers.Host", "webhooks[1].headers.X-A"]
        assert len(p.out.webhooks.list(OWNER)) == 2


# -- slots --------------------------------------------------------------------------------------------------------------


def test_slots_are_given_out_at_the_rate() -> None:
    """The burst at once, then one per interval; time that passed unused gives the burst back, and no more."""
    pace = Pace(burst=3)
    assert [pace.reserve("a", 1_000, 100) for _ in range(5)] == [1_000, 1_000, 1_000, 1_100, 1_200]
    assert pace.reserve("b", 1_000, 100) == 1_000
    assert [pace.reserve("a", 90_000, 100) for _ in range(4)] == [90_000, 90_000, 90_000, 90_100]


def test_only_so_many_keys_are_remembered() -> None:
    """The one that was used longest ago begins anew."""
    pace = Pace(max_keys=2)
    for key in "abc":
        pace.reserve(key, 0, 1_000)
    assert pace.reserve("c", 0, 1_000) == 1_000
    assert pace.reserve("a", 0, 1_000) == 0


def test_slow_names_do_not_hold_up_a_document() -> None:
    """A hundred of them, five seconds each: after the first every send is what finds out."""
    with post() as p:
        asked: list[str] = []

        def slow(host: str, port: int, seconds: float) -> list[str]:
            asked.append(host)
            p.turn(int(seconds * 1000) + 1)
            raise OSError

        p.check.guard = Guard((), slow)
        text = document(*(f'{{url: "https://h{n}.example.com", events: [run.failed]}}' for n in range(100)))
        assert len(followed(p, text)) == 50, "a page of them"
        assert asked == ["h0.example.com"]
