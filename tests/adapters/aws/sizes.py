"""How DynamoDB reckons: the size of an item, and the units that it costs to read or to write it.

By the developer's guide ("DynamoDB item sizes and formats", "Capacity unit consumption for read and write operations"
at docs.aws.amazon.com/amazondynamodb): names and texts count their UTF-8 bytes, bytes count as they are, a number about
a byte for two digits and one more. A write costs a unit for each KB begun, twice that in a transaction; a read half a
unit for each 4 KB begun, a consistent one a whole, in a query for all that was looked at together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

KILOBYTE = 1024


def item_size(item: Mapping[str, Any]) -> int:
    """Bytes of an item in DynamoDB's notation."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    [(kind, content)] = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "B":
        return len(bytes(content))
    digits = str(content).lstrip("-").replace(".", "").strip("0") or "0"
    return 1 + -(-len(digits) // 2) + (1 if str(content).startswith("-") else 0)


def write_units(*sizes: int) -> int:
    """For writing an item: the larger of what it was and what it is counts."""
    return max(1, -(-max(sizes, default=0) // KILOBYTE))


def read_units(sizes: Iterable[int], *, consistent: bool) -> float:
    """For reading items together."""
    blocks = max(1, -(-sum(sizes) // (4 * KILOBYTE)))
    return float(blocks) if consistent else blocks / 2
