"""The console and the documents inside the packages: hatchling asks this for a wheel or a source archive.

The console is built by Node (scripts/build-console), which an installation from a checkout need not have, and the
documents by scripts/build-docs: what was built is taken along, and nothing else happens. scripts/build-wheel, which
makes the packages of a release, builds both first and refuses to go on without them. A source archive carries what was
built, too: a wheel made of it has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = "index.html"
PLACES = {
    "build/console": {"wheel": "flowrunner/console", "sdist": "build/console"},
    "build/docs": {"wheel": "flowrunner/docs", "sdist": "build/docs"},
}
"""Where what was built is in each package; `flowrunner.api.console` and `flowrunner.api.docs` look there."""


class BuiltHook(BuildHookInterface[Any]):
    """Takes the files along, where they are."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # it is served from `build` itself
            return
        for built, place in PLACES.items():
            folder = Path(self.root, built)
            if not (folder / PAGE).is_file():
                continue
            for path in folder.rglob("*"):
                inside = path.relative_to(folder)
                if path.is_file() and not inside.name.startswith("."):
                    build_data["force_include"][str(path)] = f"{place[self.target_name]}/{inside.as_posix()}"
