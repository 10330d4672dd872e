"""The commands, run as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_bad_input import flowrunner
from tests.servers import RecordingServer, Reply

FLOW = """
metadata: {name: greet}
nodes:
  hello: {type: transform, params: {value: "Hello ${input.name}!"}, next: say}
  say: {type: log, params: {message: "${prev}"}}
outputs: {text: "${nodes.hello.output}"}
"""
WAITING = "metadata: {name: waiting}\nnodes: {ask: {type: approval, params: {message: go?}}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "greet.yaml").write_text(FLOW)
    (tmp_path / "waiting.yaml").write_text(WAITING)
    return tmp_path


def test_run_prints_the_output_and_shows_the_steps(folder: Path) -> None:
    """The result on standard output, the steps on standard error."""
    done = flowrunner("run", "greet.yaml", "-i", "name=Ada", folder=folder)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"text": "Hello Ada!"}
    assert "✔ hello" in done.stderr
    assert "say: Hello Ada!" in done.stderr
    assert done.stderr.rstrip().endswith("completed")


@pytest.mark.parametrize("given", ['{"name": "Ada"}', "@input.json", "name=Ada"])
def test_run_takes_its_input_in_three_ways(given: str, folder: Path) -> None:
    """A JSON text, a file, key=value."""
    (folder / "input.json").write_text('{"name": "Ada"}')
    done = flowrunner("run", "greet.yaml", "--input", given, folder=folder)
    assert json.loads(done.stdout) == {"text": "Hello Ada!"}


def test_run_json_prints_exactly_one_object(folder: Path) -> None:
    """With the fields that scripts rely on, and nothing else on standard output."""
    done = flowrunner("run", "greet.yaml", "-i", "name=Ada", "--json", folder=folder)
    document = json.loads(done.stdout)
    assert list(document) == ["run_id", "status", "output", "error", "steps"]
    assert [step["step_id"] for step in document["steps"]] == ["hello", "say"]
    assert list(document["steps"][0]) == [
        "step_id",
        "node",
        "status",
        "action",
        "attempts",
        "output",
        "error",
        "started_at",
        "finished_at",
    ]
    assert done.stderr == ""


def test_a_failed_run_exits_with_1_and_says_why(folder: Path) -> None:
    """The error's code and message, and the step that failed."""
    (folder / "bad.yaml").write_text(
        "metadata: {name: bad}\nnodes: {a: {type: script, hooks: {exec: 'throw new Error(\"no luck\")'}}}\n"
    )
    done = flowrunner("run", "bad.yaml", folder=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("failed: SCRIPT_ERROR: ")
    assert "no luck" in done.stderr
    assert "✘ a" in done.stderr
    document = json.loads(flowrunner("run", "bad.yaml", "--json", folder=folder).stdout)
    assert document["error"]["node"] == "a"


def test_a_flow_comes_from_standard_input(folder: Path) -> None:
    """For pipes."""
    done = flowrunner("run", "-", "-i", "name=Ada", folder=folder, text=FLOW)
    assert json.loads(done.stdout) == {"text": "Hello Ada!"}


def test_ctrl_c_cancels_the_run(folder: Path) -> None:
    """Cleanly: status cancelled, exit code 1, no traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flowrunner", "run", "waiting.yaml"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    seen = ""
    while "waiting" not in seen.partition("of waiting")[2]:
        line = process.stderr.readline()
        assert line, f"run has ended: {seen}"
        seen += line
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "cancelled" in rest
    assert "Traceback" not in rest


def test_run_with_a_store_is_durable_and_answer_goes_on(folder: Path) -> None:
    """A run that waits outlives its command; an answer and a worker finish it."""
    store = f"sqlite:///{folder}/runs.db"
    done = flowrunner("run", "waiting.yaml", "--store", store, "--timeout", "5s", folder=folder)
    assert done.returncode == 1
    run = done.stderr.split("run ", 1)[1].split(" ", 1)[0]
    assert "it goes on" in done.stderr
    answered = flowrunner("answer", run, "ask", "approve", "--store", store, folder=folder)
    assert (answered.returncode, answered.stdout) == (0, "answered ask\n")
    again = flowrunner("answer", run, "ask", "reject", "--store", store, folder=folder)
    assert (again.returncode, "answered already" in again.stderr) == (1, True)
    missing = flowrunner("answer", run, "nothing", "approve", "--store", store, folder=folder)
    assert missing.returncode == 4


def test_a_stored_flow_is_run_by_name(folder: Path) -> None:
    """What `run --store FILE` saved is found again."""
    store = f"sqlite:///{folder}/runs.db"
    flowrunner("run", "greet.yaml", "-i", "name=Ada", "--store", store, folder=folder)
    done = flowrunner("run", "greet", "-i", "name=Bob", "--store", store, folder=folder)
    assert json.loads(done.stdout) == {"text": "Hello Bob!"}
    assert flowrunner("run", "nothing", "--store", store, folder=folder).returncode == 4


def test_secrets_come_from_a_file_and_are_not_shown(folder: Path) -> None:
    """Masked wherever the command prints something."""
    (folder / ".env").write_text("# keys\nexport TOKEN='hunter2hunter2'\n")
    (folder / "s.yaml").write_text(
        "metadata: {name: s}\nnodes: {a: {type: log, params: {message: 'the key is ${secrets.TOKEN}'}}}\n"
    )
    done = flowrunner("run", "s.yaml", "--secrets-file", ".env", folder=folder)
    assert done.returncode == 0
    assert "the key is ***" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    warned = flowrunner("validate", "s.yaml", "--secrets-file", ".env", folder=folder)
    assert "valid" in warned.stdout
    (folder / ".env").write_text("TOKN=x\n")
    warned = flowrunner("validate", "s.yaml", "--secrets-file", ".env", folder=folder)
    assert "there is no secret 'TOKEN'" in warned.stderr


def test_private_addresses_need_allow(folder: Path) -> None:
    """The egress guard is on for the command line as well, and says how to open it."""
    with RecordingServer(lambda _: Reply(body=b"{}")) as server:
        (folder / "h.yaml").write_text(
            f"metadata: {{name: h}}\nnodes: {{a: {{type: http.request, params: {{url: '{server.url}'}}}}}}\n"
        )
        closed = flowrunner("run", "h.yaml", folder=folder)
        assert closed.returncode == 1
        assert "may not be reached" in closed.stderr or "EGRESS" in closed.stderr
        assert server.requests == []
        assert flowrunner("run", "h.yaml", "--allow", "127.0.0.1", folder=folder).returncode == 0


def test_init_makes_a_folder_that_works(folder: Path) -> None:
    """Its flow is valid, its tests pass, and nothing is written over."""
    assert flowrunner("init", "new", folder=folder).returncode == 0
    assert flowrunner("validate", "new/flows/hello.yaml", folder=folder).returncode == 0
    tested = flowrunner("test", "new/tests/hello.test.yaml", folder=folder)
    assert "2 passed, 0 failed" in tested.stdout
    again = flowrunner("init", "new", folder=folder)
    assert (again.returncode, "there already" in again.stderr) == (2, True)


def test_flow_tests_say_what_differs(folder: Path) -> None:
    """Expected and got, by field, with exit code 1."""
    (folder / "t.yaml").write_text(
        "flow: greet.yaml\ncases:\n  - name: wrong\n    input: {name: Ada}\n    expect:\n"
        "      output: {text: Bye}\n      path: [say]\n      steps: {hello: {output: x}}\n"
    )
    done = flowrunner("test", "t.yaml", folder=folder)
    assert done.returncode == 1
    for words in ("output: expected", "path: expected say, got hello → say", "steps.hello.output"):
        assert words in done.stderr
    document = json.loads(flowrunner("test", "t.yaml", "--json", folder=folder).stdout)
    assert (document["failed"], len(document["cases"][0]["failures"])) == (1, 3)


def test_flow_tests_turn_their_own_clock(folder: Path) -> None:
    """A wait of days and a retry of hours take no time; errors are mocked one after the other."""
    (folder / "slow.yaml").write_text(
        "metadata: {name: slow}\nnodes:\n  w: {type: delay, params: {for: 30d}, next: a}\n"
        "  a: {type: http.request, params: {url: 'https://x.example'}, retry: {max_attempts: 3, delay: 1h}}\n"
    )
    (folder / "t.yaml").write_text(
        "flow: slow.yaml\ncases:\n  - name: gets through\n    mocks:\n      a:\n"
        "        - {error: {code: 'HttpStatus:503', retryable: true}}\n        - {output: {body: ok}}\n"
        "    expect: {output: {a: {body: ok}}, steps: {a: {attempts: 2}}}\n"
        "  - name: nothing is sent\n    expect: {status: failed, error: NOT_MOCKED}\n"
    )
    done = flowrunner("test", "t.yaml", folder=folder)
    assert "2 passed, 0 failed" in done.stdout, done.stderr


def test_nodes_and_schema_describe_the_language(folder: Path) -> None:
    """For people and for editors."""
    listed = flowrunner("nodes", folder=folder)
    assert "http.request" in listed.stdout
    page = flowrunner("nodes", "http.request", folder=folder)
    assert "Parameters:" in page.stdout
    described = json.loads(flowrunner("nodes", "delay", "--json", folder=folder).stdout)
    assert described["params_schema"]["properties"].keys() == {"for", "until"}
    schema = json.loads(flowrunner("schema", folder=folder).stdout)
    assert schema["$schema"].endswith("2020-12/schema")
    assert "nodes" in schema["properties"]


@pytest.mark.parametrize(("drawing", "words"), [("mermaid", "flowchart TD"), ("dot", "digraph flow")])
def test_graph_draws_every_edge(drawing: str, words: str, folder: Path) -> None:
    """Both formats name both nodes and the edge between them."""
    done = flowrunner("graph", "greet.yaml", "--format", drawing, folder=folder)
    assert words in done.stdout
    assert "hello" in done.stdout
    assert "->" in done.stdout


def test_worker_serves_a_store_until_it_is_stopped(folder: Path) -> None:
    """Another process starts a run; the worker finishes it and ends on SIGTERM with 0."""
    store = f"sqlite:///{folder}/shared.db"
    with RecordingServer(lambda _: Reply(body=b"{}")) as server:
        (folder / "h.yaml").write_text(
            "metadata: {name: h}\nnodes:\n  ask: {type: approval, params: {message: go?}, next: {approved: a}}\n"
            f"  a: {{type: http.request, params: {{url: '{server.url}'}}}}\n"
        )
        done = flowrunner("run", "h.yaml", "--store", store, "--timeout", "5s", folder=folder)
        run = done.stderr.split("run ", 1)[1].split(" ", 1)[0]
        process = subprocess.Popen(
            [sys.executable, "-m", "flowrunner", "worker", "--store", store, "--allow", "127.0.0.1"],
            cwd=folder,
            env=os.environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert "serves" in process.stderr.readline()
        flowrunner("answer", run, "ask", "approve", "--store", store, folder=folder)
        limit = time.monotonic() + 120
        while not server.requests and time.monotonic() < limit:
            signal.sigtimedwait([], 0.05)
        process.terminate()
        process.communicate(timeout=120)
        assert process.returncode == 0
        assert len(server.requests) == 1


def test_dev_loads_the_examples_and_works_on_the_store(folder: Path) -> None:
    """A run from another terminal is worked on and shown."""
    store = f"sqlite:///{folder}/dev.db"
    process = subprocess.Popen(
        [sys.executable, "-m", "flowrunner", "dev", "--port", "0", "--store", store, "--flows", str(folder)],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    seen = ""
    while "from another terminal" not in seen:
        line = process.stderr.readline()
        assert line, f"dev has ended: {seen}"
        seen += line
    assert "greet (revision 1)" in seen
    assert "127.0.0.0/8" in seen
    done = flowrunner("run", "greet", "-i", "name=Ada", "--store", store, folder=folder)
    assert done.returncode == 0
    line = process.stderr.readline()
    assert "greet" in line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 0
