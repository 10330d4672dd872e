"""Build the layers of the Lambda functions; started by scripts/build-layers, which finds uv.

Each layer is a folder that Lambda unpacks to /opt: `flowrunner`, and the sets of packages that pyproject.toml names in
the dependency groups `layer-*`. The folder's neighbour `<layer>.hash` holds the hash of all that went into it.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETS = ROOT / "layers/dependencies"
PACKAGE = ROOT / "layers/flowrunner/python/flowrunner"

GROUPS = {"core": ["layer-core"], "api": ["layer-core", "layer-api"], "ai": ["layer-core", "layer-ai"]}
"""The dependency groups of a set. What is in `core` is left out of the others: their functions have both layers."""

EXTRAS = ("mcp", "postgres", "wasm")
"""Sets that are built when they are asked for, those of one function into one layer: Lambda takes five."""

OF_THE_RUNTIME = ["boto3", "botocore", "s3transfer", "jmespath", "urllib3", "six", "python-dateutil"]
"""Lambda's Python runtimes bring the AWS SDK and what it is made of."""

PLATFORMS = {"arm64": "aarch64", "x86_64": "x86_64"}
"""Lambda's names of architectures, and those of wheels."""

NEEDLESS = ("*.pyi", "*.pyx", "*.pxd", "*.c", "*.h", "py.typed", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
NEEDLESS_FOLDERS = {"__pycache__", "tests", "test", "bin", "include", "wrapt-stubs"}
NEEDLESS_PARTS = (
    "pydantic/v1",  # FastAPI looks whether it is there, which takes 25 ms of a cold start
    "aws_lambda_powertools/event_handler",
    *(f"aws_lambda_powertools/utilities/{name}" for name in ("auth_alpha", "circuit_breaker", "data_classes")),
    *(f"aws_lambda_powertools/utilities/{name}" for name in ("data_masking", "feature_flags", "idempotency", "kafka")),
    *(f"aws_lambda_powertools/utilities/{name}" for name in ("parameters", "parser", "streaming", "validation")),
    "openai/cli",
)
"""Of Powertools the functions have the logger, metrics and the tracer."""

MOMENT = 1_704_067_200
"""The time that all files get, 2024-01-01: so that a layer's archive depends on nothing but its content."""


def main() -> int:
    """Build what is asked for."""
    parser = argparse.ArgumentParser(prog="scripts/build-layers", description="Build the layers of the functions.")
    parser.add_argument("--python", default="3.13", help="the runtime's Python (3.13)")
    parser.add_argument("--arch", default="arm64", choices=sorted(PLATFORMS), help="the functions' architecture")
    parser.add_argument("--out", type=Path, default=ROOT / "build/layers", help="the folder (build/layers)")
    parser.add_argument(
        "--extras", action="append", default=[], help="one more layer, of these: mcp,postgres,wasm; may be repeated"
    )
    parser.add_argument("--sets", action="store_true", help="only write the locked sets anew")
    given = parser.parse_args()
    if given.sets:
        for name in (*GROUPS, *EXTRAS):
            (SETS / f"{name}.txt").write_text(locked_set(name), encoding="utf-8")
        return 0
    for wrong in {name for extras in given.extras for name in extras.split(",")} - {*EXTRAS}:
        parser.error(f"--extras {wrong}: there are {', '.join(EXTRAS)}")
    if not re.fullmatch(r"3\.\d+", given.python):
        parser.error(f"--python {given.python}: a version is like 3.13")
    target = Target(given.python, given.arch, given.out)
    with target.alone():
        for name in ("flowrunner", *GROUPS, *(f"extra-{extras.replace(',', '-')}" for extras in given.extras)):
            target.build(name)
    return 0


def sets_of(layer: str) -> Sequence[str]:
    """The sets of packages that a layer is made of: `extra-mcp-wasm` of two."""
    return layer.split("-")[1:] if layer.startswith("extra-") else (layer,)


def locked_set(name: str) -> str:
    """The packages of a set with their hashes, as uv.lock has them, for all platforms."""
    text = _export(GROUPS.get(name, ["layer-core", f"layer-{name}"]))
    if name != "core":
        core = {package for package, _ in _entries(_export(GROUPS["core"]))}
        text = "".join(entry for package, entry in _entries(text) if package not in core)
    return f"# Written by scripts/build-layers --sets from uv.lock: the packages of the layer {name}.\n{text}"


def _export(groups: Sequence[str]) -> str:
    command = [_uv(), "export", "--frozen", "--quiet", "--no-header", "--no-annotate"]
    for group in groups:
        command += ["--only-group", group]
    for package in OF_THE_RUNTIME:
        command += ["--prune", package]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Each package with its lines: a requirement, continued by its hashes."""
    for entry in re.findall(r"^\S[^\n]*\n(?:    [^\n]*\n)*", text, re.MULTILINE):
        yield entry.partition("==")[0], entry


def _uv() -> str:
    return os.environ.get("UV") or shutil.which("uv") or "uv"


class Target:
    """A Python version on an architecture, and where its layers go."""

    def __init__(self, python: str, arch: str, out: Path) -> None:
        self.python = python
        self.arch = arch
        self.folder = out / f"py{python.replace('.', '')}-{arch}"
        self.folder.mkdir(parents=True, exist_ok=True)
        # Amazon Linux 2023, under Lambda's runtimes from Python 3.12 on, has glibc 2.34.
        self.platform = f"{PLATFORMS[arch]}-manylinux_2_34"
        if int(python.partition(".")[2]) < 12:
            print(f"Lambda's Python {python} has glibc 2.26: these layers are for an emulator only", file=sys.stderr)
        self.compiler = _interpreter(python)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One build at a time."""
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def build(self, name: str) -> None:
        """Build a layer unless it is there already, with the same content."""
        stamp, layer = self._stamp(name), self.folder / name
        mark = self.folder / f"{name}.hash"
        if layer.is_dir() and mark.is_file() and mark.read_text() == stamp:
            print(f"{_shown(layer)}: unchanged")
            return
        mark.unlink(missing_ok=True)
        fresh = self.folder / f".{name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        if name == "flowrunner":
            shutil.copytree(PACKAGE, fresh / "python/flowrunner", ignore=shutil.ignore_patterns("__pycache__"))
        else:
            self._install(name, fresh / "python")
        _prune(fresh)
        self._compile(fresh / "python")
        _settle(fresh)
        shutil.rmtree(layer, ignore_errors=True)
        fresh.rename(layer)
        mark.write_text(stamp)
        print(f"{_shown(layer)}: {size_of(layer) / 1e6:.1f} MB")

    def _stamp(self, name: str) -> str:
        """The hash of all that a layer is made from."""
        digest = hashlib.sha256(Path(__file__).read_bytes())
        digest.update(f"{self.python} {self.platform} {_magic(self.compiler)}".encode())
        if name == "flowrunner":
            for path in sorted(path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"):
                digest.update(f"\0{path.relative_to(PACKAGE).as_posix()}\0".encode() + path.read_bytes())
        else:
            for one in sets_of(name):
                digest.update((SETS / f"{one}.txt").read_bytes())
        return digest.hexdigest()

    def _install(self, name: str, folder: Path) -> None:
        command = [_uv(), "pip", "install", "--quiet", "--target", str(folder)]
        for one in sets_of(name):
            command += ["--requirements", str(SETS / f"{one}.txt")]
        command += ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
        command += ["--python", sys.executable, "--python-version", self.python]
        command += ["--python-platform", self.platform, "--link-mode", "copy", "--no-config"]
        subprocess.run(command, cwd=ROOT, check=True)

    def _compile(self, folder: Path) -> None:
        """Bytecode that is taken without a look at the source: on Lambda nothing could be written there."""
        if self.compiler is None:
            print(
                f"no Python {self.python} on this machine: no bytecode in {_shown(folder.parent)}, so cold starts take"
                f" seconds more; install it (uv python install {self.python}) and build again",
                file=sys.stderr,
            )
            return
        command = [self.compiler, "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        # A fixed seed, since sets among the constants are written in their order.
        command += ["-s", str(folder), "-p", "/opt/python", str(folder)]
        subprocess.run(command, check=True, cwd=folder.parent, env={"PYTHONHASHSEED": "0"})


def _interpreter(python: str) -> str | None:
    """A Python of just that version that starts: a version manager's command may be there and yet not start."""
    name, home = f"python{python}", Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    managed = [_uv(), "python", "find", "--no-python-downloads", "--no-project", "--managed-python", python]
    found = subprocess.run(managed, cwd="/", check=False, capture_output=True, text=True).stdout.strip()
    folders = os.environ.get("PATH", "").split(os.pathsep)
    candidates = [sys.executable, found, *(f"{folder}/{name}" for folder in folders)]
    candidates += [str(path) for path in sorted(home.glob(f"versions/{python}.*/bin/{name}"))]
    version = "import sys; print(*sys.version_info[:2], sep='.')"
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and _ask(candidate, version) == python:
            return candidate
    return None


def _magic(compiler: str | None) -> str:
    """What tells the bytecode of one Python from that of others."""
    return _ask(compiler, "import importlib.util as u; print(u.MAGIC_NUMBER.hex())") if compiler else "no bytecode"


def _ask(python: str, code: str) -> str:
    """What the interpreter prints; nothing if it does not start."""
    return subprocess.run([python, "-I", "-c", code], check=False, capture_output=True, text=True).stdout.strip()


def _prune(layer: Path) -> None:
    """Remove what nothing needs at run time."""
    for pattern in NEEDLESS:
        for path in layer.rglob(pattern):
            path.unlink()
    for path in sorted(layer.rglob("*"), reverse=True):
        needless = path.name in NEEDLESS_FOLDERS or path.as_posix().endswith(NEEDLESS_PARTS)
        if path.is_dir() and needless and "flowrunner" not in path.relative_to(layer).parts:
            shutil.rmtree(path)


def _settle(layer: Path) -> None:
    """The same times and rights whoever builds it."""
    for path in [*layer.rglob("*"), layer]:
        path.chmod(0o755 if path.is_dir() or path.suffix == ".so" else 0o644)
        os.utime(path, (MOMENT, MOMENT))


def size_of(folder: Path) -> int:
    """Bytes of all files, as Lambda counts them unzipped."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
