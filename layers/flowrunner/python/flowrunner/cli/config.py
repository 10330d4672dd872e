"""`flowrunner config show`."""

from __future__ import annotations

import json
from pathlib import Path

from flowrunner.cli.engines import settings_for
from flowrunner.core.flow import Json
from flowrunner.settings import keys, masked


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
    width = max(len(str(row["key"])) for row in rows)
    values = max(len(json.dumps(row["value"])) for row in rows)
    for row in rows:
        print(f"{row['key']:<{width}}  {json.dumps(row['value']):<{values}}  {row['source']}")
