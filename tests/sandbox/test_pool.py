"""Worker processes: one account each, replaced when they must be, killed when they have to be, gone with their parent."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flowrunner.sandbox import pool as pool_module
from flowrunner.sandbox.answers import Garbled, TooDeep, read_answer
from flowrunner.sandbox.errors import SandboxUnavailable, ScriptError, ScriptLimitExceeded
from flowrunner.sandbox.evaluator import Limits, Sandbox, Script
from flowrunner.sandbox.process import Request, Worker, WorkerLost

ONE = Script(kind="hook", name="exec", body="return 1")


def load(_root: str, _key: str | None) -> Any:
    """Nothing is read in these tests."""
    raise AssertionError


def run(sandbox: Sandbox, account: str = "acme", body: str = "return 1") -> Any:
    """The value of a hook."""
    script = Script(kind="hook", name="exec", body=body)
    return sandbox.evaluate(account, script, load, now_ms=0, seed="").value


def pids(sandbox: Sandbox) -> dict[str | None, int]:
    """The idle workers by account."""
    return {worker.account: worker.pid for worker in sandbox._pool._idle}


def gone(pid: int, seconds: float) -> bool:
    """Whether a process ends within that time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    ended = bool(poll.poll(seconds * 1000))
    os.close(descriptor)
    return ended


@pytest.fixture
def one() -> Iterator[Sandbox]:
    """A sandbox with a single worker."""
    made = Sandbox(Limits(cpu=200, wall=3_000), processes=1)
    yield made
    made.close()


def test_a_worker_stays_warm_for_its_account(one: Sandbox) -> None:
    """The second evaluation of an account finds the process of the first."""
    run(one)
    before = pids(one)
    run(one)
    assert pids(one) == before


def test_a_worker_serves_one_account(one: Sandbox) -> None:
    """Another account gets another process, and the first one's is gone."""
    run(one, "acme")
    first = pids(one)["acme"]
    run(one, "other")
    assert pids(one).keys() == {"other"}
    assert pids(one)["other"] != first
    assert gone(first, 60)


def test_accounts_keep_their_workers_while_there_is_room() -> None:
    """With two places two accounts stay warm; the third takes the place of the one that was used longest ago."""
    sandbox = Sandbox(processes=2)
    try:
        run(sandbox, "a")
        run(sandbox, "b")
        kept = pids(sandbox)
        run(sandbox, "a")
        assert pids(sandbox) == kept
        run(sandbox, "c")
        assert pids(sandbox).keys() == {"a", "c"}
        assert pids(sandbox)["a"] == kept["a"]
    finally:
        sandbox.close()


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        ("throw new Error('x')", True),
        ("if (", True),
        ("return null.x", True),
        ("while (1);", False),
        ("function f() { return f() } f()", False),
        ("return 'x'.repeat(2**29)", False),
        ("return 'x'.repeat(1e6)", False),
        ("log('x'.repeat(1e6))", False),
        ("return new Array(2**32 - 1).join('x')", False),
    ],
)
def test_a_worker_is_replaced_after_a_limit(one: Sandbox, body: str, *, stays: bool) -> None:
    """An ordinary error leaves the process; one that went over a limit is never used again."""
    run(one)
    before = pids(one)
    with pytest.raises(ScriptError):
        run(one, body=body)
    run(one)
    assert (pids(one) == before) is stays


