"""What a run would cost on AWS: an estimate in micro-dollars (millionths of a US dollar), from counts alone.

Prices, and what a step and a run need, are those of `cloud_costs`; docs/observability.md, "What things cost", has them
as a table. Storage, traffic, logs, and what nodes buy elsewhere (models, other services) are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowrunner.core.ids import Millis
from flowrunner.engine.records import Attempt
from flowrunner.ports.runs import RowStatus
from flowrunner.services.cloud_costs import RUN as RUN_UNITS
from flowrunner.services.cloud_costs import STEP as STEP_UNITS
from flowrunner.services.cloud_costs import Units, billed_ms, per_million

COMPUTE_MS = per_million(Units(gb_seconds=billed_ms(1)))
STEP = per_million(STEP_UNITS)
RUN = per_million(RUN_UNITS)


def micro_dollars(runs: int, steps: int, compute_ms: Millis) -> int:
    """What so many runs with so many steps cost, whose nodes worked for `compute_ms` in all."""
    return round(runs * RUN + steps * STEP + compute_ms * COMPUTE_MS)


def run_micro_dollars(steps: int, sample: Sequence[Attempt] = ()) -> int:
    """What one run costs: `steps` by its head, and the work of the attempts that were read of it.

    Of a run too long to be read whole, `sample` is a part: the rest is taken to have worked as long on average.
    """
    counted = [attempt for attempt in sample if counts(attempt)]
    compute = sum(compute_of(attempt) for attempt in counted)
    steps = max(steps, len(counted))
    return micro_dollars(1, steps, compute * steps // len(counted) if counted else 0)


def counts(attempt: Attempt) -> bool:
    """Whether an attempt is one to pay for: it has ended, and not by being skipped."""
    return attempt.status in (RowStatus.SUCCEEDED, RowStatus.FAILED)


def compute_of(attempt: Attempt) -> Millis:
    """How long an ended attempt worked; one that waited (for a timer, an answer, a run) costs nothing meanwhile."""
    return 0 if attempt.wait is not None else max(0, attempt.ended_at - attempt.started_at)
