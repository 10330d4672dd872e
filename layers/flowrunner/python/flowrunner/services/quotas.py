"""What an account may use, as the installation's settings say: 429 with a time to come back for what is too much.

`runs_per_minute` slides: what counts is the present minute and, of the one before, the part that is less than a minute
ago (as if its runs had been spread evenly). Its counters are in the store, so all processes share them. Steps come from
the metering, which lags by seconds; runs that are live already go on when the steps of the day are used up.

A run that a flow starts (`flow.run`) counts among the live ones. To refuse it breaks the run that waits for it, so for
these runs the limits on runs a minute and steps a day are ten times as high: only for flows that start each other
without end, which would fill the store otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from flowrunner.core.ids import AccountId, Millis
from flowrunner.core.status import LIVE
from flowrunner.errors import QuotaExceeded
from flowrunner.ports.clock import Clock
from flowrunner.ports.history import RunHistory
from flowrunner.ports.kv import KeyValues
from flowrunner.services.usage import DAY, Usage
from flowrunner.settings import QuotaSettings

NAMESPACE = "$quota"
"""No flow can reach it: a namespace of the `store` node has no such name."""

MINUTE: Millis = 60_000
CHILDREN = 10
"""How many times the limits hold for runs that flows start."""

Thing = Literal["flows", "schedules", "secrets", "webhooks", "tokens", "users"]
"""What is counted when one more is made."""


class Quotas:
    """See the module. 0 is no limit."""

    def __init__(
        self, settings: QuotaSettings, values: KeyValues, history: RunHistory, usage: Usage, clock: Clock
    ) -> None:
        self._settings = settings
        self._values = values
        self._history = history
        self._usage = usage
        self._clock = clock

    def check_start(self, account: AccountId) -> None:
        """Before a run is started. Counts it, unless it is refused. For internal callers.

        Raises `QuotaExceeded` with the seconds after which it may be tried again.
        """
        self._check_live(account)
        self._check_steps(account, self._settings.steps_per_day)
        self._check_rate(account, "runs", self._settings.runs_per_minute)

    def check_child(self, account: AccountId) -> None:
        """Before a flow starts a run. Counts it, unless it is refused. For internal callers. Raises `QuotaExceeded`."""
        self._check_steps(account, CHILDREN * self._settings.steps_per_day)
        self._check_rate(account, "children", CHILDREN * self._settings.runs_per_minute)

    def check_count(self, account: AccountId, thing: Thing, count: Callable[[], int]) -> None:
        """Before one more is made; `count` says how many there are. For internal callers. Raises `QuotaExceeded`."""
        limit: int = getattr(self._settings, thing)
        if limit and count() >= limit:
            raise QuotaExceeded(
                f"the account has {limit} {thing}, and may not have more",
                hint="delete some, or have the quota raised",
                retry_after=60,
                quota=thing,
                limit=limit,
            )

    def _check_live(self, account: AccountId) -> None:
        limit = self._settings.concurrent_runs
        if limit and self._history.count(account, statuses=LIVE, limit=limit) >= limit:
            raise QuotaExceeded(
                f"{limit} runs of the account are live, and no more may be",
                hint="let some end, or cancel some",
                retry_after=5,
                quota="concurrent_runs",
                limit=limit,
            )

    def _check_steps(self, account: AccountId, limit: int) -> None:
        if limit and self._usage.steps_today(account) >= limit:
            raise QuotaExceeded(
                f"the account has used up its {limit} steps of today (UTC)",
                retry_after=math.ceil((DAY - self._clock.now() % DAY) / 1000),
                quota="steps_per_day",
                limit=limit,
            )

    def _check_rate(self, account: AccountId, what: str, limit: int) -> None:
        if not limit:
            return
        now = self._clock.now()
        before = self._values.get(account, NAMESPACE, _key(what, now - MINUTE), now)
        earlier = before.value if before is not None else 0
        mine = self._count(account, what, now, 1)
        if earlier * (1 - now % MINUTE / MINUTE) + mine > limit:
            self._count(account, what, now, -1)
            raise QuotaExceeded(
                f"{'flows of the account' if what == 'children' else 'the account'} may start {limit} runs a minute",
                retry_after=math.ceil(_wait(now % MINUTE, earlier, mine - 1, limit) / 1000),
                quota="runs_per_minute",
                limit=limit,
            )

    def _count(self, account: AccountId, what: str, now: Millis, by: int) -> float:
        return self._values.increment(account, NAMESPACE, _key(what, now), by, now, now + 2 * MINUTE)


def _key(what: str, moment: Millis) -> str:
    return f"{what}/{moment // MINUTE}"


def _wait(into: Millis, earlier: float, mine: float, limit: int) -> float:
    """Until one more fits: `into` the present minute, after `earlier` runs in the one before and `mine` in this one."""
    if mine < limit:
        # When enough of the minute before has slid out.
        return max(0.0, MINUTE * (1 - (limit - 1 - mine) / earlier) - into) if earlier else 0.0
    # Not in this minute: when enough of it has slid out in the next one.
    return MINUTE - into + MINUTE * (1 - (limit - 1) / mine)
