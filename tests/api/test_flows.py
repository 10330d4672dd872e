"""Flows over HTTP: stored by revision, found, compared, archived, deleted."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flowrunner.services.identity import Role

from tests.api.harness import HELLO, Service, service

YAML = {"Content-Type": "application/yaml"}


def document(name: str, value: str = "1", labels: str = "{}", description: str = "a flow") -> str:
    return (
        f"metadata: {{name: {name}, description: {description}, labels: {labels}}}\n"
        f"nodes: {{a: {{type: transform, params: {{value: {value}}}}}}}\n"
    )


def names(api: Service, query: str) -> list[str]:
    answer = api.call("GET", f"/v1/flows?{query}")
    assert answer.status_code == 200, answer.text
    return [flow["name"] for flow in answer.json()["items"]]


def put(api: Service, flow: dict[str, Any], text: str, **headers: str) -> Any:
    return api.call("PUT", f"/v1/flows/{flow['id']}", content=text, headers={**YAML, **headers})


def test_a_flow_is_stored_and_read_back(api: Service) -> None:
    """As YAML, with its place and entity tag."""
    answer = api.call("POST", "/v1/flows", content=HELLO, headers=YAML)
    assert answer.status_code == 201
    flow = answer.json()
    assert answer.headers["location"] == f"/v1/flows/{flow['id']}"
    assert answer.headers["etag"] == '"1"'
    assert (flow["name"], flow["status"], flow["revision"], flow["document"]) == ("hello", "active", 1, HELLO)
    again = api.call("GET", answer.headers["location"])
    assert again.json() == flow
    assert again.headers["etag"] == '"1"'


def test_a_flow_may_be_json(api: Service) -> None:
    """By its content type; the text is kept as it was sent."""
    text = json.dumps({"metadata": {"name": "as-json"}, "nodes": {"a": {"type": "transform", "params": {"value": 1}}}})
    answer = api.call("POST", "/v1/flows", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201
    assert answer.json()["document"] == text


@pytest.mark.parametrize("kind", ["application/xml", "multipart/form-data; boundary=x"])
def test_other_content_types_are_refused(api: Service, kind: str) -> None:
    """A body never becomes a file."""
    answer = api.call("POST", "/v1/flows", content=HELLO, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_every_problem_has_its_place(api: Service) -> None:
    """All of them at once, with a suggestion."""
    text = "metadata: {name: broken}\nnodes:\n  a: {type: htp.request, next: c}\n  b: {type: transform, params: {value: 1}}\n"
    error = api.call("POST", "/v1/flows", content=text, headers=YAML)
    assert error.status_code == 400
    body = error.json()["error"]
    assert (body["code"], body["message"]) == ("VALIDATION_ERROR", "Invalid flow definition")
    first = body["details"][0]
    assert (first["field"], first["line"], first["suggestion"]) == ("nodes.a.type", 3, "http.request")
    assert len(body["details"]) >= 2
    assert body["correlation_id"] == error.headers["x-correlation-id"]


def test_validate_stores_nothing(api: Service) -> None:
    """It answers 200 for good and bad documents, with warnings."""
    good = api.call("POST", "/v1/flows/validate", content=document("only-looked-at"), headers=YAML).json()
    assert good == {"valid": True, "errors": [], "warnings": []}
    bad = api.call("POST", "/v1/flows/validate", content="nodes: {}", headers=YAML).json()
    assert not bad["valid"]
    assert bad["errors"][0]["line"] == 1
    assert names(api, "name=only-looked-at") == []


def test_a_name_is_taken_once(api: Service) -> None:
    """In an account; another account may have the same."""
    assert api.flow(document("once"))["revision"] == 1
    answer = api.call("POST", "/v1/flows", content=document("once", "2"), headers=YAML)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")
    assert api.flow(document("once"), team="other")["revision"] == 1


def test_a_change_is_a_new_revision(api: Service) -> None:
    """The same document again is none; all revisions stay."""
    flow = api.flow(document("revised"))
    assert put(api, flow, document("revised", "2")).json()["revision"] == 2
    assert put(api, flow, document("revised", "2")).json()["revision"] == 2
    assert put(api, flow, document("revised")).headers["etag"] == '"3"'
    revisions = api.call("GET", f"/v1/flows/{flow['id']}/revisions").json()["items"]
    assert [one["revision"] for one in revisions] == [3, 2, 1]
    old = api.call("GET", f"/v1/flows/{flow['id']}/revisions/2").json()
    assert (old["shown_revision"], old["revision"], "value: 2" in old["document"]) == (2, 3, True)
    assert api.call("GET", f"/v1/flows/{flow['id']}/revisions/9").status_code == 404


def test_revisions_come_in_pages(api: Service) -> None:
    """Newest first, each once."""
    flow = api.flow(document("paged"))
    for number in range(2, 6):
        put(api, flow, document("paged", str(number)))
    seen, cursor = [], ""
    while cursor is not None:
        query = f"limit=2&cursor={cursor}" if cursor else "limit=2"
        page = api.call("GET", f"/v1/flows/{flow['id']}/revisions?{query}").json()
        seen += [one["revision"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(("tag", "status"), [('"1"', 200), ("*", 200), ('"7"', 412), ("other", 412), ('W/"1"', 412)])
def test_if_match_names_the_revision_that_was_seen(tag: str, status: int) -> None:
    """Another one is a lost race."""
    with service() as api:
        flow = api.flow(document("guarded"))
        answer = put(api, flow, document("guarded", "2"), **{"If-Match": tag})
        assert answer.status_code == status, answer.text
        stored = api.call("GET", f"/v1/flows/{flow['id']}").json()["revision"]
        assert stored == (2 if status == 200 else 1)


def test_of_two_changes_at_once_one_wins(api: Service) -> None:
    """The other is told (auth-35)."""
    for number in range(5):
        flow = api.flow(document(f"raced-{number}"))

        def change(value: str, flow: dict[str, Any] = flow, number: int = number) -> int:
            return int(put(api, flow, document(f"raced-{number}", value), **{"If-Match": '"1"'}).status_code)

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(change, ["2", "3"])) == [200, 412]


def test_a_flow_keeps_its_name(api: Service) -> None:
    """The name is what others know it by."""
    flow = api.flow(document("keeps"))
    answer = put(api, flow, document("another"))
    assert answer.status_code == 409
    assert "'keeps'" in answer.json()["error"]["message"]


def test_two_revisions_are_compared() -> None:
    """As text, by node and by section."""
    with service() as api:
        old = "metadata: {name: d}\nnodes:\n  a: {type: transform, params: {value: 1}, next: b}\n  b: {type: log, params: {message: x}}\n"
        new = "metadata: {name: d}\ntimeout: 5m\nnodes:\n  a: {type: transform, params: {value: 2}, next: c}\n  c: {type: log, params: {message: x}}\n"
        flow = api.flow(old)
        put(api, flow, new)
        found = api.call("GET", f"/v1/flows/{flow['id']}/diff?from=1&to=2").json()
        assert (found["nodes_added"], found["nodes_removed"], found["nodes_changed"]) == (["c"], ["b"], ["a"])
        assert found["sections_changed"] == ["timeout"]
        assert "+timeout: 5m" in found["text"].splitlines()
        assert api.call("GET", f"/v1/flows/{flow['id']}/diff?from=1&to=3").status_code == 404


def test_flows_are_found() -> None:
    """By text, label, status and name, in the order asked for, page by page."""
    with service() as api:
        api.flow(document("alpha", labels="{team: growth, tier: gold}"))
        api.flow(document("beta", labels="{team: core}", description="ships ORDERS"))
        gamma = api.flow(document("gamma"))
        api.flow(document("delta"), params={"status": "draft"})
        api.call("POST", f"/v1/flows/{gamma['id']}/archive")
        assert names(api, "") == ["alpha", "beta", "delta", "gamma"]
        assert names(api, "sort=-name") == ["gamma", "delta", "beta", "alpha"]
        assert names(api, "q=orders") == ["beta"]
        assert names(api, "q=GOLD") == ["alpha"]
        assert names(api, "label=team") == ["alpha", "beta"]
        assert names(api, "label=team%3Dgrowth&label=tier%3Dgold") == ["alpha"]
        assert names(api, "label=team%3Dgrowth&label=tier%3Dlead") == []
        assert names(api, "status=archived") == ["gamma"]
        assert names(api, "status=draft") == ["delta"]
        assert names(api, "name=beta") == ["beta"]
        for sort in ("name", "-updated_at", "created_at"):
            whole = names(api, f"sort={sort}")
            seen, cursor = [], None
            while True:
                query = f"sort={sort}&limit=1" + (f"&cursor={cursor}" if cursor else "")
                page = api.call("GET", f"/v1/flows?{query}").json()
                seen += [flow["name"] for flow in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert seen == whole
        assert api.call("GET", "/v1/flows?label=%3Dx").status_code == 400


def test_an_archived_flow_is_not_started() -> None:
    """Until it is activated again."""
    with service() as api:
        flow = api.flow()
        archived = api.call("POST", f"/v1/flows/{flow['id']}/archive").json()
        assert archived["status"] == "archived"
        answer = api.call("POST", f"/v1/flows/{flow['id']}/runs", json={})
        assert answer.status_code == 409
        assert "archived" in answer.json()["error"]["message"]
        assert api.call("POST", f"/v1/flows/{flow['id']}/activate").json()["status"] == "active"
        assert api.call("POST", f"/v1/flows/{flow['id']}/runs", json={}).status_code == 202


def test_a_flow_with_live_runs_is_deleted_by_force_only() -> None:
    """Then its runs are cancelled and everything of it goes; its name can be used again after that."""
    with service() as api:
        flow = api.flow("metadata: {name: slow}\nnodes: {a: {type: delay, params: {for: 1h}}}\n")
        run = api.start(flow["id"])
        refused = api.call("DELETE", f"/v1/flows/{flow['id']}")
        assert (refused.status_code, "1 live run" in refused.json()["error"]["message"]) == (409, True)
        assert api.call("DELETE", f"/v1/flows/{flow['id']}?force=true").status_code == 204
        assert api.call("GET", f"/v1/flows/{flow['id']}").status_code == 404
        assert names(api, "") == []
        taken = api.call("POST", "/v1/flows", content=document("slow"), headers=YAML)
        assert (taken.status_code, "being deleted" in taken.json()["error"]["message"]) == (409, True)
        api.platform.flows.sweep()
        assert api.call("GET", f"/v1/runs/{run}").status_code == 404
        fresh = api.flow(document("slow"))
        assert (fresh["revision"], fresh["id"] != flow["id"]) == (1, True)


def test_only_editors_change_flows(api: Service) -> None:
    """Viewers and operators read them."""
    for role, status in ((Role.VIEWER, 403), (Role.OPERATOR, 403), (Role.EDITOR, 201), (Role.OWNER, 201)):
        text = document(f"by-{role.value}")
        assert api.call("POST", "/v1/flows", role=role, content=text, headers=YAML).status_code == status
        assert api.call("GET", "/v1/flows", role=role).status_code == 200


def test_a_cursor_is_good_for_its_own_list_only(api: Service) -> None:
    """Changed, of another account, of another list: 400 (auth-31)."""
    for number in range(3):
        api.flow(document(f"cursor-{number}"))
        api.flow(document(f"cursor-{number}"), team="other")
    cursor = api.call("GET", "/v1/flows?limit=1").json()["next_cursor"]
    assert api.call("GET", f"/v1/flows?limit=1&cursor={cursor}").status_code == 200
    assert api.call("GET", f"/v1/flows?limit=1&cursor={cursor}", team="other").status_code == 400
    assert api.call("GET", f"/v1/flows?limit=1&q=x&cursor={cursor}").status_code == 400
    for position in (0, len(cursor) // 2, len(cursor) - 2):
        changed = cursor[:position] + ("A" if cursor[position] != "A" else "B") + cursor[position + 1 :]
        assert api.call("GET", f"/v1/flows?limit=1&cursor={changed}").status_code == 400
    for junk in ("", "%00", "ü", "x" * 1000):
        assert api.call("GET", f"/v1/flows?limit=1&cursor={junk}").status_code in (200 if not junk else 400, 400)


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1000000", "x"])
def test_a_limit_is_within_bounds(api: Service, limit: str) -> None:
    """1 to 100 (auth-32)."""
    assert api.call("GET", f"/v1/flows?limit={limit}").status_code == 400


def test_what_a_crash_cut_off_is_finished(api: Service) -> None:
    """A record without its revision disappears; one whose followers were not told is told."""
    flow = api.flow(document("cut-off"))
    entities = api.platform.engine.parts.backend.entities
    account = api.team().account
    found = entities.get(account, "flow", flow["id"], api.clock.now())
    assert found is not None
    from dataclasses import replace

    entities.put(replace(found, due=api.clock.now()), api.clock.now())
    ghost = replace(found, id="ghost", lookup=f"{account}/ghost", due=api.clock.now())
    entities.put(ghost, api.clock.now(), 0)
    api.platform.flows.sweep()
    assert entities.get(account, "flow", "ghost", api.clock.now()) is None
    assert entities.next_due("flow") is None
    assert api.call("GET", f"/v1/flows/{flow['id']}").status_code == 200


def test_flows_of_the_engine_are_adopted(api: Service) -> None:
    """What was stored without the service gets its record."""
    account = api.team().account
    row = api.platform.engine.save_flow(account, document("from-below"))
    assert names(api, "name=from-below") == []
    api.platform.flows.adopt(account, "tests")
    assert names(api, "name=from-below") == ["from-below"]
    assert api.call("GET", f"/v1/flows/{row.id}").json()["revision"] == 1
