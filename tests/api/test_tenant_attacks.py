"""One account against another over HTTP: every entry of the corpus about it, and more of the same kind."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from fastapi.routing import APIRoute
from flowrunner.api.app import openapi_document
from flowrunner.engine.values import ValueLimits
from flowrunner.services.identity import Permission, Role

from tests.api.harness import HELLO, Service, service
from tests.attacks import attacks, needs_corpus

Entry = Mapping[str, Any]
CALLS = "metadata: {{name: calls}}\nnodes:\n  a: {{type: flow.run, params: {{flow: '{flow}', input: {{name: x}}}}}}\n"
LARGE = """
metadata: {name: large}
nodes: {a: {type: script, hooks: {exec: "return 'large-'.repeat(2000)"}}}
"""


@pytest.fixture
def api() -> Iterator[Service]:
    with service({"api": {"requests_per_account": 0, "requests_per_address": 0}}) as made:
        made.team("other")
        yield made


def told(answer: Any, thing: str) -> tuple[int, str]:
    """What an answer says, without what is its own."""
    return answer.status_code, str(answer.json()["error"]["message"]).replace(thing, "…")


# -- what is done for each entry ------------------------------------------------------------------------------------


def not_there(api: Service, entry: Entry) -> None:
    """Reading and cancelling another account's run is answered as for a run of nobody."""
    run = api.start(api.flow(team="other")["id"], {"name": "x"}, team="other")
    method = "POST" if "post" in entry["input"] else "GET"
    path = entry["input"].get("post") or entry["input"]["get"]
    theirs = api.call(method, path.replace("<run of acct_b>", run))
    nobodys = api.call(method, path.replace("<run of acct_b>", "nobody"))
    assert told(theirs, run) == told(nobodys, "nobody")
    assert theirs.status_code == 404
    assert api.call("GET", f"/v1/runs/{run}", team="other").json()["status"] == "completed"


def flipped(api: Service, _: Entry) -> None:
    """Every bit of a cursor, also those that its encoding leaves unused; and characters that decoders drop."""
    for number in range(3):
        api.flow(HELLO.replace("hello", f"n{number}"))
    cursor = api.call("GET", "/v1/flows?limit=1").json()["next_cursor"]
    raw = cursor.encode()
    changed = [bytes([*raw[:at], raw[at] ^ 1 << bit, *raw[at + 1 :]]) for at in range(len(raw)) for bit in range(8)]
    changed += [raw + b"=", raw + b"==", raw + b"\n", b" " + raw, raw[:9] + b"!" + raw[9:], raw[:-1], raw * 2]
    for one in changed:
        answer = api.call("GET", "/v1/flows", params={"limit": 1, "cursor": one.decode("latin-1")})
        assert answer.status_code == 400, one
    assert api.call("GET", "/v1/flows", params={"limit": 1, "cursor": cursor}).status_code == 200


def bodies(api: Service) -> Iterator[tuple[str, str]]:
    """Method and path of every operation that takes a JSON object of a known shape."""
    for path, operations in openapi_document(api.client.app)["paths"].items():  # type: ignore[arg-type]  # the app
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            if "$ref" in str(schema):
                yield method.upper(), path.replace("{", "").replace("}", "")


def unknown_fields(api: Service, entry: Entry) -> None:
    """No body of any operation has room for an account, and a document of a flow has none either."""
    for field in (*entry["input"]["body"], "account", "acct", "tenant", "owner", "role_of"):
        document = f"{field}: acct-other\n{HELLO}"
        assert api.call("POST", "/v1/flows", content=document).status_code == 400
        taken = list(bodies(api))
        assert len(taken) > 15
        for method, path in taken:
            answer = api.call(method, path, json={field: "acct-other"})
            assert answer.status_code == 400, (method, path)
            assert any(one["field"].endswith(field) for one in answer.json()["error"]["details"]), (method, path)
    assert api.call("GET", "/v1/flows", team="other").json()["items"] == []


def no_batch(api: Service, entry: Entry) -> None:
    """There is no way to say several things at once, for whomever."""
    api.flow(team="other")
    assert api.call("POST", entry["input"]["post"], json=entry["input"]["body"]).status_code == 404
    answer = api.call("POST", "/v1/flows/x/runs", json=entry["input"]["body"])
    assert answer.status_code == 400
    assert api.call("GET", "/v1/runs", team="other").json()["items"] == []


