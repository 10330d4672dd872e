"""JSONPath in node parameters: what it selects, what it refuses, and that no path keeps a worker busy."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes import jsonpath
from flowrunner.nodes.jsonpath import JsonPath, apply, faults, mark, select

from tests.attacks import attacks, needs_corpus

SHOP: Json = {
    "store": {"book": [{"title": "A", "price": 8}, {"title": "B", "price": 12}], "open": True},
    "limit": 10,
    "a.b": 3,
    "none": None,
}


@pytest.mark.parametrize(
    ("path", "selected"),
    [
        ("$", SHOP),
        ("$.store.book[0].title", "A"),
        ("$.store.book[-1].title", "B"),
        ("$.store.book[2].title", None),
        ("$.store.book[-3]", None),
        ("$['a.b']", 3),
        ("$.none", None),
        ("$.none.deeper", None),
        ("$.missing", None),
        ("$.limit[0]", None),
        ("$.store[0]", None),
        ("$.store.book.title", None),
        ("$.store.book[*].title", ["A", "B"]),
        ("$.missing[*]", []),
        ("$..price", [8, 12]),
        ("$.store.book[?@.price < $.limit].title", ["A"]),
        ("$.store.book[?@.price > 5 && @.title == 'B'].price", [12]),
        ("$.store.book[?length(@.title) == 1].title", ["A", "B"]),
        ("$.store.book[?match(@.title, '[AB]')].price", [8, 12]),
        ("$.store.book[?search(@.title, 'B')].price", [12]),
        ("$.store.book[?match(@.price, '8')]", []),
        ("$.store.book[?match(@.title, '(')]", []),
        ("$.store.book[?match(@.title, 'A{2,1}')]", []),
        ("$.store[?count(@[*]) == 2]", [SHOP["store"]["book"]]),
        ("$.store.book[?@.missing]", []),
        ("$.store.book[0:1].title", ["A"]),
        ("$.store.book[::-1].title", ["B", "A"]),
        ("$.store.book[0:1000000000:0]", []),
        ("$.store.book[0,1].price", [8, 12]),
        ("$['limit','a.b']", [10, 3]),
    ],
)
def test_paths_select_as_the_rfc_says(path: str, selected: Json) -> None:
    """A path to one place gives the value or null, any other gives the list of matches."""
    assert select(path, SHOP) == selected


@pytest.mark.parametrize(
    ("path", "value", "selected"),
    [
        ("$", "[1, 2]", "[1, 2]"),
        ("$[*]", "[1, 2]", []),
        ("$[0:2]", "abc", []),
        ("$..[0:1]", ["abc"], ["abc"]),
        ("$[?@ == '[1]']", ["[1]", "{"], ["[1]"]),
        ("$[*]", "{ not json", []),
    ],
)
def test_texts_are_texts(path: str, value: Json, selected: Json) -> None:
    """A text is neither read as a JSON document nor sliced like a list."""
    assert select(path, value) == selected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$.a[", "unexpected end of query"),
        ("$.", ""),
        ("$[-9223372036854775809]", "index out of range"),
        ("$[0:9223372036854775809]", "index out of range"),
        ("$[?(@.constructor.constructor('return process')())]", "unexpected '('"),
        ("$.a | $.b", ""),
        ("$[?nothing(@.a)]", ""),
        ("$" + "[*]" * 65, "at most 64 segments"),
        ("$[?" + "@" + ".a" * 64 + "]", "at most 64 segments"),
        ("$[?" + "(" * 1_500 + "@.a" + ")" * 1_500 + "]", "nested too deeply"),
        ("$.a" + " " * 5_000, "at most 4,096 characters"),
        ("$[~]", ""),
    ],
)
def test_what_is_no_jsonpath_is_refused(path: str, message: str) -> None:
    """A bad path is a typed error that names the path and says what is wrong."""
    with pytest.raises(StepError, match="JSONPath") as caught:
        select(path, {"a": 1})
    assert caught.value.code == "JSONPATH_ERROR"
    assert message in caught.value.message
    assert caught.value.details["path"] == path[:2_000]
    assert len(caught.value.message) < 400


def _nested(depth: int) -> Json:
    value: Json = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "$[?match(@.a, '(a|aa)+b')]",
            [{"a": "a" * 60 + "!b!"}] * 1_000,
            "a regular expression takes too long",
        ),
        (
            "$[?search(@.a, '(a|a)*b')]",
            [{"a": "a" * 40 + "cb!"}] * 1_000,
            "a regular expression takes too long",
        ),
        ("$[?match(@.a, '" + "a" * 600 + "')]", [{"a": "a"}], "at most 512 characters"),
        ("$" + "[*,*,*,*,*,*,*,*]" * 12, _nested(12), "visits too many places"),
        ("$" + "[*,*,*,*,*,*,*,*]" * 11 + "[?@.x == 1]", _nested(12), "visits too many places"),
        ("$..*..*..*..*..*", _nested(90), "visits too many places"),
        ("$[?1 == 2" + ", ?1 == 2" * 400 + "]", list(range(5_000)), "visits too many places"),
        ("$[?" + "@..* || " * 20 + "@..*]", [_nested(90)] * 100, "visits too many places"),
        ("$..*", _nested(500), "nested too deeply"),
    ],
)
def test_no_path_keeps_a_worker_busy(path: str, value: Json, message: str) -> None:
    """Paths that would multiply their work end within seconds, as an error that says so."""
    started = time.monotonic()
    with pytest.raises(StepError, match="JSONPath") as caught:
        select(path, value)
    assert message in caught.value.message
    assert time.monotonic() - started < 60  # seconds would be minutes or for ever without the bound


def test_a_pattern_that_the_engine_optimises_is_no_error() -> None:
    """The corpus' own pattern simply does not match."""
    assert select("$[?match(@.a, '(a+)+$')]", [{"a": "a" * 40 + "!"}]) == []


