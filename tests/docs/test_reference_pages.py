"""The generated references are those of this program."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from flowrunner.language.schema import flow_json_schema

ROOT = Path(__file__).resolve().parents[2]
GENERATOR = SimpleNamespace(**runpy.run_path(str(ROOT / "scripts/gen_reference.py")))


def test_pages_are_what_the_program_says() -> None:
    """After a change of a command or of the language: `uv run python scripts/gen_reference.py`."""
    assert GENERATOR.main(["--check"]) == 0


def test_a_page_that_differs_is_found_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Checking writes nothing; writing mends it."""
    assert GENERATOR.main(["--check"], tmp_path) == 1
    assert "docs/cli-reference.md is out of date" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert GENERATOR.main([], tmp_path) == 0
    assert GENERATOR.main(["--check"], tmp_path) == 0


def test_every_field_of_the_language_has_a_row() -> None:
    """Under its own model, under a heading that no other model has."""
    page = GENERATOR.flow()
    schema = flow_json_schema()
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert len(headings) == len(set(headings)) == len(schema["$defs"]) + 1
    for model in (schema, *schema["$defs"].values()):
        for name, field in model["properties"].items():
            assert f"\n| `{name}` | " in page
            assert field.get("description"), f"{model['title']}.{name} does not say what it is"


def test_a_command_is_told_with_all_that_it_takes() -> None:
    """Arguments, options, and what they are when they are left out."""
    section = GENERATOR.commands().split("\n## serve\n")[1].split("\n## ")[0]
    assert "flowrunner serve [OPTIONS]" in section
    assert "| `--port` |" in section
