"""Runs on a server: started, watched, looked at, stopped."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.cli.remote.server import FAILING, HELLO, WAITING, Terminal

TALKING = """\
metadata: {name: talking}
nodes:
  one: {type: log, params: {message: first, level: warning, data: {of: 6}}, next: many}
  many:
    type: log
    foreach: {items: "${[1, 2, 3]}", as: number}
    params: {message: "number ${number}"}
    next: last
  last: {type: log, params: {message: "last\\nline"}}
"""
RETRYING = """\
metadata: {name: retrying}
nodes:
  poll:
    type: script
    retry: {max_attempts: 2, delay: 1ms, on: [SCRIPT_ERROR]}
    hooks: {exec: 'throw new Error("not yet")'}
"""


@pytest.fixture
def flows(terminal: Terminal) -> Terminal:
    """A terminal whose account has the flows above."""
    for text in (HELLO, FAILING, WAITING, TALKING):
        terminal("flows", "create", "-", stdin=text)
    return terminal


def ended(terminal: Terminal, flow: str, *options: str) -> str:
    """The id of a run that has ended."""
    run = terminal("runs", "start", flow, *options, "--wait", "20s", "--json", code=None).json
    assert run["ended_at"] is not None
    identity: str = run["id"]
    return identity


def waiting(terminal: Terminal) -> str:
    """The id of a run whose step waits for an answer."""
    run = terminal("runs", "start", "waiting").out.strip()
    events = subprocess.Popen(
        [sys.executable, "-m", "flowrunner", "runs", "events", run, "-f"],
        env=terminal.variables(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with events:
        assert events.stdout is not None
        for line in events.stdout:
            if "step.waiting" in line:
                break
        events.kill()
    return run


def test_start_prints_the_id(flows: Terminal) -> None:
    """For scripts: the id alone on standard output; with --wait the output of the run."""
    done = flows("runs", "start", "waiting")
    assert f"runs watch {done.out.strip()}" in done.err
    once = ["runs", "start", "hello", "-i", "name=Ann", "--idempotency-key", "once"]
    flows(*once, "--wait", "20s")
    assert "is completed; look at it: flowrunner runs get " in flows(*once).err
    assert flows("runs", "start", "hello", "-i", "name=Ann", "--wait", "20s").out == '{\n  "said": "hi Ann"\n}\n'
    run = flows("runs", "start", "hello", "--label", "why=test", "--revision", "1", "--json").json
    assert run["labels"]["why"] == "test"
    assert flows("runs", "start", "nope", code=4).out == ""
    assert "--label x: write it as name=value" in flows("runs", "start", "hello", "--label", "x", code=2).err
    assert "exclude each other" in flows("runs", "start", "hello", "--wait", "1s", "--watch", code=2).err
    assert "wait" in flows("runs", "start", "hello", "--wait", "soon", code=2).err


def test_the_same_key_starts_one_run(flows: Terminal) -> None:
    """And another request with it is refused."""
    key = ["--idempotency-key", "order-17"]
    first = flows("runs", "start", "hello", "-i", "name=Ann", *key).out
    assert flows("runs", "start", "hello", "-i", "name=Ann", *key).out == first
    assert "Idempotency-Key" in flows("runs", "start", "hello", "-i", "name=Bob", *key, code=1).err


def test_a_failed_run_is_exit_code_1(flows: Terminal) -> None:
    """However it is waited for: --wait, --watch, run, logs -f, events -f."""
    run = ended(flows, "failing")
    code = flows("run", "failing", "--json", code=1).json["error"]["code"]
    assert f"failed: {code}: " in flows("runs", "start", "failing", "--wait", "20s", code=1).err
    assert f"failed: {code}: " in flows("runs", "start", "failing", "--watch", code=1).err
    assert code in flows("runs", "get", run).out
    assert flows("run", "failing", code=1).err.splitlines()[-1].startswith("failed: ")
    assert flows("run", "failing", "--json", code=1).json["status"] == "failed"
    assert "no luck" in flows("logs", run, "-f", code=1).err
    assert "run.failed" in flows("runs", "events", run, "-f", code=1).out
    assert flows("runs", "events", run).out.count("no luck") == 2


def test_watch_shows_a_run_that_goes_on_or_has_ended(flows: Terminal) -> None:
    """The steps, the output, and the outcome as exit code."""
    run = ended(flows, "hello", "-i", "name=Ann")
    done = flows("runs", "watch", run)
    assert done.out == '{\n  "said": "hi Ann"\n}\n'
    assert done.err.splitlines()[-1] == "completed"
    assert flows("runs", "watch", run, "--json").json["id"] == run
    assert flows("runs", "watch", ended(flows, "failing"), code=1).err.splitlines()[-1].startswith("failed: ")
    live = waiting(flows)
    watching = subprocess.Popen(
        [sys.executable, "-m", "flowrunner", "runs", "watch", live],
        env=flows.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with watching:
        assert watching.stderr is not None
        for line in watching.stderr:
            if "waiting" in line:
                break
        flows("runs", "signal", live, "ask", "approve")
        watching.stderr.read()
        assert watching.wait(120) == 0
    assert flows("runs", "watch", "nope", code=4).out == ""


def test_run_watches_a_flow_of_the_server(flows: Terminal) -> None:
    """A line for each step and log line on standard error, the output on standard output."""
    done = flows("run", "talking")
    lines = done.err.splitlines()
    assert lines[0].endswith(" of talking")
    assert '  one: warning: first  {"of": 6}' in lines
    assert any(line.startswith("✔ one") for line in lines)
    assert any(line.startswith("✔ many") and "3 items" in line for line in lines)
    assert lines[-1] == "completed"
    done = flows("run", "hello", "-i", "name=Ann", "--json")
    assert (done.json["output"], done.err) == ({"said": "hi Ann"}, "")
    assert flows("run", "hello", "--no-watch").out.count("-") == 4
    assert flows("run", "hello", "--no-watch", "--json").json["flow"]["name"] == "hello"


def test_run_says_where_it_looked(flows: Terminal, stranger: Terminal) -> None:
    """A file, a flow of the server, or neither; options of this machine are refused."""
    assert "there is no flow 'nope' on http" in flows("run", "nope", code=4).err
    assert "--allow is for runs on this machine" in flows("run", "hello", "--allow", "10.0.0.1", code=2).err
    assert "exclude each other" in flows("run", "hello", "--store", "memory:", "--profile", "default", code=2).err
    flows("logout")
    assert "flowrunner login" in stranger("run", "hello", code=4).err
    assert "there is no file" in flows("run", "gone.yaml", code=4).err
    assert "hi Ann" in flows("run", flows.file("hello", HELLO), "-i", "name=Ann").out


def test_steps_that_are_tried_again_are_shown(terminal: Terminal) -> None:
    """With the attempt's number."""
    terminal("flows", "create", "-", stdin=RETRYING)
    done = terminal("run", "retrying", code=1)
    assert "↻ poll" in done.err
    assert "attempt 2" in done.err
    run = terminal("runs", "list", "--json").json["items"][0]["id"]
    assert "attempt 2" in terminal("runs", "events", run).out
    assert [one["attempt"] for one in terminal("runs", "steps", run, "--json").json["items"]] == [1, 2]
    assert terminal("runs", "step", run, "poll", "--attempt", "1", "--json").json["attempt"] == 1


