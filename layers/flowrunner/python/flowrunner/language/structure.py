"""The document against its models: Pydantic's errors in words, each at its place."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from flowrunner.core.problems import Problem
from flowrunner.language.reader import Document, Path, path_text
from flowrunner.language.schema import (
    HEADER,
    ID,
    PORT,
    CacheDocument,
    ConcurrencyDocument,
    ConnectionDocument,
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
    RetryRun,
    RetryRunDocument,
    ScheduleTrigger,
    UiDocument,
    VerifyDocument,
    WebhookDocument,
    WebhookTrigger,
)
from flowrunner.language.suggest import nearest

CONNECTION_FORM = "must be like `fetch.body -> parse.text` (node.port -> node.port)"

_CHOICES = {
    "next": "must be a node id, a list of node ids, or an object of action and node ids",
    "needs": "must be a list of node ids, or an object with `nodes` and `mode`",
    "on_error": "must be stop, continue, or {retry_run: {max_attempts, delay}}",
    "start": "must be a node id or a list of node ids",
    "inputs": "must be a JSON Schema object",
    "connections": "must be a list of texts like `fetch.body -> parse.text`",
}
"""Fields that take several forms; Pydantic reports each form's failure, a reader wants one sentence."""

_PATTERNS = {
    ID: "is no node id: a letter or `_`, then up to 63 letters, digits, `_` or `-`",
    PORT: "is no port: a field like body, or a path like body.items[0]",
    HEADER: "must be a header name",
    "name": "must be 1 to 128 characters of letters, digits, space, `_`, `.` and `-`",
    "path": "must be like `orders/new`: letters, digits, `_`, `-`, parts divided by `/`",
    "url": "must begin with http:// or https://",
    "secret": "must be the name of a secret: letters, digits and `_`",
    "as": "must be a name that JavaScript takes: letters, digits and `_`",
    "to_port": "is no port: letters, digits and `_`",
    "allow": "is no host: write example.com or *.example.com",
}
"""What a text must look like, by its pattern or by its field."""

_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "list_type": "a list",
}
"""What Pydantic wanted to have, in words."""

_LIMITS = {
    "too_long": "must have at most {max_length} items",
    "string_too_long": "must be at most {max_length} characters long",
    "string_too_short": "must not be empty",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
}

_TOO_SHORT = {
    "flow's nodes": "a flow needs at least one node",
    "nodes": "must name at least one node",
    "needs": "must name at least one node",
}


def check_structure(document: Document) -> tuple[FlowDocument | None, list[Problem]]:
    """The document as a model, or what is wrong with its structure."""
    if not isinstance(document.value, dict):
        kind = "a list" if isinstance(document.value, list) else "a single value"
        return None, [Problem("", f"a flow is an object with `metadata` and `nodes`, not {kind}", *document.place(()))]
    try:
        return FlowDocument.model_validate(document.value), []
    except ValidationError as error:
        return None, _problems(error, document)


def _problems(error: ValidationError, document: Document) -> list[Problem]:
    found: dict[Path, tuple[bool, Problem]] = {}
    for item in error.errors(include_url=False):
        path, forms = _document_path(item["loc"], document.value)
        choice = _choice(path) if forms else None
        kind = item["type"]
        formless = choice is None or not _has_forms(path, choice)
        fits = formless or kind not in {*_KINDS, "literal_error"}
        if kind == "extra_forbidden":
            problem = _unknown_key(path, document)
        elif kind == "missing":
            problem = Problem(path_text(path), "is required", *document.place(path[:-1]))
        elif fits:
            problem = _wrong(path, item, document)
        else:
            problem = Problem(path_text(path), _form(path), *document.place(path))
        # Of several forms of a field one may fit but for a detail: that is the one that was meant.
        if path not in found or (fits and not found[path][0]):
            found[path] = (fits, problem)
    # And what is said of a detail inside says more than "none of the forms fits" at the field.
    inner = {path[:end] for path in found for end in range(1, len(path))}
    return [problem for path, (fits, problem) in found.items() if fits or path not in inner]


