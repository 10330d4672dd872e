"""The gate that judges coverage is itself held to account: it must be able to fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.coverage_gate import FAILED_STAGES, Gate, shortfalls

ROOT = Path(__file__).resolve().parents[2]
GATES = (Gate("flowrunner/core", 95), Gate("flowrunner", 90))


def summary(branches: tuple[int, int], statements: tuple[int, int] = (10, 10)) -> dict[str, Any]:
    """A file's entry in coverage's report: run and total, of branches and of statements."""
    return {
        "covered_branches": branches[0],
        "num_branches": branches[1],
        "covered_lines": statements[0],
        "num_statements": statements[1],
    }


@pytest.mark.parametrize(
    ("core", "other", "expected"),
    [
        pytest.param(summary((100, 100)), summary((100, 100)), [], id="everything run"),
        pytest.param(summary((95, 100)), summary((85, 100)), [], id="exactly at both thresholds"),
        pytest.param(
            summary((9499, 10000)),
            summary((10, 10)),
            ["flowrunner/core: 9499 of 10000 branches were run (94.99%), 95 % are needed"],
            id="rounding does not help",
        ),
        pytest.param(
            summary((100, 100)),
            summary((0, 100)),
            ["flowrunner: 100 of 200 branches were run (50.00%), 90 % are needed"],
            id="the package falls short, the core does not",
        ),
        pytest.param(
            summary((0, 0), (1, 2)),
            summary((0, 0), (100, 100)),
            ["flowrunner/core: 1 of 2 statements were run (50.00%), 95 % are needed"],
            id="code without branches counts by its statements",
        ),
    ],
)
def test_figures(core: dict[str, Any], other: dict[str, Any], expected: list[str]) -> None:
    """Each folder is judged by its own files, and a figure below its threshold is named with what was counted."""
    files = {"layers/x/flowrunner/core/a.py": core, "layers/x/flowrunner/engine/b.py": other}
    assert shortfalls(files, GATES) == expected


def test_nothing_measured() -> None:
    """A run that measured nothing is no success."""
    assert shortfalls({}, GATES) == [
        "flowrunner/core: nothing was measured",
        "flowrunner: nothing was measured",
    ]


@pytest.mark.parametrize(
    ("stages", "code", "words"),
    [("", 0, ["1 passed in"]), ("mypy,ruff check", 1, ["FAILED stage mypy", "2 failed, 1 passed in"])],
    ids=["all stages passed", "two failed"],
)
def test_failed_stages_reach_the_summary(tmp_path: Path, stages: str, code: int, words: list[str]) -> None:
    """A stage that failed before the tests fails the session, and pytest's last line counts it."""
    (tmp_path / "test_one.py").write_text("def test_one():\n    pass\n", encoding="utf-8")
    environment = {**os.environ, FAILED_STAGES: stages, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.coverage_gate",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:cov",
    ]
    done = subprocess.run(
        [*command, "--rootdir=.", "-c", os.devnull, "test_one.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == code, done.stdout
    assert all(word in done.stdout for word in words), done.stdout
    assert words[-1] in done.stdout.splitlines()[-1]


def test_some_tests_are_not_measured(tmp_path: Path) -> None:
    """Coverage rests while one of them runs, and goes on behind it."""
    (tmp_path / "thing.py").write_text("def seldom():\n    return 1\n\n\ndef often():\n    return 2\n", "utf-8")
    (tmp_path / "tests/simulation").mkdir(parents=True)
    for file, name in (("tests/simulation/test_a.py", "seldom"), ("tests/test_b.py", "often")):
        text = f"import thing\n\n\ndef test_{name}():\n    assert thing.{name}()\n"
        (tmp_path / file).write_text(text, "utf-8")
    environment = {**os.environ, FAILED_STAGES: "", "PYTHONPATH": f"{ROOT}{os.pathsep}.", "PYTEST_ADDOPTS": ""}
    options = ["-p", "tests.coverage_gate", "-p", "no:cacheprovider", "--cov=thing", "--cov-report=json:found.json"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir=.", "-c", os.devnull, "tests"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,  # the gate has nothing of flowrunner to judge
        timeout=300,
    )
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))["files"]["thing.py"]
    assert (found["missing_lines"], 6 in found["executed_lines"]) == ([2], True)
