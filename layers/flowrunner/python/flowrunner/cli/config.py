"""`flowrunner config show`."""

from __future__ import annotations

import json
from pathlib import Path

from flowrunner.cli.engines import settings_for
from flowrunner.core.flow import Json
from flowrunner.settings import in_units, keys, masked


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
    written = in_units(key, value) if isinstance(value, int) and not isinstance(value, bool) else None
    return written if written is not None else json.dumps(value)