def unknown_flow(api: Service, _: Entry) -> None:
    """By id and by name: the step fails as for a flow that nobody has. At save nothing is told of what others have."""
    theirs = api.flow(team="other")
    results: list[Any] = []
    for flow in (theirs["id"], theirs["name"], "nobody"):
        saved = api.call("POST", "/v1/flows/validate", content=CALLS.format(flow=flow)).json()
        made = api.flow(CALLS.format(flow=flow).replace("calls", f"calls-{len(results)}"))
        run = api.call("GET", f"/v1/runs/{api.start(made['id'])}").json()
        error = run["error"]
        results.append((saved, run["status"], error["code"], error["message"].replace(flow, "…")))
    assert results[0] == results[1] == results[2]
    assert results[0][1:3] == ("failed", "FLOW_NOT_FOUND")
    assert api.call("GET", "/v1/runs", team="other").json()["items"] == []


def no_way_up(api: Service, entry: Entry) -> None:
    """A run's id is a name, never a path: encoded once or twice, with what some systems take for a separator."""
    run = api.start(api.flow(team="other")["id"], {"name": "x"}, team="other")
    given = entry["input"]["run_id"]
    tries = [given, given.replace("x", run), f"../acct-other/{run}", f"acct-other/{run}", f"acct-other\0{run}"]
    tries += [f"acct-other#{run}", f"acct-other:{run}", f"..\\acct-other\\{run}", f"{run}%", "*", "%", "_" * len(run)]
    for text in tries:
        once = "".join(f"%{byte:02X}" for byte in text.encode())
        for path in (once, once.replace("%", "%25")):
            for tail in ("", "/steps", "/events", "/logs", "/steps/greet"):
                assert api.call("GET", f"/v1/runs/{path}{tail}").status_code == 404, text


def two_runs(api: Service, _: Entry) -> None:
    """A key belongs to its account; both get their own run, again and again."""
    flows = {team: api.flow(team=team)["id"] for team in ("acme", "other")}
    key = {"Idempotency-Key": "same"}
    first = {team: api.start(flow, {"name": "x"}, team=team, headers=key) for team, flow in flows.items()}
    again = {team: api.start(flow, {"name": "x"}, team=team, headers=key) for team, flow in flows.items()}
    assert first == again
    assert first["acme"] != first["other"]
    assert [len(api.call("GET", "/v1/runs", team=team).json()["items"]) for team in flows] == [1, 1]


def no_links(_: Service, __: Entry) -> None:
    """Large values are part of the answer, and nothing leads to where they are kept."""
    with service(limits=ValueLimits(inline=1_000)) as small:
        run = small.start(small.flow(LARGE, team="other")["id"], team="other")
        for path in (f"/v1/runs/{run}", f"/v1/runs/{run}/steps/a"):
            shown = small.call("GET", path, team="other")
            assert shown.json()["output"] in ({"a": "large-" * 2000}, "large-" * 2000)
            assert "http" not in shown.text
            assert "$blob" not in shown.text
            assert small.call("GET", path).status_code == 404


def limits(api: Service, entry: Entry) -> None:
    """The most is said, for each list."""
    assert api.call("GET", entry["input"]["list"]).status_code == 400
    document = openapi_document(api.client.app)  # type: ignore[arg-type]  # the app
    lists = [
        path
        for path, operations in document["paths"].items()
        if any(one["name"] == "limit" for one in operations.get("get", {}).get("parameters", ()))
    ]
    assert len(lists) > 10
    for path in lists:
        for limit in ("1000000", "0", "-1", "1e2", "", "٣", "99999999999999999999999999", "10&limit=1000000"):
            answer = api.call("GET", f"{path.replace('{', '').replace('}', '')}?limit={limit}")
            assert answer.status_code == 400, (path, limit)


def inputs_only(api: Service, entry: Entry) -> None:
    """What a stranger sends to a hook is the run's input; a start takes no definition either."""
    hook = "metadata: {name: h}\ntriggers: [{type: webhook, path: p}]\nnodes:\n  a: {type: transform, params: {value: 1}}\n"
    made = api.flow(hook)
    given = entry["input"]["public_run_endpoint"]
    for body in (given, {"flow": HELLO, "document": HELLO, "inline": given["definition"], "revision": 9}):
        answer = api.call("POST", "/hooks/acct-acme/p", role=None, json=body)
        assert answer.status_code == 202
        api.work()
        run = api.call("GET", f"/v1/runs/{answer.json()['run_id']}").json()
        assert (run["output"], run["input"]["body"], run["flow"]["revision"]) == ({"a": 1}, body, 1)
    for field in ("definition", "flow", "document", "nodes", "inline"):
        answer = api.call("POST", f"/v1/flows/{made['id']}/runs", json={field: given["definition"]})
        assert answer.status_code == 400
    assert api.call("POST", "/hooks/acct-acme/none", role=None, json=given).status_code == 404


