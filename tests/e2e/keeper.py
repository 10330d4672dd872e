"""Keeps one installation for all test processes: `python -m tests.e2e.keeper FOLDER`, started by whoever comes first.

Users hold a shared lock on FOLDER/users. When the last one has let go, even because it was killed, the keeper gets the
lock for itself, stops the emulator and ends; so nothing stays behind a test run that was interrupted.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from tests.e2e.emulator import Emulator
from tests.e2e.installation import Installation, deploy
from tests.e2e.pythons import ROOT, NotInstallable

READY, FAILED, MISSING = "ready.json", "failed.txt", "missing.txt"
STARTED: list[subprocess.Popen[bytes]] = []
"""Kept, since nobody here waits for them: they end by themselves."""

PATIENCE = 900.0
"""Seconds for the installation to be there, on a machine that has everything else to do."""


class CannotInstall(Exception):
    """This machine cannot have the emulator; says why."""


def keep(folder: Path) -> None:
    """The keeper's own life."""
    with (folder / "users").open("w") as users:
        try:
            with Emulator(folder) as emulator:
                with (folder / "deploy.log").open("w") as log:
                    deploy(emulator, log).save(folder / READY)
                fcntl.flock(users, fcntl.LOCK_EX)
                (folder / READY).unlink()
        except NotInstallable as error:
            (folder / MISSING).write_text(str(error))
        except Exception:
            said = folder / "deploy.log"
            tail = said.read_text(errors="replace")[-6_000:] if said.exists() else ""
            (folder / FAILED).write_text(f"{traceback.format_exc()}\n{tail}")
            raise


@contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    """The installation that all processes with this folder share; started if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users").open("w") as users:
        with (folder / "start").open("w") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)  # waits while a keeper is on its way out
            if not (folder / READY).exists():
                _start(folder)
        yield Installation.load(folder / READY)


def _start(folder: Path) -> None:
    """Failures are remembered: the next process need not try again."""
    if not any((folder / name).exists() for name in (FAILED, MISSING)):
        with (folder / "keeper.log").open("w") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.keeper", str(folder)],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if not name.startswith("COV")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests; the keeper sees them go
            )
        STARTED.append(keeper)
        deadline = time.monotonic() + PATIENCE
        while not (folder / READY).exists() and keeper.poll() is None:
            if time.monotonic() > deadline:
                keeper.terminate()
                raise RuntimeError(f"no installation after {PATIENCE:.0f} s; see {folder}")
            Event().wait(0.1)
    if (folder / MISSING).exists():
        raise CannotInstall((folder / MISSING).read_text())
    if not (folder / READY).exists():
        failed = folder / FAILED
        raise RuntimeError(failed.read_text() if failed.exists() else (folder / "keeper.log").read_text())


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
