"""Flows of an account: saved by revision, found, compared, archived, deleted.

Beside the revisions (`ports.flows`) each flow has a record, an entity with what lists show. A change touches several
things (the revision, the record, triggers, webhooks); what it is about to do is noted on the record first (`due`), so
that `sweep` finishes what a crash has cut off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

import orjson

from flowrunner.core.flow import Flow
from flowrunner.core.ids import AccountId, FlowId, Millis
from flowrunner.core.problems import Problem
from flowrunner.core.status import RunStatus
from flowrunner.engine.engine import Engine
from flowrunner.errors import Conflict, FlowrunnerError, InvalidInput, NotFound, PreconditionFailed
from flowrunner.language.load import LoadedFlow
from flowrunner.ports.backend import Backend
from flowrunner.ports.entities import Entity
from flowrunner.ports.flows import FlowRow
from flowrunner.ports.history import RunFilter
from flowrunner.services.audit import Action, Audit
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.quotas import Quotas

KIND = "flow"
UNFINISHED: Millis = 60_000
"""After this time a change that has not been finished is taken up by `sweep`."""

LIVE = (RunStatus.QUEUED.value, RunStatus.RUNNING.value, "waiting")
PAGE = 200
TRIES = 20


class FlowStatus(StrEnum):
    """`draft`: can be run by hand, its triggers do nothing. `archived`: cannot be run."""

    DRAFT = "draft"
    ACTIVE = "active"
    ARCHIVED = "archived"


class Follower(Protocol):
    """What depends on the documents of flows: their triggers and webhooks. May be called again after a crash."""

    def check(self, account: AccountId, flow: FlowId, document: Flow) -> None:
        """Raises `Conflict` or `InvalidInput` when `document` cannot be followed; called before it is stored."""
        ...

    def sync(self, account: AccountId, flow: FlowId, document: Flow, *, active: bool) -> None:
        """Make everything as `document` wants it; nothing fires for a flow that is not active."""
        ...

    def forget(self, account: AccountId, flow: FlowId) -> None:
        """The flow is being deleted."""
        ...


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """What is known of a flow without reading its document."""

    id: FlowId
    name: str
    status: FlowStatus
    revision: int
    description: str | None = None
    version: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    triggers: Sequence[str] = ()
    created_at: Millis = 0
    created_by: str = ""
    updated_at: Millis = 0
    updated_by: str = ""
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class SavedFlow:
    """A flow with one of its revisions. `warnings` are those of the check when it was saved now."""

    record: FlowRecord
    row: FlowRow
    warnings: Sequence[Problem] = ()


@dataclass(frozen=True, slots=True)
class FlowQuery:
    """Which flows to list. `q` is looked for in name, description and labels; `label` entries must all be there."""

    q: str = ""
    labels: Mapping[str, str | None] = field(default_factory=dict)
    status: FlowStatus | None = None
    name: str | None = None
    sort: str = "name"
    after: str = ""
    """The sort key and id of the last flow of the page before, as `sort_key` gives it."""
    limit: int = 50


SORTS: Mapping[str, Callable[[FlowRecord], str]] = {
    "name": lambda record: record.name,
    "updated_at": lambda record: f"{record.updated_at:016d}",
    "created_at": lambda record: f"{record.created_at:016d}",
}


def sort_key(record: FlowRecord, sort: str) -> str:
    """Where a flow stands in a list sorted by `sort` (with `-` in front: descending)."""
    return f"{SORTS[sort.removeprefix('-')](record)}\0{record.id}"


class FlowService:
    """See the module."""

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        quotas: Quotas,
        followers: Sequence[Follower],
        backend: Backend | None = None,
    ) -> None:
        self._engine = engine
        self._backend = backend or engine.parts.backend
        self._entities = self._backend.entities
        self._clock = engine.parts.clock
        self._audit = audit
        self._quotas = quotas
        self._followers = tuple(followers)

    # -- reading ------------------------------------------------------------------------------------------------

    def get(self, actor: Actor, flow: FlowId, revision: int | None = None) -> SavedFlow:
        """A flow with its newest revision, or the one asked for. Raises `NotFound`."""
        require(actor, Permission.FLOWS_READ)
        record, _ = self._record(actor.account, flow)
        row = self._backend.flows.get(actor.account, flow, revision)
        if row is None:
            raise NotFound(f"the flow has no revision {revision}" if revision else "there is no such flow")
        return SavedFlow(replace(record, revision=row.revision if revision is None else record.revision), row)

    def find(self, actor: Actor, query: FlowQuery) -> list[FlowRecord]:
        """The flows that fit, in order. An account's flows are some thousands at most, so they are sorted here."""
        require(actor, Permission.FLOWS_READ)
        found = [record for record in self._all(actor.account) if _fits(record, query)]
        descending = query.sort.startswith("-")
        found.sort(key=lambda record: sort_key(record, query.sort), reverse=descending)
        if query.after:
            found = [
                record
                for record in found
                if (sort_key(record, query.sort) < query.after) == descending
                and sort_key(record, query.sort) != query.after
            ]
        return found[: query.limit]

    def revisions(self, actor: Actor, flow: FlowId, before: int | None = None, limit: int = 50) -> Sequence[FlowRow]:
        """The revisions of a flow, newest first."""
        require(actor, Permission.FLOWS_READ)
        self._record(actor.account, flow)
        return self._backend.flows.revisions(actor.account, flow, before=before, limit=limit)

    def check(self, actor: Actor, text: str) -> LoadedFlow:
        """Look at a document without storing it. Raises `InvalidFlow` with all its problems."""
        require(actor, Permission.FLOWS_READ)
        return self._engine.load(text, actor.account)

    def active(self, account: AccountId, flow: FlowId) -> FlowRow:
        """For triggers: the newest revision of an active flow. Raises `NotFound` for one that is not."""
        record, _ = self._record(account, flow)
        row = self._backend.flows.get(account, flow) if record.status is FlowStatus.ACTIVE else None
        if row is None:
            raise NotFound("there is no such flow")
        return row

    def runnable(self, account: AccountId, flow: FlowId, revision: int | None = None) -> FlowRow:
        """For runs started by people. Raises `NotFound`, or `Conflict` for an archived flow."""
        record, _ = self._record(account, flow)
        if record.status is FlowStatus.ARCHIVED:
            raise Conflict(f"the flow {record.name!r} is archived", hint="activate it first")
        row = self._backend.flows.get(account, flow, revision)
        if row is None:
            raise NotFound(f"the flow has no revision {revision}" if revision else "there is no such flow")
        return row

    def by_name(self, account: AccountId, name: str) -> FlowId | None:
        """The id of the flow called `name`, without asking for a permission."""
        found = self._entities.find(KIND, _lookup(account, name), self._clock.now())
        return FlowId(found.id) if found is not None and not _decode(found).deleting else None

    # -- writing ------------------------------------------------------------------------------------------------

    def create(self, actor: Actor, text: str, status: FlowStatus = FlowStatus.ACTIVE) -> SavedFlow:
        """Store a new flow. Raises `InvalidFlow`, `Conflict` when its name is taken, `QuotaExceeded`."""
        require(actor, Permission.FLOWS_WRITE)
        loaded = self._engine.load(text, actor.account)
        now = self._clock.now()
        name = loaded.flow.name
        half = self._entities.find(KIND, _lookup(actor.account, name), now)
        if half is not None and self._backend.flows.get(actor.account, FlowId(half.id)) is not None:
            raise Conflict(
                f"a flow called {name!r} is being deleted" if _decode(half).deleting else f"there is a flow {name!r}",
                hint="try again in a moment" if _decode(half).deleting else "choose another name, or change that flow",
                flow=None if _decode(half).deleting else half.id,
            )
        self._quotas.check_count(actor.account, "flows", lambda: sum(1 for _ in self._all(actor.account)))
        flow = FlowId(half.id if half is not None else self._engine.parts.draws.new_id())
        record = FlowRecord(flow, name, status, 1, created_at=now, created_by=actor.name)
        self._follow_check(actor.account, flow, loaded.flow)
        entity = self._entities.put(self._entity(actor.account, record, now + UNFINISHED), now, half.rev if half else 0)
        if entity is None:
            raise Conflict(f"there is a flow {name!r}", hint="choose another name, or change that flow")
        return self._store(actor, entity, record, loaded, text, 0)

    def save(self, actor: Actor, text: str) -> SavedFlow:
        """Store a document under its name, new or as the next revision. Raises as `create` and `update`."""
        flow = self.by_name(actor.account, self._engine.load(text).flow.name)
        return self.create(actor, text) if flow is None else self.update(actor, flow, text)

    def update(self, actor: Actor, flow: FlowId, text: str, expected_revision: int | None = None) -> SavedFlow:
        """Store a new revision; the newest document again stores nothing.

        Raises `InvalidFlow`, `NotFound`, `Conflict` for another name, `PreconditionFailed` when `expected_revision`
        is not the newest one.
        """
        require(actor, Permission.FLOWS_WRITE)
        record, entity = self._record(actor.account, flow)
        newest = self._backend.flows.get(actor.account, flow)
        if newest is None:
            raise NotFound("there is no such flow")
        if expected_revision is not None and newest.revision != expected_revision:
            raise PreconditionFailed(
                f"the newest revision is {newest.revision}, not {expected_revision}", revision=newest.revision
            )
        loaded = self._engine.load(text, actor.account)
        if loaded.flow.name != record.name:
            raise Conflict(
                f"the flow is called {record.name!r} and keeps that name; the document says {loaded.flow.name!r}",
                hint="create another flow",
            )
        self._follow_check(actor.account, flow, loaded.flow)
        now = self._clock.now()
        noted = self._entities.put(replace(entity, due=now + UNFINISHED), now, entity.rev)
        if noted is None:
            raise PreconditionFailed(revision=newest.revision)
        return self._store(actor, noted, record, loaded, text, expected_revision)

    def set_status(self, actor: Actor, flow: FlowId, status: FlowStatus) -> FlowRecord:
        """Archive a flow, or take it into service (again). Runs that are under way go on."""
        require(actor, Permission.FLOWS_WRITE)
        now = self._clock.now()
        record, entity = self._record(actor.account, flow)
        row = self._backend.flows.get(actor.account, flow)
        if row is None:
            raise NotFound("there is no such flow")
        document = self._engine.programs.get(actor.account, flow, row.revision).flow
        if status is not FlowStatus.ARCHIVED:
            self._follow_check(actor.account, flow, document)
        changed = replace(record, status=status, updated_at=now, updated_by=actor.name)
        noted = self._entities.put(self._entity(actor.account, changed, now + UNFINISHED), now, entity.rev)
        if noted is None:
            raise PreconditionFailed
        self._finish(actor.account, noted, changed, document)
        archived = status is FlowStatus.ARCHIVED
        self._audit.record(actor, Action.FLOW_ARCHIVED if archived else Action.FLOW_ACTIVATED, flow)
        return changed

    def delete(self, actor: Actor, flow: FlowId, *, force: bool = False) -> None:
        """Delete a flow with its revisions and all its runs. It is gone at once; what it held is removed by `sweep`.

        Raises `NotFound`, or `Conflict` when it has live runs; with `force` they are cancelled.
        """
        require(actor, Permission.FLOWS_WRITE)
        record, entity = self._record(actor.account, flow)
        live = self._backend.history.count(actor.account, flow=flow, statuses=LIVE)
        if live and not force:
            raise Conflict(
                f"the flow has {live} live run{'s' if live > 1 else ''}", hint="cancel them, or delete with force=true"
            )
        now = self._clock.now()
        gone = replace(record, deleting=True, status=FlowStatus.ARCHIVED)
        if self._entities.put(self._entity(actor.account, gone, now), now, entity.rev) is None:
            raise PreconditionFailed
        for follower in self._followers:
            follower.forget(actor.account, flow)
        self._audit.record(actor, Action.FLOW_DELETED, flow, name=record.name, live_runs=live)

    # -- what a crash has cut off, and what was there before us -------------------------------------------------

    def sweep(self) -> Millis | None:
        """Finish changes that a crash cut off, and go on removing deleted flows. Answers when to come back."""
        now = self._clock.now()
        for entity in self._entities.due(KIND, now, 20):
            record = _decode(entity)
            if record.deleting:
                self._remove(entity, record)
            else:
                self._repair(entity, record)
        return self._entities.next_due(KIND)

    def adopt(self, account: AccountId, by: str) -> None:
        """Make records for flows that were stored without this service, such as by `flowrunner run --store`."""
        after = ""
        while page := self._backend.flows.list(account, after=after, limit=PAGE):
            for row in page:
                if self._entities.get(account, KIND, row.id, self._clock.now()) is None:
                    self._adopt(row, by)
            after = page[-1].name

    # -- how ----------------------------------------------------------------------------------------------------

    def _adopt(self, row: FlowRow, by: str) -> None:
        now = self._clock.now()
        record = FlowRecord(row.id, row.name, FlowStatus.ACTIVE, row.revision, created_at=now, created_by=by)
        entity = self._entities.put(self._entity(row.account, record, now + UNFINISHED), now, 0)
        if entity is not None:
            self._repair(entity, record)

    def _store(
        self, actor: Actor, entity: Entity, record: FlowRecord, loaded: LoadedFlow, text: str, expected: int | None
    ) -> SavedFlow:
        now = self._clock.now()
        digest = hashlib.sha256(text.encode()).hexdigest()
        wanted = FlowRow(actor.account, record.id, record.name, 1, text, digest, now)
        try:
            row = self._backend.flows.save(wanted, expected)
        except PreconditionFailed:
            self._entities.put(replace(entity, due=None), now, entity.rev)
            raise
        updated = replace(record, revision=row.revision, updated_at=now, updated_by=actor.name)
        saved = self._finish(actor.account, entity, updated, loaded.flow)
        self._audit.record(actor, Action.FLOW_SAVED, record.id, name=record.name, revision=row.revision)
        return SavedFlow(saved, row, loaded.warnings)

    def _finish(self, account: AccountId, entity: Entity, record: FlowRecord, document: Flow) -> FlowRecord:
        """The last part of a change: all that follows the document, then the record without its note."""
        for follower in self._followers:
            follower.sync(account, record.id, document, active=record.status is FlowStatus.ACTIVE)
        described = replace(
            record,
            description=document.description,
            version=document.version,
            labels=dict(document.labels),
            triggers=sorted({str(trigger["type"]) for trigger in document.triggers}),
        )
        # Lost to somebody who changed it meanwhile: their change writes all of this again.
        self._entities.put(self._entity(account, described, None), self._clock.now(), entity.rev)
        return described

    def _repair(self, entity: Entity, record: FlowRecord) -> None:
        row = self._backend.flows.get(entity.account, record.id)
        if row is None:  # the crash came before the first revision
            self._entities.delete(entity.account, KIND, entity.id, entity.rev)
            return
        try:
            document = self._engine.programs.get(row.account, row.id, row.revision).flow
            self._finish(entity.account, entity, replace(record, revision=row.revision), document)
        except FlowrunnerError:  # this process cannot load it (a plugin is missing): another may
            now = self._clock.now()
            self._entities.put(replace(entity, due=now + UNFINISHED), now, entity.rev)

    def _remove(self, entity: Entity, record: FlowRecord) -> None:
        account, flow = entity.account, record.id
        for follower in self._followers:
            follower.forget(account, flow)
        runs = self._backend.history.runs(account, RunFilter(flow=flow, limit=PAGE))
        for run in runs:
            if run.status in LIVE:
                self._engine.control.cancel_quietly(account, run.id)
            self._backend.history.delete(account, run.id)
        if len(runs) < PAGE:
            self._backend.flows.delete(account, flow)
            self._entities.delete(account, KIND, entity.id)

    def _record(self, account: AccountId, flow: FlowId) -> tuple[FlowRecord, Entity]:
        entity = self._entities.get(account, KIND, flow, self._clock.now())
        if entity is None or (record := _decode(entity)).deleting:
            raise NotFound("there is no such flow")
        return record, entity

    def _all(self, account: AccountId) -> Iterable[FlowRecord]:
        after: str | None = None
        while page := self._entities.list(account, KIND, self._clock.now(), after=after, limit=PAGE):
            yield from (record for record in map(_decode, page) if not record.deleting)
            if len(page) < PAGE:
                return
            after = page[-1].id

    def _follow_check(self, account: AccountId, flow: FlowId, document: Flow) -> None:
        for follower in self._followers:
            follower.check(account, flow, document)

    @staticmethod
    def _entity(account: AccountId, record: FlowRecord, due: Millis | None) -> Entity:
        values = {key: getattr(record, key) for key in FlowRecord.__slots__ if key != "id"}
        return Entity(account, KIND, record.id, orjson.dumps(values), lookup=_lookup(account, record.name), due=due)


def parse_label(text: str) -> tuple[str, str | None]:
    """`team=growth` or `team`, as a filter. Raises `InvalidInput`."""
    key, separator, value = text.partition("=")
    if not key:
        raise InvalidInput("a label filter is written name=value, or name", field="label")
    return key, value if separator else None


def _lookup(account: AccountId, name: str) -> str:
    return f"{account}/{name}"


def _decode(entity: Entity) -> FlowRecord:
    values: dict[str, Any] = orjson.loads(entity.body)
    return FlowRecord(id=FlowId(entity.id), **{**values, "status": FlowStatus(values["status"])})


def _fits(record: FlowRecord, query: FlowQuery) -> bool:
    if query.status is not None and record.status is not query.status:
        return False
    if query.name is not None and record.name != query.name:
        return False
    for key, value in query.labels.items():
        if key not in record.labels or (value is not None and record.labels[key] != value):
            return False
    wanted = query.q.casefold()
    texts = (record.name, record.description or "", *record.labels.keys(), *record.labels.values())
    return not wanted or any(wanted in text.casefold() for text in texts)
