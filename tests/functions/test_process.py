"""A function's process keeps its memory and environment, which hold its credentials, from the scripts it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from flowrunner.errors import ConfigurationError
from flowrunner.functions.process import ends_at, prepare
from flowrunner.testing import TurnedClock

from tests.functions.installation import Context

NOBODY = 65_534

LOOK = """
import ctypes, os, sys
from flowrunner.functions.process import PR_SET_DUMPABLE, keep_memory_private

def outcome(path):
    '''What becomes of a child that opens the parent's file, as a script would that took over its process.'''
    child = os.fork()
    if child == 0:
        try:
            os.close(2)  # a script's process may hold three files, and gives one of them up
            open(path, 'rb').read(1)
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

if os.getuid() == 0:  # root may look at everything
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # which changing the user has taken away
files = [f'/proc/{os.getpid()}/{name}' for name in ('environ', 'mem', 'maps')]
before = [outcome(file) for file in files]
keep_memory_private()
print(before, [outcome(file) for file in files])
"""
EACCES, EIO = 13, 5


@pytest.mark.skipif(sys.platform != "linux", reason="it is about Linux, on which Lambda runs")
def test_scripts_cannot_read_the_parent() -> None:
    """The environment, the memory and its map can be read by a child of the same user before, and by none after."""
    program = LOOK.replace("NOBODY", str(NOBODY))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.strip()[1:-1].split("] [")
    assert before.split(", ")[0] == "0"
    assert before.split(", ")[2] == "0"
    assert after == f"{EACCES}, {EACCES}, {EACCES}"


def test_a_function_that_is_wired_wrongly_does_not_start() -> None:
    """The settings are checked at the start, where the deployment sees it."""
    with pytest.raises(ConfigurationError, match="STORE__NOTHING"):
        prepare("executor", {"FLOWRUNNER_STORE__NOTHING": "x"})


def test_the_end_of_an_invocation() -> None:
    """It is counted from now, by our clock, whatever the clocks of others say."""
    assert ends_at(Context(left=900), TurnedClock(5_000)) == 5_900


def test_no_credentials_in_a_script_process() -> None:
    """A script's process has no variable of its parent's but the loader's path, on which Lambda's Python may need."""
    from flowrunner.sandbox.process import Worker

    os.environ["AWS_SECRET_ACCESS_KEY_OF_TESTS"] = "secret"
    worker = Worker()
    try:
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
        names = {entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry}
        assert names <= {b"LD_LIBRARY_PATH", b"TZ"}
    finally:
        worker.kill()
        del os.environ["AWS_SECRET_ACCESS_KEY_OF_TESTS"]
