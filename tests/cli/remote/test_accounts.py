"""The account, its people and its tokens."""

from __future__ import annotations

from flowrunner.services.identity import Permission

from tests.cli.remote.server import PASSWORD, Running, Terminal, log_in

NEW = "another long passphrase"


def test_the_account_is_shown_and_renamed(terminal: Terminal) -> None:
    """By those who may."""
    assert terminal("account", "show").out.startswith("account  Acme\n")
    assert terminal("account", "rename", "Data team").out == "the account is called Data team\n"
    assert terminal("account", "rename", "Data\nteam", code=2).out == ""
    assert terminal("account", "show", "--json").json["name"] == "Data team"
    terminal("account", "rename", "Acme", "--json")
    terminal("logout")
    assert "no server is in use" in terminal("account", "show", code=2).err


def test_the_account_is_deleted_by_its_name(terminal: Terminal) -> None:
    """With everything: from then on nobody is let in."""
    assert "--yes" in terminal("account", "delete", "Acme", code=2).err
    assert terminal("account", "delete", "Other", "--yes", code=2).out == ""
    assert terminal("account", "delete", "Acme", "--yes", "--json").json == {"name": "Acme", "deleted": True}
    assert terminal("whoami", code=4).out == ""


def test_users_come_change_and_go(server: Running, terminal: Terminal) -> None:
    """Their passwords come from standard input; names count whatever their case."""
    user = f"vera-{server.owner()}"
    made = terminal("users", "create", user, "viewer", "--json", stdin=PASSWORD + "\n").json
    assert (made["role"], made["disabled"]) == ("viewer", False)
    assert PASSWORD not in str(made)
    assert [row.split()[1] for row in terminal("users", "list").out.splitlines()] == ["ROLE", "owner", "viewer"]
    assert terminal("users", "set-role", user.upper(), "operator").out == f"{user} is operator\n"
    assert terminal("users", "disable", made["id"]).out == f"{user} is disabled\n"
    assert terminal("users", "enable", user).out == f"{user} is enabled\n"
    assert terminal("users", "enable", user, "--json").json["disabled"] is False
    assert "--yes" in terminal("users", "delete", user, code=2).err
    assert terminal("users", "delete", user, "-y", "--json").json == {"id": made["id"], "deleted": True}
    assert len(terminal("users", "list", "--json").json["items"]) == 1
    for command in (["set-role", user, "viewer"], ["disable", user], ["enable", user], ["delete", user, "-y"]):
        assert f"there is no user '{user}'" in terminal("users", *command, code=4).err


def test_a_bad_user_is_refused(server: Running, terminal: Terminal) -> None:
    """A short password, a role that is none, a name that is taken; the last owner stays."""
    user = f"nina-{server.owner()}"
    assert "password" in terminal("users", "create", user, "viewer", stdin="short", code=2).err
    assert "role" in terminal("users", "create", user, "king", stdin=PASSWORD, code=2).err
    assert "the password is empty" in terminal("users", "create", user, "viewer", code=2).err
    taken = terminal("users", "list", "--json").json["items"][0]["name"]
    assert terminal("users", "create", taken, "viewer", stdin=PASSWORD, code=1).out == ""
    assert terminal("users", "set-role", taken, "viewer", code=1).out == ""


def test_passwords_are_set(server: Running, terminal: Terminal) -> None:
    """One's own with the old one before it, somebody else's without."""
    me = terminal("users", "list", "--json").json["items"][0]["name"]
    assert terminal("users", "set-password", me, stdin=f"wrong\n{NEW}\n", code=None).code != 0
    assert terminal("users", "set-password", me, stdin=f"{PASSWORD}\n{NEW}\n").out == f"the password of {me} is set\n"
    login = ["login", "--server", server.url, "--username", me, "--profile", "again"]
    assert terminal(*login, stdin=PASSWORD, code=4).out == ""
    terminal(*login, stdin=NEW)
    other = f"otto-{me}"
    terminal("users", "create", other, "viewer", stdin=PASSWORD)
    assert terminal("users", "set-password", other, "--json", stdin=NEW).json["changed"] is True


def test_viewers_cannot_manage(server: Running, terminal: Terminal, tmp_path_factory: object) -> None:
    """Exit code 4, and the permission that is missing."""
    user = f"vic-{server.owner()}"
    terminal("users", "create", user, "viewer", stdin=PASSWORD)
    viewer = log_in(terminal.home / "viewer", server, user)
    for command in (
        ["users", "list"],
        ["account", "rename", "x"],
        ["secrets", "list"],
        ["audit", "list"],
        ["audit", "verify"],
    ):
        assert "this needs the permission" in viewer(*command, code=4).err
    assert "fr_live_" not in viewer("tokens", "list").out


def test_tokens_are_made_listed_and_revoked(terminal: Terminal) -> None:
    """Printed once, alone on standard output."""
    done = terminal("tokens", "create", "ci", "-s", "flows:read", "--scope", "runs:write", "--expires-in", "90d")
    assert done.out.startswith("fr_live_")
    assert done.out.count("\n") == 1
    assert "not shown again" in done.err
    made = terminal("tokens", "create", "deploy", "-s", "flows:write", "--json").json
    rows = terminal("tokens", "list").out
    assert done.out.strip() not in rows
    assert f"{len(Permission)} of them" in rows
    assert "flows:read, runs:write" in rows
    assert len(terminal("tokens", "list", "--json").json["items"]) == 3
    assert terminal("tokens", "revoke", made["id"]).out == f"revoked {made['id']}\n"
    assert terminal("tokens", "revoke", made["id"], "--json", code=4).out == ""
    assert "scopes" in terminal("tokens", "create", "x", "-s", "flows:eat", code=2).err
    assert "--expires-in" in terminal("tokens", "create", "x", "-s", "flows:read", "--expires-in", "soon", code=2).err
    assert terminal("tokens", "create", "x", code=2).out == ""
