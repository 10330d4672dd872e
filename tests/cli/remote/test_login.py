"""Logging in and out, and which server with which token a command talks to."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from tests.cli.remote.server import PASSWORD, Running, Terminal, log_in


def profiles(terminal: Terminal) -> dict[str, dict[str, str]]:
    """What is stored."""
    document = yaml.safe_load((terminal.home / "config/flowrunner/profiles.yaml").read_text("utf-8"))
    stored: dict[str, dict[str, str]] = document["profiles"]
    return stored


def test_login_makes_a_token_and_keeps_it_for_its_user_alone(server: Running, stranger: Terminal) -> None:
    """The token is in a file of mode 0600 and nowhere in what is printed."""
    user = server.owner()
    done = stranger("login", "--server", server.url + "/", "--username", user, stdin=PASSWORD + "\n")
    assert done.out == f"logged in to {server.url} as {user} (profile default)\n"
    file = stranger.home / "config/flowrunner/profiles.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [one.name for one in file.parent.iterdir()] == ["profiles.yaml"]
    token = profiles(stranger)["default"]["token"]
    assert token.startswith("fr_live_")
    for command in (["whoami"], ["profiles", "list"], ["tokens", "list"], ["whoami", "--json"]):
        done = stranger(*command)
        assert token not in done.out + done.err


def test_the_token_is_named_after_the_machine_and_can_what_its_user_can(terminal: Terminal) -> None:
    """An owner's token has the owner's permissions."""
    (token,) = terminal("tokens", "list", "--json").json["items"]
    assert token["name"].startswith("flowrunner on ")
    assert set(token["scopes"]) == set(terminal("whoami", "--json").json["permissions"])
    assert "account:write" in token["scopes"]


def test_whoami_says_which_person_a_token_belongs_to(terminal: Terminal) -> None:
    """Name, role and account, beside the token's own name; with --json as fields."""
    found = terminal("whoami", "--json").json
    account = terminal("account", "show", "--json").json
    assert found["name"].startswith("token:flowrunner on ")
    assert (found["role"], found["account_name"]) == ("owner", account["name"])
    said = terminal("whoami").out
    assert said.startswith(f"{found['username']} (owner) on {found['server']} with {found['name']}")
    assert f"account {account['name']} ({found['account_id']})" in said
    limited = terminal("tokens", "create", "little", "--scope", "flows:read", "--json").json["token"]
    terminal.environ = {"FLOWRUNNER_SERVER": found["server"], "FLOWRUNNER_TOKEN": limited}
    known = terminal("whoami", "--json").json
    assert (known["username"], known["account_name"]) == (found["username"], None)


def test_login_can_limit_the_life_of_the_token(server: Running, stranger: Terminal) -> None:
    """--expires-in is the token's."""
    options = ["--server", server.url, "--username", server.owner(), "--expires-in", "90d", "--json"]
    done = stranger("login", *options, stdin=PASSWORD)
    assert set(done.json) == {"profile", "server", "user", "token_id"}
    (token,) = stranger("tokens", "list", "--json").json["items"]
    assert token["expires_at"] is not None
    assert stranger("login", *options[:4], "--expires-in", "soon", code=2).err.startswith("error: --expires-in")


def test_a_wrong_password_is_refused(server: Running, stranger: Terminal) -> None:
    """With exit code 4, in words that do not send in a circle, and nothing is kept."""
    done = stranger("login", "--server", server.url, "-u", server.owner(), stdin="wrong", code=4)
    assert done.err == "error: the user name or the password is wrong\n"
    assert profiles(stranger) == {}


def test_login_again_replaces_the_token(server: Running, tmp_path: Path) -> None:
    """The old one is revoked, so that no tokens pile up."""
    user = server.owner()
    terminal = log_in(tmp_path, server, user)
    before = profiles(terminal)["default"]["token"]
    log_in(tmp_path, server, user)
    assert profiles(terminal)["default"]["token"] != before
    assert len(terminal("tokens", "list", "--json").json["items"]) == 1


