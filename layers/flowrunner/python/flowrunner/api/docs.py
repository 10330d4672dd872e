"""The documents' files under `/docs`: the site that scripts/build-docs makes of `docs/`.

Anybody may read them, as anybody may read the package that they came with. The policy lets a page load our own files
and nothing else; the build takes every script out of the pages, so none may stand there. Search runs in a worker of
the browser, over an index that is one of the files.
"""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from flowrunner.api.files import EACH_TIME, OurFiles

PREFIX = "/docs"
PAGE = "index.html"

POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": EACH_TIME}

ABSENT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>No documents here</title>
<h1>No documents here</h1>
<p>This server runs from a checkout in which the documents were not built. <code>scripts/build-docs</code> builds them;
then start the server again. The same pages are the folder <code>docs/</code>.</p>
</html>
"""


class Docs(OurFiles):
    """Serves the folder that `docs/` was built into; without one, a page that says so."""

    policy = POLICY

    def __init__(self, folder: Path | None) -> None:
        super().__init__(directory=folder, check_dir=False, html=True)
        self._built = folder is not None

    async def get_response(self, path: str, scope: Scope) -> Response:
        if not self._built:
            if scope["method"] not in ("GET", "HEAD"):
                raise HTTPException(405)
            return HTMLResponse(ABSENT, 404, HEADERS)
        found = await super().get_response(path, scope)
        if isinstance(found, RedirectResponse):  # a folder without its slash; whoever forwards to us may have TLS
            found.headers["Location"] = f"{scope['path']}/"
        if found.status_code not in (200, 304):  # neither went through `file_response`
            found.headers.update(HEADERS)
        return found


def to_docs(_: Request) -> Response:
    """The pages' links count from `/docs/`."""
    return RedirectResponse(f"{PREFIX}/", headers=HEADERS)


def docs_folder() -> Path | None:
    """Where the built documents are: in the installed package, or in a checkout where they were built; else None."""
    package = Path(__file__).parents[1]
    for folder in (package / "docs", package.parents[3] / "build" / "docs"):
        if (folder / PAGE).is_file():
            return folder
    return None
