"""Events of SQS: their messages handled, and an answer that names those which have to come again.

It raises for nothing: for an error Lambda slows the whole event source down.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowrunner.core.ids import Millis
from flowrunner.errors import ConfigurationError, FlowrunnerError
from flowrunner.functions.observing import Observed
from flowrunner.functions.process import Context, ends_at
from flowrunner.ports.clock import Clock
from flowrunner.ports.queue import Delivery, Receipt, WorkQueue

Record = Mapping[str, Any]
Answer = dict[str, list[dict[str, str]]]
Adopt = Callable[[Sequence[Record]], Sequence[Delivery]]
"""`SqsQueue.adopt`: the deliveries in records of an event. Raises `FlowrunnerError` for one that is none."""

Handle = Callable[[Sequence[Delivery], Millis, str], Sequence[Receipt]]
"""Takes deliveries, when the invocation ends, and its name; answers what has to come again."""

SHOWN = 200
"""Characters of a message that cannot be read, in the log."""

log = logging.getLogger(__name__)


def adopter_of(queue: WorkQueue) -> Adopt:
    """What takes over the deliveries of Lambda's event source. Raises `ConfigurationError` if the queue has no such."""
    adopt: Adopt | None = getattr(queue, "adopt", None)
    if adopt is None:
        raise ConfigurationError("store.url: functions need a queue of SQS", hint="dynamodb://…&queue=URL&slow=URL")
    return adopt


class Messages:
    """A handler of such events.

    What cannot be read is logged and comes again, until SQS moves it to the dead-letter queue; with `last`, for the
    handler of that queue, it is dropped.
    """

    def __init__(self, adopt: Adopt, handle: Handle, observed: Observed, clock: Clock, *, last: bool = False) -> None:
        self._adopt = adopt
        self._handle = handle
        self._observed = observed
        self._clock = clock
        self._last = last

    def __call__(self, event: Mapping[str, Any], context: Context) -> Answer:
        with self._observed.invocation(context):
            records: Sequence[Record] = event.get("Records", ())
            try:
                failed = self._failed(records, context)
            except Exception:  # what is raised here would slow the whole event source down
                log.exception("an invocation failed; its messages come again")
                failed = [record["messageId"] for record in records]
            if failed:
                self._observed.count("MessagesReturned", len(failed))
            return {"batchItemFailures": [{"itemIdentifier": id} for id in failed]}

    def _failed(self, records: Sequence[Record], context: Context) -> list[str]:
        """The ids of messages that have to come again."""
        until = ends_at(context, self._clock)
        deliveries: list[Delivery] = []
        ids: dict[Receipt, list[str]] = {}
        failed: list[str] = []
        for record in records:
            try:
                (delivery,) = self._adopt([record])
            except FlowrunnerError as error:
                self._tell(record, error)
                if not self._last:
                    failed.append(record["messageId"])
                continue
            deliveries.append(delivery)
            ids.setdefault(delivery.receipt, []).append(record["messageId"])
        back = self._handle(deliveries, until, context.aws_request_id) if deliveries else ()
        for receipt in dict.fromkeys(back):
            failed += ids.get(receipt, ())
        return failed

    def _tell(self, record: Record, error: FlowrunnerError) -> None:
        body = str(record.get("body", ""))
        data = {"message": record["messageId"], "body": body[:SHOWN], "error": str(error)}
        log.error("a message cannot be read", extra={"data": data})
        self._observed.count("UnreadableMessages")
