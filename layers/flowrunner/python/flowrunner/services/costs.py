"""What a run would cost on AWS: an estimate in micro-dollars (millionths of a US dollar), from counts alone.

List prices of us-east-1 without the free tier, per million units unless said otherwise (docs/observability.md, "What
things cost", has them as a table). What a step and a run need is the budget of the design (execution.md, "Cost is part
of the design"): about $4 per million steps of a linear flow. Storage, traffic, logs, and what nodes buy elsewhere
(models, other services) are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowrunner.core.ids import Millis
from flowrunner.engine.records import Attempt
from flowrunner.ports.runs import RowStatus

WRITE_UNIT = 0.625
"""DynamoDB on demand: a write of up to 1 KB."""
READ_UNIT = 0.125
"""DynamoDB on demand: a consistent read of up to 4 KB."""
QUEUE_REQUEST = 0.40
"""SQS, standard queue."""
INVOCATION = 0.20
"""Lambda requests."""
API_REQUEST = 1.00
"""API Gateway, HTTP API."""
GB_SECOND = 13.3334
"""Lambda on arm64: a second with 1 GB of memory, in micro-dollars."""

MEMORY_GB = 0.5
"""What the executor's function is given."""
OVERHEAD: Millis = 50
"""Billed around a step's own work: reading, claiming, committing, sending."""

COMPUTE_MS = GB_SECOND * MEMORY_GB / 1000
STEP = 3 * WRITE_UNIT + 2 * READ_UNIT + 3 * QUEUE_REQUEST + INVOCATION + OVERHEAD * COMPUTE_MS
RUN = 4 * WRITE_UNIT + READ_UNIT + QUEUE_REQUEST + API_REQUEST + INVOCATION + OVERHEAD * COMPUTE_MS
"""Its item and its index entry, written at start and end; the request that starts it; the first message."""


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
