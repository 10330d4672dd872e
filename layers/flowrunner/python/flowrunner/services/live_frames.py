"""Events as they leave the process: each is encoded once, however many get it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from flowrunner.core.flow import Json
from flowrunner.core.times import iso_time
from flowrunner.engine.feed import Placed, Position
from flowrunner.engine.run_events import RunEvent

MOMENTS = ("until", "retry_at")
"""Fields of an event's data that are moments."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An event with the position of a reader that has seen it."""

    position: Position
    event: RunEvent
    json: bytes

    @property
    def sse(self) -> bytes:
        """As a server-sent event. JSON text has no line breaks, so one line of data is enough."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (
            str(self.position).encode("ascii"),
            self.event.type.encode("ascii"),
            self.json,
        )


class Batch:
    """Frames that travel together to all who read the same; `ended`: nothing follows."""

    __slots__ = ("_sse", "ended", "frames", "size")

    def __init__(self, frames: Sequence[Frame], *, ended: bool = False) -> None:
        self.frames = frames
        self.ended = ended
        self.size = sum(len(frame.json) + 100 for frame in frames)
        self._sse: bytes | None = None

    @property
    def sse(self) -> bytes:
        """All frames as server-sent events. Called from one thread, that of the event loop."""
        if self._sse is None:
            self._sse = b"".join(frame.sse for frame in self.frames)
        return self._sse


def document(event: RunEvent) -> dict[str, Json]:
    """An event as the API shows it."""
    shown = event.document()
    shown["at"] = iso_time(event.at)
    data = event.data
    if isinstance(data, dict) and event.type in {"step.waiting", "step.retrying"}:
        times = {key: iso_time(data[key]) for key in MOMENTS if data.get(key)}
        shown["data"] = {**data, **times}
    return shown


def frame(placed: Placed) -> Frame:
    """Encode an event."""
    return Frame(placed.position, placed.event, orjson.dumps(document(placed.event)))


def frames(placed: Iterable[Placed]) -> list[Frame]:
    return [frame(one) for one in placed]
