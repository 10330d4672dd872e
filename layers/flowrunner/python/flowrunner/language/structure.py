"""The document against its models: Pydantic's errors in words, each at its place."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from flowrunner.core.flow import Json
from flowrunner.core.problems import Problem
from flowrunner.language.reader import Document, Path, path_text
from flowrunner.language.schema import (
    ConcurrencyDocument,
    EgressDocument,
    FlowDocument,
    ForeachDocument,
    HooksDocument,
    LimitsDocument,
    Metadata,
    NeedsDocument,
    NodeDefaults,
    NodeDocument,
    RetryDocument,
    RetryRunDocument,
    ScheduleTrigger,
    WebhookDocument,
    WebhookTrigger,
)
from flowrunner.language.suggest import nearest

_CHOICES = {
    "next": "must be a node id, a list of node ids, or an object of action and node ids",
    "needs": "must be a list of node ids, or an object with `nodes` and `mode`",
    "on_error": "must be stop, continue, or {retry_run: {max_attempts, delay}}",
    "start": "must be a node id or a list of node ids",
    "inputs": "must be a JSON Schema object",
    "connections": "must be texts like `fetch.body -> parse.text`, or objects with from_node, from_port, to_node, to_port",
}
"""Fields that take several forms; Pydantic reports each form's failure, a reader wants one sentence."""

_PATTERNS = {
    "name": "must be 1 to 128 characters of letters, digits, space, `_`, `.` and `-`",
    "path": "must be like `orders/new`: letters, digits, `_`, `-`, parts divided by `/`",
    "url": "must begin with http:// or https://",
    "secret": "must be the name of a secret: letters, digits and `_`",
    "header": "must be a header name",
    "as": "must be a name that JavaScript takes: letters, digits and `_`",
}
_ID = "is no node id: a letter or `_`, then up to 63 letters, digits, `_` or `-`"


def check_structure(document: Document) -> tuple[FlowDocument | None, list[Problem]]:
    """The document as a model, or what is wrong with its structure."""
    if not isinstance(document.value, dict):
        kind = "a list" if isinstance(document.value, list) else "a single value"
        return None, [
            Problem("", f"a flow is an object with `metadata` and `nodes`, not {kind}", *document.place(()))
        ]
    try:
        return FlowDocument.model_validate(document.value), []
    except ValidationError as error:
        return None, _problems(error, document)


def _problems(error: ValidationError, document: Document) -> list[Problem]:
    found: dict[Path, Problem] = {}
    for item in error.errors(include_url=False):
        path, forms = _document_path(item["loc"], document.value)
        if forms and item["type"] in ("missing", "extra_forbidden"):
            # One of several forms does not fit; which one was meant is for the author to say.
            path = _choice(path)
        if item["type"] == "extra_forbidden" and not forms:
            problem = _unknown_key(path, document)
        elif item["type"] == "missing" and not forms:
            place = document.place(path[:-1])
            problem = Problem(path_text(path), "is required", *place)
        else:
            problem = _wrong(path, forms, item, document)
        known = found.get(path)
        if known is None or (forms and path and path[-1] in _CHOICES):
            found[path] = problem
    # A problem deep inside one form of a field says more than "none of the forms fits" at the field.
    inner = {path[:end] for path in found for end in range(1, len(path))}
    return [
        problem for path, problem in found.items() if not (path and path[-1] in _CHOICES and path in inner)
    ]


def _choice(path: Path) -> Path:
    """The field of several forms that a path leads into."""
    for end in range(len(path), 0, -1):
        if path[end - 1] in _CHOICES:
            return path[:end]
    return path


def _document_path(location: tuple[int | str, ...], value: Any) -> tuple[Path, bool]:
    """A Pydantic location without the names of union members, and whether there were any."""
    path: list[int | str] = []
    forms = False
    for index, part in enumerate(location):
        last = index == len(location) - 1
        inside = isinstance(value, dict) and part in value
        if inside or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value[part]
            path.append(part)
        elif (
            last
            and isinstance(value, dict)
            and isinstance(part, str)
            and part.isidentifier()
            and not _is_form(part)
        ):
            path.append(part)
        elif part != "[key]":
            forms = True
    return tuple(path), forms


def _is_form(part: str) -> bool:
    return part[:1].isupper() or part in ("str", "int", "float", "bool", "webhook", "schedule", "literal")


def _unknown_key(path: Path, document: Document) -> Problem:
    key = str(path[-1])
    known = _fields_at(path[:-1])
    near = nearest(key, known)
    message = f"there is no field {key!r} here"
    if not near and known:
        message += f"; known are {', '.join(sorted(known))}"
    return Problem(path_text(path), message, *document.place(path, key=True), suggestion=near)


def _wrong(path: Path, forms: bool, item: Any, document: Document) -> Problem:
    name = str(path[-1]) if path else ""
    context = item.get("ctx") or {}
    place = document.place(path)
    if item["loc"] and item["loc"][-1] == "[key]":
        place = document.place(path, key=True)
        return Problem(path_text(path), f"{name!r} {_ID}", *place)
    if forms and name in _CHOICES:
        return Problem(path_text(path), _CHOICES[name], *place)
    if item["type"] == "string_pattern_mismatch":
        is_id = context.get("pattern", "").startswith("^[A-Za-z_][A-Za-z0-9_-]")
        words = _ID if is_id else _PATTERNS.get(name, f"does not have the form {context.get('pattern')}")
        return Problem(path_text(path), f"{item['input']!r} {words}"[:400], *place)
    if item["type"] == "literal_error":
        near = nearest(str(item["input"]), re.findall(r"'([^']*)'", context["expected"]))
        message = f"must be {context['expected']}, not {item['input']!r}"[:400]
        return Problem(path_text(path), message, *place, suggestion=near)
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return Problem(path_text(path), "must have a `type`: webhook or schedule", *place)
    if item["type"] == "too_short" and path == ("nodes",):
        return Problem("nodes", "a flow needs at least one node", *place)
    message = item["msg"].removeprefix("Value error, ")
    message = (
        message.replace("Input should be", "must be")
        .replace("a valid dictionary", "an object")
        .replace("valid list", "list")
    )
    return Problem(path_text(path), message[:1].lower() + message[1:], *place)


_MODELS: dict[tuple[str, ...], tuple[type[BaseModel], ...]] = {
    (): (FlowDocument,),
    ("metadata",): (Metadata,),
    ("defaults",): (NodeDefaults,),
    ("defaults", "retry"): (RetryDocument,),
    ("limits",): (LimitsDocument,),
    ("concurrency",): (ConcurrencyDocument,),
    ("egress",): (EgressDocument,),
    ("on_error", "retry_run"): (RetryRunDocument,),
    ("nodes", "*"): (NodeDocument,),
    ("nodes", "*", "retry"): (RetryDocument,),
    ("nodes", "*", "foreach"): (ForeachDocument,),
    ("nodes", "*", "hooks"): (HooksDocument,),
    ("nodes", "*", "needs"): (NeedsDocument,),
    ("triggers", "*"): (WebhookTrigger, ScheduleTrigger),
    ("webhooks", "*"): (WebhookDocument,),
}


def _fields_at(path: Path) -> list[str]:
    """The fields that the model at a path has."""
    for pattern, models in _MODELS.items():
        if len(pattern) == len(path) and all(
            want in ("*", part) for want, part in zip(pattern, path, strict=True)
        ):
            return [info.alias or name for model in models for name, info in model.model_fields.items()]
    return []
