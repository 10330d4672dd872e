"""Flows with schedules, and their sweep at a moment."""

from __future__ import annotations

from flowrunner.services.schedule_entries import Schedule

from tests.services.triggering import OWNER, Services

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

PLAIN = "metadata: {name: plain}\nnodes:\n  a: {type: transform, params: {value: 1}}\n"
ORDERS = """\
metadata: {name: orders}
inputs: {type: object, required: [id], properties: {id: {type: string}}}
nodes:
  a: {type: transform, params: {value: 1}}
"""


def with_triggers(*triggers: str, name: str = "plain") -> str:
    lines = "".join(f"  - {{type: schedule, {one}}}\n" for one in triggers)
    return PLAIN.replace("plain", name) + f"triggers:\n{lines}"


def only(made: Services) -> Schedule:
    """The one schedule there is."""
    found = made.schedules.list(OWNER)
    assert len(found) == 1
    return found[0]


def turn(made: Services, moment: int) -> None:
    """Go to a moment and sweep."""
    made.bench.clock.turn_to(moment)
    made.sweep.sweep()
