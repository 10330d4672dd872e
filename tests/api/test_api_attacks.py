"""Requests that mean two things, come at once, or come again: the corpus about the API, and more of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.ports.runs import RunRow
from flowrunner.services.live_accounts import known_runs, new_runs

from tests.api.harness import HELLO, Service, service
from tests.api.test_tenant_attacks import bodies, flipped, limits
from tests.attacks import attacks, needs_corpus
from tests.services.outbound import Here, Receiver

Entry = Mapping[str, Any]
YAML = {"Content-Type": "application/yaml"}
BAD_JSON = (
    "[" * 10_000 + "]" * 10_000,
    '{"a":' * 10_000 + "1" + "}" * 10_000,
    "[" * 65 + "]" * 65,
    "1e400",
    "-1e400",
    "1" + "0" * 4_000,
    "NaN",
    "-Infinity",
    '{"a": 1, "a": 2}',
    '{"a": 1, "\\u0061": 2}',
    '{"b": {"a": 1, "a": 1}}',
    '"\\udc00"',
)
"""Values that readers of JSON disagree about, or that no reader should try."""

WORDS = ("NaN", "-Infinity")


@pytest.fixture
def api() -> Iterator[Service]:
    with service({"api": {"requests_per_account": 0, "requests_per_address": 0}}) as made:
        made.team("other")
        yield made


def put(api: Service, flow: Mapping[str, Any], value: str, **headers: str | bytes) -> int:
    """The status of a PUT of another revision."""
    text = HELLO.replace("hi ", f"hi {value} ")
    return int(api.call("PUT", f"/v1/flows/{flow['id']}", content=text, headers={**YAML, **headers}).status_code)


def runs(api: Service, team: str = "acme") -> int:
    return len(api.call("GET", "/v1/runs", team=team).json()["items"])


# -- what is done for each entry ------------------------------------------------------------------------------------


def cursors(api: Service, entry: Entry) -> None:
    """Of another account, of another list, changed: for every list that has a second page here."""
    flipped(api, entry)
    for number in range(2):
        api.flow(HELLO.replace("hello", f"theirs{number}"), team="other")
    flow = api.call("GET", "/v1/flows").json()["items"][0]["id"]
    for _ in range(2):
        api.start(flow, {"name": "x"})
    lists = ("/v1/flows", "/v1/runs", "/v1/users", "/v1/tokens", "/v1/audit")
    ours = {path: api.call("GET", f"{path}?limit=1").json()["next_cursor"] for path in lists}
    assert all(ours.values())
    for path, cursor in ours.items():
        assert api.call("GET", path, params={"limit": 1, "cursor": cursor}).status_code == 200
        assert api.call("GET", path, team="other", params={"limit": 1, "cursor": cursor}).status_code == 400
        for other in lists:
            if other != path:
                assert api.call("GET", other, params={"limit": 1, "cursor": cursor}).status_code == 400, (path, other)


def capped(api: Service, _: Entry) -> None:
    """By every list, as tenant-17 asks."""
    limits(api, {"input": {"list": "/v1/runs?limit=1000000"}})


def bad_json(api: Service, _: Entry) -> None:
    """By every operation that takes JSON, whether the request says that it is JSON or says nothing."""
    flow = api.flow()
    operations = [*bodies(api), ("POST", f"/v1/flows/{flow['id']}/runs"), ("PUT", "/v1/secrets/KEY")]
    for method, path in operations:
        for kind in ("application/json", "application/merge-patch+json; charset=utf-8", None):
            headers = {"Content-Type": kind} if kind else {}
            for value in BAD_JSON:
                body = f'{{"input": {value}, "value": "text", "labels": {{}}}}'
                answer = api.call(method, path, content=body.encode(), headers=headers)
                # Operations that take little may refuse a long body for its length, which is before its depth.
                refusals = {400} if len(body) < 4_000 or path.endswith(f"{flow['id']}/runs") else {400, 413}
                assert answer.status_code in refusals, (method, path, kind, value[:40])
                assert len(answer.text) < 4_000
    for value in BAD_JSON:
        document = f'{{"metadata": {{"name": "x"}}, "nodes": {{"a": {{"type": "transform", "params": {{"value": {value}}}}}}}}}'
        for method, path in (("POST", "/v1/flows"), ("PUT", f"/v1/flows/{flow['id']}")):
            for kind in ("application/json", "application/yaml"):
                answer = api.call(method, path, content=document, headers={"Content-Type": kind})
                # A document is YAML, in which JSON's constants are words like others.
                assert answer.status_code == 400 or value in WORDS, (kind, value[:40])
    assert runs(api) == 0


def stale(api: Service, _: Entry) -> None:
    """`*` is whatever there is; a revision that is no longer the newest is refused, in whatever form it comes."""
    flow = api.flow()
    assert put(api, flow, "one", **{"If-Match": "*"}) == 200
    for tag in ('"1"', "1", 'W/"2"', '"2", "3"', '"3"', '"-2"', '"٢"', '"2e0"', '""', "**", '"' + "9" * 400 + '"'):
        assert put(api, flow, "two", **{"If-Match": tag.encode()}) == 412, tag
    assert api.call("GET", f"/v1/flows/{flow['id']}").json()["revision"] == 2
    assert put(api, flow, "two", **{"If-Match": '"2"'}) == 200
    assert api.call("PUT", "/v1/flows/nobody", content=HELLO, headers={**YAML, "If-Match": "*"}).status_code == 404


def one_wins(api: Service, _: Entry) -> None:
    """Of two, and of eight."""
    for number, racers in enumerate([2, 2, 2, 8]):
        flow = api.flow(HELLO.replace("hello", f"raced-{number}"))

        def change(value: int, flow: Mapping[str, Any] = flow, number: int = number) -> int:
            text = HELLO.replace("hello", f"raced-{number}").replace("hi ", f"hi {value} ")
            headers = {**YAML, "If-Match": '"1"'}
            return int(api.call("PUT", f"/v1/flows/{flow['id']}", content=text, headers=headers).status_code)

        with ThreadPoolExecutor(racers) as pool:
            assert sorted(pool.map(change, range(racers))) == [200, *[412] * (racers - 1)]
        assert api.call("GET", f"/v1/flows/{flow['id']}").json()["revision"] == 2


def another_body(api: Service, _: Entry) -> None:
    """Another input, revision or labels: told so, and nothing starts. A key belongs to its flow."""
    flow, second = api.flow(), api.flow(HELLO.replace("hello", "second"))
    key = {"Idempotency-Key": "once"}
    path = f"/v1/flows/{flow['id']}/runs"
    first = api.call("POST", path, json={"input": {"name": "x"}}, headers=key)
    assert first.status_code == 202
    for where, body in (
        (path, {"input": {"name": "y"}}),
        (path, {}),
        (path, {"input": {"name": "x"}, "revision": 1}),
        (path, {"input": {"name": "x"}, "labels": {"a": "b"}}),
    ):
        answer = api.call("POST", where, json=body, headers=key)
        assert answer.status_code == 409, body
    again = api.call(
        "POST", path, content=b'{ "input" :{"name":"x"} }', headers={**key, "Content-Type": "application/json"}
    )
    assert again.json()["id"] == first.json()["id"]
    assert runs(api) == 1
    other = api.call("POST", f"/v1/flows/{second['id']}/runs", json={"input": {"name": "y"}}, headers=key)
    assert other.status_code == 202
    assert other.json()["flow"]["id"] == second["id"]


ATTACKS: Mapping[str, Callable[[Service, Entry], None]] = {
    "auth-31": cursors,
    "auth-32": capped,
    "auth-33": bad_json,
    "auth-34": stale,
    "auth-35": one_wins,
    "auth-36": another_body,
}


@needs_corpus
@pytest.mark.parametrize("entry", attacks("webhooks_and_auth.json", "api"), ids=lambda entry: str(entry["id"]))
def test_attacks_on_the_api(api: Service, entry: Entry) -> None:
    """Every entry ends as the corpus says; a new one fails until it is run."""
    ATTACKS[entry["id"]](api, entry)


# -- more of the same kind ------------------------------------------------------------------------------------------


@pytest.fixture
def on_file(tmp_path: Path) -> Iterator[Service]:
    """The service on SQLite, where several threads really write at once."""
    backend = SqliteBackend(tmp_path / "flows.db", "normal")
    backend.migrate()
    with service(backend=backend) as made:
        made.team()
        yield made


def test_one_key_used_at_once_starts_one_run(on_file: Service) -> None:
    """With one body all get the same run; with several, one body wins and the others are told."""
    flow = on_file.flow()["id"]

    def start(key: str, name: str) -> tuple[int, str]:
        answer = on_file.call(
            "POST", f"/v1/flows/{flow}/runs", json={"input": {"name": name}}, headers={"Idempotency-Key": key}
        )
        return answer.status_code, answer.json().get("id", "")

    with ThreadPoolExecutor(8) as pool:
        same = list(pool.map(lambda _: start("same", "x"), range(8)))
        assert len(set(same)) == 1
        assert same[0][0] == 202
        mixed = list(pool.map(lambda number: start("mixed", str(number % 2)), range(8)))
    assert {status for status, _ in mixed} == {202, 409}
    assert len({run for status, run in mixed if status == 202}) == 1
    assert runs(on_file) == 2


def test_one_change_wins_on_a_file_too(on_file: Service) -> None:
    """auth-35 where writers wait for each other."""
    one_wins(on_file, {})


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_keys_that_are_none(api: Service, key: str) -> None:
    """Refused instead of taken for the same one by everybody."""
    flow = api.flow()["id"]
    answer = api.call("POST", f"/v1/flows/{flow}/runs", json={"input": {"name": "x"}}, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert runs(api) == 0


def test_a_key_is_not_used_up_by_a_request_that_was_refused(api: Service) -> None:
    """The corrected request starts the run; the same one later is answered with it, whatever the flow takes by then."""
    takes = "inputs: {type: object, required: [name], properties: {name: {type: string}}}\nnodes:"
    flow = api.flow(HELLO.replace("nodes:", takes))
    path, key = f"/v1/flows/{flow['id']}/runs", {"Idempotency-Key": "once"}
    for body in ({}, {"input": {"name": 5}}):
        assert api.call("POST", path, json=body, headers=key).status_code == 400
    good = {"input": {"name": "x"}}
    first = api.call("POST", path, json=good, headers=key)
    assert first.status_code == 202
    stricter = HELLO.replace("nodes:", takes.replace("string", "integer"))
    assert api.call("PUT", f"/v1/flows/{flow['id']}", content=stricter, headers=YAML).status_code == 200
    again = api.call("POST", path, json=good, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert api.call("POST", path, json={"input": {"name": 5}}, headers=key).status_code == 409
    assert runs(api) == 1


def test_keys_are_texts(api: Service) -> None:
    """Whatever is in them, they differ when they are written differently."""
    flow = api.flow()["id"]
    keys = ["a", "A", "a/b", "a%2Fb", "a'); DROP TABLE runs;--", "é", "a\x7f", "../a", "a,b", '"a"', "*", "0", "00"]
    for key in keys:
        answer = api.call(
            "POST",
            f"/v1/flows/{flow}/runs",
            json={"input": {"name": "x"}},
            headers={"Idempotency-Key": key.encode()},
        )
        assert answer.status_code in (202, 400), key
    assert runs(api) >= len(keys) - 2


def test_two_deletes_and_two_cancels_at_once(on_file: Service) -> None:
    """One does it, the other is told that it is done."""
    asks = "metadata: {name: asks}\nnodes: {ok: {type: approval, params: {message: ship?}}}\n"
    flow = on_file.flow(asks)["id"]
    run = on_file.start(flow)

    def call(method: str, path: str) -> int:
        return int(on_file.call(method, path).status_code)

    with ThreadPoolExecutor(4) as pool:
        cancelled = sorted(pool.map(lambda _: call("POST", f"/v1/runs/{run}/cancel"), range(4)))
        assert cancelled == [200, 409, 409, 409]
        deleted = sorted(pool.map(lambda _: call("DELETE", f"/v1/runs/{run}"), range(4)))
        assert deleted[0] == 204
        assert set(deleted) <= {204, 404}
    assert call("GET", f"/v1/runs/{run}") == 404


def test_a_header_or_field_that_is_there_twice_is_not_believed_twice(api: Service) -> None:
    """Two credentials, two lengths of a list, two revisions: one meaning or none."""
    reader = api.call("POST", "/v1/tokens", json={"name": "r", "scopes": ["runs:read"]}).json()["token"]
    owner = next(iter(api.team().headers().values()))
    for headers in (
        [("Authorization", f"Bearer {reader}"), ("Authorization", owner)],
        [("Authorization", f"Bearer {reader}, {owner}")],
        [("Authorization", f"Bearer {reader} {owner}")],
    ):
        answer = api.client.post("/v1/flows", content=HELLO, headers=headers)
        assert answer.status_code in (401, 403), headers
    assert api.call("GET", "/v1/flows").json()["items"] == []
    flow = api.flow()
    tags = [*api.team().headers().items(), *YAML.items(), ("If-Match", '"9"'), ("If-Match", '"1"')]
    answer = api.client.put(f"/v1/flows/{flow['id']}", content=HELLO.replace("hi", "ho"), headers=tags)
    assert answer.status_code == 412


@pytest.mark.parametrize("head", [b'{"v": 99}', b"", b"{", b"null", b'{"v": 1, "st": 5}'])
def test_a_run_that_this_server_cannot_read_hides_no_other(head: bytes) -> None:
    """queue-02 for all who read: a newer program's run is listed by its row; others are listed, told and delivered."""
    receiver = Receiver()
    with service(http=receiver) as api:
        flow = api.flow()["id"]
        api.call("POST", "/v1/webhooks", json={"url": "http://example.com/", "events": ["run.completed"]})
        runs, history = api.platform.engine.parts.backend.runs, api.platform.engine.parts.backend.history
        load, listed = runs.load, history.runs
        bad = api.call("POST", f"/v1/flows/{flow}/runs", json={"input": {"name": "x"}}).json()["id"]

        def changed(rows: Sequence[RunRow | None]) -> Sequence[Any]:
            return [replace(row, head=head) if row is not None and row.id == bad else row for row in rows]

        runs.load = lambda keys: changed(load(keys))  # type: ignore[method-assign]  # what the store would have
        history.runs = lambda *args: changed(listed(*args))  # type: ignore[method-assign]  # the same
        good = [api.start(flow, {"name": str(number)}) for number in range(3)]
        first = api.call("GET", "/v1/runs?limit=2").json()
        rest = api.call("GET", f"/v1/runs?limit=2&cursor={first['next_cursor']}").json()
        assert [one["id"] for one in first["items"] + rest["items"]] == [*reversed(good), bad]
        assert rest["items"][-1]["flow"]["id"] == flow
        for path in (f"/v1/runs/{bad}", f"/v1/runs/{bad}/events"):
            answer = api.call("GET", path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL"), path
        known = known_runs(history, api.team().account, api.clock.now())
        known.live.clear()
        assert {row.id for row, _ in new_runs(history, runs, known, api.clock.now())} == set(good)
        api.platform.outbound.sender._pool = Here()
        for _ in range(5):
            api.platform.outbound.relay.sweep()
            api.platform.outbound.sender.send()
            api.later(5_000)
        assert len(receiver.requests) == len(good)