def only_parsed(api: Service, entry: Entry) -> None:
    """Nobody may ask without an account; a member is told what is wrong with the text, and nothing in it runs."""
    code = entry["input"]["validate_endpoint"]["code"]
    assert api.call("POST", "/v1/flows/validate", role=None, content=code).status_code == 401
    answer = api.call("POST", "/v1/flows/validate", content=code)
    assert (answer.status_code, answer.json()["valid"]) == (200, False)
    endless = "metadata: {name: x}\nnodes: {a: {type: script, hooks: {exec: 'while(true){}; return 1'}}}\n"
    assert api.call("POST", "/v1/flows/validate", content=endless).json()["valid"]
    assert api.call("GET", "/v1/flows").json()["items"] == []


ATTACKS: Mapping[str, Callable[[Service, Entry], None]] = {
    "tenant-01": not_there,
    "tenant-02": not_there,
    "tenant-04": flipped,
    "tenant-05": unknown_fields,
    "tenant-07": no_batch,
    "tenant-08": unknown_flow,
    "tenant-13": no_way_up,
    "tenant-14": two_runs,
    "tenant-16": no_links,
    "tenant-17": limits,
    "tenant-19": inputs_only,
    "tenant-20": only_parsed,
}
ELSEWHERE = {"tenant-10", "tenant-11"}
"""Ciphertexts that were moved: tests/services/test_vault.py."""


@needs_corpus
@pytest.mark.parametrize("entry", attacks("corpus.json", "tenant", but=ELSEWHERE), ids=lambda entry: str(entry["id"]))
def test_attacks_on_another_account(api: Service, entry: Entry) -> None:
    """Every entry ends as the corpus says; a new one fails until it is run."""
    ATTACKS[entry["id"]](api, entry)


# -- more of the same kind ------------------------------------------------------------------------------------------


@needs_corpus
@pytest.mark.parametrize("entry", [one for one in attacks("corpus.json", "expr") if one["id"] == "expr-35"])
def test_secrets_of_others_are_none(api: Service, entry: Entry) -> None:
    """expr-35 in our syntax, for a secret that the other account has and for one that nobody has."""
    name = entry["input"]["template"].strip("{} ").removeprefix("secrets.")
    assert api.call("PUT", f"/v1/secrets/{name}", team="other", json={"value": "theirs and secret"}).status_code < 300
    told = []
    for secret in (name, "NOBODYS_SECRET"):
        expression = f"${{secrets.{secret}}}"
        text = f"metadata: {{name: {secret}}}\nnodes:\n  a: {{type: transform, params: {{value: '{expression}'}}}}\n"
        run = api.call("GET", f"/v1/runs/{api.start(api.flow(text)['id'])}").json()
        told.append((run["error"]["code"], run["error"]["message"].replace(secret, "…")))
    assert told[0] == told[1]
    assert told[0][0] == "SECRET_MISSING"


def test_a_name_that_another_account_has_is_free(api: Service) -> None:
    """Flows, hook paths, secrets: a name says nothing of others, and each account gets its own."""
    text = HELLO.replace("nodes:", "triggers: [{type: webhook, path: p}]\nnodes:")
    ids = {api.flow(text, team=team)["id"] for team in ("acme", "other")}
    assert len(ids) == 2
    for team in ("acme", "other"):
        assert api.call("PUT", "/v1/secrets/KEY", team=team, json={"value": f"value-of-{team}"}).status_code < 300
        answer = api.call("POST", f"/hooks/acct-{team}/p", role=None, json={"name": team})
        assert answer.status_code == 202
        api.work()
        assert api.call("GET", f"/v1/runs/{answer.json()['run_id']}", team=team).status_code == 200
    api.call("DELETE", "/v1/secrets/KEY", team="other")
    assert [one["key"] for one in api.call("GET", "/v1/secrets").json()["items"]] == ["KEY"]


def test_two_accounts_whose_names_run_together() -> None:
    """Keys are made of parts, not of glued texts: `a` with `b/c` is not `a/b` with `c`."""
    text = "metadata: {{name: x}}\ntriggers: [{{type: webhook, path: {path}}}]\nnodes:\n  a: {{type: transform}}\n"
    with service() as made:
        for name, path in (("a", "b/c"), ("a-b", "c"), ("b", "c")):
            made.flow(text.format(path=path), team=name)
        for account, path, found in (
            ("acct-a", "b/c", True),
            ("acct-a-b", "c", True),
            ("acct-b", "c", True),
            ("acct-a", "c", False),
            ("acct-a/b", "c", True),  # the slash belongs to the path: acct-a and b/c
            ("acct-a%2Fb", "c", True),  # and so it does when it is encoded
            ("acct-b", "b/c", False),
            ("acct-b", "c%20POST", False),
            ("acct-b", "c/", False),
        ):
            status = made.call("POST", f"/hooks/{account}/{path}", role=None, json=1).status_code
            assert (status == 202) == found, (account, path)


