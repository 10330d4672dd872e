"""Listing by a name that the sort key ends in: by prefix, from behind a name, in either direction."""

from __future__ import annotations

from collections.abc import Iterator

from flowrunner.adapters.aws.keys import SORT_BYTES
from flowrunner.adapters.aws.table import Item, Table, Value, text
from flowrunner.ports.text import prefix_end


def named(
    table: Table,
    pk: str,
    base: str,
    *,
    prefix: str = "",
    after: str | None = None,
    descending: bool = False,
    limit: int = 0,
    keep: str = "",
    values: dict[str, Value] | None = None,
) -> Iterator[Item]:
    """Items whose sort key is `base` and a name, by name. `base` ends in `#`, so `$` begins behind all of them.

    `limit` is how many the caller means to take.
    """
    first, end = base + prefix, prefix_end(prefix)
    behind = base + end if end is not None else base[:-1] + "$"
    if after is not None:
        if descending:
            behind = min(behind, base + after)
        else:
            first = max(first, base + after)
    # A name beyond what a key can hold only says where to begin or end: cut, it comes before all that it precedes.
    low, high = _cut(first), _cut(behind)
    if low > high:
        return
    found = table.query(
        "pk = :pk AND sk BETWEEN :low AND :high",
        {":pk": pk, ":low": low, ":high": high, **(values or {})},
        descending=descending,
        keep=keep,
        limit=limit + 1 if limit else 0,  # the one that it begins behind may be among them
    )
    for item in found:
        sk = text(item, "sk")
        name = sk[len(base) :]
        if sk < behind and name.startswith(prefix) and name != after:
            yield item


def _cut(sort_key: str) -> str:
    return sort_key.encode()[:SORT_BYTES].decode(errors="ignore")
