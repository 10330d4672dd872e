"""The reader: scalars by the core schema, places of everything, and what it refuses."""

from __future__ import annotations

import json
import time

import pytest
from flowrunner.core.flow import Json
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.reader import RESERVED_KEYS, Document, Path, read_document
from hypothesis import given, settings
from hypothesis import strategies as st

SCALARS: list[tuple[str, Json]] = [
    ("yes", "yes"),
    ("no", "no"),
    ("on", "on"),
    ("true", True),
    ("False", False),
    ("null", None),
    ("~", None),
    ("012", "012"),
    ("-012", "-012"),
    ("0o17", 15),
    ("0x1F", 31),
    ("1:30", "1:30"),
    ("2024-01-01", "2024-01-01"),
    ("1.2.0", "1.2.0"),
    ("1_000", "1_000"),
    ("12", 12),
    ("-7", -7),
    ("+7", 7),
    ("1.5", 1.5),
    (".5", 0.5),
    ("1e3", 1000.0),
    ("1e", "1e"),
    ("-x", "-x"),
    ("+x", "+x"),
    ("0", 0),
    ("'1'", "1"),
    ('"true"', "true"),
    ("a # comment", "a"),
    ('"\\U0001F600"', "\U0001f600"),
]


@pytest.mark.parametrize(("written", "value"), SCALARS)
def test_scalars_follow_the_core_schema(written: str, value: Json) -> None:
    """A scalar is what YAML 1.2's core schema makes of it, and text where readers disagree."""
    found = read_document(f"v: {written}").value["v"]
    assert (found, type(found)) == (value, type(value))


REFUSED: list[tuple[str, str | bytes, str]] = [
    ("nothing", "", "error: the document is empty (line 1, column 1)"),
    ("a comment", " \n# hi\n", "error: the document is empty (line 1, column 1)"),
    ("null", "null", "error: the document is empty (line 1, column 1)"),
    ("an empty document", "---\n", "error: the document is empty (line 1, column 1)"),
    ("an alias", "a: *x", "not allowed"),
    (
        "an anchor",
        "a: &x 1",
        "error: a: anchors (&name) are not allowed; use `defaults` or a sub-flow to share things (line 1, column 4)",
    ),
    ("an anchored key", "&x a: 1", "anchors and tags are not allowed on keys"),
    ("an aliased key", "*x : 1", "not allowed"),
    ("a tag", "a: !x 1", "error: a: tags (!x) are not allowed (line 1, column 4)"),
    ("a core tag", "a: !!str 1", "tags (tag:yaml.org,2002:str) are not allowed"),
    ("a tagged list", "a: ! [1]", "tags (!) are not allowed"),
    ("a merge key", "a: {<<: {b: 1}}", "merge keys (<<) are not allowed"),
    (
        "a duplicate key",
        "a: 1\nb: 2\na: 3\n",
        "error: a: the key 'a' is here twice; it was written first on line 1 (line 3, column 1)",
    ),
    ("a list as key", "? [a]\n: 1", "a key must be a text"),
    ("a long key", f"{'k' * 257}: 1", "a key has more than 256 characters"),
    ("a reserved key", "a: {__proto__: 1}", "the key '__proto__' is reserved"),
    ("a quoted reserved key", 'a: {"constructor": 1}', "the key 'constructor' is reserved"),
    (
        "two documents",
        "a: 1\n---\nb: 2",
        "error: a file holds one flow; this starts a second document (line 2, column 1)",
    ),
    (
        "not a number",
        "a: .nan",
        "error: a: .nan is no finite number; put it into quotes if it is a text (line 1, column 4)",
    ),
    ("infinity", "a: -.inf", "-.inf is no finite number"),
    ("an infinite float", "a: 1e999", "1e999 is no finite number"),
    (
        "a long number",
        f"a: {'9' * 65}",
        "error: a: a number has more than 64 characters; put it into quotes if it is a text (line 1, column 4)",
    ),
    ("NUL", "a: \0", "error: the character U+0000 is not allowed in a document (line 1, column 4)"),
    (
        "an escape character",
        "a: 1\nb: \x1b[1m",
        "error: the character U+001B is not allowed in a document (line 2, column 4)",
    ),
    ("a lone surrogate", "a: \ud800", "U+D800"),
    ("an escaped NUL", 'a: "x\\0"', "error: a: "),
    ("an escaped surrogate", 'a: "\\uD800"', "not valid YAML"),
    ("NUL in a key", '"a\\0b": 1', "(line 1, column 1)"),
    ("no UTF-8", b"a: \xff", "error: the document is not UTF-8 text (byte 3) (line 1"),
    ("bad YAML", "a: [1,\nb: 2", "error: not valid YAML: did not find expected ',' or ']' (line "),
    (
        "a tab",
        "a:\n\tb: 1",
        "error: not valid YAML: found character that cannot start any token (line 2, column 1)",
    ),
    ("depth", "[" * 33 + "]" * 33, "error: the document is nested deeper than 32 levels (line 1, column 33)"),
    ("many values", f"[{'1,' * 20_001}]", "the document has more than 20,000 values"),
    (
        "many bytes",
        "x" * 262_145,
        "error: the document has 262,145 bytes; a flow may have 262,144 (line 1, column 1)",
    ),
    ("many bytes of few characters", "ä" * 200_000, "error: the document has 400,000 bytes"),
]


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_refused(text: str | bytes, message: str) -> None:
    """What a flow cannot be is refused with its place."""
    with pytest.raises(InvalidFlow) as caught:
        read_document(text)
    assert message in str(caught.value.problems[0])
    assert all(problem.line and problem.column for problem in caught.value.problems)


