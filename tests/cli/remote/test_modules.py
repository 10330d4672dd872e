"""WebAssembly modules of a server, from the command line."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.api.things import NOTHING_DONE
from tests.cli.remote.server import Terminal


def test_modules_are_put_listed_and_deleted(terminal: Terminal, tmp_path: Path) -> None:
    """From a file or standard input; what is no module is refused."""
    content = base64.b64decode(NOTHING_DONE)
    (tmp_path / "resize.wasm").write_bytes(content)
    done = terminal("modules", "put", "resize", str(tmp_path / "resize.wasm"))
    assert done.out.startswith(f"put resize ({len(content)} bytes, digest 87799c1b")
    assert terminal("modules", "put", "other", "-", "--json", stdin=content).json["name"] == "other"
    assert [one["name"] for one in terminal("modules", "list", "--json").json["items"]] == ["other", "resize"]
    assert "resize" in terminal("modules", "list").out
    assert terminal("modules", "delete", "resize", "--yes").out == "deleted resize\n"
    assert "no WebAssembly module" in terminal("modules", "put", "bad", "-", stdin=b"MZ", code=2).err
    assert "there is no module" in terminal("modules", "delete", "resize", "--yes", code=4).err
