"""Flows of an account: saved by revision, found, compared, archived, deleted.

Beside the revisions (`ports.flows`) each flow has a record, an entity with what lists show. A change touches several
things (the revision, the record, triggers, webhooks); what it is about to do is noted on the record first (`due`), so
that `sweep` finishes what a crash has cut off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from flowrunner.core.flow import Flow
from flowrunner.core.ids import AccountId, FlowId, Millis
from flowrunner.core.status import LIVE
from flowrunner.engine.children import INLINE
from flowrunner.engine.engine import Engine
from flowrunner.errors import Conflict, FlowrunnerError, NotFound, PreconditionFailed, UnreadableRun
from flowrunner.language.load import LoadedFlow
from flowrunner.ports.backend import Backend
from flowrunner.ports.entities import Entity
from flowrunner.ports.flows import FlowRow
from flowrunner.ports.history import RunFilter
from flowrunner.services.audit import Action, Audit
from flowrunner.services.flow_records import (
    KIND,
    FlowQuery,
    FlowRecord,
    FlowStatus,
    SavedFlow,
    fits,
    lookup_of,
    read_record,
    record_entity,
    sort_key,
)
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.quotas import Quotas

UNFINISHED: Millis = 60_000
"""After this time a change that has not been finished is taken up by `sweep`."""

PAGE = 200
TRIES = 20


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
        found = [record for record in self._all(actor.account) if fits(record, query)]
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
        found = self._entities.find(KIND, lookup_of(account, name), self._clock.now())
        return FlowId(found.id) if found is not None and not read_record(found).deleting else None

    # -- writing ------------------------------------------------------------------------------------------------

    def create(self, actor: Actor, text: str, status: FlowStatus = FlowStatus.ACTIVE) -> SavedFlow:
        """Store a new flow. Raises `InvalidFlow`, `Conflict` when its name is taken, `QuotaExceeded`."""
        require(actor, Permission.FLOWS_WRITE)
        loaded = self._engine.load(text, actor.account)
        now = self._clock.now()
        name = loaded.flow.name
        found = self._entities.find(KIND, lookup_of(actor.account, name), now)
        if found is not None and self._backend.flows.get(actor.account, FlowId(found.id)) is not None:
            raise _taken(found)
        self._quotas.check_count(actor.account, "flows", lambda: sum(1 for _ in self._all(actor.account)))
        # A record without a revision is what a crash has left of an earlier try: this one goes on with it.
        flow = FlowId(found.id if found is not None else self._engine.parts.draws.new_id())
        record = FlowRecord(flow, name, status, 1, created_at=now, created_by=actor.name)
        self._follow_check(actor.account, flow, loaded.flow)
        noted = record_entity(actor.account, record, now + UNFINISHED)
        entity = self._entities.put(noted, now, found.rev if found is not None else 0)
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
        noted = self._entities.put(record_entity(actor.account, changed, now + UNFINISHED), now, entity.rev)
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
        if self._entities.put(record_entity(actor.account, gone, now), now, entity.rev) is None:
            raise PreconditionFailed
        for follower in self._followers:
            follower.forget(actor.account, flow)
        self._audit.record(actor, Action.FLOW_DELETED, flow, name=record.name, live_runs=live)

    # -- what a crash has cut off, and what was there before us -------------------------------------------------

    def sweep(self) -> Millis | None:
        """Finish changes that a crash cut off, and go on removing deleted flows. Answers when to come back."""
        now = self._clock.now()
        for entity in self._entities.due(KIND, now, 20):
            record = read_record(entity)
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
                if row.name.startswith(INLINE):
                    continue
                if self._entities.get(account, KIND, row.id, self._clock.now()) is None:
                    self._adopt(row, by)
            after = page[-1].name

    # -- how ----------------------------------------------------------------------------------------------------

    def _adopt(self, row: FlowRow, by: str) -> None:
        now = self._clock.now()
        record = FlowRecord(row.id, row.name, FlowStatus.ACTIVE, row.revision, created_at=now, created_by=by)
        entity = self._entities.put(record_entity(row.account, record, now + UNFINISHED), now, 0)
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
        self._entities.put(record_entity(account, described, None), self._clock.now(), entity.rev)
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
                with suppress(Conflict, NotFound, UnreadableRun):
                    self._engine.control.cancel(account, run.id, "its flow was deleted")
            self._backend.history.delete(account, run.id)
        if len(runs) < PAGE:
            self._backend.flows.delete(account, flow)
            self._entities.delete(account, KIND, entity.id)

    def _record(self, account: AccountId, flow: FlowId) -> tuple[FlowRecord, Entity]:
        entity = self._entities.get(account, KIND, flow, self._clock.now())
        if entity is None or (record := read_record(entity)).deleting:
            raise NotFound("there is no such flow")
        return record, entity

    def _all(self, account: AccountId) -> Iterable[FlowRecord]:
        after: str | None = None
        while page := self._entities.list(account, KIND, self._clock.now(), after=after, limit=PAGE):
            yield from (record for record in map(read_record, page) if not record.deleting)
            if len(page) < PAGE:
                return
            after = page[-1].id

    def _follow_check(self, account: AccountId, flow: FlowId, document: Flow) -> None:
        for follower in self._followers:
            follower.check(account, flow, document)


def _taken(found: Entity) -> Conflict:
    record = read_record(found)
    if record.deleting:
        return Conflict(f"a flow called {record.name!r} is being deleted", hint="try again in a moment")
    hint = "choose another name, or change that flow"
    return Conflict(f"there is a flow {record.name!r}", hint=hint, flow=record.id)