def _choice(path: Path) -> str | None:
    """The field of several forms that a path leads to or into."""
    return next((part for part in reversed(path) if isinstance(part, str) and part in _CHOICES), None)


def _has_forms(path: Path, choice: str) -> bool:
    """Whether it is this very place that takes several forms, and not a field of one of them."""
    return path[-1] == choice or choice in {"next", "start"} or isinstance(path[-1], int)


def _form(path: Path) -> str:
    """What may stand at a place where there are several forms."""
    if isinstance(path[-1], str) and path[-1] in _CHOICES:
        return _CHOICES[path[-1]]
    if _choice(path) == "connections":
        return CONNECTION_FORM
    return "must be a node id" if isinstance(path[-1], int) else "must be a node id or a list of node ids"


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
        elif last and isinstance(value, dict) and isinstance(part, str) and part.isidentifier() and not _is_form(part):
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
    message = f"there is no field {key[:80]!r} here"
    if len(path) == 1 and key in Metadata.model_fields:
        message, near = f"{message}; it belongs under `metadata`", None
    elif not near and len(path) == 3 and path[0] == "nodes":
        message += "; what a node type takes goes under `params`"
    elif not near and known:
        message += f"; known are {', '.join(sorted(known))}"
    return Problem(path_text(path), message, *document.place(path, key=True), suggestion=near)


def _wrong(path: Path, item: Any, document: Document) -> Problem:
    place = document.place(path, key=item["loc"][-1:] == ("[key]",))
    near = None
    if item["type"] == "literal_error":
        near = nearest(str(item["input"]), re.findall(r"'([^']*)'", item["ctx"]["expected"]))
    return Problem(path_text(path), _words(path, item), *place, suggestion=near)


def _words(path: Path, item: Any) -> str:
    """An error of Pydantic in words for an author."""
    kind, value, context = item["type"], item["input"], item.get("ctx") or {}
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    shown = f"{value!r:.160}"
    if value is None and kind in _KINDS:
        return "is empty; give it a value or leave it out"
    match kind:
        case "string_type":
            return "must be a text" + ("; put it into quotes" if isinstance(value, bool | int | float) else "")
        case "string_pattern_mismatch":
            pattern = context["pattern"]
            words = _PATTERNS.get(pattern) or _PATTERNS.get(name)
            return f"{shown} {words}" if words else "must be one line of text"
        case "literal_error":
            return f"must be {context['expected']}, not {shown}"
        case "union_tag_invalid" | "union_tag_not_found":
            return "must have a `type`: webhook or schedule"
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}"
    if kind == "too_short":
        return _TOO_SHORT.get(name if len(path) > 1 else f"flow's {name}", "must have at least 1 item")
    if kind in _LIMITS:
        return _LIMITS[kind].format(**context)
    return str(item["msg"]).removeprefix("Value error, ")


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
    ("nodes", "*", "cache"): (CacheDocument,),
    ("nodes", "*", "egress"): (EgressDocument,),
    ("nodes", "*", "ui"): (UiDocument,),
    ("defaults", "egress"): (EgressDocument,),
    ("on_error",): (RetryRun,),
    ("connections", "*"): (ConnectionDocument,),
    ("triggers", "*", "verify"): (VerifyDocument,),
    ("triggers", "*"): (WebhookTrigger, ScheduleTrigger),
    ("webhooks", "*"): (WebhookDocument,),
}


def _fields_at(path: Path) -> list[str]:
    """The fields that the model at a path has."""
    for pattern, models in _MODELS.items():
        if len(pattern) == len(path) and all(want in ("*", part) for want, part in zip(pattern, path, strict=True)):
            return [info.alias or name for model in models for name, info in model.model_fields.items()]
    return []