ACCEPTED: list[tuple[str, str | bytes, Json]] = [
    ("depth", "[" * 32 + "]" * 32, None),
    ("as many values as allowed", f"[{'1,' * 19_999}]", [1] * 19_999),
    ("a byte order mark", "\ufeffa: 1", {"a": 1}),
    ("a byte order mark in bytes", b"\xef\xbb\xbfa: 1", {"a": 1}),
    (
        "keys that other readers take for booleans",
        "{on: 1, true: 2, 3: 4, null: 5}",
        {"on": 1, "true": 2, "3": 4, "null": 5},
    ),
    ("a quoted <<", '{"<<": 1}', {"<<": 1}),
    ("JSON", '{"a":1,"b":[true,null],"c":"\\/\\u00e4"}', {"a": 1, "b": [True, None], "c": "/ä"}),
    ("JSON with tabs", '{\n\t"a": 1\n}', {"a": 1}),
    ("a literal block", "a: |\n  x\n  y\n", {"a": "x\ny\n"}),
]


@pytest.mark.parametrize(("text", "value"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_what_is_read(text: str | bytes, value: Json) -> None:
    """What is allowed is read as it is written."""
    found = read_document(text).value
    assert value is None or found == value


PLACES = """\
metadata: {name: x}
nodes:
  a:
    next: [b, c]
    hooks:
      exec: |
        return 1;
"""


@pytest.mark.parametrize(
    ("path", "key", "place"),
    [
        (("metadata",), True, (1, 1)),
        (("metadata",), False, (1, 11)),
        (("metadata", "name"), False, (1, 18)),
        (("nodes", "a"), True, (3, 3)),
        (("nodes", "a", "next", 1), False, (4, 15)),
        (("nodes", "a", "hooks", "exec"), False, (6, 13)),
        (("nodes", "a", "missing", "deep"), False, (4, 5)),
        ((), False, (1, 1)),
    ],
)
def test_places(path: Path, key: bool, place: tuple[int, int]) -> None:
    """Values and keys know their line and column; what is not there has the place of what is around it."""
    assert read_document(PLACES).place(path, key=key) == place


def _paths(value: Json, path: Path = ()) -> list[tuple[Path, Json]]:
    inner: list[tuple[Path, Json]] = []
    if isinstance(value, dict):
        inner = [found for key, item in value.items() for found in _paths(item, (*path, key))]
    elif isinstance(value, list):
        inner = [found for index, item in enumerate(value) for found in _paths(item, (*path, index))]
    return [(path, value), *inner]


_TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"), max_codepoint=0x2FFF), max_size=12)
_KEY = _TEXT.filter(lambda key: key not in RESERVED_KEYS)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEY, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_KEY, _JSON, min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_json_is_read_as_json_and_places_lead_back(value: dict[str, Json]) -> None:
    """JSON means the same to the reader as to a JSON parser, and each value begins where its place says."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    document: Document = read_document(text)
    assert document.value == value
    lines = text.split("\n")
    for path, item in _paths(value):
        line, column = document.place(path)
        written = lines[line - 1][column - 1 :]
        start = (
            "{" if isinstance(item, dict) else "[" if isinstance(item, list) else json.dumps(item, ensure_ascii=False)
        )
        assert written.startswith(start)


HOSTILE: list[tuple[str, str]] = [
    ("brackets", "[" * 100_000),
    ("braces", "{a: " * 60_000),
    ("ten megabytes", "- a\n" * 2_500_000),
    ("aliases", "a: &a [x]\n" + "".join(f"b{i}: [{'*a,' * 200}]\n" for i in range(90))),
    ("anchors", "".join(f"- &a{i} x\n" for i in range(15_000))),
    ("a long key", "? " + "k" * 200_000 + "\n: 1\n"),
    ("a long number", "a: " + "9" * 250_000),
    ("a long exponent", "a: 1e" + "9" * 250_000),
    ("quotes", "'" * 250_001),
    ("question marks", "? " * 100_000),
    ("dashes", "- " * 100_000),
]


@pytest.mark.parametrize("text", [row[1] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_hostile_text_is_refused_at_once(text: str) -> None:
    """However a text is made, saying no to it takes no time worth speaking of."""
    began = time.thread_time()
    with pytest.raises(InvalidFlow):
        read_document(text)
    assert time.thread_time() - began < 1  # of work: 50 ms, and more where coverage is measured


PAIRS: list[tuple[str, Json]] = [
    (r'{"a": "\ud83d\ude00"}', {"a": "\U0001f600"}),
    (r'{"a": "\\\ud83d\ude00"}', {"a": "\\\U0001f600"}),
    (r'{"a": "\\ud83d\\ude00"}', {"a": r"\ud83d\ude00"}),
    (r"{a: '\ud83d\ude00'}", {"a": r"\ud83d\ude00"}),
    (r"a: \ud83d\ude00", {"a": r"\ud83d\ude00"}),
]


@pytest.mark.parametrize(("text", "value"), PAIRS)
def test_surrogate_pairs_of_json(text: str, value: Json) -> None:
    """JSON writes characters beyond 16 bits as pairs, which YAML does not know; in YAML they stay what they are."""
    assert read_document(text).value == value


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_whole_numbers_have_64_bits(number: int) -> None:
    """A number that no store can hold is refused when it is read."""
    with pytest.raises(InvalidFlow, match="more than 64 bits"):
        read_document(f"a: {number}")
    with pytest.raises(InvalidFlow, match="more than 64 bits"):
        read_document(f"a: 0x{2**64:x}")


@pytest.mark.parametrize(
    ("text", "offset", "place"),
    [
        ("a: |\n\n  x\n    y\n", 0, (2, 3)),
        ("a: |\n\n  x\n    y\n", 1, (3, 3)),
        ("a: |\n\n  x\n    y\n", 5, (4, 5)),
        ("a: |\n\n", 0, (2, 1)),
        ("a: one two", 4, (1, 8)),
        ("a: 'one two'", 4, (1, 9)),
        ("a: 'it''s two'", 5, (1, 4)),
        ("a: one\n  two", 4, (1, 4)),
        ("a: >\n  one\n  two\n", 4, (2, 1)),
        ("a: |\r\n  one\r\n  two\r\n", 4, (3, 3)),
    ],
)
def test_places_inside_texts(text: str, offset: int, place: tuple[int, int]) -> None:
    """A character of a text is found in the document wherever the text was not rewritten on reading."""
    document = read_document(text)
    assert document.place_in(("a",), document.value["a"], offset) == place
