"""The table's stream: records of what is written into the fake table, as Lambda's event source hands them on."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flowrunner.adapters.aws.backend import DynamoBackend
from flowrunner.ports.changes import RunMoved, StepSpoke
from flowrunner.ports.clock import Clock
from flowrunner.testing import TurnedClock

from tests.adapters.aws.expressions import Raw
from tests.adapters.aws.fake_cloud import FakeCloud
from tests.adapters.aws.fake_table import FakeTable, Place
from tests.engine.harness import Bench, bench

Record = dict[str, Any]


class StreamedTable(FakeTable):
    """A table that notes a record for each write that changes an item, in order."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.records: list[Record] = []
        self._number = 0

    def _store(self, place: Place, item: Raw | None) -> None:
        before = self.items.get(place)
        super()._store(place, item)
        if before == item:
            return
        self._number += 1
        name = "REMOVE" if item is None else "MODIFY" if before else "INSERT"
        change = {
            "Keys": {"pk": {"S": place[0]}, "sk": {"S": place[1]}},
            "ApproximateCreationDateTime": float(self.clock.now() // 1000),
            "SequenceNumber": f"{self._number:021d}",
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            **({"NewImage": _image(item)} if item is not None else {}),
            **({"OldImage": _image(before)} if before is not None else {}),
        }
        self.records.append({"eventID": str(self._number), "eventName": name, "dynamodb": change})

    def batch(self) -> list[Record]:
        """The records since the last time that the deployment's filter lets through."""
        found, self.records = self.records, []
        return [one for one in found if passes(one)]


def passes(record: Mapping[str, Any]) -> bool:
    """The filter of the event source: heads that were written, and rows of steps that run and were written again."""
    change = record["dynamodb"]
    sk: str = change["Keys"]["sk"]["S"]
    if record["eventName"] == "REMOVE":
        return False
    running: bool = change["NewImage"].get("st") == {"S": "r"}
    return sk == "0H" or (sk.startswith("S#") and record["eventName"] == "MODIFY" and running)


@dataclass
class Streamed:
    """An engine on a table with a stream."""

    bench: Bench
    backend: DynamoBackend
    table: StreamedTable
    cloud: FakeCloud

    def changes(self) -> list[RunMoved | StepSpoke]:
        """What the stream has told since the last time."""
        read = [self.backend.changes.read(record) for record in self.table.batch()]
        return [one for one in read if one is not None]

    def moved(self) -> list[RunMoved]:
        return [one for one in self.changes() if isinstance(one, RunMoved)]


@contextmanager
def streamed(**options: Any) -> Iterator[Streamed]:
    """An engine on a new table; `options` go to the engine."""
    cloud = FakeCloud(TurnedClock())
    cloud.table = table = StreamedTable(cloud.clock)
    backend = cloud.backend()
    backend.migrate()
    with bench(backend, **options) as b:
        table.clock = b.clock
        yield Streamed(b, backend, table, cloud)
    backend.close()


def _image(item: Raw) -> dict[str, Any]:
    """An item as JSON has it: bytes in base64."""
    return {
        name: {"B": b64encode(bytes(value["B"])).decode()} if "B" in value else dict(value)
        for name, value in item.items()
    }
