"""The attack corpus through the real sandbox. What must always hold is in test_limits.py; this runs every entry."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from flowrunner.errors import StepError
from flowrunner.sandbox.errors import ExpressionError, ScriptError, TemplateSyntaxError
from flowrunner.sandbox.evaluator import Sandbox, Script
from flowrunner.sandbox.paths import UNDEFINED
from flowrunner.sandbox.templates import compile_template

from tests.attacks import attacks, needs_corpus

SCRIPTS = {entry["id"]: entry for entry in attacks("sandbox.json") + attacks("corpus.json", "js")}
EXPRESSIONS = {entry["id"]: entry for entry in attacks("corpus.json", "expr")}

GIVES: dict[str, Any] = {
    "sandbox-17": "undefined" * 5,
    "sandbox-18": "undefined",
    "sandbox-19": 1,
    "sandbox-20": 1,
    "sandbox-21": 1,
    "sandbox-22": {},  # in an object literal __proto__ sets the prototype, which is no data
    "sandbox-25": None,
    "js-15": 1,
    "js-27": "undefined",
    "js-28": "undefined",
    "js-30": "undefined",
    "js-31": "undefined",
    "js-34": {},
    "js-36": {"__proto__": {"admin": True}},
    "js-39": 1,
    "js-40": 1,
    "js-46": "\ufffd",
    "js-48": 1,
    "js-49": 1,
    "js-51": 1,
    "js-52": {"ok": 2},
}
"""Scripts that are allowed to end well, with what they give; every other one fails."""

LITERAL = {"expr-16", "expr-17", "expr-20", "expr-34", "expr-35", "expr-40", "expr-41", "expr-43", "expr-44"}
"""Other tools' template syntax: plain text to us. What expr-41 and expr-43 ask of SQL and URLs is tested with those
nodes; that expr-40 and expr-44 hold in our syntax is tested below."""
NOTHING = {"expr-02", "expr-04", "expr-13", "expr-22"}
"""Properties that JSON does not have, and infinity: nothing to see, so null."""

HEALTHY = Script(
    kind="hook",
    name="exec",
    body="return [typeof leak, ({}).polluted, ({}).isAdmin, [1].map(x => x + 1), JSON.stringify([1]), input, params]",
)
INPUT = {"x": 1, "items": [1]}
HEALTHY_VALUE = ["undefined", None, None, [2], "[1]", INPUT, {}]


def load(root: str, key: str | None) -> Any:
    """An input and one secret."""
    return {"input": INPUT, "secrets": "s3cret"}.get(root, UNDEFINED) if key in (None, "API_KEY") else UNDEFINED


def evaluate(sandbox: Sandbox, script: Script) -> Any:
    """The value of a script."""
    return sandbox.evaluate("acme", script, load, now_ms=0, seed="", extra={"params": {}}).value


def run(sandbox: Sandbox, body: str) -> tuple[Any, float, Any]:
    """What an attack gives or raises, the seconds it took, and what a healthy script gives afterwards."""
    started = time.monotonic()
    try:
        outcome = evaluate(sandbox, Script(kind="hook", name="exec", body=body))
    except StepError as error:
        outcome = error
    return outcome, time.monotonic() - started, evaluate(sandbox, HEALTHY)


@pytest.fixture(scope="module")
def outcomes(sandbox: Sandbox) -> Iterator[dict[str, Future[tuple[Any, float, Any]]]]:
    """All scripts of the corpus, with the limits of production."""
    with ThreadPoolExecutor(2) as threads:
        yield {name: threads.submit(run, sandbox, entry["input"]) for name, entry in SCRIPTS.items()}


@needs_corpus
@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_of_the_corpus(name: str, outcomes: dict[str, Future[Any]]) -> None:
    """It gives what it may give or fails for its step within its time; the process goes on and the next script is clean."""
    outcome, seconds, afterwards = outcomes[name].result()
    if name in GIVES:
        assert outcome == GIVES[name]
    else:
        assert isinstance(outcome, ScriptError)
        assert outcome.code in ("SCRIPT_ERROR", "SCRIPT_LIMIT_EXCEEDED")
    assert seconds < 30  # three at most, on a machine that has nothing else to do
    assert afterwards == HEALTHY_VALUE


@needs_corpus
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_expression_of_the_corpus(sandbox: Sandbox, name: str) -> None:
    """Another tool's syntax is text; ours ends in null or an error that names the expression."""
    given = EXPRESSIONS[name]["input"]
    text = given["template"] if isinstance(given, dict) else given
    try:
        template = compile_template(text)
        sources = tuple(one.source for one in template.expressions)
        if template.native:
            value = template.render(load)
        else:
            value = template.assemble(evaluate(sandbox, Script(kind="expressions", sources=sources)))
    except (ExpressionError, TemplateSyntaxError) as error:
        value = error
    if name in LITERAL | NOTHING:
        assert value == (text if name in LITERAL else None)
    else:
        assert isinstance(value, (ExpressionError, TemplateSyntaxError))
        assert len(str(value)) < 500


def test_data_cannot_become_structure_or_code() -> None:
    """The point of expr-34, expr-40 and expr-44 in our syntax: values are put in as values, in one pass."""
    hostile = 'x", "admin": true, "b": "${secrets.API_KEY}'
    template = compile_template({"a": "${input.v}", "text": '{"a": "${input.v}"}', "kept": "${input.o}"})
    value = template.render(lambda root, key: {"v": hostile, "o": {"b": 1}} if root == "input" else UNDEFINED)
    assert value == {"a": hostile, "text": '{"a": "' + hostile + '"}', "kept": {"b": 1}}
