"""How long the random tests of the core try: `core-ci` (where CI is set) takes its time, `core-dev` is for a look.

They are not Hypothesis's own `ci` profile, which stands for the whole session: a new one of that name would change the
tests of every other folder.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "core-ci",
    max_examples=500,
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("core-dev", parent=settings.get_profile("core-ci"), max_examples=100)

PROFILE = settings.get_profile("core-ci" if os.environ.get("CI") else "core-dev")


def share(percent: int) -> settings:
    """The profile with a share of its examples."""
    return settings(PROFILE, max_examples=PROFILE.max_examples * percent // 100)
