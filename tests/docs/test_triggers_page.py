"""docs/triggers.md: its flows load, and its limits are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from flowrunner.api.routes.callbacks import MAX_BODY
from flowrunner.engine.children import MAX_DEPTH
from flowrunner.language.schema import VerifyDocument
from flowrunner.services.hooks import REMEMBERED
from flowrunner.services.schedule_sweep import GRACE
from flowrunner.services.signatures import KEY_BYTES, MAX_SIGNATURES, TOLERANCE_SECONDS
from flowrunner.settings import HookSettings

from tests.engine.harness import bench

PAGE = (Path(__file__).resolve().parents[2] / "docs/triggers.md").read_text("utf-8")
FLOWS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", FLOWS, ids=lambda text: re.findall(r"name: ([\w-]+)", text)[0])
def test_its_flows_load(text: str) -> None:
    """Every flow on the page is valid and has a trigger."""
    with bench() as made:
        assert made.engine.load(text).flow.triggers


def test_all_schemes_are_named() -> None:
    """The table has a row for each scheme that the language knows."""
    schemes = get_args(VerifyDocument.model_fields["scheme"].annotation)
    rows = re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE)
    assert set(schemes) <= set(rows)


def test_its_figures_are_right() -> None:
    """Limits in the text are those of the code."""
    settings = HookSettings()
    assert settings.max_body == 1024 * 1024
    assert "`hooks.max_body` (1 MiB; 413)" in PAGE
    assert f"`hooks.max_wait` ({settings.max_wait // 1000} s)" in PAGE
    assert f"`hooks.per_minute` ({settings.per_minute})" in PAGE
    assert f"known for {REMEMBERED // 3_600_000} hours" in PAGE
    assert f"deeper than {MAX_DEPTH} " in PAGE
    assert f"may be {TOLERANCE_SECONDS} s from ours" in PAGE
    assert f"at most {MAX_SIGNATURES} signatures" in PAGE
    assert f"base64 of {KEY_BYTES.start} to {KEY_BYTES.stop - 1} bytes" in PAGE
    assert f"at most {MAX_BODY // 1024} KiB" in PAGE
    assert GRACE == 5 * 60_000
    assert "within five minutes" in PAGE
