"""The shared attack corpora: they lie outside the repository, and tests skip without them."""

from __future__ import annotations

import json
import os
from collections.abc import Container
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("FLOWRUNNER_SHARED", "../shared")) / "attacks"
HERE = FOLDER.is_dir()

needs_corpus = pytest.mark.skipif(not HERE, reason="the shared attack corpus is not here (FLOWRUNNER_SHARED)")


def attacks(file: str, *areas: str, but: Container[str] = ()) -> list[dict[str, Any]]:
    """The entries of a corpus file, of these areas or all; none when the corpus is not here.

    `but` are ids that another test runs: tests/test_attack_coverage.py sees to it that one does.
    """
    if not HERE:
        return []
    entries: list[dict[str, Any]] = json.loads((FOLDER / file).read_text("utf-8"))
    return [
        {"file": file, **entry} for entry in entries if (not areas or entry["area"] in areas) and entry["id"] not in but
    ]


def text_of(given: Any) -> str:
    """An input that is a text, or parts of one to be repeated."""
    return "".join(part * times for part, times in given["parts"]) if isinstance(given, dict) else str(given)
