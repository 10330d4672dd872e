"""The pages about AWS name commands, settings, outputs, alarms and files that there are."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from flowrunner.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
OPERATING = (DOCS / "operating-aws.md").read_text("utf-8")
PAGES = ("deploying.md", "operating-aws.md", "architecture.md", "security.md", "aws-functions.md", "aws-store.md")
PROGRAM: Any = typer.main.get_command(app)


def commands() -> Iterator[list[str]]:
    """Calls of this program in the blocks of the pages, each as its words."""
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                found = re.search(r"(?:^|&& )((?:uv run )?flowrunner .*)", line)
                if found:
                    words = shlex.split(found[1].partition("&&")[0].partition(" > ")[0], comments=True)
                    yield words[words.index("flowrunner") + 1 :]


def settings() -> set[str]:
    """The settings of a deployment: the keys of `infra.settings.READERS`, read without the CDK."""
    tree = ast.parse((ROOT / "infra/settings.py").read_text("utf-8"))
    found = [one for one in tree.body if isinstance(one, ast.AnnAssign) and ast.unparse(one.target) == "READERS"]
    assert isinstance(found[0].value, ast.Dict)
    return {ast.literal_eval(key) for key in found[0].value.keys if key is not None}


def test_there_are_commands() -> None:
    """Or the next tests would test nothing."""
    assert {words[0] for words in commands()} >= {"deploy", "destroy", "runs", "admin", "login"}


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_is_understood(words: list[str]) -> None:
    """Its options are the program's, and the settings those of the stacks."""
    command = PROGRAM
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    given = command.make_context("flowrunner", list(words)).params
    for pair in given.get("context") or ():
        assert pair.partition("=")[0] in settings()


def test_settings_in_files_are_known() -> None:
    """Those of the example, and those that the pages name in passing."""
    page = (DOCS / "deploying.md").read_text("utf-8")
    block = re.search(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert block is not None
    assert set(re.findall(r"^(\w+):", block[1], re.MULTILINE)) <= settings()
    for key in ("restored_table", "restored_stream_arn", "max_concurrency", "throttle_rate", "executor_memory"):
        assert key in settings()
        assert f"`{key}`" in OPERATING


def test_every_alarm_has_something_to_do() -> None:
    """And none is listed that does not exist."""
    made = set(re.findall(r'Alarm\(\s*"([a-z-]+)"', (ROOT / "infra/alarms.py").read_text("utf-8")))
    table = OPERATING[OPERATING.index("| alarm |") :].partition("\n\n")[0]
    listed = set(re.findall(r"`([a-z-]+)`", " ".join(line.split("|")[1] for line in table.splitlines())))
    assert listed == made


def test_outputs_are_those_of_the_stacks() -> None:
    """By the name under which the page asks for them."""
    infra = "\n".join(path.read_text("utf-8") for path in (ROOT / "infra").glob("*.py"))
    asked = set(re.findall(r"out \w+ (\w+)\)", OPERATING)) | set(re.findall(r"`(\w+(?:Url|Arn))`", OPERATING))
    assert asked
    assert [name for name in asked if f'"{name}"' not in infra and f'"{name}Output"' not in infra] == []


def test_metrics_are_those_of_the_functions() -> None:
    """Every name that the page lists is counted somewhere."""
    listed = re.search(r"Metrics are in the namespace `flowrunner`: (.*?)\. They", OPERATING)
    assert listed is not None
    package = ROOT / "layers/flowrunner/python/flowrunner/functions"
    code = "\n".join(path.read_text("utf-8") for path in package.glob("*.py"))
    assert [name for name in re.findall(r"`(\w+)`", listed[1]) if f'"{name}"' not in code] == []


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link names a file of the project, and every anchor a heading of it."""
    text = (DOCS / page).read_text("utf-8")
    for path, anchor in re.findall(
        r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    ):
        target = DOCS / path if path else DOCS / page
        assert target.exists(), path
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            names = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in names, f"{path}#{anchor}"
