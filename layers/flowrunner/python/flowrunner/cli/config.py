"""`flowrunner config show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowrunner.cli.engines import settings_for
from flowrunner.core.durations import format_duration, parse_duration
from flowrunner.core.flow import Json
from flowrunner.settings import Settings, keys, masked


def show_config(*, as_json: bool, store: str | None, config_file: Path | None) -> None:
    """Print every setting with its value and its source."""
    loaded = settings_for(config_file, store=store)
    dumped = loaded.settings.model_dump(mode="json")
    rows: list[dict[str, Json]] = []
    for key, meaning in keys().items():
        value: Json = dumped
        for part in key.split("."):
            value = value[part]
        shown = masked(value) if isinstance(value, str) else value
        rows.append({"key": key, "value": shown, "source": loaded.sources.get(key, "default"), "meaning": meaning})
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    lines = [(str(row["key"]), _shown(str(row["key"]), row["value"]), row["source"]) for row in rows]
    keys_width, values_width = (max(len(str(line[column])) for line in lines) for column in (0, 1))
    for key, value, source in lines:
        print(f"{key:<{keys_width}}  {value:<{values_width}}  {source}")


def _shown(key: str, value: Json) -> str:
    written = _in_units(key, value) if isinstance(value, int) and not isinstance(value, bool) else None
    return written if written is not None else json.dumps(value)


def _in_units(key: str, value: int) -> str | None:
    """A duration or a size as one would write it; None for a setting that is neither."""
    model: Any = Settings
    *path, last = key.split(".")
    for part in path:
        model = model.model_fields[part].annotation
    field = model.model_fields[last]
    kind = f"{field.annotation} {field.metadata}"
    if "parse_duration" in kind:
        text = format_duration(value)
        return text if " " not in text and parse_duration(text) == value else f"{value}ms"
    if "parse_size" in kind:
        units = (("MiB", 1024**2), ("KiB", 1024))
        return next((f"{value // unit}{name}" for name, unit in units if value and not value % unit), f"{value}B")
    return None
