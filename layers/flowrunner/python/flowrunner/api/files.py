"""Files that we hand out ourselves, the console's and the documents': compressed, kept, and under a policy.

What can be made smaller is: once per file and process, for whoever takes gzip. What is in a folder of assets has the
hash of its content in its name, and never changes under it; everything else is asked for anew each time.
"""

from __future__ import annotations

import gzip
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

ASSETS = "assets/"
IMMUTABLE, EACH_TIME = "public, max-age=31536000, immutable", "no-cache"

SQUEEZED = (
    "text/html", "text/css", "text/javascript", "application/javascript", "application/json", "image/svg+xml",
)  # fmt: skip


class OurFiles(StaticFiles):
    """Serves a folder under a Content-Security-Policy."""

    policy: str

    def file_response(
        self, full_path: Any, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """With our headers; see `StaticFiles`."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        if isinstance(response, FileResponse) and response.media_type in SQUEEZED and _takes_gzip(scope):
            whole = response.headers
            response = Response(_squeezed(str(full_path), stat_result.st_mtime_ns), status_code)
            for name in ("content-type", "etag", "last-modified"):
                response.headers[name] = whole[name]
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        inside = Path(os.path.relpath(full_path, os.path.realpath(str(self.directory)))).as_posix()
        response.headers["Cache-Control"] = IMMUTABLE if inside.startswith(ASSETS) else EACH_TIME
        response.headers["Content-Security-Policy"] = self.policy
        return response


def _takes_gzip(scope: Scope) -> bool:
    accepted = Headers(scope=scope).get("accept-encoding", "")
    return scope["method"] == "GET" and any(one.strip().lower() == "gzip" for one in accepted.split(","))


@lru_cache(maxsize=512)
def _squeezed(path: str, _changed: int) -> bytes:
    """A file, compressed; a console and its documents have far fewer files than are kept."""
    return gzip.compress(Path(path).read_bytes(), 6, mtime=0)
