"""What the slow model keeps: activations, items, ends, arrivals, and the facts that it is told."""

from __future__ import annotations

from dataclasses import dataclass

from flowrunner.core.ids import NodeId


@dataclass
class Item:
    """An item of a foreach; `state` is new, ready, waiting, done, bad or dropped."""

    index: int
    state: str = "new"
    attempt: int = 1
    tries: int = 0
    due: int = 0
    child: bool = False


@dataclass
class Act:
    """One activation of a node; `place` is active, parked or over, `phase` counts while it is active or parked."""

    uid: int
    node: NodeId
    n: int
    parent: int | None
    via: str | None
    due: int
    place: str = "active"
    phase: str = "held"
    attempt: int = 1
    tries: int = 0
    child: bool = False
    items: list[Item] | None = None
    forgotten: bool = False


@dataclass
class End:
    """An activation ended."""

    act: Act
    status: str
    action: str | None
    attempt: int
    handled: bool
    hidden: bool = False


@dataclass
class Arrival:
    """A needed node ended; `open` until the join's round is over."""

    join: NodeId
    node: NodeId
    status: str
    handled: bool
    open: bool = True


@dataclass
class Fact:
    """What happened, as the model is told. `uid` and `index` name the step, the rest depends on `kind`."""

    kind: str
    uid: int = -1
    index: int = -1
    attempt: int = 0
    action: str = "default"
    code: str = ""
    retryable: bool = False
    retry_after: int = 0
    count: int = 0
    until: int = 0
    child: bool = False
    keys: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    node: NodeId | None = None
