"""`flowrunner plugins new`: a plugin to start from, a package with a node type, a helper for scripts, and a test."""

from __future__ import annotations

import json
import re
from pathlib import Path

from flowrunner import __version__
from flowrunner.cli.exits import UsageError
from flowrunner.nodes.registry import ALIASES, BUILT_IN

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

PROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "NAME"
version = "0.1.0"
description = "A plugin of flowrunner."
requires-python = ">=3.11"
dependencies = ["flowrunner>=VERSION"]

[project.entry-points."flowrunner.nodes"]
"TYPE" = "MODULE:CLASS"

[project.entry-points."flowrunner.helpers"]
NAME = "MODULE:HELPERS"

[tool.hatch.build.targets.wheel]
packages = ["src/MODULE"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["src"]
"""

MODULE = """\
\"\"\"The node type `TYPE`, and the helper `shout` for scripts.\"\"\"

from __future__ import annotations

from flowrunner.nodes.base import Context, NodeType, Output, Params
from pydantic import Field


class CLASSParams(Params):
    \"\"\"What a flow writes under `params:`. An unknown field is an error; the console makes a form of this.\"\"\"

    name: str = Field(description="Who is greeted.", min_length=1)
    greeting: str = Field("Hello", description="What stands before the name.")


class CLASSOutput(Output):
    \"\"\"What comes out: `${nodes.<id>.output.text}`.\"\"\"

    text: str = Field(description="The greeting.")


class CLASS(NodeType[CLASSParams]):
    \"\"\"Greets somebody.

    The first line is the title, and the rest the description: both are shown by `flowrunner nodes TYPE` and in the
    console.
    \"\"\"

    name = "TYPE"
    params = CLASSParams
    output = CLASSOutput
    category = "other"
    icon = "hand"
    pure = True  # no effect outside the run: a crash may execute it twice, and nobody would notice
    example = "type: TYPE\\nparams:\\n  name: ${input.name}\\n"

    def execute(self, ctx: Context[CLASSParams]) -> CLASSOutput:
        \"\"\"Do the work. `ctx` also has the run, the log, HTTP through the egress guard, secrets by parameters.\"\"\"
        ctx.log(f"greeting {ctx.params.name}")
        return CLASSOutput(text=f"{ctx.params.greeting} {ctx.params.name}!")


HELPERS = {"shout": "(text) => String(text).toUpperCase()"}
\"\"\"Functions that expressions and scripts of flows may call, in JavaScript: `${shout(input.name)}`.\"\"\"
"""

TEST = """\
\"\"\"The plugin in a flow, run in memory.\"\"\"

from __future__ import annotations

import pytest
from flowrunner.language.errors import InvalidFlow
from flowrunner.testing import run_flow
from MODULE import HELPERS, CLASS

FLOW = \"\"\"
metadata: {name: greets}
nodes:
  greet: {type: TYPE, params: {name: "${shout(input.name)}"}}
outputs: {said: "${nodes.greet.output.text}"}
\"\"\"


def test_it_greets() -> None:
    \"\"\"A flow with the node type and the helper runs.\"\"\"
    run = run_flow(FLOW, {"name": "Ada"}, node_types=[CLASS], helpers=HELPERS)
    assert (run.status, run.output) == ("completed", {"said": "Hello ADA!"})


def test_a_wrong_parameter_is_found_when_the_flow_is_saved() -> None:
    \"\"\"As for a built-in node type.\"\"\"
    with pytest.raises(InvalidFlow, match="nmae"):
        run_flow(FLOW.replace("params: {name", "params: {nmae"), node_types=[CLASS])
"""

README = """\
# NAME

A plugin of flowrunner: the node type `TYPE` and the helper `shout` for scripts.

    pip install -e . pytest    # flowrunner finds it by its entry points
    pytest                     # runs a flow with it, in memory
    flowrunner nodes TYPE
"""


def new_plugin(name: str, folder: Path | None, *, as_json: bool = False) -> None:
    """Write the package into `folder`, or into a new one of its name. Raises `UsageError`."""
    if len(name) > 60 or not NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r}: a plugin is called with small letters, digits and single hyphens, like acme-crm"
        )
    node_type = name.replace("-", ".")
    if node_type in BUILT_IN or node_type in ALIASES:
        raise UsageError(f"the node type {node_type!r} is there already", hint="choose another name, like my-" + name)
    target = folder or Path(name)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is there already", hint="name another folder with --folder")
    words = {
        "MODULE": name.replace("-", "_"),
        "CLASS": "".join(part.capitalize() for part in name.split("-")),
        "TYPE": node_type,
        "VERSION": __version__,
        "NAME": name,
    }
    files = {
        target / "pyproject.toml": PROJECT,
        target / "README.md": README,
        target / "src" / words["MODULE"] / "__init__.py": MODULE,
        target / "src" / words["MODULE"] / "py.typed": "",
        target / "tests" / f"test_{words['MODULE']}.py": TEST,
    }
    try:
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_filled(text, words), "utf-8")
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from None
    if as_json:
        print(json.dumps({"name": name, "node_type": node_type, "files": [str(file) for file in files]}))
        return
    for file in files:
        print(f"wrote {file}")
    print(f"\nnow try:\n  cd {target}\n  pip install -e . pytest\n  pytest\n  flowrunner nodes {node_type}")


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub("|".join(words), lambda match: words[match[0]], text)
