"""The work queue through SQS: what carries steps on AWS. What is due later than SQS can wait for stays in the table.

Two standard queues, the lanes for quick and for slow steps, with the account as message group, so that an account with
much to do does not hold the others up (fair queues). A message names its attempt and no more. `docs/aws-store.md` says
where this queue differs from the one in the table: SQS knows no priorities, does not recognise a message sent twice,
and counts only roughly. None of it matters to a run.

On Lambda the event source receives and deletes, and the executor `adopt`s what it is given. A worker on a server
receives by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Any

from flowrunner.adapters.aws.carried import Carried, Held
from flowrunner.adapters.aws.journal import Journal
from flowrunner.adapters.aws.letters import delivered, group, seconds, written
from flowrunner.adapters.aws.outbox import Letter
from flowrunner.adapters.aws.queue import SWEEP_EVERY, Sweep, TableQueue
from flowrunner.adapters.aws.table import Table, translated
from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.errors import StoreError, UnreadableMessage
from flowrunner.ports.clock import Clock
from flowrunner.ports.queue import Delivery, Message, QueueLoad, Receipt
from flowrunner.ports.wakeups import Topic

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

LONGEST_DELAY: Millis = 900_000
"""What SQS can wait for (`DelaySeconds`)."""

LONGEST_HIDING = 43_200
"""Seconds for which SQS hides a message at most (`VisibilityTimeout`)."""

AT_ONCE = 10
"""What SQS takes in one batch."""

PAUSES = (0.1, 0.3, 0.9)
"""Seconds before what SQS has left out of a batch is sent again. (Whole requests botocore repeats.)"""

FORWARD_AT_ONCE = 500
FORWARD_MOST = 20_000
"""Messages that go from the table to SQS in one request's batches, and in one sweep."""

CROWD = 1_000
"""Messages that wait in SQS, above which a run that stands still is taken to be among them."""

COUNTED = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")

COUNT_MOST = 10_000
"""Timers in the table that are counted for the load."""

log = logging.getLogger(__name__)


