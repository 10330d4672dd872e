"""What a piece of JavaScript mentions by name: what is best loaded before it runs, and what a linter can
check.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flowrunner.sandbox.paths import KEYED, ROOTS
from flowrunner.sandbox.scanner import code_only


@dataclass(frozen=True, slots=True)
class Reference:
    """Something that a script mentions: a root, and the key where a keyed root is read by a plain name."""

    root: str
    key: str | None = None


_MENTION = re.compile(rf"(?<![\w$])(?:(?<!\.)|(?<=\.\.\.))({'|'.join(sorted(ROOTS))})(?![\w$])")
_ACCESS = re.compile(r"\s*(?:\?\.|\.(?!\.)|\[)")
# Blanks are taken once and for all (`*+`): two that stand side by side would share a megabyte in every possible way.
_KEY = re.compile(
    r"\s*+(?:(?:\?\.|\.)\s*+([A-Za-z_$][\w$]*)|(?:\?\.\s*+)?\[\s*+(?:\"([^\"\\\n]*)\"|'([^'\\\n]*)')\s*+\])"
)


def references(source: str) -> frozenset[Reference]:
    """Scan any JavaScript. A keyed root without a plain key (`nodes[x]`, bare `nodes`) has the key None.

    A scan, no parser: it may name something that is not read (`{input: 1}`) and cannot see what is put
    together at run time. Neither matters to an evaluation, which loads what is touched and was not named.
    """
    return mentions(source, code_only(source))


def mentions(source: str, code: str) -> frozenset[Reference]:
    """`references` for a source whose `code_only` is known."""
    found = set()
    for match in _MENTION.finditer(code):
        root, key = match[1], None
        if root in KEYED and _ACCESS.match(code, match.end()):
            access = _KEY.match(source, match.end())
            key = next((group for group in access.groups() if group is not None), None) if access else None
        found.add(Reference(root, key))
    return frozenset(found)
