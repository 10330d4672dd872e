"""The commands at a terminal: prompts, the live tree, tables; and what the shell completes."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from flowrunner.cli.remote.board import EventBoard
from flowrunner.nodes.registry import ENTRY_POINTS, Registry

from tests.cli.remote.server import FAILING, HELLO, PASSWORD, Running, Terminal

LAZY = {"rich", "httpx2", "yaml", "pydantic", "asyncio", "ssl", "flowrunner.engine.engine", "flowrunner.bootstrap"}


@dataclass
class Seen:
    """What stood on the screen, and the exit code."""

    text: str
    code: int


def at_terminal(terminal: Terminal, *arguments: str, answers: Sequence[tuple[str, str]] = ()) -> Seen:
    """Run a command at a terminal; `answers` are what is typed when something stands there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "flowrunner", *arguments],
        env={**terminal.variables(), "COLUMNS": "120", "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen, left = b"", list(answers)
    while select.select([ours], [], [], 120)[0]:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
        if left and left[0][0].encode() in seen.rpartition(b"\n")[2]:
            os.write(ours, left.pop(0)[1].encode() + b"\n")
    os.close(ours)
    code = process.wait(120)
    assert not left, f"was not asked {left}: {seen!r}"
    return Seen(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode()).replace("\r\n", "\n"), code)


def test_login_asks_for_what_was_not_said(server: Running, stranger: Terminal) -> None:
    """Server, user and password, the last without an echo."""
    user = server.owner()
    answers = [("server: ", server.url), ("username: ", user), ("password: ", PASSWORD)]
    seen = at_terminal(stranger, "login", answers=answers)
    assert (seen.code, f"logged in to {server.url} as {user}" in seen.text) == (0, True)
    assert PASSWORD not in seen.text


def test_new_passwords_are_typed_twice(server: Running, terminal: Terminal) -> None:
    """Two that are not the same change nothing."""
    user = f"tom-{server.owner()}"
    answers = [("new password of ", PASSWORD), ("again: ", PASSWORD + "x")]
    seen = at_terminal(terminal, "users", "create", user, "viewer", answers=answers)
    assert (seen.code, "the two passwords are not the same" in seen.text) == (2, True)
    answers = [("new password of ", PASSWORD), ("again: ", PASSWORD)]
    seen = at_terminal(terminal, "users", "create", user, "viewer", answers=answers)
    assert (seen.code, f"{user} is viewer" in seen.text) == (0, True)


def test_what_destroys_asks_first(terminal: Terminal) -> None:
    """No is no."""
    terminal("flows", "create", "-", stdin=HELLO)
    question = "Delete the flow hello with its revisions and runs?"
    seen = at_terminal(terminal, "flows", "delete", "hello", answers=[(question, "n")])
    assert (seen.code, "nothing was done" in seen.text) == (2, True)
    seen = at_terminal(terminal, "flows", "delete", "hello", answers=[(question, "y")])
    assert (seen.code, "deleted hello" in seen.text) == (0, True)


def test_a_run_is_a_live_tree(terminal: Terminal) -> None:
    """As for a run on this machine: steps, what they say, how it ended."""
    for text in (HELLO, FAILING):
        terminal("flows", "create", "-", stdin=text)
    seen = at_terminal(terminal, "run", "hello", "-i", "name=Ann")
    assert seen.code == 0
    assert "hello  completed" in seen.text
    assert "✔ greet" in seen.text
    assert "greet: hi Ann" in seen.text
    assert '"said": "hi Ann"' in seen.text
    seen = at_terminal(terminal, "run", "failing")
    assert seen.code == 1
    assert re.search(r"failed  \d+\S*  .*no luck", seen.text)


def test_lists_and_documents_are_drawn_for_people(terminal: Terminal) -> None:
    """A table as wide as the terminal, with whole ids; JSON over several lines."""
    terminal("flows", "create", "-", stdin=HELLO)
    flow = terminal("list", "--json").json["items"][0]["id"]
    seen = at_terminal(terminal, "list")
    assert flow in seen.text
    assert "NAME" in seen.text
    assert '\n  "items": [\n' in at_terminal(terminal, "list", "--json").text
    assert at_terminal(terminal, "flows", "get", "hello").text == HELLO


def test_the_shell_completes_commands_profiles_and_flows(terminal: Terminal) -> None:
    """Names come from the file and from the server; a server that is not there holds nobody up."""
    terminal("flows", "create", "-", stdin=HELLO)

    def completed(line: str) -> list[str]:
        terminal.environ |= {
            "_FLOWRUNNER_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(line.count(" ")),
        }
        try:
            return terminal().out.split()
        finally:
            terminal.environ = {}

    assert {"flows", "runs", "secrets"} <= set(completed("flowrunner "))
    assert "redrive" in completed("flowrunner runs re")
    assert completed("flowrunner flows get he") == ["hello"]
    assert completed("flowrunner flows get zz") == []
    assert completed("flowrunner whoami --profile d") == ["default"]
    terminal("profiles", "remove", "default")
    assert completed("flowrunner flows get he") == []
    (terminal.home / "config/flowrunner/profiles.yaml").chmod(0o644)
    assert completed("flowrunner whoami --profile d") == []


def test_help_is_quick(stranger: Terminal) -> None:
    """It loads nothing that only work needs."""
    program = (
        "import sys\nfrom flowrunner.cli.main import app\n"
        "try:\n    app(['--help'], prog_name='flowrunner')\n"
        "except SystemExit:\n    print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    environ = {name: value for name, value in stranger.variables().items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.startswith("Usage: flowrunner ")
    assert set(done.stderr.split()) & LAZY == set()


def test_plugins_are_turned(server: Running, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the account alone."""
    from importlib.metadata import EntryPoint

    plugins = Registry([EntryPoint("test.shout", "tests.api.test_plugins:ShoutNode", ENTRY_POINTS)])
    monkeypatch.setattr(server.platform.plugins, "_registry", plugins)
    assert terminal("plugins", "disable", "test.shout").out == "test.shout is disabled\n"
    assert terminal("plugins", "list").out.splitlines()[1].split()[-1] == "no"
    assert terminal("plugins", "enable", "test.shout", "--json").json["enabled"] is True


def test_the_board_follows_a_redrive() -> None:
    """A step that begins again counts its time anew; what is not known is passed over."""
    board = EventBoard()

    def told(kind: str, second: int, **more: object) -> None:
        at = f"2026-11-21T08:00:{second:02}.000Z"
        board.apply({"id": "x", "type": kind, "at": at, "step_id": "a", "node": "a", **more})

    told("step.started", 0)
    told("step.failed", 1, data={"error": {"message": "no luck"}})
    assert (board.lines["a"].status, board.lines["a"].error) == ("failed", "no luck")
    told("step.scheduled", 30)
    assert (board.lines["a"].started_at, board.lines["a"].error) == (0, "")
    told("step.started", 31)
    told("step.succeeded", 33, data={"cached": True})
    line = board.lines["a"]
    assert (line.ended_at - line.started_at, line.marks) == (2000, ["cached"])
    told("step.failed", 33, step_id="a[0]")
    told("step.succeeded", 33, step_id="a[1]")
    told("step.succeeded", 33, step_id="other[1]")
    assert board.lines["a"].marks == ["2 items (1 failed)"]
    assert board.apply({"id": "y", "type": "step.unheard", "at": "whenever", "step_id": "a"}) is None
    assert board.apply({"id": "y", "type": "run.failed", "at": None}) is None
    assert (board.status, list(board.lines)) == ("failed", ["a"])
    assert board.now() >= line.ended_at
