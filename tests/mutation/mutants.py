"""The mutants of the core, as mutmut makes them: each module with all its mutants in it, and which of them is which."""

from __future__ import annotations

import ast
import re
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.survivors import Mutant, changed

CORE = Path("flowrunner/core")

_NUMBER = re.compile(r"__mutmut_(\d+|orig)$")
_THEIRS = "from mutmut.mutation.trampoline import"


@dataclass(frozen=True)
class Made:
    """One mutant: its function and its own name in the module's code, and what it changes."""

    function: str
    name: str
    mutant: Mutant


def mutate(home: Path, modules: list[str]) -> list[Made]:
    """Write the mutants of `modules` into the copy of the package in `home`."""
    from mutmut.mutation.file_mutation import (  # type: ignore[import-not-found]  # scripts/mutate brings it
        mutate_file_contents,
    )

    (home / "setup.cfg").write_text("[mutmut]\nsource_paths=flowrunner\n", "utf-8")
    made = []
    with chdir(home):  # where mutmut looks for its settings
        for module in modules:
            path = CORE / f"{module}.py"
            mutated = mutate_file_contents(str(path), path.read_text("utf-8"))
            path.write_text(mutated.code.replace(_THEIRS, "from tests.mutation.switch import"), "utf-8")
            made += _made(module, mutated.code, list(mutated.mutant_names))
    return made


def _made(module: str, code: str, names: list[str]) -> list[Made]:
    lines = code.splitlines()
    bodies = {
        node.name: [line.replace(node.name, _plain(node.name)) for line in lines[node.lineno - 1 : node.end_lineno]]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef)
    }
    made = []
    for name in names:
        mangled = _NUMBER.sub("", name)
        function = mangled.removeprefix("x_") if mangled.startswith("x_") else ".".join(mangled.split("ǁ")[1:])
        mutant = changed(f"{module}.{function}", bodies[f"{mangled}__mutmut_orig"], bodies[name])
        made.append(Made(f"flowrunner.core.{module}.{function}", name, mutant))
    return made


def _plain(name: str) -> str:
    """A function's name without what mutmut has made of it."""
    return re.sub(r"^(x_|xǁ.*ǁ)", "", _NUMBER.sub("", name))
