"""How long the random tests of the core try: `core-ci` (where CI is set) takes its time, `core-dev` is for a look.

`core-ci` tries the same examples every time, so that what fails there fails because of a change; `core-dev` tries new
ones, and so does `CHECK_RANDOM=1` with the patience of CI. `core-mutants` (`CHECK_MUTANTS=40`, for `scripts/mutate`) tries
so many, the same every time, and looks for no simpler ones when one fails.

They are not Hypothesis's own `ci` profile, which stands for the whole session: a new one of that name would change the
tests of every other folder.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "core-ci",
    max_examples=300,
    deadline=None,
    derandomize="CHECK_RANDOM" not in os.environ,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("core-dev", parent=settings.get_profile("core-ci"), max_examples=100, derandomize=False)
settings.register_profile(
    "core-mutants",
    parent=settings.get_profile("core-ci"),
    max_examples=int(os.environ.get("CHECK_MUTANTS", "40")),
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)

NAME = "core-mutants" if "CHECK_MUTANTS" in os.environ else "core-ci" if os.environ.get("CI") else "core-dev"
PROFILE = settings.get_profile(NAME)


def share(percent: int) -> settings:
    """The profile with a share of its examples."""
    return settings(PROFILE, max_examples=PROFILE.max_examples * percent // 100)
