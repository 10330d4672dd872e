"""Finds the interpreter that the emulator runs the functions with, and makes it an environment of its own."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"

NEWEST_FIRST = ("3.13", "3.12", "3.11")
"""What the layers can be built for; AWS gets the first (infra's default)."""

PACKAGES = ("ministack==1.5.33", "boto3>=1.43", "cryptography>=45")
"""Nothing else: functions run in the emulator's interpreter, where anything more would hide what a layer lacks.
boto3 is there on Lambda, too."""

TRY = "import sys, ssl, sqlite3, ctypes, zlib, bz2, lzma; print('%d.%d' % sys.version_info[:2])"


class NotInstallable(Exception):
    """The emulator cannot be had on this machine."""


def find_python(versions: tuple[str, ...] = NEWEST_FIRST) -> tuple[str, str]:
    """The newest interpreter that starts (a version manager's shim may not), and its minor version."""
    for version in versions:
        for candidate in _candidates(version):
            if _version_of(candidate) == version:
                return candidate, version
    raise NotInstallable(f"no Python {', '.join(versions)} that works was found")


def _candidates(version: str) -> list[str]:
    found = [shutil.which(f"python{version}"), f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found += [str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        found.append(getattr(sys, "_base_executable", sys.executable))
    return [path for path in found if path and Path(path).exists()]


def _version_of(python: str) -> str | None:
    try:
        done = subprocess.run([python, "-I", "-c", TRY], capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def architecture() -> str:
    """Of this machine, in Lambda's words."""
    machine = platform.machine().lower()
    return "arm64" if machine in {"arm64", "aarch64"} else "x86_64"


def find_uv() -> str:
    """The uv that scripts/lib.sh uses or has installed."""
    on_path = shutil.which("uv")
    for candidate in [on_path, *map(str, CACHE.glob("uv-*/bin/uv")), str(Path.home() / ".local/bin/uv")]:
        if candidate and _works(candidate):
            return candidate
    raise NotInstallable("uv was not found")


def _works(uv: str) -> bool:
    try:
        return subprocess.run([uv, "--version"], capture_output=True, timeout=20, check=False).returncode == 0
    except OSError:
        return False


def environment(python: str, version: str) -> Path:
    """The folder of the environment that holds the emulator; made when it is not there."""
    name = hashlib.sha256("\n".join((python, *PACKAGES)).encode()).hexdigest()[:12]
    folder = CACHE / f"ministack-{version}-{name}"
    ready = folder / "ready"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            uv = find_uv()
            _run(uv, "venv", "--quiet", "--clear", "--no-python-downloads", "--python", python, str(folder))
            into = str(folder / "bin" / "python")
            _run(uv, "pip", "install", "--quiet", "--python", into, *PACKAGES)
            ready.touch()
    return folder


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotInstallable(f"{' '.join(command[:3])} took more than {error.timeout:.0f} s") from error
    if done.returncode:
        raise NotInstallable(f"{' '.join(command[:3])}: {done.stderr.strip()[-600:]}")
