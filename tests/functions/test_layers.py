"""The layers: the locked packages and no others, for the target's processor, within their sizes; and what is imported."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functions.runtime import LAYERS, ROOT, Runtime, Unavailable, build_layers, runtime

MB = 1_000_000
MOST = {"executor": 80 * MB, "executor-slow": 80 * MB, "api": 120 * MB}
"""Bytes of a function's code and layers, unzipped, without boto3."""

OF_THE_RUNTIME = {"boto3", "botocore", "s3transfer"}
HEAVY = {
    *("aws_encryption_sdk", "aws_xray_sdk", "boto3", "jsonpath", "jsonschema", "openai", "opentelemetry.sdk"),
    *(
        "mcp",
        "prometheus_client",
        "psycopg",
        "regex",
        "rich",
        "sqlite3",
        "standardwebhooks",
        "typer",
        "uvicorn",
        "httpx2",
    ),
}
"""What no function imports before it is used."""

WEB = {"argon2", "fastapi", "mangum", "starlette"}
AARCH64 = 183
"""`e_machine` in the header of a program for arm64 (ELF)."""


@pytest.fixture(scope="module")
def builder() -> Any:
    """scripts/build_layers.py as a module."""
    spec = importlib.util.spec_from_file_location("build_layers", ROOT / "scripts/build_layers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def deployed() -> Path:
    """The layers that are deployed: for Python 3.13 on arm64."""
    try:
        build_layers("3.13", "arm64")
    except Unavailable as reason:
        pytest.skip(f"the layers cannot be built: {reason}")
    return ROOT / "build/layers/py313-arm64"


@pytest.fixture(scope="module")
def real() -> Runtime:
    """Lambda's runtime with layers for this machine."""
    try:
        return runtime()
    except Unavailable as reason:
        pytest.skip(f"Lambda's runtime cannot be had: {reason}")


def files(folder: Path) -> Iterator[Path]:
    """All files below a folder."""
    return (path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["core", "api", "ai", "mcp", "postgres", "wasm"])
def test_sets_are_those_of_the_lock(builder: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """layers/dependencies holds what uv.lock says now; `scripts/build-layers --sets` writes it anew."""
    monkeypatch.setenv("PATH", f"{os.environ.get('PATH', '')}{os.pathsep}{Path.home() / '.local/bin'}")
    uv = next(map(str, (ROOT / ".cache").glob("uv-*/bin/uv")), None)
    if uv is not None:
        monkeypatch.setenv("UV", uv)
    locked = builder.locked_set(name)
    assert (ROOT / f"layers/dependencies/{name}.txt").read_text(encoding="utf-8") == locked
    for line in locked.splitlines():
        if "==" in line and not line.startswith("#"):
            assert line.endswith("\\"), f"without a hash: {line}"


def test_layers_hold_programs_for_the_target(deployed: Path) -> None:
    """Every compiled module is for arm64, and there are some: a wheel for this machine would fail on Lambda."""
    machines = {path: int.from_bytes(path.read_bytes()[18:20], "little") for path in deployed.rglob("*.so*")}
    assert len(machines) > 5
    assert {path.name: machine for path, machine in machines.items() if machine != AARCH64} == {}


def test_layers_leave_out_what_the_runtime_brings(deployed: Path) -> None:
    """boto3 comes with Lambda's Python, and tests and type stubs are for nobody there."""
    for layer in ("core", "api", "ai"):
        assert {path.name for path in (deployed / layer / "python").iterdir()} & OF_THE_RUNTIME == set()
        assert [path for path in files(deployed / layer) if path.suffix == ".pyi"] == []


@pytest.mark.parametrize("function", MOST)
def test_functions_are_small(builder: Any, deployed: Path, function: str) -> None:
    """What Lambda unpacks for a process stays within its budget."""
    code = builder.size_of(ROOT / "functions" / function.removesuffix("-slow"))
    assert code + sum(builder.size_of(deployed / layer) for layer in LAYERS[function]) <= MOST[function]


def test_a_second_build_changes_nothing(deployed: Path) -> None:
    """The same sources are not built again, and the hash beside a layer names its content."""
    before = {path.name: (path.read_text(), path.stat().st_mtime_ns) for path in deployed.glob("*.hash")}
    assert {name for name in before if not name.startswith("extra-")} == {
        *("flowrunner.hash", "core.hash", "api.hash", "ai.hash")
    }
    build_layers("3.13", "arm64")
    after = {path.name: (path.read_text(), path.stat().st_mtime_ns) for path in deployed.glob("*.hash")}
    assert {name: after[name] for name in ("core.hash", "api.hash", "ai.hash")} == {
        name: before[name] for name in ("core.hash", "api.hash", "ai.hash")
    }


@pytest.mark.parametrize("function", sorted(path.parent.name for path in ROOT.glob("functions/*/handler.py")))
def test_handlers_import_their_layers_only(real: Runtime, function: str) -> None:
    """A handler is wired with nothing but its layers and the runtime to import from, and leaves for later what it can."""
    paths = [str(ROOT / "functions" / function), *map(str, real.paths(function))]
    program = f"import sys; sys.path[:0] = {paths!r}; import handler, json; print(json.dumps(sorted(sys.modules)))"
    environment = {
        "FLOWRUNNER_STORE__URL": "dynamodb://t?bucket=b&queue=https://sqs/1/f&slow=https://sqs/1/s&region=eu-west-1",
        "FLOWRUNNER_VAULT__KMS_KEY": "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "FLOWRUNNER_LIVE__SOCKET_URL": "https://a1b2c3.execute-api.eu-west-1.amazonaws.com/live",
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [real.python, "-S", "-E", "-c", program],
        env=environment,
        cwd=ROOT / "functions" / function,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    allowed = WEB if function == "api" else set()
    assert loaded & (HEAVY | WEB) <= allowed


def test_without_the_interpreter_there_is_no_bytecode(builder: Any, tmp_path: Path) -> None:
    """For a Python that is not on this machine layers are built all the same, and it is said what that costs."""
    target = builder.Target("3.99", "arm64", tmp_path)
    assert target.compiler is None
    (tmp_path / "python").mkdir()
    (tmp_path / "python/module.py").write_text("x = 1\n")
    target._compile(tmp_path / "python")
    assert [path.name for path in files(tmp_path / "python")] == ["module.py"]


def test_bytecode_does_not_depend_on_where_it_was_made(builder: Any, tmp_path: Path) -> None:
    """Two builds of one source in two places are the same, byte for byte, with no path of the machine in it."""
    version = f"3.{sys.version_info.minor}"
    made = []
    for name in ("here", "over-there"):
        folder = tmp_path / name / "python"
        folder.mkdir(parents=True)
        (folder / "module.py").write_text(
            "NAMES = {'a', 'b', 'c', 'd'}\n\ndef f(x):\n    return x in {'p', 'q', 'r'}\n"
        )
        builder.Target(version, "arm64", tmp_path / name)._compile(folder)
        made.append({path.name: path.read_bytes() for path in files(folder)})
    assert made[0] == made[1]
    assert len(made[0]) == 2
    assert not any(str(tmp_path).encode() in content for content in made[0].values())


PACKAGE = ROOT / "layers/flowrunner/python/flowrunner"
ON_SERVERS = (
    "adapters/memory",
    "adapters/postgres",
    "adapters/sqlite",
    "cli",
    "telemetry",
    "testing.py",
    "__main__.py",
)
"""What no function imports; of `telemetry`, what they do import needs no package."""

WITH_EXTRAS = ("nodes/postgres_", "nodes/wasm_worker.py", "nodes/mcp_client.py")
"""What says that it is not installed where a deployment is without the extra; tests/functions/test_extras.py."""

DEPLOYING = ("adapters/aws/cloud.py",)
"""What runs where `flowrunner deploy` does."""

WITH_API = ("api", "functions/api.py", "services/passwords.py", "services/secret_import.py")
WITH_AI = ("nodes/llm",)


def libraries(source: str) -> set[str]:
    """The top packages that a module imports, at once or later."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    ours = {"flowrunner", "__future__"} | {name for name in found if name.startswith("mypy_boto3")}
    return found - ours - sys.stdlib_module_names


@pytest.mark.parametrize("function", ["executor", "executor-slow", "api"])
def test_what_is_imported_later_is_there(real: Runtime, function: str) -> None:
    """Every package that some module of a function's imports, when it is first needed, is in its layers."""
    wanted: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).as_posix()
        elsewhere = (WITH_API if function != "api" else ()) + (WITH_AI if function != "executor-slow" else ())
        if not module.startswith((*ON_SERVERS, *WITH_EXTRAS, *DEPLOYING, *elsewhere)):
            wanted |= libraries(path.read_text(encoding="utf-8"))
    assert {"aws_encryption_sdk", "httpcore", "jsonschema", "_quickjs"} <= wanted
    program = f"import sys; sys.path[:0] = {[*map(str, real.paths(function))]!r}\n"
    program += "".join(f"import {name}\n" for name in sorted(wanted))
    done = subprocess.run(
        [real.python, "-S", "-E", "-W", "ignore", "-c", program],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-600:]
