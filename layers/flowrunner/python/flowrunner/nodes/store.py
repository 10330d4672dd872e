"""Keeping values between runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.errors import Conflict, StepError
from flowrunner.nodes.base import Context, Expression, NodeType, Params, Result
from flowrunner.nodes.fields import Period, given, presence, refuse_useless, truthy
from flowrunner.nodes.store_reading import Answer, pages
from flowrunner.ports.kv import Item, namespaces_of

QUERY_LIMIT = 10_000
QUERY_BYTES = 64 * 1024 * 1024
"""What one query looks at, in items and in bytes; the next one goes on behind them."""

MAX_STEP = 2**53
"""The largest `by`: the integers up to here are exact in every store and script."""

_EVERYWHERE = frozenset({"op", "namespace", "scope"})
_FIELDS: Mapping[str, frozenset[str]] = {
    "get": frozenset({"key", "default"}),
    "set": frozenset({"key", "value", "ttl"}),
    "delete": frozenset({"key"}),
    "increment": frozenset({"key", "by", "ttl"}),
    "list": frozenset({"prefix", "after", "limit"}),
    "query": frozenset({"prefix", "after", "limit", "where"}),
}
"""What each operation has a use for; any other parameter is a mistake that would go unnoticed."""


class StoreParams(Params):
    op: Literal["get", "set", "delete", "list", "query", "increment"] = Field(description="What to do.")
    key: str | None = Field(
        None,
        min_length=1,
        max_length=512,
        coerce_numbers_to_str=True,
        description="For get, set, delete and increment.",
    )
    namespace: str = Field(
        "default",
        pattern=r"^[A-Za-z0-9_.:/-]{1,128}$",
        description="Keeps the keys of different things apart.",
    )
    scope: Literal["account", "run"] = Field("account", description="run: for this run's own values.")
    value: Json = Field(None, description="For set; left out: the node's input.")
    default: Json = Field(None, description="For get: the value when there is none.")
    ttl: Period | None = Field(None, description="For set and increment: a duration after which the value is gone.")
    by: float = Field(1, ge=-MAX_STEP, le=MAX_STEP, allow_inf_nan=False, description="For increment.")
    prefix: str = Field(
        "",
        max_length=512,
        coerce_numbers_to_str=True,
        description="For list and query: only keys that start with it.",
    )
    after: str = Field(
        "",
        max_length=512,
        coerce_numbers_to_str=True,
        description="For list and query: only keys behind this one.",
    )
    limit: int = Field(100, ge=1, le=1000, description="For list and query: how many items at most.")
    where: Expression = Field(None, description="For query: an expression that sees `item.key` and `item.value`.")

    @field_validator("key", "prefix", "after")
    @classmethod
    def _clean(cls, value: str | None) -> str | None:
        if value is not None and "\0" in value:
            raise ValueError("a key has no NUL character")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        useful = _FIELDS[self.op]
        refuse_useless(self, self.op, useful, _EVERYWHERE)
        if "key" in useful and self.key is None:
            raise presence(f"{self.op} needs a `key`")
        if self.op == "query" and self.where is None:
            raise presence("query needs `where`")
        return self


class StoreNode(NodeType[StoreParams]):
    """Gets, sets, deletes, lists, queries or counts values that outlive the run.

    Outputs: `get` → `{found, value}`, `set` → `{key, value}`, `delete` → `{deleted}`, `increment` →
    `{value}`, `list` and `query` → `{items: [{key, value}], next}`, in the order of the keys. Pass `next` as
    `after` for the next page; it is null when there is none.

    An `increment` is one atomic step between all runs; of a value that is no number it fails with
    `NOT_A_NUMBER`. Like every effect it may happen twice when a worker dies in the very moment; mark the
    node `at_most_once` where that is worse than not counting. A `query` looks at no more than 10,000 items, so
    it may find fewer than `limit` and still have a `next`; `prefix` leaves out what need not be looked at. The
    same goes for large values: an answer holds 16 MiB, or one item, and a `query` looks at about 64 MiB.
    """

    name = "store"
    params = StoreParams
    category = "data"
    icon = "database"
    slow = False
    example = """\
type: store
params: {op: increment, key: visits, by: 2}
"""

    def execute(self, ctx: Context[StoreParams]) -> Result:
        place = _Place(ctx)
        match ctx.params.op:
            case "get":
                return Result(place.get())
            case "set":
                return Result(place.set(given(ctx.params, "value", ctx.input)))
            case "delete":
                return Result({"deleted": place.delete()})
            case "increment":
                return Result({"value": place.increment()})
            case "list":
                return Result(place.listed())
            case "query":
                return Result(place.query())


class _Place:
    """One namespace of the store, for one execution."""

    def __init__(self, ctx: Context[StoreParams]) -> None:
        self._ctx = ctx
        self._params = params = ctx.params
        self._account = AccountId(ctx.run.account)
        self._namespace = (namespaces_of(RunId(ctx.run.id)) if params.scope == "run" else "account/") + params.namespace
        self._key = params.key or ""
        self._now = ctx.now()
        self._expires_at: Millis | None = None if params.ttl is None else self._now + params.ttl

    def get(self) -> dict[str, Json]:
        item = self._ctx.values.get(self._account, self._namespace, self._key, self._now)
        return {"found": item is not None, "value": self._params.default if item is None else item.value}

    def set(self, value: Json) -> dict[str, Json]:
        self._ctx.values.set(self._account, self._namespace, Item(self._key, value, self._expires_at))
        return {"key": self._key, "value": value}

    def delete(self) -> bool:
        return self._ctx.values.delete(self._account, self._namespace, self._key)

    def increment(self) -> float:
        try:
            value = self._ctx.values.increment(
                self._account,
                self._namespace,
                self._key,
                _whole(self._params.by),
                self._now,
                self._expires_at,
            )
        except Conflict as error:
            raise StepError(error.message, code="NOT_A_NUMBER") from error
        return _whole(value)

    def listed(self) -> dict[str, Json]:
        answer, last = Answer(self._params.limit), self._params.after
        for page, _ in pages(self._page, last, self._params.limit + 1):
            for one in page:
                if not answer.add(one):
                    return answer.up_to(last)
                last = one.item["key"]
        return answer.up_to(None)

    def query(self) -> dict[str, Json]:
        answer, last, size = Answer(self._params.limit), self._params.after, 0
        for page, ended in pages(self._page, last, QUERY_LIMIT):
            holds = self._ctx.evaluate_each(self._params.where, [one.item for one in page])
            for one, keep in zip(page, holds, strict=True):
                if truthy(keep) and not answer.add(one):
                    return answer.up_to(last)
                last = one.item["key"]
                size += one.size
            if ended:
                return answer.up_to(None)
            if answer.full or size > QUERY_BYTES:
                break
        return answer.up_to(last)

    def _page(self, after: str, limit: int) -> list[dict[str, Json]]:
        items = self._ctx.values.list(
            self._account, self._namespace, self._now, prefix=self._params.prefix, after=after, limit=limit
        )
        return [{"key": item.key, "value": item.value} for item in items]


def _whole(number: float) -> float:
    """2.0 as 2: a count is shown and stored as one counts."""
    return int(number) if float(number).is_integer() else number
