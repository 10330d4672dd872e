"""Secrets over HTTP: values come in and never go out."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.services.identity import Role

from tests.api.harness import Service, service

VALUE = "hunter2-hunter2"


@pytest.fixture
def api() -> Any:
    with service() as made:
        yield made


def test_a_secret_is_set_shown_and_removed(api: Service) -> None:
    """With its times and version, without its value."""
    made = api.call("PUT", "/v1/secrets/API_KEY", json={"value": VALUE})
    assert made.status_code == 200
    assert made.json() == {
        "key": "API_KEY",
        "version": 1,
        "created_at": "2026-01-01T00:00:00.000Z",
        "updated_at": "2026-01-01T00:00:00.000Z",
        "used_at": None,
    }
    assert api.call("GET", "/v1/secrets/API_KEY").json() == made.json()
    assert api.call("PUT", "/v1/secrets/API_KEY", json={"value": "other"}).json()["version"] == 2
    assert api.call("DELETE", "/v1/secrets/API_KEY").status_code == 204
    for method in ("GET", "DELETE"):
        assert api.call(method, "/v1/secrets/API_KEY").status_code == 404


def test_secrets_are_listed_in_pages(api: Service) -> None:
    """By name, the last page without a cursor."""
    for name in ("B", "A", "C"):
        api.call("PUT", f"/v1/secrets/{name}", json={"value": VALUE})
    first = api.call("GET", "/v1/secrets?limit=2").json()
    assert [one["key"] for one in first["items"]] == ["A", "B"]
    second = api.call("GET", f"/v1/secrets?limit=2&cursor={first['next_cursor']}").json()
    assert ([one["key"] for one in second["items"]], second["next_cursor"]) == (["C"], None)


def test_a_run_reads_what_was_set(api: Service) -> None:
    """Another team's secret of the same name is another one; the read is recorded once, and shown as last use."""
    api.call("PUT", "/v1/secrets/API_KEY", json={"value": VALUE})
    api.call("PUT", "/v1/secrets/API_KEY", team="other", json={"value": "their-value-here"})
    text = (
        "metadata: {name: reads}\n"
        'nodes: {a: {type: transform, params: {value: "${hash.sha256(secrets.API_KEY)}"}, next: b},'
        ' b: {type: transform, params: {value: "${nodes.a.output + hash.sha256(secrets.API_KEY)}"}}}\n'
    )
    outputs = set()
    for team in ("acme", "other"):
        run = api.start(api.flow(text, team=team)["id"], team=team)
        outputs.add(api.call("GET", f"/v1/runs/{run}", team=team).json()["output"]["b"])
        records = api.call("GET", "/v1/audit?action=secret.read", team=team).json()["items"]
        assert [(one["who"], one["target"]) for one in records] == [(f"run:{run}", "API_KEY")]
        assert api.call("GET", "/v1/secrets/API_KEY", team=team).json()["used_at"] == "2026-01-01T00:00:00.000Z"
    assert len(outputs) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("A-B", {"value": VALUE}),
        ("1", {"value": VALUE}),
        ("A%0AB", {"value": VALUE}),
        ("A%E2%80%AEB", {"value": VALUE}),
        ("A" * 129, {"value": VALUE}),
        ("A", {"value": "abc"}),
        ("A", {"value": VALUE * 10_000}),
        ("A", {"value": "€" * 65_000}),
        ("A", {"value": 5}),
        ("A", {"value": None}),
        ("A", {"value": [VALUE]}),
        ("A", {}),
        ("A", {"value": VALUE, "account": "other"}),
        ("A", VALUE),
    ],
)
def test_what_is_no_secret_is_refused(api: Service, path: str, body: Any) -> None:
    """With 400, naming the field, and without repeating the value."""
    answer = api.call("PUT", f"/v1/secrets/{path}", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"
    assert "hunter2" not in answer.text
    assert api.call("GET", "/v1/secrets").json()["items"] == []


def test_an_import_sets_all_or_nothing(api: Service) -> None:
    """A text with problems is told them all, by line."""
    good = {"format": "dotenv", "text": f"A={VALUE}\nB={VALUE}\n"}
    assert api.call("POST", "/v1/secrets/import", json=good).json() == {"created": ["A", "B"], "updated": []}
    as_json = {"format": "json", "text": f'{{"B": "{VALUE}", "C": "{VALUE}"}}'}
    assert api.call("POST", "/v1/secrets/import", json=as_json).json() == {"created": ["C"], "updated": ["B"]}
    bad = api.call("POST", "/v1/secrets/import", json={"format": "dotenv", "text": f"D={VALUE}\nE=x\n1F={VALUE}"})
    assert bad.status_code == 400
    details = bad.json()["error"]["details"]
    assert [(one["line"], one["field"]) for one in details] == [(2, "E"), (3, "text")]
    assert "hunter2" not in bad.text
    assert [one["key"] for one in api.call("GET", "/v1/secrets").json()["items"]] == ["A", "B", "C"]
    assert api.call("POST", "/v1/secrets/import", json={"format": "yaml", "text": "A: b"}).status_code == 400


def test_a_rotation_says_what_it_did(api: Service) -> None:
    """Twice within a day the key stays, since it is everybody's."""
    api.call("PUT", "/v1/secrets/A", json={"value": VALUE})
    api.clock.turn_to(api.clock.now() + 2 * 86_400_000)
    first = api.call("POST", "/v1/secrets/rotate").json()
    assert (first["added"], first["resealed"], first["failed"]) == (True, 1, 0)
    second = api.call("POST", "/v1/secrets/rotate").json()
    assert (second["added"], second["resealed"], second["key"]) == (False, 0, first["key"])


def test_roles_decide(api: Service) -> None:
    """auth-21: a viewer sees nothing, an operator names, an editor writes; a value nobody."""
    api.call("PUT", "/v1/secrets/A", json={"value": VALUE})
    for role, read, write in ((Role.VIEWER, 403, 403), (Role.OPERATOR, 200, 403), (Role.EDITOR, 200, 200)):
        for path in ("/v1/secrets", "/v1/secrets/A"):
            answer = api.call("GET", path, role=role)
            assert answer.status_code == read
            assert "hunter2" not in answer.text
        assert api.call("PUT", "/v1/secrets/B", role=role, json={"value": VALUE}).status_code == write
        assert api.call("POST", "/v1/secrets/rotate", role=role).status_code == write


def test_the_number_of_secrets_is_a_quota() -> None:
    """Answered with 429."""
    with service({"quotas": {"secrets": 1}}) as api:
        assert api.call("PUT", "/v1/secrets/A", json={"value": VALUE}).status_code == 200
        assert api.call("PUT", "/v1/secrets/A", json={"value": "other"}).status_code == 200
        refused = api.call("PUT", "/v1/secrets/B", json={"value": VALUE})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "QUOTA_EXCEEDED")
        many = api.call("POST", "/v1/secrets/import", json={"format": "dotenv", "text": f"A={VALUE}\nB={VALUE}"})
        assert many.status_code == 429
