"""The console's files: one page, and what it loads, which never changes under its name.

The page asks for its own views by paths that are no files; all of them get the page. Its policy lets it load nothing
but our own files and talk to nobody but us. Styles may stand in the document: the editor and the canvas place things
by them. Scripts may not.

What can be made smaller is: once per file and process, for whoever takes gzip.
"""

from __future__ import annotations

import gzip
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE = "index.html"
ASSETS = "assets/"

OURS = ("v1", "hooks", "healthz", "readyz", "metrics", "openapi.json", "mcp")
"""First parts of paths that belong to the API: what is not there is not there."""

SQUEEZED = ("text/html", "text/css", "text/javascript", "application/javascript", "image/svg+xml")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class Console(StaticFiles):
    """Serves the folder that `web/` was built into."""

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

    def file_response(
        self, full_path: Any, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """With the headers of the console; see `StaticFiles`."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        if isinstance(response, FileResponse) and response.media_type in SQUEEZED and _takes_gzip(scope):
            whole = response.headers
            response = Response(_squeezed(str(full_path), stat_result.st_mtime_ns), status_code)
            for name in ("content-type", "etag", "last-modified"):
                response.headers[name] = whole[name]
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        immutable = f"/{ASSETS}" in Path(full_path).as_posix()
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if immutable else "no-cache"
        response.headers["Content-Security-Policy"] = POLICY
        return response


def _takes_gzip(scope: Scope) -> bool:
    accepted = Headers(scope=scope).get("accept-encoding", "")
    return scope["method"] == "GET" and any(one.strip().lower() == "gzip" for one in accepted.split(","))


@lru_cache(maxsize=256)
def _squeezed(path: str, _changed: int) -> bytes:
    """A file of the console, compressed; a build of it has far fewer files than are kept."""
    return gzip.compress(Path(path).read_bytes(), 6, mtime=0)


def console_folder() -> Path | None:
    """Where the built console is: in the installed package, or in a checkout where it was built. None if nowhere."""
    package = Path(__file__).parents[1]
    for folder in (package / "console", package.parents[3] / "build" / "console"):
        if (folder / PAGE).is_file():
            return folder
    return None
