"""The store node, over the memory backend."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId
from flowrunner.errors import StepError
from flowrunner.nodes import store, store_reading
from flowrunner.nodes.store import StoreNode
from flowrunner.ports.kv import Item, KeyValues
from pydantic import ValidationError

from tests.nodes.context import NOW, RUN, context
from tests.nodes.evaluating import javascript

NODE = StoreNode()


@pytest.fixture
def values() -> KeyValues:
    """An empty store."""
    return MemoryBackend().values


def _do(values: KeyValues, op: str, at: int = NOW, input: Json = None, **params: Json) -> Json:
    ctx = context(NODE, {"op": op, **params}, values=values, time=at, input=input, each=javascript)
    return NODE.execute(ctx).output


def test_a_value_is_kept_until_it_is_deleted(values: KeyValues) -> None:
    """set, get and delete work on one key, and say whether something was there."""
    assert _do(values, "get", key="k", default=7) == {"found": False, "value": 7}
    assert _do(values, "set", key="k", value={"a": [1]}) == {"key": "k", "value": {"a": [1]}}
    assert _do(values, "get", key="k", default=7) == {"found": True, "value": {"a": [1]}}
    assert _do(values, "delete", key="k") == {"deleted": True}
    assert _do(values, "delete", key="k") == {"deleted": False}
    assert _do(values, "get", key="k") == {"found": False, "value": None}


def test_null_is_a_value(values: KeyValues) -> None:
    """A stored null is found, and is not the default."""
    _do(values, "set", key="k", value=None)
    assert _do(values, "get", key="k", default=1) == {"found": True, "value": None}


def test_set_without_a_value_keeps_the_input(values: KeyValues) -> None:
    """Like everywhere, what is left out is the node's input."""
    assert _do(values, "set", key="k", input=[1]) == {"key": "k", "value": [1]}


@pytest.mark.parametrize(("op", "more"), [("set", {"value": 1}), ("increment", {})])
def test_a_value_ends_with_its_time(values: KeyValues, op: str, more: dict[str, Json]) -> None:
    """After the ttl there is nothing, to the millisecond."""
    _do(values, op, key="k", ttl="10s", **more)
    assert _do(values, "get", key="k", at=NOW + 9_999) == {"found": True, "value": 1}
    assert _do(values, "get", key="k", at=NOW + 10_000) == {"found": False, "value": None}


def test_counting_starts_at_nothing(values: KeyValues) -> None:
    """An absent number is 0; whole results are whole numbers."""
    assert _do(values, "increment", key="n") == {"value": 1}
    assert _do(values, "increment", key="n", by=0.5) == {"value": 1.5}
    assert _do(values, "increment", key="n", by=-1.5) == {"value": 0}
    result = _do(values, "increment", key="n", by=2.0)
    assert repr(result["value"]) == "2"


@pytest.mark.parametrize("value", ["text", None, True, [1]])
def test_only_numbers_are_counted(values: KeyValues, value: Json) -> None:
    """Incrementing anything else fails with NOT_A_NUMBER and changes nothing."""
    _do(values, "set", key="n", value=value)
    with pytest.raises(StepError) as caught:
        _do(values, "increment", key="n")
    assert caught.value.code == "NOT_A_NUMBER"
    assert _do(values, "get", key="n")["value"] == value


def test_lists_come_in_the_order_of_keys_and_in_pages(values: KeyValues) -> None:
    """prefix, limit and after choose a page."""
    for key in ("b/2", "a/1", "b/1", "b/3"):
        _do(values, "set", key=key, value=key)
    assert [item["key"] for item in _do(values, "list")["items"]] == ["a/1", "b/1", "b/2", "b/3"]
    assert [item["key"] for item in _do(values, "list", prefix="b/", limit=2)["items"]] == ["b/1", "b/2"]
    assert _do(values, "list", prefix="b/", after="b/2")["items"] == [{"key": "b/3", "value": "b/3"}]


