"""Values of the context, read as what they should be: each error names the key, and what would be right."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Reader = Callable[[str, Any], Any]
"""Takes the key and what was given for it. Raises `BadContext`."""


class BadContext(Exception):
    """A value of the context cannot be used."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"context {key!r}: {problem}")


def own_keys(given: Mapping[str, Any]) -> dict[str, Any]:
    """What of the context is ours: the CDK's own keys all contain a colon, an @ or a slash."""
    return {key: value for key, value in given.items() if not set(key) & set(":@/") and value is not None}


def check_known(given: Iterable[str], known: Sequence[str]) -> None:
    """Raises `BadContext` for a key that nobody reads."""
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise BadContext(key, f"did you mean {near[0]!r}?" if near else f"there is none; known: {', '.join(known)}")


def text(pattern: str, meaning: str) -> Reader:
    """A text of that form, as a whole."""

    def read(key: str, value: Any) -> str:
        if not isinstance(value, str) or re.fullmatch(pattern, value, re.ASCII) is None:
            raise BadContext(key, f"{value!r} is not {meaning}")
        return value

    return read


def choice(*allowed: str) -> Reader:
    """One of these words."""

    def read(key: str, value: Any) -> str:
        if str(value) not in allowed:
            raise BadContext(key, f"{value!r} is not one of {', '.join(allowed)}")
        return str(value)

    return read


def number(least: int, most: int) -> Reader:
    """A whole number, also as text: `-c executor_memory=1024` gives one."""

    def read(key: str, value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise BadContext(key, f"{value!r} is not a whole number from {least} to {most}")
        return value

    return read


def switch(key: str, value: Any) -> bool:
    """True or false, also as text."""
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    known = words.get(str(value).lower())
    if known is None:
        raise BadContext(key, f"{value!r} is neither true nor false")
    return known


def texts(one: Reader) -> Reader:
    """A list: as JSON, or separated by commas."""

    def read(key: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            value = _json(key, value) if value.startswith("[") else [part.strip() for part in value.split(",")]
        if not isinstance(value, list):
            raise BadContext(key, f"{value!r} is no list")
        return tuple(one(key, part) for part in value if part != "")

    return read


def mapping(names: str, meaning: str, *, sealed: str) -> Reader:
    """Names with texts. A name that `sealed` finds is refused: it would hold a secret."""

    def read(key: str, value: Any) -> dict[str, str]:
        value = _json(key, value) if isinstance(value, str) else value
        if not isinstance(value, dict):
            raise BadContext(key, f"{value!r} is no mapping")
        for name in value:
            if re.fullmatch(names, name) is None:
                raise BadContext(key, f"{name!r} is not {meaning}")
            if re.search(sealed, name):
                raise BadContext(key, f"{name} may hold a secret, and an environment is no place for one")
        return {name: str(part) for name, part in sorted(value.items())}

    return read


def _json(key: str, value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise BadContext(key, f"is no JSON: {error}") from None
