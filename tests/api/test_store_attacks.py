"""Texts that mean something to a store, over HTTP: they are kept as they are, and do nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flowrunner.adapters.sqlite.backend import SqliteBackend

from tests.api.harness import HELLO, Service, service
from tests.api.pages import Entry
from tests.attacks import attacks, needs_corpus

SQL = (
    "name'); DROP TABLE runs;--",
    "' OR '1'='1",
    '" OR 1=1 --',
    "%",
    "_",
    "\\",
    "a\\%",
    "$1",
    "?1",
    ":name",
    "*",
    "[a-z]",
    "NULL",
    "--",
)


def literal(api: Service, given: str) -> None:
    """It goes in as a value, comes out as it was, and finds itself only, in every place that takes a text."""
    kept = 'metadata: {name: kept}\nnodes:\n  s: {type: store, params: {op: set, key: "${input}", value: "${input}"}, next: g}\n'
    kept += '  g: {type: store, params: {op: get, key: "${input}"}}\n'
    if api.call("GET", "/v1/flows?name=kept").json()["items"]:
        flow = api.call("GET", "/v1/flows?name=kept").json()["items"][0]
    else:
        flow = api.flow(kept)
    runs = len(api.call("GET", "/v1/runs?limit=100").json()["items"])
    wish = {"input": given, "labels": {"given": given}}
    run = api.call("POST", f"/v1/flows/{flow['id']}/runs", json=wish, headers={"Idempotency-Key": given})
    assert run.status_code == 202, run.text
    api.work()
    shown = api.call("GET", f"/v1/runs/{run.json()['id']}").json()
    assert (shown["status"], shown["output"]["g"]["value"], shown["labels"]["given"]) == ("completed", given, given)
    for path, params in (
        ("/v1/flows", {"q": f"nobody{given}"}), ("/v1/flows", {"name": given}), ("/v1/flows", {"label": f"team={given}"}), ("/v1/runs", {"flow": given}),
        ("/v1/audit", {"who": given}), ("/v1/audit", {"action": given}), ("/v1/schedules", {"flow": given}), ("/v1/webhooks", {"flow": given}),
    ):  # fmt: skip
        answer = api.call("GET", path, params=params)
        assert answer.status_code in (200, 400), (path, params)
        if answer.status_code == 200 and path != "/v1/webhooks":
            assert answer.json()["items"] == [], (path, params)
    for path in (
        "/v1/runs/{}",
        "/v1/flows/{}",
        "/v1/schedules/{}",
        "/v1/webhooks/{}",
        "/v1/users/{}",
        "/v1/tokens/{}",
        "/v1/secrets/{}",
    ):
        assert api.call("GET", path.format(quote(given, safe=""))).status_code in (400, 404), path
    assert api.client.post("/v1/session", json={"username": given, "password": given}).status_code == 401
    assert api.call("GET", "/v1/flows", role=None, headers={"Authorization": f"Bearer {given}"}).status_code == 401
    api.later(60_000)
    assert len(api.call("GET", "/v1/runs?limit=100").json()["items"]) == runs + 1


@pytest.fixture
def on_file(tmp_path: Path) -> Iterator[Service]:
    backend = SqliteBackend(tmp_path / "flows.db", "normal")
    backend.migrate()
    with service({"api": {"requests_per_account": 0, "requests_per_address": 0}}, backend=backend) as made:
        made.team()
        yield made


def no_expressions(api: Service, given: Mapping[str, Any]) -> None:
    """A filter is one of ours with a value, never an expression; a body that has one is refused."""
    api.start(api.flow()["id"], {"name": "x"})
    text = json.dumps(given)
    for params in ({"status": text}, {"since": text}, {"limit": text}, {"cursor": text}, {"until": "1=1"}):
        assert api.call("GET", "/v1/runs", params=params).status_code == 400, params
    for params in ({"sort": text}, {"sort": "name;drop"}, {"status": text}, {"label": "=x"}):
        assert api.call("GET", "/v1/flows", params=params).status_code == 400, params
    flow = api.call("GET", "/v1/flows").json()["items"][0]["id"]
    for field in ("filter", "where", "FilterExpression", "attribute_exists(x)"):
        assert api.call("POST", f"/v1/flows/{flow}/runs", json={field: given}).status_code == 400
        answer = api.call("GET", "/v1/runs", params={field: text})  # a parameter that nothing reads changes nothing
        assert len(answer.json()["items"]) == 1


@needs_corpus
@pytest.mark.parametrize(
    "entry",
    [entry for entry in attacks("corpus.json", "sql") if entry["id"] in ("sql-11", "sql-12")],
    ids=lambda entry: str(entry["id"]),
)
def test_attacks_on_our_own_store(on_file: Service, entry: Entry) -> None:
    """On SQLite, through the API."""
    if "sqlite_local" in entry["input"]:
        literal(on_file, entry["input"]["sqlite_local"])
    else:
        no_expressions(on_file, entry["input"]["dynamodb_filter"])


def test_texts_that_mean_something_to_a_store(on_file: Service) -> None:
    """Quotes, wildcards, placeholders: all of them are letters like others."""
    for given in SQL:
        literal(on_file, given)
    for name in ("under_score", "plain"):
        on_file.flow(HELLO.replace("hello", name))
    for query, names in (("_", ["under_score"]), ("%", []), ("*", []), ("plain", ["plain"]), ("p%n", [])):
        found = on_file.call("GET", "/v1/flows", params={"q": query}).json()["items"]
        assert [one["name"] for one in found] == names, query
