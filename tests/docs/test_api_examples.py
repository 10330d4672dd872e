"""The examples of docs/api.md are run as they stand, against a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from flowrunner.api.errors import STATUS
from flowrunner.cli.server import HttpServer
from flowrunner.settings import ApiSettings

from tests.api.harness import service

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text("utf-8")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed on this machine")
def test_the_examples_work_one_after_the_other(tmp_path: Path) -> None:
    """In one shell that stops at the first command that fails."""
    script = "set -euo pipefail\n" + "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    with service() as api:
        server = HttpServer(api.client.app, ApiSettings(port=0))
        server.start()
        worker = threading.Thread(target=api.worker.run, daemon=True)
        worker.start()
        token = api.team().headers()["Authorization"].removeprefix("Bearer ")
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "SERVER": server.url, "TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        api.worker.stop()
        worker.join(30)
        server.stop()
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_names_every_error() -> None:
    """With its code and status."""
    for kind, status in STATUS:
        assert f"`{kind.code}`" in PAGE
        assert str(status) in PAGE
