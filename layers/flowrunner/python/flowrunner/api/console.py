"""The console's files: one page, and what it loads, which never changes under its name.

The page asks for its own views by paths that are no files; all of them get the page. Its policy lets it load nothing
but our own files and talk to nobody but us. Styles may stand in the document: the editor and the canvas place things
by them. Scripts may not.
"""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from flowrunner.api.files import ASSETS, OurFiles

PAGE = "index.html"

OURS = ("v1", "hooks", "healthz", "readyz", "metrics", "openapi.json", "mcp")
"""First parts of paths that belong to the API: what is not there is not there."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class Console(OurFiles):
    """Serves the folder that `web/` was built into."""

    policy = POLICY

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, check_dir=False)

    async def get_response(self, path: str, scope: Scope) -> Response:
        if path.partition("/")[0] in OURS:
            raise HTTPException(404)
        try:
            found = await super().get_response("" if path == "." else path, scope)
        except HTTPException as refused:
            if refused.status_code != 404 or path.startswith(ASSETS):
                raise
            found = await super().get_response(PAGE, scope)
        return found


def console_folder() -> Path | None:
    """Where the built console is: in the installed package, or in a checkout where it was built. None if nowhere."""
    package = Path(__file__).parents[1]
    for folder in (package / "console", package.parents[3] / "build" / "console"):
        if (folder / PAGE).is_file():
            return folder
    return None
