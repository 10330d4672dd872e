"""Sizes as people write them."""

from __future__ import annotations

import re
from typing import Any


def parse_size(value: Any) -> int:
    """A size in bytes. Raises `ValueError` with words for whoever wrote it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"(\d+)\s*(B|KiB|MiB|GiB)?", str(value))
    if match is None:
        raise ValueError("a size is a number of bytes, or like 64KiB or 32MiB")
    return int(match[1]) * {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}[match[2] or "B"]
