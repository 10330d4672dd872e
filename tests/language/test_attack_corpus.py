"""Every document of the attack corpus through the real loader, with the real node types and sandbox.

The substance of the corpus is in the tables of the other modules as well; these run what is shared on top.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flowrunner.engine.validation import environment
from flowrunner.language.catalog import Environment
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.load import load_flow
from flowrunner.language.reader import read_document
from flowrunner.nodes.registry import Registry
from flowrunner.sandbox.evaluator import Sandbox

from tests.attacks import attacks, needs_corpus

ELSEWHERE = {"schedule-08", "schedule-09", "schedule-11"}
"""When and how often a schedule fires, and how many there may be: tests/services/test_cron.py and test_schedules.py."""

SECONDS = 2  # what the corpus allows; of work, so that a busy machine does not count

WORDS = {
    "alias": "not allowed",
    "merge_key": "merge keys",
    "depth": "deeper than",
    "size": "bytes",
    "key_length": "more than 256 characters",
    "duplicate_key": "is here twice",
    "tag": "tags",
    "multi_document": "second document",
    "non_string_key": "a key must be a text",
    "not_finite": "no finite number",
    "reserved_name": "reserved",
    "unicode": "Unicode",
    "unknown_type": "unknown node type",
    "range": "unknown node type",  # there is no `wait` node, so its seconds are not looked at
    "empty": "is empty",
    "type": "not a list",
    "number": "more than 64 characters",
    "name (key separator)": "is no node id",
    "unknown_node": "no node is called",
}
"""What the corpus calls a reason, and how the loader says it."""

READ: dict[str, Any] = {
    "yaml-20": {"on": "x"},
    "yaml-21": {"country": "no"},
    "yaml-23": {"v": "012"},
    "yaml-24": {"d": "2024-01-01"},
    "yaml-32": {"name": "x"},
}
"""What is to be read as a text: with what the reader gives."""

OURS = {
    "yaml-38": ("metadata: {name: x}\nnodes: {a: {type: delay, params: {for: 99999999999}}}", "at most 400 days"),
    "yaml-39": ("metadata: {name: x}\nnodes: {a: {type: log, foreach: {items: '{{ range(9) }}'}}}", "foreach.items"),
    "yaml-44": ("metadata: {name: ok}\nnodes: {a: {type: transform}}", None),
}
"""Entries that suppose another language, in ours: with what is said, or None for what is accepted."""


def _entries(*areas: str) -> list[Any]:
    """The entries of some areas as test parameters; one that is skipped when the corpus is not there."""
    entries = [entry for file in ("corpus.json", "documents.json") for entry in attacks(file, *areas, but=ELSEWHERE)]
    return [pytest.param(entry, id=entry["id"]) for entry in entries] or [pytest.param(None, marks=needs_corpus)]


def _text(value: Any) -> str:
    return "".join(part * times for part, times in value["parts"]) if isinstance(value, dict) else value


@pytest.fixture(scope="module")
def env() -> Iterator[Environment]:
    """The environment of a running engine."""
    sandbox = Sandbox()
    yield environment(Registry(()), sandbox)
    sandbox.close()


def _problems(text: str, env: Environment) -> list[str]:
    began = time.thread_time()
    try:
        load_flow(text, env)
    except InvalidFlow as error:
        found = error.problems
    else:
        found = []
    assert time.thread_time() - began < SECONDS
    assert all(problem.line and problem.column and problem.message for problem in found)
    return [str(problem) for problem in found]


@pytest.mark.parametrize("entry", _entries("documents"))
def test_bad_documents(entry: dict[str, Any], env: Environment) -> None:
    """A bad document is refused in time, with a line and a message."""
    found = _problems(_text(entry["input"]), env)
    assert found
    assert "(line " in found[0]


@pytest.mark.parametrize("entry", _entries("yaml"))
def test_yaml(entry: dict[str, Any], env: Environment) -> None:
    """YAML that is an attack elsewhere is refused for the reason that the corpus names, or is plain text."""
    if entry["id"] in READ:
        assert read_document(entry["input"]).value == READ[entry["id"]]
    if entry["id"] in OURS:
        document, says = OURS[entry["id"]]
        told = _problems(document, env)
        assert told == [] if says is None else any(says in one for one in told)
    found = _problems(_text(entry["input"]), env)
    reason = entry["expect"].removeprefix("reject:") if entry["expect"].startswith("reject:") else ""
    reason = reason if reason in WORDS else reason.partition(" (")[0]
    assert found
    if reason in WORDS:
        assert any(WORDS[reason] in problem for problem in found), found


@pytest.mark.parametrize("entry", _entries("schedule"))
def test_schedules(entry: dict[str, Any], env: Environment) -> None:
    """A schedule that cannot be is refused at its place."""
    given = entry["input"]
    trigger: dict[str, Any] = {"type": "schedule", "cron": _text(given.get("cron", "0 9 * * *"))}
    trigger |= {"timezone": given["tz"]} if "tz" in given else {}
    trigger |= {"rate": given["rate"]} if "rate" in given else {}
    document = {
        "metadata": {"name": "x"},
        "triggers": [trigger],
        "nodes": {"a": {"type": "log", "params": {"message": "x"}}},
    }
    found = _problems(json.dumps(document), env)
    assert found
    assert all("triggers[0]" in problem or "bytes" in problem for problem in found)


@pytest.mark.parametrize("entry", _entries("jsonpath", "expr", "js"))
def test_scripts_are_only_parsed(entry: dict[str, Any], env: Environment) -> None:
    """Whatever an expression or hook holds, loading it answers in time and runs nothing."""
    source = entry["input"] if isinstance(entry["input"], str) else json.dumps(entry["input"])
    node = {
        "type": "script",
        "params": {"value": f"${{{source}}}", "path": source},
        "hooks": {"exec": source},
    }
    _problems(json.dumps({"metadata": {"name": "x"}, "nodes": {"a": node}}), env)


@pytest.mark.parametrize("entry", [one for one in attacks("corpus.json", "expr") if one["id"] == "expr-38"])
def test_what_a_node_reads_comes_before_it(entry: dict[str, Any], env: Environment) -> None:
    """A node that there is not is an error; one that is there and cannot have run yet is warned of."""
    first = {"type": "transform", "params": {"value": entry["input"]["template"]}}
    alone = {"metadata": {"name": "x"}, "nodes": {"a": first}}
    assert ["no node is called 'later'" in problem for problem in _problems(json.dumps(alone), env)] == [True]
    both = {"metadata": {"name": "x"}, "nodes": {"a": {**first, "next": "later"}, "later": {"type": "transform"}}}
    assert "cannot have run before 'a'" in str(load_flow(json.dumps(both), env).warnings[0])
