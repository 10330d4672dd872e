"""Sorting, grouping, merging and comparing JSON values."""

from __future__ import annotations

import pytest
from flowrunner.core.flow import Json
from flowrunner.nodes.collections import field, group, key_text, merged, same, sort_items


@pytest.mark.parametrize(
    ("items", "fields", "ordered"),
    [
        ([3, 1, 2], ["."], [1, 2, 3]),
        ([3, 1, 2], ["-."], [3, 2, 1]),
        (["b", "a", "B"], ["."], ["B", "a", "b"]),
        (
            [None, "x", 1, True, [2], {"a": 1}, 0.5, False],
            ["."],
            [False, True, 0.5, 1, "x", [2], {"a": 1}, None],
        ),
        ([None, 1, 2], ["-."], [2, 1, None]),
        ([{"a": 1}, {}, {"a": None}, {"a": 0}], ["a"], [{"a": 0}, {"a": 1}, {}, {"a": None}]),
        ([{"a": {"b": 2}}, {"a": {"b": 1}}, {"a": 5}], ["a.b"], [{"a": {"b": 1}}, {"a": {"b": 2}}, {"a": 5}]),
        (
            [{"x": 1, "y": 1}, {"x": 0, "y": 1}, {"x": 1, "y": 2}],
            ["-y", "x"],
            [{"x": 1, "y": 2}, {"x": 0, "y": 1}, {"x": 1, "y": 1}],
        ),
        ([{"a": 10**400}, {"a": 1.5}], ["a"], [{"a": 1.5}, {"a": 10**400}]),
        ([2, 1], ["missing"], [2, 1]),
        ([], ["a"], []),
    ],
)
def test_sorting_orders_mixed_values(items: list[Json], fields: list[str], ordered: list[Json]) -> None:
    """Values of all kinds have one order, fields count from the first one on, and null is last either way."""
    assert sort_items(items, fields) == ordered


@pytest.mark.parametrize("direction", ["k", "-k"])
def test_sorting_is_stable(direction: str) -> None:
    """Items that are equal by the field keep their order, downwards as well."""
    items = [{"k": 1, "n": number} for number in range(5)]
    assert sort_items(items, [direction]) == items


def test_sorting_leaves_its_argument_alone() -> None:
    """The list that was given is not changed."""
    items = [2, 1]
    sort_items(items, ["."])
    assert items == [2, 1]


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("a", "a"),
        (None, "null"),
        (True, "true"),
        (2, "2"),
        (2.0, "2"),
        (2.5, "2.5"),
        ([1, "x"], '[1,"x"]'),
        ({"a": 1}, '{"a":1}'),
    ],
)
def test_keys_are_written_as_json(value: Json, key: str) -> None:
    """Every value has one text as a key of an object, with no trace of Python in it."""
    assert key_text(value) == key


def test_groups_keep_the_order_of_first_occurrence() -> None:
    """Groups come in the order of their first item, items in their own."""
    items = [{"t": "b", "n": 1}, {"t": "a", "n": 2}, {"t": "b", "n": 3}, {"n": 4}]
    groups = group(items, "t")
    assert list(groups) == ["b", "a", "null"]
    assert groups["b"] == [{"t": "b", "n": 1}, {"t": "b", "n": 3}]


@pytest.mark.parametrize(
    ("parts", "deep", "result"),
    [
        ([{"a": 1}, {"a": 2, "b": 3}], False, {"a": 2, "b": 3}),
        ([{"a": {"x": 1}}, {"a": {"y": 2}}], False, {"a": {"y": 2}}),
        ([{"a": {"x": 1}}, {"a": {"y": 2}}], True, {"a": {"x": 1, "y": 2}}),
        ([{"a": {"x": 1}}, {"a": 5}, {"a": {"z": 3}}], True, {"a": {"z": 3}}),
        ([{"__proto__": {"a": 1}}, {"__proto__": {"b": 2}}], True, {"__proto__": {"a": 1, "b": 2}}),
        ([], True, {}),
    ],
)
def test_merging_lets_the_later_win(parts: list[dict[str, Json]], deep: bool, result: Json) -> None:
    """Later objects win, and only a deep merge goes into objects that both have."""
    assert merged(parts, deep=deep) == result


def test_a_deep_merge_changes_no_part() -> None:
    """The objects that were given stay as they were."""
    first = {"a": {"x": 1}}
    merged([first, {"a": {"y": 2}}], deep=True)
    assert first == {"a": {"x": 1}}


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1, 1.0, True),
        (1, "1", False),
        (True, 1, False),
        (0, False, False),
        (True, True, True),
        (None, None, True),
        (None, 0, False),
        ([1, {"a": True}], [1.0, {"a": True}], True),
        ([True], [1], False),
        ([1], [1, 2], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ("", None, False),
    ],
)
def test_equality_is_that_of_json(left: Json, right: Json, equal: bool) -> None:
    """Numbers are equal by value, a boolean is no number, and the order of fields does not matter."""
    assert same(left, right) is equal
    assert same(right, left) is equal


@pytest.mark.parametrize(
    ("path", "found"), [("a.b", 1), ("a", {"b": 1}), ("a.c", None), ("x.y", None), (".", {"a": {"b": 1}})]
)
def test_fields_are_found_inside(path: str, found: Json) -> None:
    """`a.b` looks inside, `.` is the value itself, and what is missing is null."""
    assert field(path)({"a": {"b": 1}}) == found
