"""Helpers that plugins add to scripts: expressions in JavaScript that give a function, under names of their own.

They are evaluated in the same process and limits as the script that mentions them, before it, and see what it sees.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from flowrunner.sandbox.code import PARTS, analyse
from flowrunner.sandbox.paths import KEYED, ROOTS

TAKEN = frozenset({*ROOTS, *KEYED, "context", "index"}).union(*PARTS.values())
"""Names that mean something already."""


def helper_codes(helpers: Mapping[str, str], sources: Iterable[str]) -> tuple[str, ...]:
    """Codes that define the helpers which the sources mention, and those that these mention in turn."""
    wanted: dict[str, str] = {}
    looked = [word for source in sources for word in analyse(source).words]
    while looked:
        name = looked.pop()
        if name in helpers and name not in wanted and name not in TAKEN:
            wanted[name] = helpers[name]
            looked += analyse(helpers[name]).words
    return tuple(_code(name, source) for name, source in sorted(wanted.items()))


def _code(name: str, source: str) -> str:
    """What is wrong with a helper is told to the script that uses it, when it uses it."""
    text, expression = json.dumps(name), json.dumps(f"({source}\n)")
    return f"""(() => {{
  const {{ defineProperty }} = Object;
  try {{ defineProperty(globalThis, {text}, {{ configurable: true, value: (0, eval)({expression}) }}); }}
  catch (error) {{
    const message = "the helper " + {text} + " cannot be used: " + error;
    defineProperty(globalThis, {text}, {{ configurable: true, get() {{ throw new Error(message); }} }});
  }}
}})()"""
