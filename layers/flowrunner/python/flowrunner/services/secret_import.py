"""Secrets from a text: dotenv or JSON. All that is wrong with it is told at once, by line and name, never by value."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.engine.redaction import SHORTEST
from flowrunner.errors import InvalidInput, TooLarge

ImportFormat = Literal["dotenv", "json"]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
"""As in the flow language, where a secret is written `secrets.NAME`."""
_BLANKS = re.compile(r"\s+")
LARGEST = 64 * 1024
LARGEST_TEXT = 1024 * 1024
MOST = 1_000
"""Secrets in one import."""
MOST_PROBLEMS = 100
MOST_BLANKS = 200
"""Side by side in a line of dotenv: its parser looks for the end of a value from each of them anew, in one step that
nothing else of the process can come between."""

Problem = dict[str, Any]


def name_problem(name: str) -> str | None:
    """What is wrong with the name of a secret."""
    if NAME.fullmatch(name):
        return None
    return "a name is a letter or `_`, then letters, digits and `_`, 128 characters at most"


def value_problem(value: str) -> str | None:
    """What is wrong with the value of a secret."""
    if len(value) < SHORTEST:
        return f"a secret has at least {SHORTEST} characters: a shorter one could not be masked"
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "the value is not Unicode text"
    return f"the value has {size:,} bytes; a secret may have {LARGEST:,}" if size > LARGEST else None


def parse_secrets(text: str, format: ImportFormat) -> Mapping[str, str]:  # noqa: A002 - the word of the API
    """Names and values. Raises `InvalidInput` with every problem, or `TooLarge`.

    dotenv: `KEY=value`, `export`, comments, values in quotes over several lines; nothing is substituted in them.
    JSON: one object of texts.
    """
    if len(text.encode("utf-8", "replace")) > LARGEST_TEXT:
        raise TooLarge(f"the text is larger than {LARGEST_TEXT:,} bytes; import it in parts", limit=LARGEST_TEXT)
    values: dict[str, str] = {}
    problems: list[Problem] = []
    lacking = "has no value" if format == "dotenv" else "must be a text"
    for name, value, place in _dotenv(text) if format == "dotenv" else _json(text):
        problem = _problem(name, value, values, lacking)
        if problem is not None:
            problems.append({"field": _shown(name), "message": problem, **place})
            if len(problems) == MOST_PROBLEMS:
                break
        else:
            values[name or ""] = value or ""
    if not problems and not values:
        problems.append({"field": "text", "message": "there is no secret in it"})
    if len(values) > MOST:
        problems.append({"field": "text", "message": f"{len(values):,} secrets; import {MOST:,} at a time"})
    if problems:
        raise InvalidInput("nothing was imported: the text has problems", problems=problems)
    return values


def _problem(name: str | None, value: str | None, before: Mapping[str, str], lacking: str) -> str | None:
    if name is None:
        return "expected KEY=value"
    if name in before:
        return "is there twice"
    return name_problem(name) or (lacking if value is None else value_problem(value))


def _shown(name: str | None) -> str:
    """The name, if it is one: what is not may be a value that went astray."""
    return name if name is not None and NAME.fullmatch(name) else "text"


def _dotenv(text: str) -> Iterator[tuple[str | None, str | None, Problem]]:
    from dotenv.parser import parse_stream

    for number, line in enumerate(text.split("\n"), 1):
        if any(len(blanks[0]) > MOST_BLANKS for blanks in _BLANKS.finditer(line)):
            told = f"has more than {MOST_BLANKS} blanks side by side"
            problem = {"field": "text", "message": told, "line": number}
            raise InvalidInput(f"nothing was imported: line {number} {told}", problems=[problem])
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or binding.key is not None:
            lead = binding.original.string[: len(binding.original.string) - len(binding.original.string.lstrip())]
            yield binding.key, binding.value, {"line": binding.original.line + lead.count("\n")}


def _json(text: str) -> Iterator[tuple[str | None, str | None, Problem]]:
    try:
        document = parse_json(text.encode("utf-8", "surrogatepass"))
    except BadJson as error:
        # Of a number it tells the digits, which may be a value.
        known = str(error) if str(error).startswith(("not JSON", "the ")) else "secrets are texts"
        raise InvalidInput(f"nothing was imported: {known}") from None
    if not isinstance(document, dict):
        raise InvalidInput('nothing was imported: expected one object, {"NAME": "value"}')
    for name, value in document.items():
        yield name, value if isinstance(value, str) else None, {}
