"""Distinct types for the ids, so that mypy tells one from another."""

from __future__ import annotations

from typing import NewType

AccountId = NewType("AccountId", str)
FlowId = NewType("FlowId", str)
RunId = NewType("RunId", str)
NodeId = NewType("NodeId", str)
StepId = NewType("StepId", str)
"""One activation of a node: `rev.index` of the commit that created it; `rev.index[i]` for item i of a foreach."""

Millis = int
"""A point in time (since the epoch) or a duration, in whole milliseconds."""
