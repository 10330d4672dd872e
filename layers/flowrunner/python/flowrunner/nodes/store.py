"""Keeping values between runs."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from flowrunner.core.durations import parse_duration
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Conflict, ParamsInvalid, StepError
from flowrunner.nodes.base import Context, Expression, NodeType, Params, Result
from flowrunner.ports.kv import Item

QUERY_PAGE = 500
QUERY_LIMIT = 10_000
"""Items that one query looks at; a larger collection belongs into a database."""


class StoreParams(Params):
    op: Literal["get", "set", "delete", "list", "query", "increment"] = Field(description="What to do.")
    key: str | None = Field(None, min_length=1, max_length=512, description="For get, set, delete, increment.")
    namespace: str = Field("default", pattern=r"^[A-Za-z0-9_.:/-]{1,128}$", description="Keeps keys apart.")
    scope: Literal["account", "run"] = Field("account", description="run: for this run's own values.")
    value: Json = Field(None, description="For set.")
    default: Json = Field(None, description="For get: the value when there is none.")
    ttl: Json = Field(None, description="For set and increment: a duration after which the value is gone.")
    by: float = Field(1, description="For increment.")
    prefix: str = Field("", max_length=512, description="For list and query: only keys that start with it.")
    limit: int = Field(100, ge=1, le=1000, description="For list and query.")
    where: Expression = Field(None, description="For query: an expression that sees item.key and item.value.")

    @field_validator("ttl")
    @classmethod
    def _duration(cls, value: Json) -> Json:
        return None if value is None else parse_duration(value)

    @field_validator("key", "prefix")
    @classmethod
    def _clean(cls, value: str | None) -> str | None:
        if value is not None and "\0" in value:
            raise ValueError("a key has no NUL character")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.op in ("get", "set", "delete", "increment") and self.key is None:
            raise ValueError(f"{self.op} needs a `key`")
        if self.op == "query" and self.where is None:
            raise ValueError("query needs `where`")
        return self


class StoreNode(NodeType[StoreParams]):
    """Gets, sets, deletes, lists, queries or counts values that outlive the run.

    Outputs: `get` → `{found, value}`, `set` → `{key, value}`, `delete` → `{deleted}`, `increment` → `{value}`, `list`
    and `query` → `{items: [{key, value}]}`. Like every effect, an `increment` may happen twice when a worker dies in
    the very moment; mark the node `at_most_once` where that is worse than not counting.
    """

    name = "store"
    params = StoreParams
    category = "data"
    icon = "database"
    example = """\
type: store
params: {op: increment, key: visits, by: 2}
"""

    def execute(self, ctx: Context[StoreParams]) -> Result:
        params = ctx.params
        account = AccountId(ctx.run.account)
        namespace = f"run/{ctx.run.id}/{params.namespace}" if params.scope == "run" else f"account/{params.namespace}"
        now = ctx.now()
        expires_at: Millis | None = now + int(params.ttl) if params.ttl is not None else None
        key = params.key or ""
        match params.op:
            case "get":
                item = ctx.values.get(account, namespace, key, now)
                return Result({"found": item is not None, "value": item.value if item else params.default})
            case "set":
                ctx.values.set(account, namespace, Item(key, params.value, expires_at))
                return Result({"key": key, "value": params.value})
            case "delete":
                return Result({"deleted": ctx.values.delete(account, namespace, key)})
            case "increment":
                try:
                    return Result({"value": ctx.values.increment(account, namespace, key, params.by, now, expires_at)})
                except Conflict as error:
                    raise StepError(str(error), code="NOT_A_NUMBER") from error
            case "list":
                items = ctx.values.list(account, namespace, now, prefix=params.prefix, limit=params.limit)
                return Result({"items": [_shown(item) for item in items]})
            case "query":
                return Result({"items": self._query(ctx, account, namespace, now)})

    @staticmethod
    def _query(ctx: Context[StoreParams], account: AccountId, namespace: str, now: Millis) -> list[Json]:
        params = ctx.params
        found: list[Json] = []
        after, seen = "", 0
        while len(found) < params.limit:
            page = ctx.values.list(account, namespace, now, prefix=params.prefix, after=after, limit=QUERY_PAGE)
            items = [_shown(item) for item in page]
            holds = ctx.evaluate_each(params.where, items)
            found += [item for item, keep in zip(items, holds, strict=True) if keep or isinstance(keep, list | dict)]
            seen += len(page)
            if len(page) < QUERY_PAGE:
                break
            if seen >= QUERY_LIMIT:
                raise ParamsInvalid(f"the query looked at {seen:,} items; narrow it down with `prefix`")
            after = page[-1].key
        return found[: params.limit]


def _shown(item: Item) -> dict[str, Json]:
    return {"key": item.key, "value": item.value}
