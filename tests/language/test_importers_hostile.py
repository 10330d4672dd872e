"""Importers against documents that mean no good: hostile texts, every JSON value, damaged workflows."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
import yaml
from flowrunner.bootstrap import make_engine
from flowrunner.core.flow import Json
from flowrunner.language.importers.base import CannotImport
from flowrunner.language.importers.registry import import_flow
from flowrunner.language.importers.yaml_text import comment, entry
from flowrunner.language.reader import read_document
from flowrunner.settings import Settings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.language.flowengine import FAST, data, flow_of, node, refusals, workflow


@pytest.fixture(scope="module")
def check() -> Any:
    """Loading as the commands do it."""
    engine = make_engine(Settings(), {})
    yield engine.load
    engine.close()


HOSTILE = [
    "__proto__",
    "constructor",
    "a: b",
    "- x",
    "#",
    "&a",
    "*a",
    "<<",
    "null",
    "~",
    "on",
    "1e3",
    "0x1",
    "'",
    '"',
    "${input}",
    "$${",
    "\u2028",
    "\x85",
    "é\n#x",
    "]}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(text: str, check: Any) -> None:
    """In every place where a text can be: refused by name, or as it was."""
    document = workflow(
        [
            node(text, "debug.log", {"message": text}, name=text),
            node("m", "flow.merge"),
            node("s", "transform.json_stringify", {"value": {"k": [text]}}),
        ],
        description=text,
    )
    wires: Any = document["connections"]
    wires.append({"from_node": text, "from_port": "message", "to_node": "m", "to_port": text})
    if text in ("__proto__", "constructor"):
        assert "reserved" in refusals(document, check)[0]
        return
    flow = flow_of(document, check)
    escaped = text.replace("${", "$${")
    assert flow["metadata"]["description"] == text
    assert [one["params"]["message"] for one in flow["nodes"].values() if one["type"] == "log"] == [escaped]
    assert flow["nodes"]["s"]["params"]["value"] == {"k": [escaped]}
    assert list(flow["nodes"]["m"]["params"]["value"]) == [text]


@pytest.mark.parametrize("text", [" x;\n", "\n  x;\n", ";\n", "a\n   \n b;\n", "x;\n\n;\n"])
def test_texts_that_look_like_scripts_keep_their_blanks(text: str, check: Any) -> None:
    """A block would take the blanks before its first line for its indentation (found by fuzzing)."""
    document = workflow([node("m", "debug.log", {"message": text * 20})], description=text)
    flow = flow_of(document, check)
    assert flow["metadata"]["description"] == text
    assert flow["nodes"]["m"]["params"]["message"] == text * 20


@pytest.mark.parametrize("value", [1, {}, [], {"a": {"b": [1]}}, [{"a": 1}], "x;\n", "x" * 200])
def test_a_key_that_grows_by_its_escapes_is_still_one(value: Json) -> None:
    """256 characters that YAML would take for line breaks are 1,536 when they are written (found by fuzzing)."""
    inner, outer = "\u2028" * 256, "\ufeff" * 256
    text = "\n".join([*entry(outer, {inner: value, "last": value}), "end: 1\n"])
    assert read_document(text).value == {outer: {inner: value, "last": value}, "end": 1}
    assert read_document("\n".join(entry("short", [{inner: value}]))).value == {"short": [{inner: value}]}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(value=JSON)
def test_the_writer_says_what_it_is_given(value: Json) -> None:
    """Our reader and PyYAML's both read back the same value, except keys that our reader refuses."""
    text = "\n".join([comment(str(value)), *entry("value", value)])
    assert (
        yaml.safe_load(text.replace("\t", " "))["value"] == value
        or "<<" in text
        or "=" in text
        or "." in text
        or "e" in text
    )
    if "__proto__" not in text and "constructor" not in text and "prototype" not in text:
        assert read_document(text).value == {"value": value}


PIECES: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        "x",
        "",
        [],
        {},
        {"type": "String"},
        {"type": "Number", "value": "x"},
        "a",
        "message",
        "debug.log",
        "http.request",
    ]
)


@st.composite
def damaged(draw: st.DrawFn) -> Json:
    """A workflow with one to three values replaced or removed at random places."""
    document: Any = json.loads(
        data(
            workflow(
                [
                    node(
                        "get",
                        "http.request",
                        {"method": "POST", "headers": {"A": "b"}},
                        retry_policy=FAST,
                        position={"x": 1, "y": 2},
                    ),
                    node("parse", "transform.json_parse", name="Parse"),
                    node("b", "flow.branch"),
                    node("w", "time.delay", {"delay_ms": {"type": "Number", "value": 1}}),
                    node("l", "debug.log"),
                    node("m", "flow.merge"),
                ],
                "get.body -> parse.json",
                "parse.parsed -> b.payload",
                "get.status -> b.condition",
                "b.true_out -> w.x",
                "b.false_out -> l.message",
                "w.x -> m.x",
                "l.message -> m.y",
                triggers=[{"trigger_type": {"type": "Cron", "expression": "0 9 * * *"}, "enabled": True}],
                settings={"max_parallel_nodes": 3, "on_error": {"RetryWorkflow": {"max_attempts": 2}}},
            )
        )
    )
    for _ in range(draw(st.integers(1, 3))):
        at = document
        while isinstance(at, dict | list) and at:
            key: Any = draw(st.sampled_from(sorted(at))) if isinstance(at, dict) else draw(st.integers(0, len(at) - 1))
            if not isinstance(at[key], dict | list) or draw(st.booleans()):
                if draw(st.booleans()):
                    at[key] = deepcopy(draw(PIECES))
                else:
                    del at[key]
                break
            at = at[key]
    damaged_document: Json = document
    return damaged_document


@settings(max_examples=200, deadline=None)
@given(document=damaged())
def test_a_document_imports_or_is_refused_with_named_problems(check: Any, document: Json) -> None:
    """Whatever is damaged: no other error, no flow that does not load, no problem without words."""
    found = ["imported"]
    try:
        import_flow(data(document), check, "flowengine")
    except CannotImport as refused:
        found = [problem.message for problem in refused.problems]
    assert found
    assert all(found)
