"""Places of `concurrency`: which runs of a key may be live at once, and who is next.

The document is a list of holders and a queue, changed by compare-and-set. Every operation names the run, so doing it
again changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from flowrunner.core.ids import RunId


class Verdict(StrEnum):
    """What became of a wish for a place."""

    GRANTED = "granted"
    QUEUED = "queued"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Slots:
    """The runs that hold a place, oldest first, and those that wait for one."""

    holders: tuple[RunId, ...] = ()
    queue: tuple[RunId, ...] = ()


@dataclass(frozen=True, slots=True)
class Admission:
    """The slots after a wish, what became of it, and the run that has to make room."""

    slots: Slots
    verdict: Verdict
    cancel: RunId | None = None


def admit(slots: Slots, run: RunId, max_runs: int, on_limit: Literal["queue", "reject", "cancel_oldest"]) -> Admission:
    """Ask for a place for `run`."""
    if run in slots.holders:
        return Admission(slots, Verdict.GRANTED)
    if run in slots.queue:
        return Admission(slots, Verdict.QUEUED)
    if len(slots.holders) < max_runs and not slots.queue:
        return Admission(replace(slots, holders=(*slots.holders, run)), Verdict.GRANTED)
    if on_limit == "reject":
        return Admission(slots, Verdict.REJECTED)
    queued = replace(slots, queue=(*slots.queue, run))
    if on_limit == "queue":
        return Admission(queued, Verdict.QUEUED)
    # Each newcomer pushes out one holder; those that are being pushed out already are as many as wait in the queue.
    waiting = len(slots.queue)
    oldest = slots.holders[waiting] if waiting < len(slots.holders) else None
    return Admission(queued, Verdict.QUEUED, cancel=oldest)


def release(slots: Slots, run: RunId, max_runs: int) -> tuple[Slots, tuple[RunId, ...]]:
    """Give back the place of `run`, or its place in the queue. Answers who gets a place now."""
    holders = tuple(holder for holder in slots.holders if holder != run)
    queue = tuple(waiting for waiting in slots.queue if waiting != run)
    free = max(max_runs - len(holders), 0)
    granted = queue[:free]
    return Slots((*holders, *granted), queue[free:]), granted


def forget(slots: Slots, gone: Collection[RunId]) -> Slots:
    """Drop runs that are over or were never stored, whose places nobody gave back."""
    return Slots(
        tuple(run for run in slots.holders if run not in gone), tuple(run for run in slots.queue if run not in gone)
    )