def test_a_given_token_is_looked_at_and_kept(server: Running, terminal: Terminal) -> None:
    """--token-stdin takes a token from a pipe; logout leaves it alone, since others may use it."""
    token = terminal("tokens", "create", "ci", "-s", "flows:read").out.strip()
    terminal("login", "--server", server.url, "--profile", "ci", "--token-stdin", stdin=token + "\n")
    assert profiles(terminal)["ci"]["user"] == "token:ci"
    done = terminal("logout", "--profile", "ci", "--json")
    assert done.json == {"profile": "ci", "revoked": False}
    assert "not revoked" in done.err
    assert set(profiles(terminal)) == {"default"}
    assert len(terminal("tokens", "list", "--json", "--profile", "default").json["items"]) == 2
    bad = terminal("login", "--server", server.url, "--token-stdin", stdin="fr_live_nonsense", code=4)
    assert "log in again" in bad.err


def test_logout_revokes_the_token(terminal: Terminal) -> None:
    """It is of no use to whoever has copied it, and the profile is gone."""
    token, server = profiles(terminal)["default"]["token"], profiles(terminal)["default"]["server"]
    assert terminal("logout").out == f"logged out of {server}\n"
    assert profiles(terminal) == {}
    terminal.environ = {"FLOWRUNNER_SERVER": server, "FLOWRUNNER_TOKEN": token}
    assert terminal("whoami", code=4).err.startswith("error: ")
    terminal.environ = {}
    assert "no profile is in use" in terminal("logout", code=2).err


def test_logout_of_a_token_that_is_gone_forgets_the_profile(terminal: Terminal) -> None:
    """There is nothing left to revoke."""
    (token,) = terminal("tokens", "list", "--json").json["items"]
    terminal("tokens", "revoke", token["id"])
    terminal("logout")
    assert profiles(terminal) == {}


def test_logout_without_the_server_keeps_the_profile(terminal: Terminal) -> None:
    """Its token would go on working, so people are told; `profiles remove` forgets it all the same."""
    file = terminal.home / "config/flowrunner/profiles.yaml"
    text = file.read_text("utf-8").replace(profiles(terminal)["default"]["server"], "http://127.0.0.1:9")
    file.write_text(text, "utf-8")
    assert "cannot be reached" in terminal("logout", code=5).err
    assert terminal("profiles", "remove", "default", "--json").json == {"removed": "default"}
    assert profiles(terminal) == {}


def test_profiles_are_listed_chosen_and_removed(server: Running, tmp_path: Path) -> None:
    """The last one that was logged in to is in use until told otherwise."""
    first, second = server.owner(), server.owner()
    terminal = log_in(tmp_path, server, first, "one")
    log_in(tmp_path, server, second, "two")
    listed = terminal("profiles", "list", "--json").json["items"]
    assert [(one["name"], one["user"], one["current"]) for one in listed] == [
        ("one", first, False),
        ("two", second, True),
    ]
    assert terminal("profiles", "list").out.splitlines()[1].startswith("* two")
    assert terminal("profiles", "use", "one", "--json").json == {"current": "one"}
    assert terminal("account", "show", "--json").json != terminal("account", "show", "--profile", "two", "--json").json
    terminal("profiles", "remove", "one")
    assert "no server is in use" in terminal("whoami", code=2).err
    assert "there are: two" in terminal("profiles", "use", "three", code=4).err
    assert "there is no profile 'three'" in terminal("profiles", "remove", "three", code=4).err
    terminal("profiles", "remove", "two")
    assert terminal("profiles", "list").err.startswith("none")


