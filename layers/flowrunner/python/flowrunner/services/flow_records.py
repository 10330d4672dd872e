"""What is known of a flow without reading its document: the record that lists show, and how flows are found by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from flowrunner.core.ids import AccountId, FlowId, Millis
from flowrunner.core.problems import Problem
from flowrunner.errors import InvalidInput
from flowrunner.ports.entities import Entity
from flowrunner.ports.flows import FlowRow

KIND = "flow"


class FlowStatus(StrEnum):
    """`draft`: can be run by hand, its triggers do nothing. `archived`: cannot be run."""

    DRAFT = "draft"
    ACTIVE = "active"
    ARCHIVED = "archived"


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


def parse_label(text: str) -> tuple[str, str | None]:
    """`team=growth` or `team`, as a filter. Raises `InvalidInput`."""
    key, separator, value = text.partition("=")
    if not key:
        raise InvalidInput("a label filter is written name=value, or name", field="label")
    return key, value if separator else None


def record_entity(account: AccountId, record: FlowRecord, due: Millis | None) -> Entity:
    """The entity that keeps a record; with `due` there is something to finish then."""
    values = {key: getattr(record, key) for key in FlowRecord.__slots__ if key != "id"}
    return Entity(account, KIND, record.id, orjson.dumps(values), lookup=lookup_of(account, record.name), due=due)


def lookup_of(account: AccountId, name: str) -> str:
    """The second name of a record: the flow's name, unique in the account."""
    return f"{account}/{name}"


def read_record(entity: Entity) -> FlowRecord:
    """The record that an entity keeps."""
    values: dict[str, Any] = orjson.loads(entity.body)
    return FlowRecord(id=FlowId(entity.id), **{**values, "status": FlowStatus(values["status"])})


def fits(record: FlowRecord, query: FlowQuery) -> bool:
    """Whether a flow is one of those that are looked for."""
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
