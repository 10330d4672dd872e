"""Secrets on a server: values go in by a pipe, and come out nowhere."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys

import pytest

from tests.cli.remote.server import Terminal

VALUE = "s3cret-canary-value"


@pytest.mark.parametrize("group", ["secrets", "secret"])
def test_set_takes_the_value_from_standard_input(group: str, terminal: Terminal) -> None:
    """Without its last line break; the value is in no output."""
    done = terminal(group, "set", "API_KEY", stdin=VALUE + "\n")
    assert done.out == "set API_KEY (version 1)\n"
    again = terminal(group, "set", "API_KEY", "--json", stdin="line one\nline two\n")
    assert again.json["version"] == 2
    for listed in (terminal(group, "list"), terminal(group, "list", "--json"), done, again):
        assert VALUE not in listed.out + listed.err
        assert "line" not in listed.out + listed.err


def test_a_value_is_no_argument(terminal: Terminal) -> None:
    """Others on the machine see arguments."""
    assert terminal("secrets", "set", "API_KEY", VALUE, code=2).out == ""
    assert "the value is empty" in terminal("secrets", "set", "API_KEY", code=2).err
    assert "not UTF-8" in terminal("secrets", "set", "API_KEY", stdin=b"\xff\xfe", code=2).err
    assert terminal("secrets", "set", "no-such-name", stdin=VALUE, code=2).err.startswith("error: ")
    assert terminal("secrets", "list").err == "none\n"


def test_the_value_is_asked_for_without_an_echo(terminal: Terminal) -> None:
    """At a terminal a prompt takes it, and nothing of it is seen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "flowrunner", "secrets", "set", "API_KEY"],
        env=terminal.variables(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    while b"value of API_KEY: " not in seen:
        assert select.select([ours], [], [], 60)[0]
        seen += os.read(ours, 1024)
    os.write(ours, VALUE.encode() + b"\n")
    while b"set API_KEY" not in seen:
        assert select.select([ours], [], [], 60)[0]
        seen += os.read(ours, 1024)
    assert process.wait(120) == 0
    os.close(ours)
    assert VALUE.encode() not in seen


def test_secrets_are_listed_and_removed(terminal: Terminal) -> None:
    """By name; a flow that needs one that is gone fails."""
    for name in ("ONE", "TWO"):
        terminal("secrets", "set", name, stdin=VALUE)
    assert [row.split()[0] for row in terminal("secrets", "list").out.splitlines()] == ["KEY", "ONE", "TWO"]
    assert terminal("secrets", "list", "-n", "1", "--json").json["more"] is True
    assert "--yes" in terminal("secrets", "delete", "ONE", code=2).err
    assert terminal("secrets", "delete", "ONE", "--yes").out == "deleted ONE\n"
    assert terminal("secrets", "delete", "TWO", "-y", "--json").json == {"key": "TWO", "deleted": True}
    assert "there is no secret" in terminal("secrets", "delete", "TWO", "-y", code=4).err


def test_import_sets_all_or_none(terminal: Terminal) -> None:
    """A dotenv or JSON file; problems are told by line and never by value."""
    file = terminal.file("secrets.env", f"ONE={VALUE}\nTWO='{VALUE}'\n")
    assert terminal("secrets", "import", file).out == "created: ONE, TWO; updated: none\n"
    found = terminal("secrets", "import", terminal.file("s.json", json.dumps({"TWO": VALUE, "THREE": VALUE})), "--json")
    assert found.json == {"created": ["THREE"], "updated": ["TWO"]}
    assert terminal("secrets", "import", "-", "--format", "json", stdin=json.dumps({"FOUR": VALUE})).err == ""
    bad = terminal("secrets", "import", "-", stdin=f"GOOD={VALUE}\n{VALUE}\nbad-name={VALUE}\n", code=2)
    assert "nothing was imported" in bad.err
    assert "line 2" in bad.err
    assert VALUE not in bad.err
    assert "choose dotenv or json" in terminal("secrets", "import", file, "--format", "xml", code=2).err
    assert "not UTF-8" in terminal("secrets", "import", "-", stdin=b"A=\xff", code=2).err
    assert "there is no file" in terminal("secrets", "import", "/nowhere.env", code=4).err


def test_export_names_is_a_template(terminal: Terminal) -> None:
    """Names without values, for another server."""
    assert terminal("secrets", "export-names", "--json").json == {"names": []}
    terminal("secrets", "import", "-", stdin=f"ONE={VALUE}\nTWO={VALUE}\n")
    assert terminal("secrets", "export-names").out == "ONE=\nTWO=\n"
    assert terminal("secrets", "export-names", "--json").json == {"names": ["ONE", "TWO"]}


def test_rotate_encrypts_anew(terminal: Terminal) -> None:
    """For those who may."""
    terminal("secrets", "set", "ONE", stdin=VALUE)
    first = terminal("secrets", "rotate", "--json").json
    again = terminal("secrets", "rotate").out
    assert again == f"the key {first['key']} is young, and stays in use; encrypted anew: 0\n"
    assert terminal("secrets", "rotate", "--json").json["failed"] == 0
    reader = terminal("tokens", "create", "reader", "-s", "secrets:read").out.strip()
    limited = Terminal(terminal.home / "limited")
    server = terminal("whoami", "--json").json["server"]
    limited.environ = {"FLOWRUNNER_SERVER": server, "FLOWRUNNER_TOKEN": reader}
    assert "secrets:write" in limited("secrets", "rotate", code=4).err
    assert limited("secrets", "list", "--json").json["items"][0]["key"] == "ONE"
    assert "secrets:write" in limited("secrets", "set", "ONE", stdin=VALUE, code=4).err
