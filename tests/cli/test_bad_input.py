"""What the command line says of bad input: each kind has its message and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = "metadata: {name: x}\nnodes: {a: {type: log, params: {message: hi}}}\n"
BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
)
HEAD = "metadata: {name: x}\n"
FULL = Path("/dev/full")

DOCUMENTS: dict[str, tuple[str | bytes, int, str]] = {
    "an empty file": ("", 3, "the document is empty"),
    "invalid YAML": ("metadata: {name: x\nnodes: [", 3, "not valid YAML"),
    "a 10 MB document": (b"a: " + b"x" * 10_000_000, 3, "bytes; a flow may have 262,144"),
    "an alias bomb": (BOMB, 3, "anchors (&"),
    "an unknown node type": (
        HEAD + "nodes:\n  a: {type: htp.request, params: {url: x}}\n",
        3,
        "error: nodes.a.type: unknown node type 'htp.request'; did you mean 'http.request'? (line 3, column 13)",
    ),
    "a join cycle": (
        HEAD + "nodes:\n  s: {type: log}\n  a: {type: log, needs: [s, b]}\n  b: {type: log, needs: [a]}\n",
        3,
        "needs cycle: a -> b -> a",
    ),
    "an unreachable node": (
        HEAD + "start: a\nnodes:\n  a: {type: log}\n  b: {type: log}\n",
        3,
        "nothing leads to this node",
    ),
    "a broken expression": (
        HEAD + 'nodes:\n  a: {type: log, params: {message: "${input.}"}}\n',
        3,
        "nodes.a.params.message",
    ),
    "an expression without its end": (
        HEAD + 'nodes:\n  a: {type: log, params: {message: "${input"}}\n',
        3,
        "no closing brace",
    ),
    "a hook with a syntax error": (
        HEAD + "nodes:\n  a:\n    type: script\n    hooks:\n      exec: |\n        const a = 1;\n        return (a;\n",
        3,
        "(line 8, column",
    ),
    "a wrong target": (
        HEAD + "nodes:\n  a: {type: log, next: {error: alrt}}\n  alert: {type: log, needs: [a]}\n",
        3,
        "error: nodes.a.next.error: no node is called 'alrt'; did you mean 'alert'? (line 3, column 32)",
    ),
}


def flowrunner(*arguments: str, folder: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FLOWRUNNER_")}
    environment["XDG_CONFIG_HOME"] = str(folder)  # nobody is logged in there
    return subprocess.run(
        [sys.executable, "-m", "flowrunner", *arguments],
        cwd=folder,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_bad_document_is_explained(kind: str, tmp_path: Path) -> None:
    """`run` and `validate` say the same, with the same exit code, and no traceback."""
    document, code, words = DOCUMENTS[kind]
    file = tmp_path / "flow.yaml"
    file.write_bytes(document if isinstance(document, bytes) else document.encode())
    for command in ("run", "validate"):
        done = flowrunner(command, str(file), folder=tmp_path)
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    """One run of the validator is enough."""
    file = tmp_path / "flow.yaml"
    file.write_text(
        "metadata: {name: x}\nnodes:\n  a: {type: transfrm, next: bb}\n  b: {type: delay, params: {for: soon}, needs: [a]}\n"
        "  c: {type: script, needs: [b], hooks: {exec: 'return ('}}\n"
    )
    done = flowrunner("validate", str(file), folder=tmp_path)
    for words in ("'transfrm'; did you mean 'transform'?", "'bb'", "'soon' is not a duration", "JavaScript"):
        assert words in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "nowhere.yaml"], 4, "there is no file nowhere.yaml"),
        (["run", "."], 2, "is a folder"),
        (["validate", "."], 2, "is a folder"),
        (["run", "good.yaml", "--input", "{"], 2, "not JSON"),
        (["run", "good.yaml", "--input", "@nowhere.json"], 4, "there is no file nowhere.json"),
        (["run", "good.yaml", "--input", "word"], 2, "key=value"),
        (["run", "good.yaml", "--input", "@latin.json"], 2, "@latin.json: the file is not UTF-8 text (byte 7)"),
        (["run", "good.yaml", "--input", "word=\udce4"], 2, "is not UTF-8 text"),
        (["run", "good.yaml", "--store", "mysql://x"], 2, "flag --store: store.url: is not one that can be used"),
        (["run", "good.yaml", "--store", "sqlite:///good.yaml"], 2, "good.yaml"),
        (["run", "good.yaml", "--store", "postgresql://nobody@127.0.0.1:1/x"], 5, "check store.url"),
        (["run", "good.yaml", "--timeout", "soon"], 2, "not a duration"),
        (["nodes", "htp.request"], 4, "did you mean 'http.request'?"),
        (["graph", "good.yaml", "--format", "png"], 2, "mermaid or dot"),
        (["run", "--nonsense"], 2, "No such option"),
        (["worker", "--store", "memory:"], 2, "nothing to do"),
        (["worker", "--store", "sqlite:///x.db", "--processes", "2"], 2, "use PostgreSQL"),
    ],
)
def test_a_wrong_call_is_explained(arguments: list[str], code: int, words: str, tmp_path: Path) -> None:
    """Each wrong call ends with its exit code and a message that says what to do."""
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "latin.json").write_bytes(b'{"n": "\xe4"}')
    done = flowrunner(*arguments, folder=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_an_input_from_a_file_is_read_whole(tmp_path: Path) -> None:
    """One that a run may not have is refused for its size, not for being cut short."""
    (tmp_path / "flow.yaml").write_text(HEAD + 'nodes: {a: {type: log, params: {message: "${input.text.length}"}}}\n')
    (tmp_path / "large.json").write_text(json.dumps({"text": "x" * 5_000_000}))
    done = flowrunner("run", "flow.yaml", "--input", "@large.json", folder=tmp_path)
    assert (done.returncode, "a: 5000000" in done.stderr) == (0, True), done.stderr
    (tmp_path / "huge.json").write_text(json.dumps({"text": "x" * 65 * 1024**2}))
    done = flowrunner("run", "flow.yaml", "--input", "@huge.json", folder=tmp_path)
    assert (done.returncode, "larger than 64 MiB" in done.stderr) == (2, True), done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_explained(unbuffered: str, tmp_path: Path) -> None:
    """Whether output is written at once or at the end."""
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "flowrunner", "nodes"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=180,
            check=False,
        )
    assert done.stderr == "error: the output cannot be written: No space left on device\n"
    assert done.returncode == 1


def test_an_unreadable_file_is_explained(tmp_path: Path) -> None:
    """No permission is no traceback."""
    file = tmp_path / "secret.yaml"
    file.write_text(GOOD)
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("this user may read everything")
    done = flowrunner("run", str(file), folder=tmp_path)
    assert (done.returncode, "may not be read" in done.stderr) == (4, True)


def test_a_wrong_input_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """With the field of every problem."""
    file = tmp_path / "flow.yaml"
    file.write_text(
        "metadata: {name: x}\ninputs: {type: object, required: [id], properties: {n: {type: integer}}}\n"
        "nodes: {a: {type: log}}\n"
    )
    done = flowrunner("run", str(file), "--input", '{"n": "x"}', folder=tmp_path)
    assert done.returncode == 2
    assert "input.id: is required" in done.stderr
    assert "input.n" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("FLOWRUNNER_STORE__ULR", "memory:", "did you mean 'store.url'?"),
        ("FLOWRUNNER_WORKER__THREADS", "many", "environment variable FLOWRUNNER_WORKER__THREADS: worker.threads"),
        ("FLOWRUNNER_SANDBOX__MEMORY", "big", "64KiB or 32MiB"),
        ("FLOWRUNNER_WORKER__LEASE", "5 parsecs", "worker.lease: '5 parsecs' is not a duration"),
        ("FLOWRUNNER_WURKER", "x", "did you mean 'worker'?"),
        ("FLOWRUNNER_NONSENSE", "x", "flowrunner config show lists all that there are"),
        ("FLOWRUNNER_PUBLIC_URL", "flows.example.com", "public_url: an address is like https://flows.example.com"),
        ("FLOWRUNNER_PUBLIC_URL", "https://me:pw@flows.example.com", "and no user"),
        ("FLOWRUNNER_STORE__URL", "mysql://x", "postgresql://user@host/database or dynamodb://"),
    ],
)
def test_a_wrong_setting_stops_the_start(variable: str, value: str, words: str, tmp_path: Path) -> None:
    """With the key, its source, and what is allowed."""
    environment = {**os.environ, variable: value}
    done = subprocess.run(
        [sys.executable, "-m", "flowrunner", "config", "show"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr


def test_settings_are_shown_as_they_are_written(tmp_path: Path) -> None:
    """Durations and sizes with their units, such as one would write into flowrunner.yaml; in JSON as numbers."""
    (tmp_path / "flowrunner.yaml").write_text(
        "worker: {lease: 90, grace: 90500ms}\nhooks: {max_body: 1000}\npublic_url: https://flows.example.com/here\n"
    )
    done = flowrunner("config", "show", folder=tmp_path)
    shown = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()}
    assert (shown["worker.lease"], shown["worker.grace"]) == ("90000ms", "90500ms")
    assert (shown["vault.min_key_age"], shown["store.retention"]) == ("1d", "null")
    assert (shown["sandbox.memory"], shown["hooks.max_body"], shown["values.inline"]) == ("64MiB", "1000B", "100KiB")
    assert (shown["worker.threads"], shown["metrics.enabled"]) == ("32", "false")
    assert shown["public_url"] == '"https://flows.example.com/here"'


def test_a_settings_file_counts_less_than_the_environment_and_says_so(tmp_path: Path) -> None:
    """`config show` names the source of each value, and no password."""
    (tmp_path / "flowrunner.yaml").write_text("store: {url: 'postgresql://me:hunter2@db/x'}\nworker: {threads: 3}\n")
    done = subprocess.run(
        [sys.executable, "-m", "flowrunner", "config", "show", "--json"],
        cwd=tmp_path,
        env={**os.environ, "FLOWRUNNER_WORKER__THREADS": "5"},
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    rows = {row["key"]: row for row in json.loads(done.stdout)}
    assert rows["worker.threads"]["value"] == 5
    assert rows["worker.threads"]["source"] == "environment variable FLOWRUNNER_WORKER__THREADS"
    assert rows["store.url"]["source"] == "flowrunner.yaml"
    assert "hunter2" not in done.stdout