def test_a_worker_is_replaced_in_time(one: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its share of evaluations a process makes place for a new one."""
    monkeypatch.setattr(pool_module, "SERVED_MOST", 3)
    seen = []
    for _ in range(4):
        run(one)
        seen.append(pids(one).get("acme"))
    assert seen[0] == seen[1] is not None
    assert seen[2] is None  # the third was its last
    assert seen[3] not in (None, seen[0])


def test_a_worker_that_died_while_idle_is_nobodys_fault(one: Sandbox) -> None:
    """The kernel may kill a process at any time: the next evaluation gets a new one."""
    run(one)
    victim = pids(one)["acme"]
    os.kill(victim, signal.SIGKILL)
    assert gone(victim, 60)
    assert run(one) == 1


def test_threads_share_the_workers() -> None:
    """More threads than workers wait for each other, and each gets its own answer."""
    sandbox = Sandbox(processes=2)
    try:
        with ThreadPoolExecutor(8) as threads:
            bodies = [f"return {number}" for number in range(100)]
            assert list(threads.map(lambda body: run(sandbox, "acme", body), bodies)) == list(range(100))
            assert list(threads.map(lambda n: run(sandbox, f"account{n % 3}", f"return {n}"), range(30))) == list(
                range(30)
            )
        assert len(pids(sandbox)) <= 2
    finally:
        sandbox.close()


def test_a_thread_that_waits_is_woken_by_the_end() -> None:
    """Closing ends the wait for a worker with an error, and lets what runs come to its end."""
    sandbox = Sandbox(Limits(cpu=200, wall=600), processes=1)
    with ThreadPoolExecutor(1) as threads:
        started = threading.Event()

        def slow(root: str, key: str | None) -> Any:
            started.set()
            return 1

        script = Script(kind="hook", name="exec", body="input; while (1);")
        running = threads.submit(sandbox.evaluate, "acme", script, slow, now_ms=0, seed="")
        assert started.wait(60)
        sandbox.close()
        assert isinstance(running.exception(60), (ScriptLimitExceeded, SandboxUnavailable))
    with pytest.raises(SandboxUnavailable, match="closed"):
        run(sandbox)
    assert pids(sandbox) == {}


def test_closing_ends_the_processes() -> None:
    """No process is left behind."""
    sandbox = Sandbox(processes=1)
    run(sandbox)
    pid = pids(sandbox)["acme"]
    sandbox.close()
    assert gone(pid, 60)


def test_a_process_that_cannot_start_is_told_apart(one: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault of the script, and trying again may help."""
    for program in ("/nonexistent/python", "/bin/false"):
        monkeypatch.setattr(sys, "executable", program)
        with pytest.raises(SandboxUnavailable) as caught:
            run(one)
        assert caught.value.retryable
    monkeypatch.undo()
    assert run(one) == 1


def test_a_worker_holds_nothing_worth_stealing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No environment, no open files but its two pipes and the sink, no new ones, no output to files."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    kept = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(kept, True)
    worker = Worker()
    try:
        base = Path(f"/proc/{worker.pid}")
        names = {entry.partition("=")[0] for entry in (base / "environ").read_text().split("\0") if entry}
        assert names <= {"TZ", "LD_LIBRARY_PATH"}
        assert sorted(file.name for file in (base / "fd").iterdir()) == ["0", "1", "2"]
        lines = (base / "limits").read_text().splitlines()
        limits = {line[:26].strip(): line[26:].split()[:2] for line in lines}
        assert limits["Max file size"] == ["0", "0"]
        assert limits["Max open files"] == ["3", "3"]
        assert limits["Max processes"] == ["0", "0"]
        assert limits["Max core file size"] == ["0", "0"]
    finally:
        worker.kill()
        os.close(kept)


ORPHAN = """
import sys, threading, os
from flowrunner.sandbox.process import Request, Worker
worker = Worker()
data = '{"way": "hook", "bound": {}, "roots": [], "lazy": {}, "limit": 1}'
request = Request("run", 60, 1, 64 << 20, 512 << 10, 0, ((), data, (sys.argv[1],), ()))
def ticks():
    with open(f"/proc/{worker.pid}/stat") as file:
        return sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
if sys.argv[1] != "idle":
    before = ticks()
    threading.Thread(target=worker.ask, args=[request, 1000], daemon=True).start()
    while ticks() < before + 5:  # 50 ms of work: it is in the script
        os.sched_yield()
print(worker.pid, flush=True)
sys.stdin.read()
"""
"""A parent whose child has a minute of CPU left, so that only its alarm can end it."""


@pytest.mark.parametrize("body", ["idle", "while (1);", "new Array(2**32 - 1).join('x')"])
def test_a_worker_does_not_outlive_its_parent(body: str) -> None:
    """A killed parent kills nobody; the process ends by itself: its input ends, or its own alarm rings."""
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, body], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    assert gone(child, 30)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"A",
        b"Z",
        b"Aok",
        b"Aok\n[[],[]]",
        b"Aok\n[[],[]]\n{}",
        b"Aok\n[[],[]]\n[]",
        b"Aok\n[[],[]]\nnot json",
        b'Aok\n[]\n{"value":1}',
        b'Aok\n[[["info"]],[]]\n{"value":1}',
        b'Aok\n[[["loud","x"]],[]]\n{"value":1}',
        b'Aok\n[[["info",5]],[]]\n{"value":1}',
        b'Aok\n[[],[[1,2]]]\n{"value":1}',
        b'Aok\n[[],[]]\n{"value":1,"vars":[]}',
        b'Aok\n[[],[]]\n{"value":1,"gone":[1]}',
        b'Aok\n[[],[]]\n{"value":1}\n',
        b"Amissing\n\n[1]",
        b"Amissing\n\n[[1,2]]",
        b"Aerror\n[[],[]]\n{}",
        b'Alarge\n\n"x"',
        b"Aother\n[[],[]]\n{}",
        b"\xff\xfe",
    ],
)
def test_an_answer_that_is_not_ours_is_refused(answer: bytes) -> None:
    """A process that was taken over may say anything; only an answer of the right form is one."""
    with pytest.raises(Garbled):
        read_answer(answer)


