"""Indexes follow a write within moments. Until then they show what was, and nobody is shown that."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.ports.entities import Entity
from flowrunner.ports.history import RunFilter
from flowrunner.testing import TurnedClock

from tests.adapters.aws.calls import Door
from tests.adapters.aws.fake_cloud import FakeCloud
from tests.contracts.suites.build import ACCOUNT, LEASE, NOW, RUN, commit, load, message, receipt, run_row

MINUTE = 60_000


class Lagging(FakeCloud):
    """An account whose indexes stand still from some moment on."""

    def __init__(self) -> None:
        super().__init__(TurnedClock(NOW))
        self._query = self.table.query
        self._stale: dict[str, Any] | None = None
        self.table.query = self.query  # type: ignore[method-assign]  # the fake is asked for it by name

    def stop(self) -> None:
        """From now on each question to an index is answered as it was answered first."""
        self._stale = {}

    def query(self, **arguments: Any) -> Any:
        if self._stale is None or "IndexName" not in arguments:
            return self._query(**arguments)
        return self._stale.setdefault(str(arguments), self._query(**arguments))


@pytest.fixture
def cloud() -> Lagging:
    return Lagging()


def test_lists_show_runs_as_they_are(cloud: Lagging) -> None:
    """One that has ended is not shown among those that run, and its facts are those of its end."""
    backend = cloud.backend()
    assert backend.capabilities.lagging_lists
    backend.runs.create([run_row()], [])
    cloud.stop()
    running = RunFilter(statuses=("running",), limit=10)
    assert [one.id for one in backend.history.runs(ACCOUNT, running)] == [RUN]
    backend.runs.commit([commit(status="completed", ended_at=NOW)])
    assert backend.history.runs(ACCOUNT, running) == []
    assert [one.status for one in backend.history.runs(ACCOUNT, RunFilter(limit=10))] in (["completed"], [])


def test_what_was_put_off_is_not_due(cloud: Lagging) -> None:
    """Nor is what was removed."""
    backend = cloud.backend()
    for id in ("later", "gone", "due"):
        backend.entities.put(Entity(ACCOUNT, "timer", id, b"", due=NOW), NOW)
    cloud.stop()
    assert len(backend.entities.due("timer", NOW, 10)) == 3
    backend.entities.put(Entity(ACCOUNT, "timer", "later", b"", due=NOW + MINUTE), NOW)
    backend.entities.delete(ACCOUNT, "timer", "gone")
    assert [one.id for one in backend.entities.due("timer", NOW, 10)] == ["due"]


def test_no_message_is_received_by_its_shadow(cloud: Lagging) -> None:
    """Neither one that was acknowledged nor one that another has."""
    backend, other = cloud.backend(), cloud.backend()
    backend.queue.send([message("a"), message("b")])
    cloud.stop()
    assert len(other.queue.receive("w1", NOW, LEASE, 10)) == 2
    other.queue.ack([receipt("a")])
    assert backend.queue.receive("w2", NOW, LEASE, 10) == []


def test_no_run_is_looked_at_by_its_shadow(cloud: Lagging) -> None:
    """A sweep that finds it again where it was sees that the look was taken."""
    door = Door()
    backend = cloud.backend(door)
    backend.runs.create([run_row()], [message()])
    cloud.stop()
    assert backend.sweep(NOW + MINUTE).resent == 1
    door.plan(lambda number, name: None)
    assert backend.sweep(NOW + MINUTE).resent == 0
    assert not {"put_item", "update_item"} & set(door.calls)
    assert load(backend).status == "running"