def test_a_query_keeps_what_its_expression_holds_for(values: KeyValues) -> None:
    """The expression sees key and value, and the limit counts what is kept."""
    for number in range(6):
        _do(values, "set", key=f"k{number}", value=number)
    assert [item["value"] for item in _do(values, "query", where="${item.value % 2 == 1}")["items"]] == [
        1,
        3,
        5,
    ]
    assert [item["value"] for item in _do(values, "query", where="${item.key > 'k3'}", limit=1)["items"]] == [4]
    assert _do(values, "query", where="${item.value > 0}", after="k4")["items"] == [{"key": "k5", "value": 5}]


def test_a_query_looks_at_every_page(values: KeyValues, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items behind the first page are found, and a page that ends exactly is no trouble."""
    monkeypatch.setattr(store_reading, "FIRST", 3)
    monkeypatch.setattr(store_reading, "PAGE", 3)
    monkeypatch.setattr(store, "QUERY_LIMIT", 12)
    for number in range(9):
        _do(values, "set", key=f"k{number}", value=number)
    assert [item["value"] for item in _do(values, "query", where="${item.value >= 7}")["items"]] == [7, 8]


def test_a_query_goes_on_behind_what_it_has_looked_at(values: KeyValues, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is, each call looks at a part of it, and says where the next one begins."""
    monkeypatch.setattr(store_reading, "FIRST", 3)
    monkeypatch.setattr(store_reading, "PAGE", 3)
    monkeypatch.setattr(store, "QUERY_LIMIT", 6)
    for number in range(16):
        _do(values, "set", key=f"k{number:02}", value=number)
    pages, after = [], ""
    while after is not None:
        answer = _do(values, "query", where="${item.value % 5 == 0}", limit=2, after=after)
        pages.append([item["value"] for item in answer["items"]])
        after = answer["next"]
    assert pages == [[0, 5], [10], [15]]
    assert _do(values, "query", where="${true}", limit=2, prefix="k1") == {
        "items": [{"key": "k10", "value": 10}, {"key": "k11", "value": 11}],
        "next": "k11",
    }


@pytest.mark.parametrize("op", [{"op": "list"}, {"op": "query", "where": "${true}"}])
def test_an_answer_holds_so_many_bytes(values: KeyValues, monkeypatch: pytest.MonkeyPatch, op: dict[str, Json]) -> None:
    """What does not fit in is on the next page; one item fits in any case, and nothing is left out or said twice."""
    monkeypatch.setattr(store_reading, "FIRST", 2)
    monkeypatch.setattr(store_reading, "PAGE_BYTES", 100)
    monkeypatch.setattr(store_reading, "ANSWER_BYTES", 100)
    for key, size in (("a", 300), ("b", 40), ("c", 40), ("d", 40), ("e", 10), ("f", 90)):
        _do(values, "set", key=key, value="x" * size)
    answers, after = [], ""
    while after is not None:
        answer = _do(values, after=after, **op)
        answers.append([item["key"] for item in answer["items"]])
        after = answer["next"]
    assert answers == [["a"], ["b", "c"], ["d", "e"], ["f"]]


def test_large_values_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first page no more is read at once than fits in."""
    monkeypatch.setattr(store_reading, "FIRST", 3)
    monkeypatch.setattr(store_reading, "PAGE_BYTES", 100)
    items = [{"key": f"k{number:02}", "value": "x" * 38} for number in range(8)]
    wanted = list[int]()

    def read(after: str, limit: int) -> list[dict[str, Json]]:
        wanted.append(limit)
        return [item for item in items if item["key"] > after][:limit]

    read_all = [one.item for page, _ in store_reading.pages(read, "", 100) for one in page]
    assert read_all == items
    assert wanted == [3, 2, 2, 2]


def test_a_query_looks_at_so_many_bytes(values: KeyValues, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large values are, it ends in time, and says where the next one begins."""
    monkeypatch.setattr(store_reading, "FIRST", 2)
    monkeypatch.setattr(store, "QUERY_BYTES", 50)
    for number in range(6):
        _do(values, "set", key=f"k{number}", value="x" * 30)
    assert _do(values, "query", where="${item.key == 'k5'}") == {"items": [], "next": "k1"}


def test_a_list_says_whether_there_is_more(values: KeyValues) -> None:
    """A page that ends exactly with the last key has no next one."""
    for key in ("a", "b"):
        _do(values, "set", key=key, value=1)
    assert _do(values, "list", limit=1)["next"] == "a"
    assert _do(values, "list", limit=2)["next"] is None
    assert _do(values, "list", prefix="x") == {"items": [], "next": None}


def test_namespaces_scopes_and_accounts_share_nothing(values: KeyValues) -> None:
    """The same key in another namespace, run or account is another value."""
    _do(values, "set", key="k", value=1)
    assert not _do(values, "get", key="k", namespace="other")["found"]
    _do(values, "set", key="k", value=2, scope="run")
    assert _do(values, "get", key="k")["value"] == 1
    for run in (replace(RUN, id="run-2"), replace(RUN, account="other")):
        ctx = context(NODE, {"op": "get", "key": "k", "scope": "run"}, values=values, run=run)
        assert NODE.execute(ctx).output == {"found": False, "value": None}


def test_no_namespace_reaches_into_a_run_or_the_engines_own(values: KeyValues) -> None:
    """A namespace is a name below the account's own; it cannot be made to mean another."""
    values.set(AccountId(RUN.account), "$cache", Item("k", 1))
    _do(values, "set", key="k", value=1, scope="run")
    for namespace in (f"run/{RUN.id}/default", "../run", "cache"):
        assert not _do(values, "get", key="k", namespace=namespace)["found"]
    with pytest.raises(ValidationError, match="pattern"):
        _do(values, "get", key="k", namespace="$cache")


@pytest.mark.parametrize(("key", "stored"), [(5, "5"), (2.5, "2.5"), ("é/ü", "é/ü")])
def test_keys_may_be_numbers(values: KeyValues, key: Json, stored: str) -> None:
    """An id that is a number makes a key without further ado."""
    assert _do(values, "set", key=key, value=1)["key"] == stored


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "Field required"),
        ({"op": "put"}, "'get', 'set', 'delete'"),
        ({"op": "get"}, "get needs a `key`"),
        ({"op": "increment"}, "increment needs a `key`"),
        ({"op": "query"}, "query needs `where`"),
        ({"op": "get", "key": "k", "value": 1}, "get has no use for `value`; it takes default, key"),
        ({"op": "list", "where": "${x}"}, "list has no use for `where`"),
        ({"op": "delete", "key": "k", "ttl": 5}, "delete has no use for `ttl`"),
        ({"op": "get", "key": ""}, "at least 1 character"),
        ({"op": "get", "key": "k" * 513}, "at most 512 characters"),
        ({"op": "get", "key": "a\0b"}, "no NUL character"),
        ({"op": "list", "prefix": "\0"}, "no NUL character"),
        ({"op": "get", "key": "\ud800"}, "unicode"),
        ({"op": "get", "key": True}, "valid string"),
        ({"op": "get", "key": "k", "namespace": "a b"}, "pattern"),
        ({"op": "get", "key": "k", "namespace": "n" * 129}, "pattern"),
        ({"op": "get", "key": "k", "namespace": "a\n"}, "pattern"),
        ({"op": "get", "key": "k", "scope": "world"}, "'account' or 'run'"),
        ({"op": "set", "key": "k", "ttl": 0}, "greater than 0"),
        ({"op": "set", "key": "k", "ttl": "401d"}, "at most 400 days"),
        ({"op": "increment", "key": "k", "by": "Infinity"}, "finite|less than"),
        ({"op": "increment", "key": "k", "by": float("nan")}, "finite"),
        ({"op": "increment", "key": "k", "by": 1e300}, "less than or equal"),
        ({"op": "list", "limit": 0}, "greater than or equal to 1"),
        ({"op": "list", "limit": 1001}, "less than or equal to 1000"),
    ],
)
def test_bad_params_are_refused(params: dict[str, Json], message: str) -> None:
    """Each wrong parameter, and each one that an operation has no use for, has its message."""
    with pytest.raises(ValidationError, match=message):
        context(NODE, params)
