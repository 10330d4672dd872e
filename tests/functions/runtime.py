"""The real runtime on this machine: Lambda's runtime interface emulator and client over built layers.

Both come from PyPI into .cache/lambda, the first time they are needed: the emulator out of the wheel of the SAM command
line, the client and boto3 for the Python that executes the functions, as Lambda's own runtime has them beside it.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache/lambda"
ARCH = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine().lower())
SAM, CLIENT = "aws-sam-cli==1.170.0", "awslambdaric==4.2.2"
NEWEST_FIRST = ("3.13", "3.12", "3.11")

LAYERS = {
    "executor": ("flowrunner", "core"),
    "executor-slow": ("flowrunner", "core", "ai"),
    "dead_letter": ("flowrunner", "core"),
    "scheduler": ("flowrunner", "core"),
    "stream": ("flowrunner", "core"),
    "websocket": ("flowrunner", "core"),
    "api": ("flowrunner", "core", "api"),
}
"""The layers of each function, as infra/ has them."""

INVOKE_SECONDS = 120
"""Nothing waits for this long unless something is broken."""


class Unavailable(Exception):
    """The runtime cannot be had here."""


@dataclass(frozen=True)
class Runtime:
    """A Python, with what Lambda's runtime has beside the function."""

    python: str
    version: str
    client: Path
    emulator: Path
    layers: Path

    def paths(self, function: str) -> list[Path]:
        """What a function imports from, as /opt and /var/runtime are on Lambda."""
        return [*(self.layers / name / "python" for name in LAYERS[function]), self.client]


@cache
def runtime() -> Runtime:
    """The newest Python on this machine that Lambda has, with the built layers. Raises `Unavailable`."""
    uv = shutil.which("uv") or next(map(str, CACHE.parent.glob("uv-*/bin/uv")), None)
    if uv is None:
        raise Unavailable("uv is needed to fetch the runtime")
    if ARCH is None:
        raise Unavailable(f"Lambda has no {platform.machine()}")
    version, python = _python()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # several processes may run tests
        return _fetched(uv, version, python)


def _fetched(uv: str, version: str, python: str) -> Runtime:
    assert ARCH is not None, "checked before"
    client = _installed(uv, f"py{version.replace('.', '')}", version, [CLIENT, f"boto3=={_locked('boto3')}"])
    sam = _installed(uv, "sam", version, ["--no-deps", SAM])
    _run(python, "-S", "-m", "compileall", "-q", str(client))
    build_layers(version, ARCH)
    layers = ROOT / f"build/layers/py{version.replace('.', '')}-{ARCH}"
    return Runtime(python, version, client, sam / f"samcli/local/rapid/aws-lambda-rie-{ARCH}", layers)


def build_layers(version: str, arch: str, *options: str) -> None:
    """Run scripts/build-layers. Raises `Unavailable`."""
    _run(str(ROOT / "scripts/build-layers"), "--python", version, "--arch", arch, *options)


def _python() -> tuple[str, str]:
    home = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in NEWEST_FIRST:
        name = f"python{version}"
        pyenv = [str(path) for path in sorted(home.glob(f"versions/{version}.*/bin/{name}"))]
        for candidate in (sys.executable, shutil.which(name), *pyenv):
            code = "import sys; print(*sys.version_info[:2], sep='.')"
            if (
                candidate
                and subprocess.run(
                    [candidate, "-I", "-c", code], capture_output=True, text=True, check=False
                ).stdout.strip()
                == version
            ):
                return version, candidate
    raise Unavailable(f"there is no Python {', '.join(NEWEST_FIRST)}")


def _installed(uv: str, name: str, version: str, packages: list[str]) -> Path:
    folder = CACHE / name
    wanted = " ".join(packages)
    mark = folder / "installed"
    if mark.is_file() and mark.read_text() == wanted:
        return folder
    with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
        target = ["--target", fresh, "--python", sys.executable, "--python-version", version]
        _run(uv, "pip", "install", "--quiet", "--only-binary", ":all:", "--no-config", *target, *packages)
        (Path(fresh) / "installed").write_text(wanted)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(fresh, folder)
    return folder


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or ""
        raise Unavailable(f"{' '.join(command[:4])} … failed: {said.strip()[-300:] or error}") from error


def _locked(package: str) -> str:
    found = re.search(rf'name = "{package}"\nversion = "([^"]+)"', (ROOT / "uv.lock").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


@dataclass
class Function:
    """A function in the real runtime; a context manager. What it writes is in `output`."""

    name: str
    runtime: Runtime
    environment: Mapping[str, str]
    timeout: int = 60
    output: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        port, internal = free_port(), free_port()
        folder = ROOT / "functions" / self.name.removesuffix("-slow")
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "LAMBDA_TASK_ROOT": str(folder),
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self.timeout),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(map(str, self.runtime.paths(self.name))),
            **self.environment,
        }
        addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
        addresses += ["--runtime-api-address", f"127.0.0.1:{internal}"]
        command = [str(self.runtime.emulator), *addresses, self.runtime.python, "-S", "-m", "awslambdaric"]
        self._url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        self._process = subprocess.Popen(
            [*command, "handler.handler"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.killpg(self._process.pid, 9)
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def invoke(self, event: object) -> Any:
        """What the function answers; for one that failed, its error, and for one that was stopped, a text."""
        self._wait_for_port()
        request = Request(self._url, json.dumps(event).encode(), {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=INVOKE_SECONDS) as answer:
                content: bytes = answer.read()
        except HTTPError as error:
            error.close()
            raise AssertionError(f"{self.name} did not start: {self.text}") from None
        try:
            return json.loads(content or b"null")
        except ValueError:
            return content.decode()

    @property
    def init_ms(self) -> float:
        """How long the process took to start, as the runtime reports it."""
        return float(self.said(r"INIT REPORT\(durationMs: ([0-9.]+)\)")[1])

    def said(self, pattern: str) -> re.Match[str]:
        """What matches in the output, as soon as it is there: a line may come after the answer."""
        with self._changed:
            self._changed.wait_for(lambda: re.search(pattern, self.text), INVOKE_SECONDS)
        found = re.search(pattern, self.text)
        assert found is not None, self.text
        return found

    @property
    def text(self) -> str:
        return "".join(self.output)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.output.append(line)
                self._changed.notify_all()

    def _wait_for_port(self) -> None:
        """Until the emulator listens."""
        address = self._url.removeprefix("http://").partition("/")[0].partition(":")
        pause = threading.Event()
        for _ in range(20 * INVOKE_SECONDS):
            try:
                socket.create_connection((address[0], int(address[2])), timeout=10).close()
            except OSError:
                assert self._process.poll() is None, self.text
                pause.wait(0.05)
            else:
                return
        raise AssertionError(f"the emulator does not listen: {self.text}")
