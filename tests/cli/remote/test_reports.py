"""Usage, the audit log, plugins."""

from __future__ import annotations

from tests.cli.remote.server import HELLO, Running, Terminal


def test_usage_is_shown_by_day_and_flow(server: Running, terminal: Terminal) -> None:
    """With a total; days that are none are refused."""
    terminal("flows", "create", "-", stdin=HELLO)
    terminal("runs", "start", "hello", "-i", "name=Ann", "--wait", "20s")
    server.platform.usage.flush()
    done = terminal("usage")
    header, row, total = done.out.splitlines()
    assert header.split()[:4] == ["DAY", "FLOW", "RUNS", "STEPS"]
    assert row.split()[1:4] == ["hello", "1", "1"]
    assert total.split()[:3] == ["total", "1", "1"]
    found = terminal("usage", "--flow", "hello", "--by", "flow", "--json").json
    assert (found["items"][0]["day"], found["total"]["runs"]) == (None, 1)
    assert terminal("usage", "--from", "2026-02-30", code=2).out == ""
    assert "by" in terminal("usage", "--by", "hour", code=2).err
    assert terminal("usage", "--flow", "nope", code=4).out == ""
    spent = terminal("usage", "--from", "2026-01-01", "--to", "2026-01-02", "--json").json
    assert (spent["from_day"], spent["items"]) == ("2026-01-01", [])


def test_the_audit_log_is_listed(terminal: Terminal) -> None:
    """Newest first, by kind and person."""
    terminal("secrets", "set", "API_KEY", stdin="s3cret-value")
    rows = terminal("audit", "list").out.splitlines()
    assert rows[0].split() == ["SEQ", "AT", "WHO", "ACTION", "TARGET", "FROM", "DETAILS"]
    assert "secret.written" in rows[1]
    assert "s3cret-value" not in "".join(rows)
    oldest = terminal("audit", "list", "--oldest", "--json").json["items"]
    assert [one["seq"] for one in oldest] == list(range(1, len(oldest) + 1))
    assert {one["action"] for one in terminal("audit", "list", "--action", "token", "--json").json["items"]} == {
        "token.created"
    }
    assert terminal("audit", "list", "--who", "nobody", "--json").json["items"] == []
    assert terminal("audit", "list", "-n", "1", "--json").json["more"] is True


def test_the_audit_log_is_verified(server: Running, terminal: Terminal) -> None:
    """Its head can be noted, and a log that does not hold it is not whole: exit code 1."""
    done = terminal("audit", "verify")
    assert done.out.startswith("whole: ")
    head = done.out.splitlines()[1].removeprefix("head ")
    assert terminal("audit", "verify", "--head", head, "--json").json["ok"] is True
    count, _, digest = head.partition(":")
    made_up = f"{count}:{digest[::-1]}"
    assert "record " in terminal("audit", "verify", "--head", made_up, code=1).err
    assert terminal("audit", "verify", "--head", made_up, "--json", code=1).json["ok"] is False
    for wrong in ("nonsense", "12:9f86d0", f"{count}:{digest.upper()}"):
        assert "write it as verify has printed it" in terminal("audit", "verify", "--head", wrong, code=2).err


def test_plugins_are_listed_and_turned(terminal: Terminal) -> None:
    """A plugin that is not there is not found."""
    assert terminal("plugins", "list", "--json").json["more"] is False
    assert terminal("plugins", "enable", "nope", code=4).out == ""
    assert terminal("plugins", "disable", "nope", code=4).out == ""