def test_the_environment_overrides_the_profile(server: Running, tmp_path: Path) -> None:
    """FLOWRUNNER_PROFILE names another one, FLOWRUNNER_SERVER with FLOWRUNNER_TOKEN needs none; a flag wins."""
    users = [server.owner(), server.owner()]
    terminal = log_in(tmp_path, server, users[0], "one")
    log_in(tmp_path, server, users[1], "two")
    accounts = {name: terminal("whoami", "--profile", name, "--json").json["account_id"] for name in ("one", "two")}
    terminal.environ = {"FLOWRUNNER_PROFILE": "one"}
    assert terminal("whoami", "--json").json["account_id"] == accounts["one"]
    assert terminal("whoami", "--profile", "two", "--json").json["account_id"] == accounts["two"]
    terminal.environ = {"FLOWRUNNER_PROFILE": "nope"}
    assert "there is no profile 'nope'" in terminal("whoami", code=4).err
    token = profiles(terminal)["one"]["token"]
    alone = Terminal(tmp_path / "elsewhere", {"FLOWRUNNER_SERVER": server.url, "FLOWRUNNER_TOKEN": token})
    assert alone("whoami", "--json").json["account_id"] == accounts["one"]
    alone.environ = {"FLOWRUNNER_TOKEN": token}
    assert "FLOWRUNNER_SERVER is not set" in alone("whoami", code=2).err
    alone.environ = {"FLOWRUNNER_SERVER": server.url}
    assert "FLOWRUNNER_TOKEN is not set" in alone("whoami", code=2).err


def test_an_empty_token_is_refused(terminal: Terminal) -> None:
    """A secret that a pipeline was not given does not fall back on who has logged in on its machine."""
    terminal.environ = {"FLOWRUNNER_TOKEN": ""}
    assert "FLOWRUNNER_TOKEN is empty" in terminal("whoami", code=2).err
    assert terminal("whoami", "--profile", "default").out


def test_a_token_is_never_sent_to_another_server(terminal: Terminal) -> None:
    """FLOWRUNNER_SERVER alone does not get the profile's token."""
    terminal.environ = {"FLOWRUNNER_SERVER": "http://127.0.0.1:9"}
    assert "is not sent to http://127.0.0.1:9" in terminal("whoami", code=2).err


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://flows.example.com", "would show the token"),
        ("http://10.0.0.1:8080", "would show the token"),
        ("flows.example.com", "no address of a server"),
        ("ftp://flows.example.com", "no address of a server"),
        ("https://", "no address of a server"),
        ("https://flows.example.com:x", "no address of a server"),
        ("https://ann:secret@flows.example.com", "holds a user or password"),
        ("https://flows.example.com/?a=b", "no address of a server"),
    ],
)
def test_addresses_that_no_token_goes_to(address: str, words: str, stranger: Terminal) -> None:
    """Refused before anything is asked or sent."""
    done = stranger("login", "--server", address, "--username", "ann", stdin=PASSWORD, code=2)
    assert words in done.err
    assert "secret" not in done.err


def test_plain_http_has_to_be_allowed(stranger: Terminal) -> None:
    """--insecure-http, or the variable; then what fails is the connection."""
    address = "http://flowrunner.invalid:1"
    options = ["login", "--server", address, "--username", "ann"]
    assert "cannot be reached" in stranger(*options, "--insecure-http", stdin=PASSWORD, code=5).err
    stranger.environ = {"FLOWRUNNER_INSECURE_HTTP": "1"}
    assert "cannot be reached" in stranger(*options, stdin=PASSWORD, code=5).err


def test_login_needs_to_know_whom_and_where(stranger: Terminal) -> None:
    """Without a terminal nobody can be asked."""
    assert "--server" in stranger("login", code=2).err
    assert "--username" in stranger("login", "--server", "http://127.0.0.1:9", code=2).err
    done = stranger("login", "--server", "http://127.0.0.1:9", "--username", "ann", code=2)
    assert "the password is empty" in done.err


@pytest.mark.parametrize(
    "text", ["[", "- a\n", "profiles: {a: 1}\n", "profiles: {a: {server: x}}\n", "profiles: [a]\n"]
)
def test_a_file_that_holds_no_profiles_is_refused(text: str, stranger: Terminal) -> None:
    """With its name and what to do."""
    file = stranger.home / "config/flowrunner/profiles.yaml"
    file.parent.mkdir(parents=True)
    file.touch(mode=0o600)
    file.write_text(text, "utf-8")
    done = stranger("whoami", code=2)
    assert str(file) in done.err
    assert "log in" in done.err


def test_a_file_that_others_may_read_is_refused(terminal: Terminal) -> None:
    """As ssh does with keys."""
    file = terminal.home / "config/flowrunner/profiles.yaml"
    file.chmod(0o644)
    assert f"chmod 600 {file}" in terminal("whoami", code=2).err
