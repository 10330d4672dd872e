"""Schedules as they are stored: one entity each, `due` at the moment when it fires next."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import orjson

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId
from flowrunner.errors import FlowrunnerError
from flowrunner.ports.entities import Entity
from flowrunner.services.cron import Timing

KIND = "schedule"
Missed = Literal["skip", "run_once"]


@dataclass(frozen=True, slots=True)
class LastError:
    """Why the last start failed."""

    code: str
    message: str
    at: Millis

    @classmethod
    def of(cls, error: BaseException, now: Millis) -> LastError:
        """What people are told of an error; nothing of the inside of one that is not ours."""
        if isinstance(error, FlowrunnerError):
            return cls(error.code, str(error)[:1_000], now)
        return cls("INTERNAL", "something went wrong on our side", now)


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule. Its id begins with its flow's, so that a flow's schedules are found together."""

    account: AccountId
    id: str
    flow: FlowId
    timing: Timing
    input: Json = None
    enabled: bool = True
    missed: Missed = "skip"
    from_document: bool = False
    """Written in the flow's document, which alone can change it; only `enabled` is also the API's."""
    written_enabled: bool = True
    """What the document says; when that changes it overrides what the API has set."""
    active: bool = True
    """Whether the flow is in service."""
    created_at: Millis = 0
    created_by: str = ""
    due: Millis | None = None
    last_due: Millis | None = None
    """The moment for which it fired last."""
    last_run: RunId | None = None
    last_missed: Millis | None = None
    """The last moment at which it should have fired, and nobody was there to do it."""
    last_error: LastError | None = None
    rev: int = 0

    def armed(self, now: Millis) -> Schedule:
        """With the next moment behind `now`, if it is to fire at all."""
        return replace(self, due=self.timing.next(now) if self.enabled and self.active else None)

    def upcoming(self, now: Millis, count: int) -> list[Millis]:
        """When it fires next; never while it is disabled or its flow out of service."""
        if not (self.enabled and self.active):
            return []
        return self.timing.upcoming(now, count)

    def encode(self) -> Entity:
        """The entity to store."""
        body: dict[str, Any] = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in _COLUMNS
        }
        return Entity(self.account, KIND, self.id, orjson.dumps(body), due=self.due)


_COLUMNS = frozenset({"account", "id", "due", "rev"})


def decode(entity: Entity) -> Schedule:
    """A stored schedule."""
    body: dict[str, Any] = orjson.loads(entity.body)
    timing: Mapping[str, Any] = body.pop("timing")
    error: Mapping[str, Any] | None = body.pop("last_error")
    return Schedule(
        account=entity.account,
        id=entity.id,
        due=entity.due,
        rev=entity.rev,
        timing=Timing(**timing),
        last_error=LastError(**error) if error else None,
        **body,
    )


def document_id(flow: FlowId, trigger: Mapping[str, Json], seen: int) -> str:
    """The id of a schedule in a document: the same wherever in `triggers` it stands. `seen` counts equal ones."""
    what = [trigger.get("cron"), trigger.get("at"), trigger.get("timezone"), trigger.get("input"), seen]
    return schedule_id(flow, orjson.dumps(what, option=orjson.OPT_SORT_KEYS))


def schedule_id(flow: FlowId, seed: bytes) -> str:
    """An id of a schedule of `flow`."""
    return f"{prefix_of(flow)}{hashlib.sha256(seed).hexdigest()[:12]}"


def prefix_of(flow: FlowId) -> str:
    """How the ids of a flow's schedules begin."""
    return f"{flow}."
