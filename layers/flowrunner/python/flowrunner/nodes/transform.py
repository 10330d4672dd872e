"""Reshaping data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.errors import ParamsInvalid
from flowrunner.nodes.base import Context, Expression, NodeType, Params, Result
from flowrunner.nodes.collections import group, merged, sort_items
from flowrunner.nodes.fields import given, kind, truthy
from flowrunner.nodes.jsonpath import apply, faults, mark

FieldPath = Annotated[str, Field(min_length=1, max_length=512)]


class TransformParams(Params):
    value: Json = Field(None, description="What is transformed; left out: the node's input.")
    filter: Expression = Field(
        None, description="Keeps the items of a list for which this holds; sees `item` and `index`."
    )
    sort_by: FieldPath | list[FieldPath] | None = Field(
        None,
        description="Field or fields to sort a list by: `-field` sorts downwards, `a.b` looks inside, `.` is "
        "the item itself. Null comes last.",
    )
    pick: list[str] | None = Field(
        None, description="Keeps only these fields of an object, or of each object of a list."
    )
    omit: list[str] | None = Field(None, description="Leaves these fields out.")
    group_by: FieldPath | None = Field(
        None, description="Makes an object of lists out of a list, by the value of this field."
    )
    merge: list[Json] | None = Field(None, description="Objects merged over the value, the later ones winning.")
    deep: bool = Field(False, description="Whether `merge` goes into objects inside objects.")
    mapping: Json = Field(
        None,
        description="The output: an object of fields, or one text. A text in it that starts with `$.` or "
        "`$[` is a JSONPath over the value as it is after the steps above; all else is taken as it is.",
    )


class TransformNode(NodeType[TransformParams]):
    """Reshapes data: filter, sort, pick, group, merge and map.

    The steps that are given are done in this order: `filter`, `sort_by`, `pick`, `omit`, `group_by`, `merge`,
    `mapping`. Without any of them the value goes through unchanged.

    A JSONPath (RFC 9535) to one place, such as `$.user.name` or `$.items[0]`, gives the value there, or
    null; any other, such as `$.items[*].id` or `$..id`, gives the list of all matches. It is one only as
    written in the flow: what an expression gives is data even if it begins with `$.`, and an expression
    inside a JSONPath is refused (use `${jsonpath(input, "$.items[?@.id == '" + vars.id + "']")}`). A path
    that is wrong or takes too much work fails with `JSONPATH_ERROR`.

    An `exec` hook in its place sees what `mapping` selected as `input`: the object of mapped fields or, when
    the mapping has just one field called `result`, the value of that field.
    """

    name = "transform"
    params = TransformParams
    category = "data"
    icon = "shuffle"
    pure = True
    quick = True
    example = """\
type: transform
params:
  value: {orders: [{id: 1, total: 40}, {id: 2, total: 5}]}
  mapping:
    ids: $.orders[*].id
    first: $.orders[0].total
"""

    @classmethod
    def complete(cls, params: dict[str, Any]) -> dict[str, Any]:
        return {**params, "mapping": mark(params["mapping"])} if "mapping" in params else params

    @classmethod
    def problems(cls, params: Mapping[str, Json]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        yield from faults(params.get("mapping"), ("mapping",))

    def execute(self, ctx: Context[TransformParams]) -> Result:
        return Result(_transform(ctx.params, ctx.input, ctx))

    def exec_input(self, params: TransformParams, input: Json) -> Json:
        value = _transform(params, input, None)
        if isinstance(params.mapping, dict) and params.mapping.keys() == {"result"}:
            return value["result"]
        return value


def _transform(params: TransformParams, input: Json, ctx: Context[TransformParams] | None) -> Json:
    value = given(params, "value", input)
    if params.filter is not None:
        value = _filtered(params.filter, _list(value, "filter"), ctx)
    if params.sort_by is not None:
        fields = params.sort_by if isinstance(params.sort_by, list) else [params.sort_by]
        value = sort_items(_list(value, "sort_by"), fields)
    if params.pick is not None:
        wanted = params.pick
        value = _each_object(value, "pick", lambda item: {name: item[name] for name in wanted if name in item})
    if params.omit is not None:
        left_out = set(params.omit)
        value = _each_object(
            value, "omit", lambda item: {name: part for name, part in item.items() if name not in left_out}
        )
    if params.group_by is not None:
        value = group(_list(value, "group_by"), params.group_by)
    if params.merge is not None:
        value = _merged(value, params.merge, deep=params.deep)
    return apply(params.mapping, value) if "mapping" in params.model_fields_set else value


def _filtered(expression: Json, items: list[Json], ctx: Context[TransformParams] | None) -> list[Json]:
    if ctx is None:
        raise ParamsInvalid("filter cannot be used together with an exec hook; filter in the hook")
    kept = ctx.evaluate_each(expression, items)
    return [item for item, keep in zip(items, kept, strict=True) if truthy(keep)]


def _merged(value: Json, over: list[Json], *, deep: bool) -> dict[str, Json]:
    if value is not None and not isinstance(value, dict):
        raise ParamsInvalid(
            f"merge works on an object; the value is {kind(value)}",
            hint="give `value: {}` to merge the list alone",
        )
    for number, part in enumerate(over):
        if not isinstance(part, dict):
            raise ParamsInvalid(f"merge.{number}: merge takes a list of objects, and this is {kind(part)}")
    return merged([value or {}, *over], deep=deep)


def _list(value: Json, step: str) -> list[Json]:
    if not isinstance(value, list):
        raise ParamsInvalid(f"{step} works on a list; the value is {kind(value)}")
    return value


def _each_object(value: Json, step: str, change: Callable[[dict[str, Json]], Json]) -> Json:
    items = value if isinstance(value, list) else [value]
    for item in items:
        if not isinstance(item, dict):
            raise ParamsInvalid(f"{step} works on an object or a list of objects; this is {kind(item)}")
    changed = [change(item) for item in items]
    return changed if isinstance(value, list) else changed[0]
