"""Reshaping data."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.errors import ParamsInvalid
from flowrunner.nodes.base import Context, Expression, NodeType, Params, Result
from flowrunner.nodes.collections import dig, group, merged, sort_items
from flowrunner.nodes.jsonpath import is_jsonpath, select


class TransformParams(Params):
    value: Json = Field(None, description="What is transformed; left out: the node's input.")
    filter: Expression = Field(None, description="Keeps the items of a list for which this holds; sees item and index.")
    sort_by: str | list[str] | None = Field(
        None, description="Field or fields to sort a list by; `-field` sorts downwards, `a.b` looks inside."
    )
    group_by: str | None = Field(None, description="Makes an object of lists, by the value of this field.")
    pick: list[str] | None = Field(None, description="Keeps only these fields of an object, or of each object of a list.")
    omit: list[str] | None = Field(None, description="Leaves these fields out.")
    merge: list[Json] | None = Field(None, description="Objects merged over the value, the later ones winning.")
    deep: bool = Field(False, description="Whether merge goes into objects inside objects.")
    mapping: dict[str, Json] | str | None = Field(
        None,
        description="Fields of the output. A text that starts with `$.` or `$[` is a JSONPath over the value as it is "
        "after the steps above; everything else is taken as it is.",
    )


class TransformNode(NodeType[TransformParams]):
    """Reshapes data: filter, sort, group, pick, merge and map.

    The steps that are given are done in this order: `filter`, `sort_by`, `pick`, `omit`, `group_by`, `merge`,
    `mapping`. Without any of them the value goes through unchanged.

    An `exec` hook in its place sees what `mapping` selected as `input`: the object of mapped fields or, when the
    mapping has just one field called `result`, the value of that field.
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

    def execute(self, ctx: Context[TransformParams]) -> Result:
        return Result(_transform(ctx.params, ctx.input, ctx))

    def exec_input(self, params: TransformParams, input: Json) -> Json:
        value = _transform(params, input, None)
        if isinstance(params.mapping, dict) and params.mapping.keys() == {"result"}:
            return value["result"]
        return value


def _transform(params: TransformParams, input: Json, ctx: Context[TransformParams] | None) -> Json:
    value = input if "value" not in params.model_fields_set else params.value
    if params.filter is not None:
        value = _filtered(params.filter, _list(value, "filter"), ctx)
    if params.sort_by is not None:
        fields = [params.sort_by] if isinstance(params.sort_by, str) else params.sort_by
        value = sort_items(_list(value, "sort_by"), fields)
    if params.pick is not None:
        wanted = params.pick
        value = _each_object(value, "pick", lambda item: {name: item[name] for name in wanted if name in item})
    if params.omit is not None:
        unwanted = set(params.omit)
        value = _each_object(value, "omit", lambda item: {name: v for name, v in item.items() if name not in unwanted})
    if params.group_by is not None:
        by = params.group_by
        value = group(_list(value, "group_by"), lambda item: dig(item, by))
    if params.merge is not None:
        value = _merged(value, params)
    return value if params.mapping is None else _mapped(params.mapping, value)


def _filtered(expression: Json, items: list[Json], ctx: Context[TransformParams] | None) -> list[Json]:
    if ctx is None:
        raise ParamsInvalid("filter cannot be used together with an exec hook; filter in the hook")
    kept = ctx.evaluate_each(expression, items)
    return [item for item, keep in zip(items, kept, strict=True) if keep or isinstance(keep, list | dict)]


def _merged(value: Json, params: TransformParams) -> Json:
    parts = [value if isinstance(value, dict) else {}, *(params.merge or [])]
    for part in parts:
        if not isinstance(part, dict):
            raise ParamsInvalid("merge takes a list of objects")
    return merged(parts, deep=params.deep)


def _mapped(mapping: Json, value: Json) -> Json:
    if isinstance(mapping, str):
        return select(mapping, value) if is_jsonpath(mapping) else mapping
    if isinstance(mapping, dict):
        return {name: _mapped(part, value) for name, part in mapping.items()}
    if isinstance(mapping, list):
        return [_mapped(part, value) for part in mapping]
    return mapping


def _list(value: Json, what: str) -> list[Json]:
    if not isinstance(value, list):
        raise ParamsInvalid(f"{what} works on a list; the value is {type(value).__name__}")
    return value


def _each_object(value: Json, what: str, change: Any) -> Json:
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in items):
        raise ParamsInvalid(f"{what} works on an object or a list of objects")
    changed = [change(item) for item in items]
    return changed if isinstance(value, list) else changed[0]