def test_a_timeout_leaves_the_run_alone(flows: Terminal) -> None:
    """It goes on, and exit code 1 says that the result is not known."""
    done = flows("run", "waiting", "--timeout", "1s", code=1)
    assert "has not ended within 1s; it goes on" in done.err
    (run,) = flows("runs", "list", "--flow", "waiting", "--json").json["items"]
    assert run["status"] in ("running", "waiting")
    assert "--timeout" in flows("run", "waiting", "--timeout", "soon", code=2).err


@pytest.mark.parametrize("command", [["run", "waiting"], ["runs", "start", "waiting", "--watch"]])
def test_ctrl_c_leaves_the_run_running(command: list[str], flows: Terminal) -> None:
    """It says so, and how to go on; the exit code is that of an interrupted command."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flowrunner", *command], env=flows.variables(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    while "⏸ ask" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the run goes on" in said
    assert "Traceback" not in said
    (run,) = flows("runs", "list", "--flow", "waiting", "--json").json["items"]
    assert run["status"] == "waiting"


def test_list_finds_runs(flows: Terminal) -> None:
    """By flow, status and time, newest first."""
    run = ended(flows, "hello", "-i", "name=Ann")
    other = ended(flows, "failing")
    rows = flows("runs", "list").out.splitlines()
    assert rows[0].split() == ["ID", "FLOW", "REV", "STATUS", "PROGRESS", "STARTED", "TOOK", "BY"]
    assert [row.split()[0] for row in rows[1:]] == [other, run]
    assert [one["id"] for one in flows("runs", "list", "--flow", "hello", "--json").json["items"]] == [run]
    assert [one["id"] for one in flows("runs", "list", "--status", "failed", "--json").json["items"]] == [other]
    assert flows("runs", "list", "--since", "2099-01-01T00:00:00Z", "--json").json == {"items": [], "more": False}
    assert flows("runs", "list", "-n", "1", "--json").json["more"] is True
    assert "since" in flows("runs", "list", "--since", "yesterday", code=2).err
    assert flows("runs", "list", "--flow", "nope", code=4).out == ""


def test_get_and_status_show_a_run(flows: Terminal) -> None:
    """Its fields, one per line, or the whole document."""
    run = ended(flows, "hello", "-i", "name=Ann")
    for command in (["runs", "get"], ["status"]):
        fields = dict(line.split(maxsplit=1) for line in flows(*command, run).out.splitlines())
        assert (fields["run"], fields["status"], fields["input"]) == (run, "completed", '{"name": "Ann"}')
        assert flows(*command, run, "--json").json["output"] == {"said": "hi Ann"}
        assert "there is no such run" in flows(*command, "nope", code=4).err
    for odd in ("..", ".", "a/b", "x" * 600):
        assert flows("runs", "get", odd, code=4).out == ""


def test_steps_and_one_step(flows: Terminal) -> None:
    """In order, with what each was given and gave."""
    run = ended(flows, "hello", "-i", "name=Ann")
    assert flows("runs", "steps", run).out.splitlines()[1].split()[:3] == ["greet", "succeeded", "1"]
    assert [one["id"] for one in flows("runs", "steps", run, "--json").json["items"]] == ["greet"]
    assert '{"name": "Ann"}' in flows("runs", "step", run, "greet").out
    assert flows("runs", "step", run, "greet", "--json").json["output"]["message"] == "hi Ann"
    assert "there is no such step" in flows("runs", "step", run, "nope", code=4).err
    assert flows("runs", "steps", "nope", code=4).out == ""
    assert "asks     go?" in flows("runs", "step", waiting(flows), "ask").out


def test_logs_are_printed_filtered_and_followed(flows: Terminal) -> None:
    """What steps said, in order; -f ends with the run; with --json one document, or one per line with -f."""
    run = ended(flows, "talking")
    lines = flows("logs", run).out.splitlines()
    assert lines[0].endswith('one: warning: first  {"of": 6}')
    assert lines[-2:] == [lines[-2], "    line"]
    assert len(lines) == 6
    assert flows("runs", "logs", run).out.splitlines() == lines
    assert flows("logs", run, "--level", "warning").out.count("\n") == 1
    assert (
        flows("logs", run, "--node", "many", "--text", "NUMBER 2", "--json").json["items"][0]["message"] == "number 2"
    )
    assert flows("logs", run, "-n", "2", "--json").json["more"] is True
    assert "there are more" in flows("logs", run, "-n", "2").err
    followed = flows("logs", run, "-f")
    assert followed.out.splitlines() == lines
    assert followed.err == "completed\n"
    assert flows("logs", run, "-f", "--json").lines == flows("logs", run, "--json").json["items"]
    nothing = flows("logs", run, "--level", "error")
    assert (nothing.out, nothing.err) == ("", "none\n")
    assert flows("logs", "nope", code=4).out == ""
    assert flows("logs", "nope", "-f", code=4).out == ""
    assert "level" in flows("logs", run, "--level", "loud", code=2).err


def test_events_are_printed_and_followed(flows: Terminal) -> None:
    """The same events either way, each once."""
    run = ended(flows, "talking")
    paged = flows("runs", "events", run, "--json").json["items"]
    followed = flows("runs", "events", run, "--follow", "--json").lines
    assert paged == followed
    assert [one["type"] for one in paged][0 :: len(paged) - 1] == ["run.started", "run.completed"]
    assert flows("runs", "events", run).out.splitlines() == flows("runs", "events", run, "-f").out.splitlines()
    assert flows("runs", "events", run, "-n", "3", "--json").json["more"] is True
    assert len(flows("runs", "events", run, "--all").out.splitlines()) >= len(paged)
    assert flows("runs", "events", "nope", code=4).out == ""
    assert flows("runs", "events", "nope", "-f", code=4).out == ""


def test_cancel_stops_a_run(flows: Terminal) -> None:
    """Once; after its end it is a conflict."""
    run = waiting(flows)
    assert flows("runs", "cancel", run, "--reason", "enough").out == f"run {run} is cancelled\n"
    assert flows("runs", "cancel", run, code=1).out == ""
    assert flows("runs", "cancel", "nope", code=4).out == ""
    assert flows("logs", run, "-f", code=1).err.startswith("cancelled")
    other = waiting(flows)
    assert flows("runs", "cancel", other, "--json").json["status"] == "cancelled"


def test_redrive_goes_on(flows: Terminal) -> None:
    """From what failed; there has to be something."""
    run = ended(flows, "failing")
    assert flows("runs", "redrive", run, "--watch", code=1).err.splitlines()[-1].startswith("failed: ")
    assert flows("runs", "redrive", run, "--from", "boom", "--json").json["id"] == run
    flows("runs", "events", run, "-f", code=1)
    assert flows("runs", "get", run, "--json").json["attempt"] == 3
    assert flows("runs", "redrive", ended(flows, "hello", "-i", "name=Ann"), code=1).out == ""
    assert flows("runs", "redrive", "nope", code=4).out == ""


def test_delete_removes_a_run_that_has_ended(flows: Terminal) -> None:
    """Not one that is live, and not without a yes."""
    run, live = ended(flows, "hello"), waiting(flows)
    assert "--yes" in flows("runs", "delete", run, code=2).err
    assert flows("runs", "delete", run, "-y", "--json").json == {"id": run, "deleted": True}
    assert flows("runs", "delete", run, "-y", code=4).out == ""
    assert "has not ended" in flows("runs", "delete", live, "--yes", code=1).err


def test_signal_answers_a_waiting_step(flows: Terminal) -> None:
    """Approve and reject say who decided; any JSON goes as it is."""
    run = waiting(flows)
    assert flows("runs", "events", run).out.splitlines()[-1].endswith("step.waiting    ask  go?")
    assert "approve, reject, or a JSON text" in flows("runs", "signal", run, "ask", "maybe", code=2).err
    assert flows("runs", "signal", run, "ask", "approve", "--comment", "fine").out == "answered ask\n"
    flows("runs", "events", run, "-f")
    output = flows("runs", "step", run, "ask", "--json").json["output"]
    assert (output["approved"], output["comment"]) == (True, "fine")
    assert output["by"].startswith("olga")
    assert flows("runs", "signal", run, "ask", "reject", code=4).out == ""
    assert flows("runs", "signal", "nope", "ask", "reject", code=4).out == ""
    assert flows("runs", "signal", waiting(flows), "ask", '{"approved": false}', "--json").json["answered"] is True


def test_a_run_cannot_steer_the_terminal(terminal: Terminal) -> None:
    """Control characters of others are shown, not obeyed; JSON means the same and is as harmless."""
    sly = 'metadata: {name: sly}\nnodes: {a: {type: script, hooks: {exec: \'log("\\u001b[2J\\u202ex"); return "\\u001b"\'}}}\n'
    terminal("flows", "create", "-", stdin=sly)
    done = terminal("run", "sly")
    assert "a: \\x1b[2J\\u202ex" in done.err
    run = terminal("runs", "list", "--json").json["items"][0]["id"]
    outputs = [terminal(*command).out for command in (["logs", run], ["logs", run, "-f", "--json"], ["status", run])]
    for text in (done.out, done.err, *outputs):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert terminal("logs", run, "--json").json["items"][0]["message"] == "\x1b[2J\u202ex"
