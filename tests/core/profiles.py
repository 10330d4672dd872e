"""How long the random tests try: `ci` (where CI is set) takes its time, `dev` is for a look after every change."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    max_examples=1_000,
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("dev", parent=settings.get_profile("ci"), max_examples=150)

PROFILE = settings.get_profile("ci" if os.environ.get("CI") else "dev")


def share(percent: int) -> settings:
    """The profile with a share of its examples."""
    return settings(PROFILE, max_examples=PROFILE.max_examples * percent // 100)
