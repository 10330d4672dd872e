"""SQS in this process, by a clock that tests turn: at least once, in no order, with a dead-letter queue behind it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowrunner.core.ids import Millis
from flowrunner.ports.clock import Clock

from tests.adapters.aws.fake_client import FakeClient, refusal

RECEIVES = 5
"""Deliveries after which a message goes to the dead-letter queue."""


@dataclass
class Letter:
    """A message as the queue has it."""

    number: int
    body: str
    group: str
    visible: Millis
    receives: int = 0


@dataclass
class Lane:
    """A queue."""

    letters: dict[int, Letter] = field(default_factory=dict)
    dead: list[Letter] = field(default_factory=list)
    most_receives: int = 0


class FakeQueues(FakeClient):
    """A client of SQS. Queues are made when their URL is used.

    `chance` shuffles; without it messages come in the order in which they became visible. `copies` is how often each
    message is delivered, as one that is delivered at least once may be.
    """

    def __init__(self, clock: Clock, chance: random.Random | None = None, copies: int = 1) -> None:
        self._clock = clock
        self._chance = chance
        self._copies = copies
        self._count = 0
        self.lanes: dict[str, Lane] = {}

    def lane(self, url: str) -> Lane:
        return self.lanes.setdefault(url, Lane())

    def next_visible(self) -> Millis | None:
        """When there is something to receive, in any queue."""
        return min((one.visible for lane in self.lanes.values() for one in lane.letters.values()), default=None)

    def send_message_batch(self, **arguments: Any) -> Any:
        entries = arguments["Entries"]
        if not 1 <= len(entries) <= 10 or len({one["Id"] for one in entries}) < len(entries):
            raise refusal("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "SendMessageBatch")
        return {"Successful": [self._send(arguments["QueueUrl"], one) for one in entries]}

    def send_message(self, **arguments: Any) -> Any:
        return self._send(arguments["QueueUrl"], {"Id": "", **arguments})

    def _send(self, url: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        delay = entry.get("DelaySeconds", 0)
        if not 0 <= delay <= 900 or not isinstance(delay, int):
            raise refusal("InvalidParameterValue", "SendMessageBatch", f"DelaySeconds {delay}")
        assert len(entry["MessageBody"].encode()) < 300, "a message stays small for ever"
        alike = sum(one.body == entry["MessageBody"] for one in self.lane(url).letters.values())
        for _ in range(max(1, self._copies - alike)):  # copies of copies would never end
            self._count += 1
            visible = self._clock.now() + delay * 1000
            self.lane(url).letters[self._count] = Letter(
                self._count, entry["MessageBody"], entry.get("MessageGroupId", ""), visible
            )
        return {"Id": entry["Id"], "MessageId": str(self._count)}

    def receive_message(self, **arguments: Any) -> Any:
        lane, now = self.lane(arguments["QueueUrl"]), self._clock.now()
        hidden = now + arguments.get("VisibilityTimeout", 360) * 1000
        visible = sorted(
            (one for one in lane.letters.values() if one.visible <= now), key=lambda one: (one.visible, one.number)
        )
        if self._chance is not None:
            self._chance.shuffle(visible)
        found: list[dict[str, Any]] = []
        for letter in visible:
            if len(found) == arguments.get("MaxNumberOfMessages", 1):
                break
            if letter.receives >= RECEIVES:
                lane.dead.append(lane.letters.pop(letter.number))
                continue
            letter.receives += 1
            letter.visible = hidden
            lane.most_receives = max(lane.most_receives, letter.receives)
            found.append(
                {
                    "MessageId": str(letter.number),
                    "ReceiptHandle": f"{letter.number}/{letter.receives}",
                    "Body": letter.body,
                    "Attributes": {
                        "ApproximateReceiveCount": str(letter.receives),
                        "MessageGroupId": letter.group,
                    },
                }
            )
        return {"Messages": found} if found else {}

    def delete_message_batch(self, **arguments: Any) -> Any:
        lane = self.lane(arguments["QueueUrl"])
        for entry in arguments["Entries"]:
            lane.letters.pop(int(entry["ReceiptHandle"].split("/")[0]), None)
        return {"Successful": [{"Id": entry["Id"]} for entry in arguments["Entries"]]}

    def delete_message(self, **arguments: Any) -> Any:
        self.delete_message_batch(QueueUrl=arguments["QueueUrl"], Entries=[{"Id": "", **arguments}])
        return {}

    def change_message_visibility_batch(self, **arguments: Any) -> Any:
        lane = self.lane(arguments["QueueUrl"])
        for entry in arguments["Entries"]:
            letter = lane.letters.get(int(entry["ReceiptHandle"].split("/")[0]))
            if letter is not None:
                letter.visible = self._clock.now() + entry["VisibilityTimeout"] * 1000
        return {"Successful": [{"Id": entry["Id"]} for entry in arguments["Entries"]]}

    def change_message_visibility(self, **arguments: Any) -> Any:
        self.change_message_visibility_batch(QueueUrl=arguments["QueueUrl"], Entries=[{"Id": "", **arguments}])
        return {}

    def get_queue_attributes(self, **arguments: Any) -> Any:
        lane, now = self.lane(arguments["QueueUrl"]), self._clock.now()
        visible = sum(1 for one in lane.letters.values() if one.visible <= now)
        hidden = sum(1 for one in lane.letters.values() if one.visible > now and one.receives)
        counts = {
            "ApproximateNumberOfMessages": visible,
            "ApproximateNumberOfMessagesNotVisible": hidden,
            "ApproximateNumberOfMessagesDelayed": len(lane.letters) - visible - hidden,
        }
        return {"Attributes": {name: str(count) for name, count in counts.items()}}
