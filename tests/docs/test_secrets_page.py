"""docs/secrets.md says what the code does."""

from __future__ import annotations

from pathlib import Path

from flowrunner.engine.intake import NO_KEY_RETRY
from flowrunner.engine.redaction import SHORTEST
from flowrunner.engine.sealed_values import SecretInName
from flowrunner.errors import SecretMissing
from flowrunner.services.rotation import RETIRED
from flowrunner.services.secret_box import CACHE_SECONDS, CACHE_USES, USED_WITHIN
from flowrunner.services.secret_import import LARGEST, LARGEST_TEXT, MOST
from flowrunner.settings import VaultSettings

PAGE = Path(__file__).parents[2].joinpath("docs/secrets.md").read_text("utf-8")


def test_its_figures_are_right() -> None:
    """Limits, times and defaults."""
    settings = VaultSettings()
    assert f"{SHORTEST} characters to {LARGEST // 1024} KiB" in PAGE
    assert f"up to {MOST:,} secrets in {LARGEST_TEXT // 1024**2} MiB" in PAGE
    assert f"default `{settings.key_file}`" in PAGE
    assert (settings.min_key_age, "`vault.min_key_age` (1 day:" in PAGE) == (86_400_000, True)
    assert (RETIRED, "an hour after that at the earliest" in PAGE) == (3_600_000, True)
    assert (CACHE_SECONDS, CACHE_USES, "for five minutes or 1,000 reads" in PAGE) == (300, 1_000, True)
    assert (USED_WITHIN, "right to five minutes" in PAGE) == (300_000, True)
    assert (NO_KEY_RETRY, "every ten seconds" in PAGE) == (10_000, True)


def test_its_errors_exist() -> None:
    """By the codes that users see."""
    for error in (SecretInName, SecretMissing):
        assert f"`{error.code}`" in PAGE
