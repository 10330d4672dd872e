"""The pages under docs/nodes say what the node types say of themselves."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from flowrunner.nodes.registry import BUILT_IN

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The script that writes the pages, as a module."""
    spec = importlib.util.spec_from_file_location("gen_node_docs", ROOT / "scripts" / "gen_node_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_up_to_date(generator: ModuleType) -> None:
    """Each committed page is what the script writes; if not, run scripts/gen_node_docs.py."""
    assert generator.differing(generator.FOLDER) == []


def test_each_built_in_type_has_a_page_and_a_line(generator: ModuleType) -> None:
    """No type is left out of the folder or the index, and each page shows its example."""
    pages = generator.pages()
    assert pages.keys() == {*(f"{name}.md" for name in BUILT_IN), "README.md"}
    for name in BUILT_IN:
        assert f"]({name}.md)" in pages["README.md"]
        assert f"    type: {name}\n" in pages[f"{name}.md"]


def test_differences_are_found(generator: ModuleType, tmp_path: Path) -> None:
    """A changed page, a missing one and one that is left over are named."""
    for name, text in generator.pages().items():
        (tmp_path / name).write_text(text, "utf-8")
    assert generator.differing(tmp_path) == []
    (tmp_path / "log.md").write_text("changed", "utf-8")
    (tmp_path / "delay.md").unlink()
    (tmp_path / "gone.md").write_text("left over", "utf-8")
    assert generator.differing(tmp_path) == ["delay.md", "gone.md", "log.md"]


def test_pages_are_written_and_old_ones_removed(
    generator: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run twice, the script writes everything and then nothing; the check says which it would be."""
    folder = tmp_path / "nodes"
    folder.mkdir()
    (folder / "gone.md").write_text("left over", "utf-8")
    assert generator.main(["--check"], folder) == 1
    assert "docs/nodes/gone.md is out of date" in capsys.readouterr().out
    assert generator.main([], folder) == 0
    assert not (folder / "gone.md").exists()
    capsys.readouterr()
    assert generator.main([], folder) == 0
    assert generator.main(["--check"], folder) == 0
    assert capsys.readouterr().out == ""
