"""What an account has used, by day and flow."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import Field

from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Shown
from flowrunner.core.ids import FlowId
from flowrunner.core.times import day_of
from flowrunner.services.identity import Permission
from flowrunner.services.usage import DAY, Counts, Grouping

api = router("usage")

DEFAULT_DAYS = 30

Day = Annotated[str | None, Query(max_length=10, examples=["2026-11-21"])]


class UsageCounts(Shown):
    """What was counted, and what it is estimated to cost on AWS."""

    runs: int
    steps: int = Field(description="Executions of steps: attempts and items of a foreach count, skipped steps do not.")
    compute_ms: int = Field(description="How long nodes worked; waits do not count.")
    estimated_cost_usd: float = Field(description="See docs/observability.md.")


class UsageItem(UsageCounts):
    """The counts of a day, a flow, or both."""

    day: str | None = Field(description="In UTC; null with `by=flow`.", examples=["2026-11-21"])
    flow_id: str | None = Field(description="null with `by=day`.")
    flow_name: str | None


class UsageAnswer(Shown):
    """A report."""

    from_day: str
    to_day: str
    items: list[UsageItem] = Field(description="In the order of days.")
    total: UsageCounts


@api.get(
    "/v1/usage",
    operation_id="get_usage",
    summary="Runs, steps, compute time and estimated cost",
    responses={
        200: {
            "content": {
                "application/json": {
                    "example": {
                        "from_day": "2026-11-21",
                        "to_day": "2026-11-21",
                        "items": [
                            {
                                "day": "2026-11-21",
                                "flow_id": "019a0b3c-5d7e-7f01-8a2b-3c4d5e6f7a8b",
                                "flow_name": "orders",
                                "runs": 120,
                                "steps": 960,
                                "compute_ms": 182000,
                                "estimated_cost_usd": 0.005,
                            }
                        ],
                        "total": {"runs": 120, "steps": 960, "compute_ms": 182000, "estimated_cost_usd": 0.005},
                    }
                }
            }
        }
    },
)
@needs(Permission.USAGE_READ)
def get_usage(
    caller: Caller,
    platform: ThePlatform,
    from_day: Annotated[
        Day, Query(alias="from", description="The first day, UTC; left out: 30 days before `to`.")
    ] = None,
    to_day: Annotated[Day, Query(alias="to", description="The last day, UTC; left out: today.")] = None,
    flow: Annotated[str | None, Query(max_length=64, description="A flow's id.")] = None,
    by: Annotated[Grouping, Query(description="Add rows up to one a day, or one a flow.")] = "both",
) -> UsageAnswer:
    """Counts arrive within seconds. They are kept for 400 days."""
    now = platform.engine.parts.clock.now()
    last = to_day or day_of(now)
    first = from_day or min(day_of(now - (DEFAULT_DAYS - 1) * DAY), last)
    report = platform.usage.report(caller, first, last, FlowId(flow) if flow is not None else None, by)
    items = [
        UsageItem(day=row.day, flow_id=row.flow, flow_name=row.flow_name, **_counts(row.counts)) for row in report.rows
    ]
    return UsageAnswer(from_day=first, to_day=last, items=items, total=UsageCounts(**_counts(report.total)))


def _counts(counts: Counts) -> dict[str, float]:
    return {
        "runs": counts.runs,
        "steps": counts.steps,
        "compute_ms": counts.compute_ms,
        "estimated_cost_usd": counts.micro_dollars / 1_000_000,
    }