def test_an_answer_that_is_nested_too_deeply_is_refused() -> None:
    """Depth that a later reader or writer could not follow ends here."""
    for depth in (300, 5_000, 200_000):
        with pytest.raises(TooDeep):
            read_answer(b'Aok\n[[],[]]\n{"value":' + b"[" * depth + b"]" * depth + b"}")


def test_an_answer_may_not_be_larger_than_expected() -> None:
    """A process that would send gigabytes is killed before they are read."""
    worker = Worker()
    with pytest.raises(WorkerLost) as caught:
        worker.ask(Request("check", 1, 1, 64 * 1024 * 1024, 512 * 1024, 0, (["x = "] * 100,)), most=10)
    assert caught.value.limit == "output"
    assert not worker.alive


def test_a_process_that_falls_over_a_request_is_gone() -> None:
    """Whatever makes it end, its end is noticed, and it is not asked again."""
    worker = Worker()
    answer, _ = worker.ask(Request("run", 1, 1, 64 * 1024 * 1024, 512 * 1024, 0, ()), most=1000)
    assert answer[:1] == b"T"
    with pytest.raises(WorkerLost) as caught:
        worker.ask(Request("run", 1, 1, "x", 512 * 1024, 0, ()), most=1000)  # type: ignore[arg-type]  # on purpose
    assert caught.value.limit == "memory"
    assert not worker.alive


def test_syntax_is_checked_without_running_anything(one: Sandbox) -> None:
    """A source that leaves its function is a fault, and none of it runs."""
    sources = [
        "}); while (1) {} (function () {",
        "} } }); while (1) {} ({ m() { {",
        "}; while (1) {} {",
        "1) + (2",
        "1]; while (1); [1",
    ]
    faults = one.check_syntax([(kind, source) for source in sources for kind in ("hook", "expression")])
    assert all(fault is not None for fault in faults)
    assert not any("interrupted" in fault.message for fault in faults if fault)


SYNTAX: list[tuple[Any, str, tuple[int, int, str] | None]] = [
    ("hook", "return 1", None),
    ("hook", "const x = 1;\nif (x) /}/.test(x)\nreturn x", None),
    ("hook", "return `${`a${1}`}` // }", None),
    ("hook", "", None),
    ("hook", "x = ;", (1, 5, "unexpected token in expression: ';'")),
    ("hook", "a();\n  b(;", (2, 5, "unexpected token in expression: ';'")),
    ("hook", "if (x) {", (1, 9, "")),
    ("hook", "return 1}", (1, 10, "")),
    ("hook", "let a; let a;", (1, 12, "invalid redefinition of lexical identifier")),
    ("hook", "await x()", (1, 7, "await is not supported: scripts are synchronous")),
    ("hook", "a;\n  import('x')", (2, 3, "import is not supported in scripts")),
    ("expression", "input.a", None),
    ("expression", "a ? {b: 1} : [...c]", None),
    ("expression", "a; b", (1, 2, "")),
    ("expression", "a +", (1, 4, "")),
    ("expression", "// nothing", (1, 11, "")),
    ("expression", "lambda: 1", (1, 7, "")),
    ("expression", "(" * 20_000, (1, 1, "nested too deeply")),
]


@pytest.mark.parametrize(("kind", "source", "fault"), SYNTAX, ids=[case[1][:30] for case in SYNTAX])
def test_syntax_faults_name_their_place(
    one: Sandbox, kind: Any, source: str, fault: tuple[int, int, str] | None
) -> None:
    """Line and column count from 1 within the source."""
    found = one.check_syntax([(kind, source)])[0]
    assert (found is None) == (fault is None)
    if fault is None or found is None:
        return
    assert (found.line, fault[1] - 1 <= found.column <= fault[1] + 1) == (fault[0], True)
    assert fault[2] in found.message


def test_a_long_document_is_checked_in_time(one: Sandbox) -> None:
    """Ten thousand scripts are compiled in a few requests, and the fault is at its place."""
    scripts: list[Any] = [("expression", f"input.a + {number}") for number in range(10_000)]
    scripts[7_777] = ("expression", "input.a +")
    faults = one.check_syntax(scripts)
    assert [number for number, fault in enumerate(faults) if fault] == [7_777]


def test_checking_uses_no_account_by_itself(one: Sandbox) -> None:
    """A check without an account leaves no worker behind, one with an account uses its warm one."""
    run(one)
    before = pids(one)
    one.check_syntax([("hook", "return 1")], account="acme")
    assert pids(one) == before
    one.check_syntax([("hook", "return 1")])
    assert pids(one) == {}
