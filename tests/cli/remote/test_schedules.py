"""Schedules and hooks: what starts runs by itself."""

from __future__ import annotations

import pytest

from tests.cli.remote.server import HELLO, Terminal

TRIGGERED = """\
metadata: {name: triggered}
triggers:
  - {type: schedule, cron: "0 9 * * MON", timezone: Europe/Berlin}
  - {type: webhook, path: orders, verify: {scheme: shared-secret, secret: HOOK_KEY, header: X-Key}}
nodes: {a: {type: log}}
"""


@pytest.fixture
def hello(terminal: Terminal) -> Terminal:
    """A terminal whose account has a flow."""
    terminal("flows", "create", "-", stdin=HELLO)
    return terminal


def test_a_schedule_is_made_and_shown(hello: Terminal) -> None:
    """With its next five times; by --cron or --at, not both."""
    made = hello(
        "schedules", "create", "hello", "--cron", "0 9 * * *", "-z", "Europe/Berlin", "-i", "name=Ann", "--json"
    )
    schedule = made.json["id"]
    assert (made.json["timezone"], made.json["input"], len(made.json["next_times"])) == (
        "Europe/Berlin",
        {"name": "Ann"},
        5,
    )
    shown = dict(line.split(maxsplit=1) for line in hello("schedules", "get", schedule).out.splitlines())
    assert (shown["cron"], shown["enabled"], shown["input"]) == ("0 9 * * *", "yes", '{"name": "Ann"}')
    assert shown["flow"] == "hello"
    once = hello("schedules", "create", "hello", "--at", "2099-01-31T09:00:00Z", "--disabled", "--json").json
    assert (once["enabled"], once["next_times"]) == (False, [])
    assert "give --cron or --at" in hello("schedules", "create", "hello", code=2).err
    assert "give --cron or --at" in hello("schedules", "create", "hello", "--cron", "x", "--at", "y", code=2).err
    assert hello("schedules", "create", "hello", "--cron", "whenever", code=2).err.startswith("error: ")
    assert hello("schedules", "create", "nope", "--cron", "0 9 * * *", code=4).out == ""
    assert hello("schedules", "get", "nope", code=4).out == ""


def test_schedules_are_listed(hello: Terminal) -> None:
    """All, or those of a flow."""
    assert hello("schedules", "list").err == "none\n"
    hello("schedules", "create", "hello", "--cron", "0 9 * * *")
    hello("flows", "create", "-", stdin=TRIGGERED)
    rows = hello("schedules", "list").out.splitlines()
    assert rows[0].split()[:5] == ["ID", "FLOW", "CRON", "AT", "ZONE"]
    assert {row.split()[1] for row in rows[1:]} == {"hello", "triggered"}
    (listed,) = hello("schedules", "list", "--flow", "triggered", "--json").json["items"]
    assert (listed["source"], listed["timezone"]) == ("flow", "Europe/Berlin")
    assert hello("schedules", "list", "--flow", "nope", code=4).out == ""


def test_who_may_not_read_flows_sees_their_ids(hello: Terminal) -> None:
    """Names are for those who may have them; also where there are too many to ask for one by one."""
    for number in range(7):
        hello("flows", "create", "-", stdin=HELLO.replace("hello", f"hello-{number}"))
        hello("schedules", "create", f"hello-{number}", "--cron", "0 9 * * *")
    names = {row.split()[1] for row in hello("schedules", "list").out.splitlines()[1:]}
    assert names == {f"hello-{number}" for number in range(7)}
    token = hello("tokens", "create", "reader", "-s", "schedules:read").out.strip()
    limited = Terminal(hello.home / "limited")
    limited.environ = {"FLOWRUNNER_SERVER": hello("whoami", "--json").json["server"], "FLOWRUNNER_TOKEN": token}
    rows = limited("schedules", "list").out.splitlines()[1:]
    assert all(row.split()[0].startswith(row.split()[1]) for row in rows)


def test_update_changes_what_is_given(hello: Terminal) -> None:
    """The rest stays; --at takes the place of --cron."""
    options = ["--cron", "0 9 * * *", "--missed", "run_once", "-i", "name=Ann", "--json"]
    schedule = hello("schedules", "create", "hello", *options).json["id"]
    changed = hello("schedules", "update", schedule, "-z", "Europe/Berlin", "--json").json
    assert (changed["cron"], changed["timezone"], changed["missed"]) == ("0 9 * * *", "Europe/Berlin", "run_once")
    changed = hello("schedules", "update", schedule, "--at", "2099-01-31T09:00:00Z", "-i", "name=Bob", "--json").json
    assert (changed["cron"], changed["at"], changed["input"]) == (None, "2099-01-31T09:00:00.000Z", {"name": "Bob"})
    assert "nothing was given" in hello("schedules", "update", schedule, code=2).err
    assert "give --cron or --at" in hello("schedules", "update", schedule, "--cron", "x", "--at", "y", code=2).err
    assert hello("schedules", "update", "nope", "--cron", "0 9 * * *", code=4).out == ""


def test_a_schedule_rests_and_fires_again(hello: Terminal) -> None:
    """Also one that stands in a document, which is not changed or removed here."""
    hello("flows", "create", "-", stdin=TRIGGERED)
    (schedule,) = [one["id"] for one in hello("schedules", "list", "--json").json["items"]]
    assert hello("schedules", "disable", schedule, "--json").json["enabled"] is False
    assert "enabled     no" in hello("schedules", "disable", schedule).out
    assert hello("schedules", "enable", schedule, "--json").json["enabled"] is True
    assert "document" in hello("schedules", "update", schedule, "--cron", "0 8 * * *", code=1).err
    assert "document" in hello("schedules", "delete", schedule, "--yes", code=1).err
    assert hello("schedules", "enable", "nope", code=4).out == ""
    assert hello("schedules", "disable", "nope", code=4).out == ""


def test_delete_removes_a_schedule(hello: Terminal) -> None:
    """After a yes."""
    ids = [hello("schedules", "create", "hello", "--cron", f"{n} 9 * * *", "--json").json["id"] for n in (1, 2)]
    assert "--yes" in hello("schedules", "delete", ids[0], code=2).err
    assert hello("schedules", "delete", ids[0], "-y").out == f"deleted {ids[0]}\n"
    assert hello("schedules", "delete", ids[1], "-y", "--json").json == {"id": ids[1], "deleted": True}
    assert hello("schedules", "delete", ids[1], "-y", code=4).out == ""


def test_hooks_are_listed(hello: Terminal) -> None:
    """With the address of each, and how it is verified."""
    assert hello("hooks", "list", "--json").json == {"items": [], "more": False}
    hello("flows", "create", "-", stdin=TRIGGERED)
    row = hello("hooks", "list").out.splitlines()[1].split()
    assert (row[0], row[2], row[3]) == ("POST", "shared-secret", "HOOK_KEY")
    assert row[1].startswith(f"{hello('whoami', '--json').json['server']}/hooks/")
    assert row[1].endswith("/orders")
    assert row[-1] == "triggered"
    hello.environ = {"FLOWRUNNER_PROFILE": "nope"}
    assert "there is no profile" in hello("hooks", "list", code=4).err