def test_large_values_are_selected_from_correctly() -> None:
    """The bound grows with the value, so an honest path over a large one is slower and still right."""
    rows = [{"id": number, "tags": [number % 7, number % 5]} for number in range(40_000)]
    assert select("$[*].id", rows) == list(range(40_000))
    assert len(select("$[?@.id >= 39_990 || @.tags[0] == 3].tags[*]".replace("_", ""), rows)) > 11_000


def test_a_failed_selection_leaves_nothing_behind() -> None:
    """The work that a refused path has done does not count against the next one."""
    for _ in range(2):
        with pytest.raises(StepError):
            select("$..*..*..*..*..*", _nested(90))
    assert select("$..price", SHOP) == [8, 12]


@pytest.mark.parametrize(
    ("text", "is_path"),
    [
        ("$", True),
        ("$.a", True),
        ("$[0]", True),
        ("$$.a", False),
        ("$a", False),
        ("", False),
        (" $.a", False),
        ("${x}", False),
    ],
)
def test_only_certain_texts_are_paths(text: str, is_path: bool) -> None:
    """A text is a JSONPath if it is `$` or starts with `$.` or `$[`."""
    assert isinstance(mark(text), JsonPath) is is_path


def test_marking_changes_no_value() -> None:
    """A marked mapping equals the one that was written, and is JSON as before."""
    mapping = {"a": "$.x", "b": {"c": ["$", "text", 1, None]}}
    assert mark(mapping) == mapping
    assert json.loads(json.dumps(mark(mapping))) == mapping


def test_data_that_looks_like_a_path_stays_data() -> None:
    """Only what was marked is applied: the price `$.50` in the data is a text."""
    assert apply({"written": mark("$.x"), "data": "$.50", "more": [["$.x"]]}, {"x": 1}) == {
        "written": 1,
        "data": "$.50",
        "more": [["$.x"]],
    }


def test_faults_name_every_bad_path_and_its_place() -> None:
    """When a flow is saved, each bad JSONPath is reported where it stands."""
    mapping = mark({"good": "$.a", "bad": "$.a[", "deep": [{"x": "$[?"}], "mixed": "$.a[${input.i}]"})
    found = dict(faults(mapping, ("mapping",)))
    assert found.keys() == {("mapping", "bad"), ("mapping", "deep", 0, "x"), ("mapping", "mixed")}
    assert "holds no expressions" in found["mapping", "mixed"]
    assert "unexpected end of query" in found["mapping", "bad"]


@pytest.mark.parametrize("path", ["", "\n", "$.a\n", "$\n[", "$['a'\n"])
def test_a_path_that_ends_too_early_is_told_as_that(path: str) -> None:
    """Also where python-jsonpath cannot draw the place of its error: an empty path made it fail otherwise (fuzzing)."""
    with pytest.raises(StepError) as refused:
        select(path, {"a": 1})
    assert refused.value.code == "JSONPATH_ERROR"


@needs_corpus
@pytest.mark.parametrize("entry", attacks("corpus.json", "jsonpath"), ids=lambda entry: str(entry["id"]))
def test_attack_corpus(entry: dict[str, Any]) -> None:
    """Every path of the corpus selects or is refused, in time; those that must be errors are."""
    value = [{"a": "a" * 40 + "!", "store": {}}]
    started = time.monotonic()
    try:
        selected, code = select(entry["input"], value), None
    except StepError as error:
        selected, code = [], error.code
    assert time.monotonic() - started < 20  # on a machine that does other things as well
    assert code == ("JSONPATH_ERROR" if entry["expect"].startswith("error:") else None)
    assert not selected


def test_size_counts_every_place() -> None:
    """The bound on work is measured in places: containers and what is in them."""
    assert jsonpath._size({"a": [1, 2], "b": {}}) == 5
