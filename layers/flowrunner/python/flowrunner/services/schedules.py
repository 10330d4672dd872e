"""Schedules of an account: those that its flows' documents hold, and those made by people.

`services.schedule_sweep` lets them fire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import orjson

from flowrunner.core.flow import Flow, Json
from flowrunner.core.ids import AccountId, FlowId, Millis
from flowrunner.engine.engine import Engine
from flowrunner.errors import Conflict, InvalidInput, NotFound, StoreError
from flowrunner.language.inputs import check_input
from flowrunner.services.audit import Action, Audit
from flowrunner.services.cron import Timing, check_timing
from flowrunner.services.flow_records import KIND as FLOW_KIND
from flowrunner.services.flow_records import FlowStatus
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.quotas import Quotas
from flowrunner.services.schedule_entries import KIND, Missed, Schedule, decode, document_id, prefix_of, schedule_id

PAGE = 200
TRIES = 20


@dataclass(frozen=True, slots=True)
class ScheduleWish:
    """What a schedule should be. Either `cron`, or the moment `at` (RFC 3339)."""

    cron: str | None = None
    at: str | None = None
    timezone: str = "UTC"
    input: Json = None
    enabled: bool = True
    missed: Missed = "skip"


class ScheduleService:
    """See the module. It follows flows (`services.flows.Follower`)."""

    def __init__(self, engine: Engine, audit: Audit, quotas: Quotas) -> None:
        self._engine = engine
        self._entities = engine.parts.backend.entities
        self._clock = engine.parts.clock
        self._draws = engine.parts.draws
        self._audit = audit
        self._quotas = quotas

    # -- for people ---------------------------------------------------------------------------------------------

    def list(
        self, actor: Actor, *, flow: FlowId | None = None, after: str | None = None, limit: int = 50
    ) -> list[Schedule]:
        """Schedules by id, of one flow or of all, from behind the id `after`."""
        require(actor, Permission.SCHEDULES_READ)
        prefix = prefix_of(flow) if flow is not None else ""
        now = self._clock.now()
        found = self._entities.list(actor.account, KIND, now, prefix=prefix, after=after, limit=limit)
        return [decode(entity) for entity in found]

    def get(self, actor: Actor, id: str) -> Schedule:
        """One schedule. Raises `NotFound`."""
        require(actor, Permission.SCHEDULES_READ)
        return self._get(actor.account, id)

    def create(self, actor: Actor, flow: FlowId, wish: ScheduleWish) -> Schedule:
        """Make a schedule of a flow.

        Raises `NotFound` for an unknown flow, `InvalidInput` with what is wrong in which field, `QuotaExceeded`.
        """
        require(actor, Permission.SCHEDULES_WRITE)
        now = self._clock.now()
        timing = self._check(actor.account, flow, wish, now)
        self._quotas.check_count(actor.account, "schedules", lambda: sum(1 for _ in self._all(actor.account, "")))
        schedule = Schedule(
            account=actor.account,
            id=schedule_id(flow, self._draws.new_id().encode()),
            flow=flow,
            timing=timing,
            input=wish.input,
            enabled=wish.enabled,
            missed=wish.missed,
            active=self._in_service(actor.account, flow, now),
            created_at=now,
            created_by=actor.name,
        ).armed(now)
        stored = self._entities.put(schedule.encode(), now, expected_rev=0)
        if stored is None:
            raise StoreError("the id was drawn twice; try again")
        self._audit.record(actor, Action.SCHEDULE_CREATED, schedule.id, flow=flow)
        return decode(stored)

    def update(self, actor: Actor, id: str, wish: ScheduleWish) -> Schedule:
        """Change a schedule. Of one that stands in a flow's document only `enabled` can change.

        It goes on from now: what it missed while it was disabled does not count as missed. Raises `NotFound`,
        `InvalidInput`, or `Conflict`.
        """
        require(actor, Permission.SCHEDULES_WRITE)

        def change(old: Schedule) -> Schedule:
            now = self._clock.now()
            timing = check_timing(wish.cron, wish.at, wish.timezone)
            new = replace(old, timing=timing, input=wish.input, enabled=wish.enabled, missed=wish.missed)
            if old.from_document and replace(new, enabled=old.enabled) != old:
                raise Conflict("this schedule stands in its flow's document", hint="change it there")
            if timing != old.timing or wish.input != old.input:
                self._check(actor.account, old.flow, wish, now)
            same = timing == old.timing and new.enabled == old.enabled
            return new if same else new.armed(now)

        stored = self._change(actor.account, id, change)
        self._audit.record(actor, Action.SCHEDULE_CHANGED, id, enabled=stored.enabled)
        return stored

    def delete(self, actor: Actor, id: str) -> None:
        """Remove a schedule. Raises `NotFound`, or `Conflict` for one that stands in a flow's document."""
        require(actor, Permission.SCHEDULES_WRITE)
        if self._get(actor.account, id).from_document:
            raise Conflict("this schedule stands in its flow's document", hint="remove it there, or disable it")
        self._entities.delete(actor.account, KIND, id)
        self._audit.record(actor, Action.SCHEDULE_DELETED, id)

    # -- for flows (services.flows.Follower) --------------------------------------------------------------------

    def check(self, account: AccountId, flow: FlowId, document: Flow) -> None:
        """Raises `InvalidInput` for a timing that cannot be, `QuotaExceeded` when these would be too many."""
        wanted = self._wanted(account, flow, document, 0)
        known = {schedule.id for schedule in self._all(account, prefix_of(flow)) if schedule.from_document}
        more = len(wanted.keys() - known)
        if more:
            fewer = len(known - wanted.keys())
            others = more - fewer - 1  # besides the one more that is asked for
            self._quotas.check_count(account, "schedules", lambda: others + sum(1 for _ in self._all(account, "")))

    def sync(self, account: AccountId, flow: FlowId, document: Flow, *, active: bool) -> None:
        """Make the flow's schedules what its document says; all of the flow rest while it is not in service."""
        now = self._clock.now()
        wanted = self._wanted(account, flow, document, now)
        for schedule in list(self._all(account, prefix_of(flow))):
            fresh = wanted.pop(schedule.id, None)
            if fresh is None and schedule.from_document:
                self._entities.delete(account, KIND, schedule.id)
            else:
                self._follow(schedule, fresh, now, active=active)
        for schedule in wanted.values():
            self._entities.put(replace(schedule, active=active).armed(now).encode(), now, expected_rev=0)

    def forget(self, account: AccountId, flow: FlowId) -> None:
        """Remove all schedules of a flow."""
        for schedule in list(self._all(account, prefix_of(flow))):
            self._entities.delete(account, KIND, schedule.id)

    # -- how ----------------------------------------------------------------------------------------------------

    def _follow(self, schedule: Schedule, fresh: Schedule | None, now: Millis, *, active: bool) -> None:
        """Bring a schedule that is there up to date. It keeps its due moment if it was in service before."""

        def change(old: Schedule) -> Schedule:
            new = replace(old, active=active)
            if fresh is not None:
                turned = fresh.enabled != old.written_enabled
                new = replace(
                    new,
                    missed=fresh.missed,
                    written_enabled=fresh.enabled,
                    enabled=fresh.enabled if turned else old.enabled,
                )
            was, is_now = old.active and old.enabled, new.active and new.enabled
            return new if was == is_now else new.armed(now)

        try:
            self._change(schedule.account, schedule.id, change)
        except NotFound:  # deleted meanwhile
            return

    def _wanted(self, account: AccountId, flow: FlowId, document: Flow, now: Millis) -> dict[str, Schedule]:
        """The schedules of a document by id. Raises `InvalidInput`."""
        wanted: dict[str, Schedule] = {}
        for number, trigger in enumerate(document.triggers):
            if trigger["type"] != "schedule":
                continue
            try:
                timing = check_timing(trigger.get("cron"), trigger.get("at"), trigger.get("timezone", "UTC"))
            except InvalidInput as error:
                raise InvalidInput(f"triggers[{number}]: {error.message}", **error.details) from None
            seen = 0
            while (id := document_id(flow, trigger, seen)) in wanted:
                seen += 1
            enabled = bool(trigger.get("enabled", True))
            wanted[id] = Schedule(
                account=account,
                id=id,
                flow=flow,
                timing=timing,
                input=trigger.get("input"),
                enabled=enabled,
                missed=trigger.get("missed", "skip"),
                from_document=True,
                written_enabled=enabled,
                created_at=now,
                created_by="flow",
            )
        return wanted

    def _check(self, account: AccountId, flow: FlowId, wish: ScheduleWish, now: Millis) -> Timing:
        row = self._engine.parts.backend.flows.get(account, flow)
        if row is None:
            raise NotFound("there is no such flow")
        timing = check_timing(wish.cron, wish.at, wish.timezone)
        if timing.next(now) is None:
            raise InvalidInput("at: this moment has passed", problems=[{"field": "at", "message": "has passed"}])
        document = self._engine.programs.get(account, flow, row.revision).flow
        schema = document.inputs
        empty = wish.input is None and isinstance(schema, dict) and schema.get("type") == "object"
        problems = check_input(document, {} if empty else wish.input)
        if problems:
            raise InvalidInput(
                "the input does not fit the flow's `inputs`",
                problems=[{"field": problem.field, "message": problem.message} for problem in problems],
            )
        return timing

    def _in_service(self, account: AccountId, flow: FlowId, now: Millis) -> bool:
        record = self._entities.get(account, FLOW_KIND, flow, now)
        return record is not None and orjson.loads(record.body)["status"] == FlowStatus.ACTIVE

    def _get(self, account: AccountId, id: str) -> Schedule:
        found = self._entities.get(account, KIND, id, self._clock.now())
        if found is None:
            raise NotFound("there is no such schedule")
        return decode(found)

    def _change(self, account: AccountId, id: str, change: Callable[[Schedule], Schedule]) -> Schedule:
        """Apply `change` to the schedule as it is, again if somebody was quicker. Raises `NotFound`."""
        for _ in range(TRIES):
            old = self._get(account, id)
            new = change(old)
            if new == old:
                return old
            stored = self._entities.put(new.encode(), self._clock.now(), expected_rev=old.rev)
            if stored is not None:
                return decode(stored)
        raise StoreError("the schedule changes all the time; try again")

    def _all(self, account: AccountId, prefix: str) -> Iterator[Schedule]:
        after: str | None = None
        while page := self._entities.list(account, KIND, self._clock.now(), prefix=prefix, after=after, limit=PAGE):
            yield from map(decode, page)
            if len(page) < PAGE:
                return
            after = page[-1].id
