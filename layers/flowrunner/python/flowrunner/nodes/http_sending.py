"""What the nodes that send HTTP have in common on the way out."""

from __future__ import annotations

import json
from collections.abc import Mapping

from flowrunner.core.flow import Json

Scalar = str | int | float | bool | None

USER_AGENT = "flowrunner"


def json_text(value: Json) -> str:
    """A value as JSON that can be sent as UTF-8.

    A script can make a string with half a surrogate pair, which has no UTF-8 form; the text is then escaped.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if text.isascii() or _encodes(text) else json.dumps(value, separators=(",", ":"))


def scalar_text(value: Scalar) -> str:
    """A scalar as it stands in a header, query or form: booleans as in JSON, nothing for null."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def merged_headers(*layers: Mapping[str, str]) -> dict[str, str]:
    """Headers of which a later one replaces an earlier one of the same name, whatever its case."""
    merged: dict[str, tuple[str, str]] = {}
    for layer in layers:
        for name, value in layer.items():
            merged[name.lower()] = (name, value)
    return dict(merged.values())


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
