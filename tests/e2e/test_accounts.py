"""Who is let in, what they keep secret, and that accounts do not see each other."""

from __future__ import annotations

from tests.e2e.client import Team, fresh

READS = """
metadata: {name: NAME}
nodes:
  read:
    type: script
    params: {key: "${secrets.E2E_KEY}"}
    hooks: {exec: "log('the key is', params.key); return {length: params.key.length, key: params.key}"}
"""


def test_a_team_signs_up_and_gets_in(team: Team) -> None:
    """With an account, a token, and all that an owner may do."""
    me = team.call("GET", "/v1/session", 200)
    assert me["account_id"] == team.account
    assert {"flows:write", "secrets:write", "runs:write"} <= set(me["permissions"])


def test_strangers_stay_out(team: Team) -> None:
    """No token, and one that is wrong."""
    assert team.http.get("/v1/flows", headers={"Authorization": ""}).status_code == 401
    assert team.http.get("/v1/flows", headers={"Authorization": "Bearer fr_live_no"}).status_code == 401


def test_a_secret_is_used_and_not_seen(team: Team) -> None:
    """It is sealed with KMS, read by a step, and masked wherever it is shown."""
    value = "s3cret-of-the-acceptance"
    team.call("PUT", "/v1/secrets/E2E_KEY", 200, json={"value": value})
    run = team.run(READS.replace("NAME", fresh("reads")))
    assert run["status"] == "completed", run["error"]
    assert run["output"]["read"] == {"length": len(value), "key": "***"}
    logs = team.call("GET", f"/v1/runs/{run['id']}/logs", 200)
    assert [line["message"] for line in logs["logs"]] == ["the key is ***"]
    assert value not in str(team.call("GET", "/v1/secrets/E2E_KEY", 200))


def test_a_new_value_counts_from_the_next_step_on(team: Team) -> None:
    """In every process, though each keeps data keys in memory."""
    flow = team.flow(READS.replace("NAME", fresh("rereads")).replace("E2E_KEY", "E2E_CHANGED"))
    for value in ("one-value", "another-value"):
        team.call("PUT", "/v1/secrets/E2E_CHANGED", 200, json={"value": value})
        run = team.ended(team.start(flow))
        assert run["output"]["read"]["length"] == len(value)


def test_accounts_do_not_see_each_other(team: Team, other: Team) -> None:
    """Ids of others are ids that nobody has."""
    flow = team.flow(
        "metadata: {name: NAME}\nnodes: {a: {type: log, params: {message: hi}}}".replace("NAME", fresh("mine"))
    )
    run = team.ended(team.start(flow))["id"]
    for path in (f"/v1/flows/{flow}", f"/v1/runs/{run}", f"/v1/runs/{run}/events", f"/v1/runs/{run}/steps/a"):
        team.call("GET", path, 200)
        other.call("GET", path, 404)
    assert other.call("GET", "/v1/runs", 200)["items"] == []
    other.call("GET", "/v1/secrets/E2E_KEY", 404)


def test_usage_and_audit_tell_what_was_done(team: Team) -> None:
    """The audit log is whole, and knows of the secret that was set."""
    team.call("PUT", "/v1/secrets/E2E_AUDITED", 200, json={"value": "some-value"})
    assert team.call("GET", "/v1/audit/verify", 200)["ok"] is True
    records = team.call("GET", "/v1/audit?limit=100", 200)["items"]
    assert "E2E_AUDITED" in str(records)
