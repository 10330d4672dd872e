"""Flows on a server: every command, as its user calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.remote.server import FAILING, HELLO, WAITING, Terminal

BROKEN = "metadata: {name: hello}\nnodes:\n  greet: {type: lgo, params: {message: hi}}\n"
CHANGED = HELLO.replace("greet:", "salute:")


@pytest.fixture
def hello(terminal: Terminal) -> str:
    """A stored flow; its id."""
    flow: str = terminal("flows", "create", terminal.file("hello.yaml", HELLO), "--json").json["id"]
    return flow


def test_create_stores_a_flow(terminal: Terminal) -> None:
    """By file, by standard input, as JSON, as a draft; twice is a conflict."""
    done = terminal("flows", "create", terminal.file("hello.yaml", HELLO))
    assert done.out.startswith("hello has revision 1 and is active (")
    again = terminal("flows", "create", "-", stdin=HELLO, code=1)
    assert "hello" in again.err
    assert "correlation id: " in again.err
    assert terminal("flows", "create", "-", "--draft", "--json", stdin=WAITING).json["status"] == "draft"
    as_json = terminal.file("failing.json", '{"metadata": {"name": "as-json"}, "nodes": {"a": {"type": "log"}}}')
    assert terminal("flows", "create", as_json, "--json").json["name"] == "as-json"
    flow_style = "{metadata: {name: flow-style}, nodes: {a: {type: log}}}"
    assert terminal("flows", "create", "-", "--json", stdin=flow_style).json["name"] == "flow-style"


def test_an_invalid_flow_is_explained(terminal: Terminal) -> None:
    """Exit code 3, and each problem with its place."""
    done = terminal("flows", "create", "-", stdin=BROKEN, code=3)
    assert "nodes.greet.type: unknown node type 'lgo'; did you mean 'log'? (line 3, column 17)" in done.err
    assert done.out == ""
    assert "there is no file" in terminal("flows", "create", "/nowhere.yaml", code=4).err


def test_the_short_form_checks_the_name(terminal: Terminal) -> None:
    """`create NAME --file F` is for that flow and no other."""
    file = terminal.file("hello.yaml", HELLO)
    assert "the document is called 'hello', not 'bye'" in terminal("create", "bye", "--file", file, code=2).err
    assert terminal("create", "hello", "--file", file, "--json").json["name"] == "hello"
    assert "problem" not in terminal("create", "x", "--file", terminal.file("y.yaml", "["), code=3).out


def test_list_finds_flows(terminal: Terminal, hello: str) -> None:
    """As a table and as JSON, by text, label and status, a few or all."""
    for number in range(3):
        text = WAITING.replace("name: waiting", f"name: w{number}, labels: {{team: t{number}}}")
        terminal("flows", "create", "-", stdin=text)
    header, first, *rest = terminal("flows", "list").out.splitlines()
    assert header.split() == ["NAME", "STATUS", "REV", "TRIGGERS", "LABELS", "UPDATED", "ID"]
    assert first.split()[0] == "hello"
    assert first.endswith(hello)
    assert len(rest) == 3
    found = terminal("flows", "list", "-q", "hell", "--json").json
    assert ([one["name"] for one in found["items"]], found["more"]) == (["hello"], False)
    found = terminal("flows", "list", "--limit", "2", "--json").json
    assert (len(found["items"]), found["more"]) == (2, True)
    assert "there are more" in terminal("list", "-n", "2").err
    assert len(terminal("list", "--all", "--json").json["items"]) == 4
    assert [one["name"] for one in terminal("list", "--label", "team=t1", "--json").json["items"]] == ["w1"]
    assert terminal("flows", "list", "--status", "archived").err == "none\n"
    assert "status" in terminal("flows", "list", "--status", "odd", code=2).err


def test_get_prints_the_document_as_it_was_written(terminal: Terminal, hello: str) -> None:
    """By name and by id, an older revision, into a file; --json is all that is known."""
    assert terminal("flows", "get", "hello").out == HELLO
    assert terminal("flows", "get", hello).out == HELLO
    terminal("flows", "update", "hello", "--file", terminal.file("new.yaml", CHANGED))
    assert terminal("flows", "get", "hello").out == CHANGED
    assert terminal("flows", "get", "hello", "--revision", "1").out == HELLO
    assert terminal("flows", "get", "hello", "--json").json["revision"] == 2
    target = terminal.home / "out.yaml"
    assert terminal("flows", "get", "hello", "-o", str(target)).out == ""
    assert target.read_text("utf-8") == CHANGED
    assert terminal("flows", "get", "nope", code=4).err.startswith("error: there is no flow 'nope'")
    assert terminal("flows", "get", "hello", "--revision", "9", code=4).out == ""
    assert "cannot be written" in terminal("flows", "get", "hello", "-o", str(Path("/nowhere/x")), code=2).err


def test_update_makes_a_revision(terminal: Terminal, hello: str) -> None:
    """On top of the one that was seen, if that is said."""
    file = terminal.file("new.yaml", CHANGED)
    assert terminal("flows", "update", "hello", "--file", file, "--revision", "1", "--json").json["revision"] == 2
    lost = terminal("flows", "update", hello, "-f", file, "--revision", "1", code=1)
    assert lost.err.startswith("error: ")
    assert "lgo" in terminal("flows", "update", "hello", "--file", terminal.file("b.yaml", BROKEN), code=3).err


def test_revisions_are_listed_and_compared(terminal: Terminal, hello: str) -> None:
    """Newest first; without --from and --to the last change is shown."""
    assert "nothing to compare" in terminal("flows", "diff", "hello", code=2).err
    terminal("flows", "update", "hello", "--file", terminal.file("new.yaml", CHANGED))
    assert [one["revision"] for one in terminal("flows", "revisions", "hello", "--json").json["items"]] == [2, 1]
    assert terminal("flows", "revisions", "hello").out.split()[:3] == ["REV", "CREATED", "HASH"]
    text = terminal("flows", "diff", "hello").out
    assert any(line.startswith("+") and "salute" in line for line in text.splitlines())
    back = terminal("flows", "diff", "hello", "--from", "2", "--to", "1", "--json").json
    assert (back["nodes_added"], back["nodes_removed"]) == (["greet"], ["salute"])
    assert terminal("flows", "diff", "hello", "--from", "1", "--to", "7", code=4).out == ""
    assert terminal("flows", "revisions", "nope", code=4).out == ""


def test_archive_and_activate(terminal: Terminal, hello: str) -> None:
    """An archived flow cannot be run."""
    assert terminal("flows", "archive", "hello").out == "hello is archived\n"
    assert "archived" in terminal("runs", "start", "hello", code=1).err
    assert terminal("flows", "activate", hello, "--json").json["status"] == "active"
    assert terminal("flows", "archive", "nope", code=4).out == ""
    assert terminal("flows", "activate", "nope", code=4).out == ""


def test_delete_asks_first(terminal: Terminal, hello: str) -> None:
    """Without a person --yes has to say it; live runs need --force."""
    assert "--yes" in terminal("flows", "delete", "hello", code=2).err
    terminal("flows", "create", "-", stdin=WAITING)
    terminal("runs", "start", "waiting")
    assert terminal("flows", "delete", "waiting", "--yes", code=1).err.startswith("error: ")
    assert terminal("flows", "delete", "waiting", "--yes", "--force").out == "deleted waiting\n"
    assert terminal("flows", "delete", "hello", "-y", "--json").json == {"id": hello, "deleted": True}
    assert terminal("flows", "delete", "hello", "-y", code=4).out == ""


def test_validate_asks_the_server(terminal: Terminal) -> None:
    """All problems, exit code 3; nothing is stored."""
    assert terminal("flows", "validate", terminal.file("good.yaml", FAILING)).out.endswith("good.yaml: valid\n")
    done = terminal("flows", "validate", "-", stdin=BROKEN, code=3)
    assert done.err.startswith("-: error: nodes.greet.type: ")
    assert terminal("flows", "validate", "-", "--json", stdin=BROKEN, code=3).json["valid"] is False
    assert terminal("list", "--json").json["items"] == []