class SqsQueue:
    """See `ports.queue.WorkQueue` and `journal.Outlet`.

    A message that is handed off is not sent at all: it lives in this process, and the one that led to it, its bearer,
    stays with SQS until it is done. If the process dies, the bearer comes again, and the journal makes up for the rest.
    """

    def __init__(
        self,
        sqs: SQSClient,
        url: str,
        slow: str,
        table: Table,
        later: TableQueue,
        clock: Clock,
        tell: Callable[[Topic], None],
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """`slow`: the queue for slow steps, if they have one of their own."""
        self._sqs = sqs
        self._lanes = (url, slow or url)
        self._table = table
        self._later = later
        self._clock = clock
        self._tell = tell
        self._pause = pause or Event().wait
        self._carried = Carried()
        self._journal: Journal | None = None
        self._sweep: Sweep | None = None
        self._next_sweep: Millis = 0

    def attend(self, journal: Journal, sweep: Sweep) -> None:
        """From now on let `journal` settle what messages led to, before they go, and call `sweep` once a minute."""
        self._journal, self._sweep = journal, sweep

    # -- ports.queue.WorkQueue ----------------------------------------------------------------------------------

    def send(self, messages: Sequence[Message]) -> None:
        self.put([Letter(message) for message in messages])
        if messages:
            self._tell("queue")

    def receive(self, owner: str, now: Millis, lease_until: Millis, limit: int) -> Sequence[Delivery]:
        if self._sweep is not None and now >= self._next_sweep:
            self._next_sweep = now + SWEEP_EVERY
            self._sweep(now)
        received: list[Delivery] = []
        for url in dict.fromkeys(self._lanes):
            while len(received) < limit:
                batch = self._receive(url, lease_until - now, limit - len(received))
                received += [delivery for delivery in batch if delivery is not None]
                if not batch:
                    break
        return received

    def adopt(self, records: Iterable[Mapping[str, Any]]) -> list[Delivery]:
        """The deliveries in an event of Lambda, whose event source deletes them when it is told that they are done.

        Raises `UnreadableMessage` if one is none of ours.
        """
        adopted: list[Delivery] = []
        for record in records:
            delivery = delivered(record.get("body", ""), record.get("attributes", {}))
            url = self._lane_of(record.get("eventSourceARN", ""))
            handle = Held(url, record.get("receiptHandle", ""), adopted=True) if url else None
            self._carried.take(delivery.receipt, handle)
            adopted.append(delivery)
        return adopted

    def receive_in_turn(
        self, owner: str, now: Millis, lease_until: Millis, after: AccountId, limit: int
    ) -> tuple[Sequence[Delivery], AccountId]:
        """Gives nothing: SQS shares among accounts by itself, as they are its message groups."""
        return [], AccountId("")

    def renew(self, receipts: Sequence[Receipt], owner: str, lease_until: Millis) -> None:
        hidden = seconds(lease_until - self._clock.now(), LONGEST_HIDING)
        for url, handles in self._carried.handles(receipts).items():
            for some in _batches(handles):
                entries: Any = [
                    {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": hidden}
                    for number, handle in enumerate(some)
                ]
                with translated("SQS"):
                    self._sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)

    def release(self, receipts: Sequence[Receipt], due: Millis) -> None:
        # A new message takes the place of the old one: it may wait as long as it likes, and its deliveries are counted
        # from the beginning, as they should be for one that was given back.
        wanted = list(dict.fromkeys(receipts))
        self.put([Letter(Message(one, due, slow=self._is_slow(one))) for one in wanted if self._carried.has(one)])
        self.remove(wanted)
        self._tell("queue")

    def ack(self, receipts: Sequence[Receipt]) -> None:
        if self._journal is not None:
            self._journal.settle_acknowledged(receipts, self.bearers(receipts))
        self.remove(receipts)

    def next_visible(self) -> Millis | None:
        """When a message in the table has to go to SQS; what SQS has, it does not tell."""
        first = self._later.next_visible()
        return max(first - LONGEST_DELAY, self._next_sweep) if first is not None else None

    def load(self, now: Millis) -> QueueLoad:
        """SQS counts roughly, and knows no runs: each message is taken for a run of its own."""
        visible, *others = (sum(counts) for counts in zip(*self._counts(), strict=True))
        return QueueLoad(visible, None, visible + sum(others) + self._later.count(COUNT_MOST))

    # -- journal.Outlet -----------------------------------------------------------------------------------------

    def put(self, letters: Sequence[Letter]) -> None:
        now = self._clock.now()
        self._later.put([letter for letter in letters if letter.due - now > LONGEST_DELAY])
        self._send([letter for letter in letters if letter.due - now <= LONGEST_DELAY], now)

    def hand_off(self, letters: Sequence[Letter], owner: str, lease_until: Millis, acked: Sequence[Receipt]) -> None:
        if acked:
            self._carried.hand_off([letter.message for letter in letters], acked[0])
        else:
            # Nothing bears them: they come to whoever is there when the lease would be over.
            self.put([Letter(letter.message, held=lease_until) for letter in letters])

    def remove(self, receipts: Sequence[Receipt], before: int | None = None) -> None:
        for url, handles in self._carried.drop(receipts).items():
            for some in _batches(handles):
                entries: Any = [{"Id": str(number), "ReceiptHandle": handle} for number, handle in enumerate(some)]
                with translated("SQS"):
                    self._sqs.delete_message_batch(QueueUrl=url, Entries=entries)

    def clear(self, account: AccountId, run: RunId, keep: Iterable[Receipt], before: int) -> None:
        # What SQS has finds its run over when it comes.
        self._later.clear(account, run, keep, before)

    def bearers(self, receipts: Sequence[Receipt]) -> Sequence[Receipt]:
        return list(dict.fromkeys(self._carried.bearer(receipt) for receipt in receipts))

    def forward(self, now: Millis) -> int:
        """Send what is due soon enough for SQS; answers how many. Safe in several processes at once.

        A message goes to SQS before it leaves the table: after a crash it is sent twice, which changes nothing.
        """
        messages, count = islice(self._later.due_until(now + LONGEST_DELAY), FORWARD_MOST), 0
        while some := list(islice(messages, FORWARD_AT_ONCE)):
            self._send([Letter(message) for message in some], now)
            self._later.remove([message.receipt for message in some])
            count += len(some)
        return count

    def crowded(self) -> bool:
        return sum(counts[0] for counts in self._counts()) > CROWD

    # -- how ----------------------------------------------------------------------------------------------------

    def _receive(self, url: str, lease: Millis, limit: int) -> list[Delivery | None]:
        """One request; None stands for what cannot be read, which stays and comes again until SQS gives it up."""
        with translated("SQS"):
            answer = self._sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=min(AT_ONCE, limit),
                VisibilityTimeout=seconds(lease, LONGEST_HIDING),
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
                WaitTimeSeconds=0,  # a worker's thread may not wait here: it has steps to commit
            )
        found: list[Delivery | None] = []
        for message in answer.get("Messages", []):
            try:
                delivery = delivered(message.get("Body", ""), message.get("Attributes", {}))
            except UnreadableMessage as error:
                log.warning("%s: %s", error, message.get("MessageId", ""))
                found.append(None)
                continue
            self._carried.take(delivery.receipt, Held(url, message.get("ReceiptHandle", "")))
            found.append(delivery)
        return found

    def _lane_of(self, arn: str) -> str:
        """The queue that an event comes from; empty for another one, as that of dead letters."""
        name = arn.rpartition(":")[2]
        return next((url for url in self._lanes if url.rpartition("/")[2] == name), "")

    def _is_slow(self, receipt: Receipt) -> bool:
        fast, slow = self._lanes
        return fast != slow and self._carried.slow(receipt, slow)

    def _counts(self) -> list[list[int]]:
        names: Any = list(COUNTED)
        found: list[list[int]] = []
        for url in dict.fromkeys(self._lanes):
            with translated("SQS"):
                attributes: Any = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            found.append([int(attributes.get(name, 0)) for name in COUNTED])
        return found

    def _send(self, letters: Sequence[Letter], now: Millis) -> None:
        batches = [
            (url, batch)
            for slow, url in enumerate(self._lanes)
            for batch in _batches([letter for letter in letters if letter.message.slow == bool(slow)])
        ]
        self._table.each(lambda one: self._send_batch(one[0], one[1], now), batches)

    def _send_batch(self, url: str, letters: Sequence[Letter], now: Millis) -> None:
        left: Any = [_entry(number, letter, now) for number, letter in enumerate(letters)]
        for pause in (*PAUSES, None):
            with translated("SQS"):
                answer = self._sqs.send_message_batch(QueueUrl=url, Entries=left)
            failed = {one["Id"]: one for one in answer.get("Failed", [])}
            if not failed:
                return
            why = next(iter(failed.values()))
            if pause is None or any(one["SenderFault"] for one in failed.values()):
                raise StoreError(f"SQS did not take a message: {why['Code']}", code=why["Code"])
            left = [entry for entry in left if entry["Id"] in failed]
            self._pause(pause)


def _entry(number: int, letter: Letter, now: Millis) -> dict[str, Any]:
    receipt = letter.message.receipt
    return {
        "Id": str(number),
        "MessageBody": written(receipt),
        "DelaySeconds": seconds(letter.due - now, LONGEST_DELAY // 1000),
        "MessageGroupId": group(receipt.account),
    }


def _batches(things: Sequence[Any]) -> list[Sequence[Any]]:
    return [things[start : start + AT_ONCE] for start in range(0, len(things), AT_ONCE)]
