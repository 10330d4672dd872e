"""The shared attack corpora: they lie outside the repository, and tests skip without them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("FLOWRUNNER_SHARED", "../shared")) / "attacks"
HERE = FOLDER.is_dir()

needs_corpus = pytest.mark.skipif(not HERE, reason="the shared attack corpus is not here (FLOWRUNNER_SHARED)")


def attacks(file: str, *areas: str) -> list[dict[str, Any]]:
    """The entries of a corpus file, of these areas or all; none when the corpus is not here."""
    if not HERE:
        return []
    entries: list[dict[str, Any]] = json.loads((FOLDER / file).read_text("utf-8"))
    return [entry for entry in entries if not areas or entry["area"] in areas]
