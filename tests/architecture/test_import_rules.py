"""The import rules of pyproject.toml hold, and each of them can be broken: a rule that never fires keeps nothing out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "layers/flowrunner/python"

PLANTED = {
    "Imports point down": ("core/planted_up.py", "import flowrunner.engine"),
    "Adapters do not know each other": ("adapters/memory/planted.py", "import flowrunner.adapters.sqlite"),
    "The core reads nothing of the world": ("core/planted_world.py", "import os"),
    "Only adapters.postgres and the PostgreSQL node know PostgreSQL": ("engine/planted_psycopg.py", "import psycopg"),
    "Only adapters.sqlite knows SQLite": ("adapters/memory/planted_sqlite.py", "import sqlite3"),
    "Only adapters.aws and the AWS nodes know AWS": ("nodes/planted.py", "import boto3"),
    "Production code knows no test helpers": ("engine/planted_pytest.py", "import pytest"),
}
"""Contract: a file that breaks it, and what is in the file."""


def lint(python_path: Path, work: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter with the project's own configuration on the package found in `python_path`."""
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(python_path), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_contracts_are_kept(tmp_path: Path) -> None:
    """The package as it stands keeps every contract."""
    done = lint(SOURCE, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Contracts: {len(PLANTED)} kept, 0 broken." in done.stdout


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says about a copy of the package in which every contract is broken."""
    folder = tmp_path_factory.mktemp("planted")
    package = folder / "flowrunner"
    shutil.copytree(SOURCE / "flowrunner", package, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in PLANTED.values():
        (package / path).write_text(text + "\n", encoding="utf-8")
    (package / "newcomer.py").touch()
    done = lint(folder, folder)
    assert done.returncode != 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("contract", PLANTED)
def test_each_contract_can_break(broken: str, contract: str) -> None:
    """A planted import is found by the contract that is about it."""
    assert f"{contract} BROKEN" in broken, broken


def test_a_new_package_must_be_placed(broken: str) -> None:
    """A module at the top that no layer names breaks the layers contract, so that nobody forgets to place it."""
    assert "flowrunner.newcomer" in broken, broken