def test_another_accounts_user_is_no_way_in(api: Service) -> None:
    """Not with their id, not as one's own: passwords, tokens and sessions stay with their account."""
    theirs = api.call("GET", "/v1/users", team="other").json()["items"]
    owner = next(user["id"] for user in theirs if user["role"] == "owner")
    for method, path, body in (
        ("GET", f"/v1/users/{owner}", None),
        ("PATCH", f"/v1/users/{owner}", {"role": "viewer"}),
        ("POST", f"/v1/users/{owner}/password", {"password": "mine from now on"}),
        ("DELETE", f"/v1/users/{owner}", None),
    ):
        assert api.call(method, path, json=body).status_code == 404, (method, path)
    wish = {"name": "acme-owner", "password": "another horse battery", "role": "viewer"}
    assert api.call("POST", "/v1/users", team="other", json=wish).status_code == 409, "names log in: one each"
    assert api.call("GET", "/v1/users", team="other").json()["items"] == theirs


def test_filters_find_ones_own_only(api: Service) -> None:
    """A filter that names another account's thing finds nothing, as one that names nothing does."""
    flow = api.flow(team="other")
    api.start(flow["id"], {"name": "x"}, team="other")
    for query in (f"/v1/runs?flow={flow['id']}", f"/v1/schedules?flow={flow['id']}", f"/v1/flows?name={flow['name']}"):
        assert api.call("GET", query).json()["items"] == [], query
    assert api.call("GET", f"/v1/usage?flow={flow['id']}").json()["total"]["runs"] == 0
    assert api.call("GET", "/v1/audit?who=other-owner").json()["items"] == []


def test_a_role_cannot_be_outgrown(api: Service) -> None:
    """No token with more than its maker has, no user above oneself, by whatever words."""
    wide = [str(permission) for permission in Permission]
    for role in (Role.VIEWER, Role.OPERATOR, Role.EDITOR):
        answer = api.call("POST", "/v1/tokens", role=role, json={"name": "t", "scopes": wide})
        assert answer.status_code == 403, answer.text
        wish = {"name": f"new-{role}", "password": "another horse battery", "role": "owner"}
        assert api.call("POST", "/v1/users", role=role, json=wish).status_code == 403
    for scope in ("*", "runs:*", "admin", "RUNS:WRITE", "runs:write ", ""):
        assert api.call("POST", "/v1/tokens", json={"name": "t", "scopes": [scope]}).status_code == 400
    narrow = api.call("POST", "/v1/tokens", json={"name": "t", "scopes": ["tokens:write"]}).json()["token"]
    answer = api.client.post(
        "/v1/tokens", json={"name": "t", "scopes": ["runs:read"]}, headers={"Authorization": f"Bearer {narrow}"}
    )
    assert answer.status_code == 403


def test_a_position_made_up_by_its_reader_is_refused(api: Service) -> None:
    """Also where positions are no pages: events and logs from a place that is none."""
    run = api.start(api.flow()["id"], {"name": "x"})
    for after in ("-1", "x", "99999999999999999999", base64.b64encode(b"0").decode(), "0;1", "1e9", "\0"):
        for path in (f"/v1/runs/{run}/events", f"/v1/runs/{run}/logs"):
            assert api.call("GET", path, params={"after": after}).status_code in (200, 400), after


def test_what_takes_a_body_is_in_the_walk(api: Service) -> None:
    """Or takes a document, a stranger's message, or nothing at all; a new operation has to be looked at."""
    walked = set(bodies(api))
    others = {
        str(route.operation_id)
        for route in api.client.app.routes  # type: ignore[attr-defined]  # the app
        if isinstance(route, APIRoute)
        for method in (route.methods or set()) & {"POST", "PUT", "PATCH"}
        if (method, route.path_format.replace("{", "").replace("}", "")) not in walked
    }
    documents = {"create_flow", "update_flow", "validate_flow"}
    other_protocols = {"exchange_mcp"}
    strangers = {"answer_callback", "receive_hook_patch", "receive_hook_post", "receive_hook_put"}
    nothing = {
        "activate_flow", "archive_flow", "create_ticket", "retry_delivery", "rotate_secrets",
        "rotate_webhook_secret", "test_webhook",
    }  # fmt: skip
    assert others == documents | other_protocols | strangers | nothing
