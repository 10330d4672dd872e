"""The console inside the packages: hatchling asks this when it makes a wheel or a source archive.

The console is built by Node (scripts/build-console), which an installation from a checkout need not have: what was
built is taken along, and nothing else happens. scripts/build-wheel, which makes the packages of a release, builds it
first and refuses to go on without it. A source archive carries the built console, too: a wheel made of it has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = "build/console"
PAGE = "index.html"
PLACE = {"wheel": "flowrunner/console", "sdist": BUILT}
"""Where the console is in each package; `flowrunner.api.console` looks there."""


class ConsoleHook(BuildHookInterface[Any]):
    """Takes the files of the console along, where they are."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        folder = Path(self.root, BUILT)
        # An editable installation is served from `build/console` itself.
        if version == "editable" or not (folder / PAGE).is_file():
            return
        for path in folder.rglob("*"):
            inside = path.relative_to(folder)
            if path.is_file() and not inside.name.startswith("."):
                build_data["force_include"][str(path)] = f"{PLACE[self.target_name]}/{inside.as_posix()}"
