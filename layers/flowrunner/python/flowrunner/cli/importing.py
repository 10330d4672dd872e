"""`flowrunner import`."""

from __future__ import annotations

import sys
from pathlib import Path

from flowrunner.cli.engines import engine_for, settings_for
from flowrunner.cli.exits import UsageError, escape, read_flow_file
from flowrunner.core.problems import Problem
from flowrunner.language.importers.registry import import_flow


def import_file(file: Path, format_name: str | None, output: Path | None, *, force: bool) -> None:
    """Write the flow that a file of another engine becomes. Raises `CannotImport`, and writes nothing then."""
    if output is not None and output.exists() and not force:
        raise UsageError(f"{output} is there already", hint="--force writes over it")
    warnings: list[Problem] = []
    with engine_for(settings_for(store="memory:")) as engine:
        text = import_flow(read_flow_file(file), lambda flow: warnings.extend(engine.load(flow).warnings), format_name)
    for warning in warnings:
        print(escape(str(warning)), file=sys.stderr)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}") from None
    print(f"wrote {output}")
