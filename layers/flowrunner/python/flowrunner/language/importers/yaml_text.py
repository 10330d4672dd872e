"""Values as YAML that a person would write: plain words where they are safe, short collections on one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from flowrunner.core.flow import Json

WIDTH = 90
"""Characters of a collection that is written on one line."""
LONGEST_KEY = 1_000
"""Characters in which readers of YAML look for the colon behind a key (1.2.2, 7.4: at most 1,024)."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:[ ./][A-Za-z0-9_-]+)*|[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d)|[1-5]xx")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""Words that mean something to some reader of YAML."""
_EXPRESSION = re.compile(r"\$\{[A-Za-z0-9_.?]+\}")
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")


def entry(key: str, value: Json, indent: int = 0) -> Iterator[str]:
    """The lines of `key: value`."""
    margin = " " * indent
    name = _key(key, f"\n{margin}")
    if isinstance(value, dict | list) and (not value or _short(value)):
        yield f"{margin}{name}: {_inline(value)}"
    elif isinstance(value, dict):
        yield f"{margin}{name}:"
        for inner, item in value.items():
            yield from entry(inner, item, indent + 2)
    elif isinstance(value, list):
        yield f"{margin}{name}:"
        for item in value:
            yield f"{margin}  - {_inline(item)}"
    elif isinstance(value, str) and _is_script(value):
        yield f"{margin}{name}: |"
        yield from (f"{margin}  {line}" for line in value.splitlines())
    else:
        yield f"{margin}{name}: {_scalar(value, inside=False)}"


def comment(text: str, indent: int = 0) -> str:
    """A comment of one line, whatever is in the text."""
    line = "".join(char if char.isprintable() else "�" for char in text)
    return f"{' ' * indent}# {line}"


def _is_script(text: str) -> bool:
    """Lines that a block may hold as they are. Blanks at its beginning would be read as its indentation."""
    plain = text.isascii() and all(char.isprintable() or char == "\n" for char in text)
    return plain and text.endswith(";\n") and not text.startswith((" ", "\n"))


def _short(value: Json) -> bool:
    values = value.values() if isinstance(value, dict) else value
    return not any(isinstance(item, dict) and item for item in values) and len(_inline(value)) <= WIDTH


def _inline(value: Json) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key, ' ')}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return _scalar(value, inside=True)


def _key(key: str, after: str) -> str:
    """Keys are never anything but text to our reader, so that `on` and `true` need no quotes; null might mislead.

    One that is too long to be looked ahead over, since its characters have to be escaped, says itself that it is a key.
    """
    written = key if _PLAIN.fullmatch(key) and key.lower() != "null" else _quoted(key)
    return written if len(written) <= LONGEST_KEY else f"? {written}{after}"


def _scalar(value: Json, *, inside: bool) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    return value if _plain(value) or (not inside and _EXPRESSION.fullmatch(value)) else _quoted(value)


def _plain(text: str) -> bool:
    return bool(_PLAIN.fullmatch(text)) and text.lower() not in _WORDS


def _quoted(text: str) -> str:
    """JSON's form, which is YAML too once what is a line break or a mark to YAML is escaped."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))
