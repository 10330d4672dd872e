"""Documents made to cost time, and texts made to break the loader: it says no, in time, and never anything else."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.load import load_flow
from flowrunner.language.suggest import MAX_PROBLEMS
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.language.environment import environment, problems

HEAD = "metadata: {name: x}\n"
SECONDS = 3  # of work: under 0.4 s each, and more where coverage is measured; quadratic ways took 2 to 136 s


def nodes(count: int, fields: str) -> str:
    """That many nodes; `@` in the fields is the number of each, `+` that of the next one."""
    lines = (f"  n{i}: {{type: log, {fields.replace('@', str(i)).replace('+', str(i + 1))}}}" for i in range(count))
    return HEAD + "nodes:\n" + "\n".join(lines) + f"\n  n{count}: {{type: log}}\n"


COSTLY: list[tuple[str, str]] = [
    ("targets that are not there", nodes(3000, "next: m@")),
    ("a long chain", nodes(3000, "next: n+")),
    ("a long chain of needs", nodes(2500, "needs: n+")),
    ("fields that are not there", nodes(3000, "nexd: a")),
    ("wrong fields", nodes(3000, "next: 5")),
    ("expressions that read what is not there", nodes(2000, "params: {message: '${nodes.m@.output}'}")),
    ("reads of everything", nodes(2000, "params: {message: '${nodes.n+.output}'}, next: n+")),
    ("hooks that are wrong", nodes(2000, "hooks: {exec: '@@'}")),
    (
        "connections",
        f"{HEAD}connections: [{', '.join(f'n{i}.a -> n{i + 1}.b' for i in range(2500))}]\nnodes: {{"
        + ", ".join(f"n{i}: {{type: log}}" for i in range(2501))
        + "}",
    ),
    ("unknown types", HEAD + "nodes:\n" + "".join(f"  n{i}: {{type: t{i}}}\n" for i in range(4000))),
    (
        "triggers",
        HEAD + "triggers: [" + "{type: schedule, cron: '0 0 30 2 *'}," * 2000 + "]\nnodes: {a: {type: log}}",
    ),
    ("blanks behind a root", nodes(1, "params: {message: '${nodes" + " " * 200_000 + "[1]}'}")),
    ("blanks before the unknown", nodes(1, "params: {message: '${\"nodes" + " " * 100_000 + "\" + nodes.zz}'}")),
    ("groups in a pattern", f"{HEAD}inputs: {{pattern: '{'(' * 5000 + ')' * 5000}'}}\nnodes: {{a: {{type: log}}}}"),
    (
        "one cycle of all",
        nodes(2500, "needs: n+").replace("n2500: {type: log}", "n2500: {type: log, needs: n0}"),
    ),
]


@pytest.mark.parametrize("text", [row[1] for row in COSTLY], ids=[row[0] for row in COSTLY])
def test_large_documents_are_looked_at_in_time(text: str) -> None:
    """However many problems there are, finding them is quick, and what is shown can be read."""
    began = time.thread_time()
    found = problems(text)
    assert time.thread_time() - began < SECONDS
    assert len(found) <= MAX_PROBLEMS + 1


def test_problems_that_are_left_out_are_told_of() -> None:
    """The last problem shown says that there are more."""
    found = problems(nodes(500, "next: m@"))
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == "error: there are more problems from here on (line 103, column 27)"


GOOD: dict[str, Any] = {
    "metadata": {"name": "n", "labels": {"a": "b"}},
    "inputs": {"type": "object", "properties": {"a": {"type": "string"}}},
    "defaults": {"timeout": "30s", "retry": {"max_attempts": 2}},
    "concurrency": {"max_runs": 1, "key": "${input.a}"},
    "triggers": [{"type": "webhook", "path": "p"}, {"type": "schedule", "cron": "0 9 * * *", "input": {}}],
    "webhooks": [{"url": "https://example.com", "events": ["run.failed"], "nodes": ["a"]}],
    "connections": ["a.x -> c.p"],
    "nodes": {
        "a": {"type": "log", "params": {"message": "${input.a}"}, "next": {"default": ["b"], "error": "b"}},
        "b": {
            "type": "script",
            "hooks": {"exec": "return 1"},
            "foreach": {"items": "${input}"},
            "ui": {"x": 1, "y": 2},
        },
        "c": {"type": "any", "needs": {"nodes": ["b"]}, "when": "${true}", "cache": {"key": "k", "ttl": 1}},
    },
}
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            None,
            True,
            0,
            -1,
            1e308,
            2**63 - 1,
            "",
            "a",
            "needs",
            "${",
            "${}",
            "${nodes.z.output}",
            "@@",
            "../..",
            "-> b.c",
            "9" * 400,
        ),
        *(
            [],
            {},
            [[]],
            [None],
            {"a": None},
            {"": 1},
            {"next": "a"},
            {"$ref": "#"},
            {"pattern": "("},
            {"type": "webhook"},
        ),
    ]
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a document where something can be put: its container and key."""
    pairs = (
        list(value.items() if isinstance(value, dict) else enumerate(value)) if isinstance(value, dict | list) else []
    )
    return [place for key, item in pairs for place in [(value, key), *_places(item)]]


@given(st.lists(st.tuples(st.integers(0, 10_000), JUNK), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_spoilt_document_is_refused_and_nothing_else(changes: list[tuple[int, Any]]) -> None:
    """Whatever stands in place of whatever field, the loader says what is wrong, with a place, or takes it."""
    document = json.loads(json.dumps(GOOD))
    for number, junk in changes:
        places = _places(document)
        if places:
            container, key = places[number % len(places)]
            container[key] = json.loads(json.dumps(junk))
    _loads_or_is_refused(json.dumps(document, indent=1))


@given(st.text(max_size=60) | st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_refused_and_nothing_else(text: str | bytes) -> None:
    """No text at all makes the loader fail otherwise than by saying no."""
    _loads_or_is_refused(text)


@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "nodes:",
                "{",
                "}",
                "[",
                "]",
                "- ",
                ": ",
                "\n",
                "  ",
                "'",
                '"',
                "|",
                ">",
                "#",
                "&a",
                "*a",
                "!",
                "? ",
                "<<",
                "${",
                "type",
                ",",
            ]
        ),
        max_size=40,
    )
)
@settings(max_examples=300, deadline=None)
def test_any_yaml_is_refused_and_nothing_else(parts: list[str]) -> None:
    """Neither does any jumble of what YAML is made of."""
    _loads_or_is_refused(HEAD + "nodes: {a: {type: log}}\n" + "".join(parts))


def _loads_or_is_refused(text: str | bytes) -> None:
    try:
        load_flow(text, environment())
    except InvalidFlow as refused:
        found = refused.problems
    else:
        return
    assert found
    assert all(problem.message and problem.line and problem.column for problem in found)
