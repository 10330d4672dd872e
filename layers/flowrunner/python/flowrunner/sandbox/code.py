"""Scripts as code for the engine: what is put around a source, and what the engine's words about it mean.

A source becomes the body of a function of its own, on lines of its own. Text around a source is never a
boundary (a closing brace too many leaves the function; the limits are the host's), but its author should hear
of it: a source is well formed if it compiles in two surroundings that no brace can leave in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from flowrunner.sandbox.references import Reference, mentions
from flowrunner.sandbox.scanner import code_only
from flowrunner.sandbox.script import ScriptFault, ScriptKind

PAD = 1_000
"""Empty lines before a hook: its frames in a stack are those beyond, the preludes are all shorter."""

PARTS: Mapping[str, frozenset[str]] = {
    "keyed": frozenset({"nodes", "secrets", "vars"}),
    "log": frozenset({"log", "emit", "console"}),
    "refuse": frozenset({"BigInt", "Promise", "Map", "Set", "async"}),
    "time": frozenset({"now", "uuid", "Date", "random"}),
    "text": frozenset({"base64", "hash", "hmac", "duration"}),
    "jsonpath": frozenset({"jsonpath"}),
}
"""The files of the prelude beside main.js, and the words of a script that ask for them."""
LAZY = {word: part for part, words in PARTS.items() if part not in ("keyed", "refuse") for word in words}
"""Names whose part is loaded when a script reaches them in another way than by mentioning them."""

_IMPORT = re.compile(r"(?<![\w$.])import\s*[(.]")
_STATIC_IMPORT = re.compile(r"(?<![\w$.])(?:import|export)\b")
_AWAIT = re.compile(r"(?<![\w$.])await\b")
_PLACE = re.compile(r"<input>:(\d+)(?::(\d+))?")
_FRAME = re.compile(r"\(<input>:(\d+):(\d+)\)")
_BIG = re.compile(r"\dn\b")
_WORD = re.compile(r"[A-Za-z_$][\w$]*")


@dataclass(frozen=True, slots=True)
class Analysis:
    """What can be told of a source by reading it."""

    references: frozenset[Reference]
    words: frozenset[str]
    parts: tuple[str, ...]
    fault: ScriptFault | None
    """An `import(…)`: it would give a promise that nothing ever settles."""


@lru_cache(maxsize=512)
def analyse(source: str) -> Analysis:
    code = code_only(source)
    words = frozenset(_WORD.findall(code))
    found = _IMPORT.search(code)
    return Analysis(
        references=mentions(source, code),
        words=words,
        parts=tuple(
            name for name, asking in PARTS.items() if words & asking or (name == "refuse" and _BIG.search(code))
        ),
        fault=ScriptFault(*_place(source, found.start()), "import is not supported in scripts") if found else None,
    )


def hook_code(body: str, constants: Collection[str], *, writes_context: bool) -> str:
    """A function that takes the scope and gives the hook and what its `context` is afterwards."""
    names = [name for name in constants if name != "context"] if writes_context else constants
    context = "let context = $scope.context; " if writes_context else ""
    after = ", context: () => context" if writes_context else ""
    head = f"(function ($scope) {{ {_constants(names)}{context}return {{ hook: function $user() {{"
    return f"{chr(10) * PAD}{head}\n{body}\n}}{after} }}; }})"


def expression_code(source: str, constants: Collection[str], arguments: Collection[str] = ()) -> str:
    """A function that takes the scope and gives the expression as a function."""
    names = ", ".join(arguments)
    head = f"(function ($scope) {{ {_constants(constants)}return function $user({names}) {{ return ("
    return f"{head}\n{source}\n); }}; }})"


def checked_codes(kind: ScriptKind, source: str) -> tuple[str, str]:
    """The two surroundings in which a well-formed source compiles."""
    if kind == "hook":
        return f"(function () {{\n{source}\n}});", f"({{ m() {{\n{source}\n}} }});"
    return f"(function () {{ return (\n{source}\n); }});", f"(function () {{ return [\n{source}\n]; }});"


def fault_of(text: str, source: str, first_line: int = 2) -> ScriptFault:
    """The engine's words on a source that does not compile, whose own first line was line `first_line`."""
    message, _, rest = text.partition("\n")
    message = message.removeprefix("SyntaxError: ")
    code = code_only(source)
    if _AWAIT.search(code) and message.startswith("expecting"):
        message = "await is not supported: scripts are synchronous"
    elif _STATIC_IMPORT.search(code):
        message = "import and export are not supported in scripts"
    elif text.startswith("RangeError"):
        message = "nested too deeply"
    match = _PLACE.search(rest)
    lines = source.count("\n") + 1
    line = int(match[1]) - first_line + 1 if match else 1
    if not 1 <= line <= lines:  # what was wrong is the end that is missing
        return ScriptFault(lines, len(source) - source.rfind("\n"), message)
    return ScriptFault(line, int(match[2] or 1) if match else 1, message)


def hook_place(stack: str) -> tuple[int, int] | None:
    """Line and column of the innermost frame of a stack that is in the hook."""
    for match in _FRAME.finditer(stack):
        line = int(match[1]) - PAD - 1
        if line >= 1:
            return line, int(match[2])
    return None


def _constants(names: Collection[str]) -> str:
    return f"const {{{', '.join(sorted(names))}}} = $scope; " if names else ""


def _place(source: str, offset: int) -> tuple[int, int]:
    return source.count("\n", 0, offset) + 1, offset - source.rfind("\n", 0, offset)
