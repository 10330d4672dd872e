"""The queue of SQS, call by call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.adapters.aws.backend import DynamoBackend
from flowrunner.adapters.aws.clients import Location
from flowrunner.adapters.aws.sqs import LONGEST_DELAY, PAUSES, SqsQueue
from flowrunner.core.ids import Millis
from flowrunner.errors import ConfigurationError, InvalidInput, StoreError, UnreadableMessage
from flowrunner.ports.queue import Message
from flowrunner.testing import TurnedClock

from tests.adapters.aws.calls import Door
from tests.adapters.aws.fake_cloud import FAST, SLOW, FakeCloud
from tests.adapters.aws.fake_queue import Letter
from tests.contracts.suites.build import LEASE, NOW, commit, message, receipt, run_row

SECOND = 1_000
MINUTE = 60_000


class Site:
    """A cloud, a backend with two lanes, and what went through its door."""

    def __init__(self) -> None:
        self.clock = TurnedClock(NOW)
        self.cloud = FakeCloud(self.clock)
        self.door = Door()
        self.backend = self.process(self.door)
        self.backend.migrate()

    @property
    def queue(self) -> SqsQueue:
        return queue_of(self.backend)

    def process(self, door: Door | None = None) -> DynamoBackend:
        sqs = self.cloud.client(self.cloud.queues, door or Door())
        return self.cloud.backend(door, sqs=sqs, queue=FAST, slow=SLOW)

    def letters(self, url: str = FAST) -> list[Letter]:
        return [*self.cloud.queues.lane(url).letters.values()]

    def steps(self, url: str = FAST) -> list[str]:
        return sorted(json.loads(letter.body)["step"] for letter in self.letters(url))

    def records(self, url: str = FAST, now: Millis | None = None) -> list[dict[str, Any]]:
        """What Lambda's event source receives and hands over."""
        self.clock.turn_to(now or self.clock.now())
        found = self.cloud.queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=360)
        return [
            {
                "messageId": one["MessageId"],
                "receiptHandle": one["ReceiptHandle"],
                "body": one["Body"],
                "attributes": one["Attributes"],
                "eventSourceARN": f"arn:aws:sqs:eu-west-1:1:{url.rpartition('/')[2]}",
            }
            for one in found.get("Messages", [])
        ]


def queue_of(backend: DynamoBackend) -> SqsQueue:
    assert isinstance(backend.queue, SqsQueue)
    return backend.queue


@pytest.fixture
def site() -> Site:
    return Site()


def slow(one: Message) -> Message:
    return replace(one, slow=True)


# -- sending --------------------------------------------------------------------------------------------------------------


def test_each_lane_has_its_messages(site: Site) -> None:
    """The account is the message group, and the body names the attempt."""
    site.queue.send([message("a"), slow(message("b"))])
    [fast], [late] = site.letters(), site.letters(SLOW)
    assert json.loads(fast.body) == {"v": 1, "account": "acme", "run": "run-1", "step": "a", "attempt": 1}
    assert (fast.group, late.group) == ("acme", "acme")
    assert site.steps(SLOW) == ["b"]


def test_one_queue_may_be_all_lanes() -> None:
    """Of an installation without slow steps."""
    cloud = FakeCloud(TurnedClock(NOW))
    backend = cloud.backend(sqs=cloud.client(cloud.queues), queue=FAST)
    backend.queue.send([slow(message("a"))])
    [delivery] = backend.queue.receive("w", NOW, LEASE, 10)
    backend.queue.release([delivery.receipt], NOW)
    assert [len(lane.letters) for lane in cloud.queues.lanes.values()] == [1]


@pytest.mark.parametrize("account", ["ümlaut", "a b", "x" * 129, "line\nbreak"])
def test_any_account_has_a_group(site: Site, account: str) -> None:
    """Also one whose name SQS would not take as it is; always the same, and another one for each."""
    site.queue.send([message("a", account=account), message("b", account=account), message("c", account="other")])
    groups = [letter.group for letter in site.letters()]
    assert len(set(groups)) == 2
    assert all(len(group) <= 128 and group.isascii() and group.isprintable() for group in groups)


def test_a_message_stays_small(site: Site) -> None:
    """Under 300 bytes, for ever: what has a longer name is refused before anything is stored."""
    with pytest.raises(InvalidInput, match="too long a name for SQS"):
        site.queue.send([message("a", run="r" * 300)])
    assert site.letters() == []


@pytest.mark.parametrize(("delay", "seconds"), [(-5, 0), (0, 0), (1, 1), (1_000, 1), (1_001, 2), (899_001, 900)])
def test_a_delay_is_whole_seconds_and_never_too_short(site: Site, delay: Millis, seconds: int) -> None:
    """SQS knows no milliseconds."""
    site.queue.send([message(due=NOW + delay)])
    assert [letter.visible for letter in site.letters()] == [NOW + seconds * SECOND]


def test_messages_are_sent_in_tens(site: Site) -> None:
    """That is what SQS takes at once."""
    site.queue.send([message(str(n)) for n in range(23)] + [slow(message("slow"))])
    assert site.door.calls.count("send_message_batch") == 4
    assert len(site.letters()) == 23


class Reluctant:
    """SQS that leaves some of a batch out, so many times."""

    def __init__(self, site: Site, times: int, *, fault: bool = False) -> None:
        self._send = site.cloud.queues.send_message_batch
        self._times = times
        self._fault = fault
        site.cloud.queues.send_message_batch = self  # type: ignore[method-assign]  # the fake is asked for it by name
        self.pauses: list[float] = []
        site.queue._pause = self.pauses.append

    def __call__(self, **arguments: Any) -> Any:
        entries = arguments["Entries"]
        if self._times == 0:
            return self._send(**arguments)
        self._times -= 1
        self._send(**{**arguments, "Entries": entries[1:]}) if entries[1:] else None
        failed = {"Id": entries[0]["Id"], "Code": "InternalError", "SenderFault": self._fault}
        return {"Successful": [], "Failed": [failed]}


def test_what_sqs_leaves_out_is_sent_again(site: Site) -> None:
    """And only that, after a pause."""
    reluctant = Reluctant(site, 2)
    site.queue.send([message(str(n)) for n in range(5)])
    assert site.steps() == ["0", "1", "2", "3", "4"]
    assert reluctant.pauses == [*PAUSES[:2]]


def test_what_sqs_does_not_take_at_all_is_trouble(site: Site) -> None:
    """After some tries, or at once when it says that it is our fault."""
    reluctant = Reluctant(site, 100)
    with pytest.raises(StoreError, match="SQS did not take a message: InternalError"):
        site.queue.send([message()])
    assert reluctant.pauses == [*PAUSES]
    blaming = Reluctant(site, 100, fault=True)
    with pytest.raises(StoreError):
        site.queue.send([message()])
    assert blaming.pauses == []


# -- on Lambda ------------------------------------------------------------------------------------------------------------


def test_what_lambda_received_is_adopted(site: Site) -> None:
    """With the times it was received. Its event source deletes it, so an acknowledgement does not."""
    site.queue.send([message("a")])
    site.records()
    records = site.records(now=NOW + 360 * SECOND)
    [delivery] = site.queue.adopt(records)
    assert (delivery.receipt, delivery.receives) == (receipt("a"), 2)
    site.queue.ack([delivery.receipt])
    assert site.steps() == ["a"]
    assert "receive_message" not in site.door.calls
    assert "delete_message_batch" not in site.door.calls


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"v":2,"account":"a","run":"r","step":"s","attempt":1}',
        '{"v":1,"account":"a","run":"r","step":"s"}',
        '{"v":1,"account":"a","run":["r"],"step":"s","attempt":1}',
        '{"v":1,"account":"a","run":"r","step":"s","attempt":"1"}',
        '{"v":1,"account":"a","run":"r","step":"s","attempt":true}',
    ],
)
def test_what_is_no_message_of_ours_is_said_to_be_none(site: Site, body: str) -> None:
    """On Lambda the caller hears of it; a worker leaves it to the dead-letter queue and goes on with the others."""
    with pytest.raises(UnreadableMessage):
        site.queue.adopt([{"body": body, "attributes": {}, "eventSourceARN": "arn:aws:sqs:eu-west-1:1:fast"}])
    site.cloud.queues.send_message(QueueUrl=FAST, MessageBody=body)
    site.queue.send([message("a")])
    assert [one.receipt.step for one in site.queue.receive("w", NOW, LEASE, 10)] == ["a"]
    assert len(site.letters()) == 2


def test_an_adopted_message_can_come_again_sooner(site: Site) -> None:
    """What failed is hidden for as long as the function might have taken, unless it is told otherwise."""
    site.queue.send([message("a"), slow(message("b"))])
    site.queue.adopt([*site.records(), *site.records(SLOW)])
    site.queue.renew([receipt("a"), receipt("b"), receipt("unknown")], "w", NOW + 7 * SECOND)
    assert [one.visible for one in (*site.letters(), *site.letters(SLOW))] == [NOW + 7 * SECOND] * 2


def test_what_is_given_back_stays_in_its_lane(site: Site) -> None:
    """A new message takes its place, also one for the table; dead letters have no lane."""
    site.queue.send([message("a"), slow(message("b")), slow(message("c"))])
    records = [*site.records(), *site.records(SLOW)]
    site.queue.adopt(records)
    site.queue.release([receipt("a"), receipt("b")], NOW + 5 * SECOND)
    site.queue.release([receipt("c")], NOW + 3_600 * SECOND)
    assert (site.steps(), site.steps(SLOW)) == (["a", "a"], ["b", "b", "c"])
    for record in records:
        site.cloud.queues.delete_message(
            QueueUrl=SLOW if "slow" in record["eventSourceARN"] else FAST, ReceiptHandle=record["receiptHandle"]
        )
    site.clock.turn_to(NOW + 3_000 * SECOND)
    assert site.backend.sweep(site.clock.now()).forwarded == 1
    assert (site.steps(), site.steps(SLOW)) == (["a"], ["b", "c"])
    [dead] = site.queue.adopt([{"body": records[0]["body"], "eventSourceARN": "arn:aws:sqs:eu-west-1:1:dead"}])
    site.queue.renew([dead.receipt], "w", LEASE)
    site.queue.release([dead.receipt], NOW)
    assert site.steps() == ["a", "a"]


def test_adopted_messages_are_not_remembered_for_ever(site: Site) -> None:
    """A warm process sees millions of them, and nobody says which of them failed."""
    body = {"v": 1, "account": "acme", "run": "run-1", "attempt": 1}
    for number in range(3_000):
        text = json.dumps({**body, "step": str(number)})
        site.queue.adopt([{"body": text, "receiptHandle": "h", "eventSourceARN": "arn:aws:sqs:eu-west-1:1:fast"}])
    assert len(site.queue._carried._held) <= 1_000


# -- handing off ----------------------------------------------------------------------------------------------------------


def chain(site: Site, backend: DynamoBackend, length: int) -> None:
    """A process goes on from step to step, each handed off to itself by the commit before."""
    for rev in range(2, length + 2):
        done, following = receipt(f"{rev - 1}.0"), slow(message(f"{rev}.0"))
        backend.runs.commit([commit(rev, ack=[done], hand_off=[following], owner="w", lease_until=LEASE)])


def begun(site: Site) -> None:
    site.backend.runs.create([run_row()], [message("1.0")])
    site.queue.adopt(site.records())


def test_what_is_handed_off_is_not_sent(site: Site) -> None:
    """Until it is given back: then it goes to the lane that it is for."""
    begun(site)
    chain(site, site.backend, 3)
    assert (site.steps(), site.steps(SLOW)) == (["1.0"], [])
    assert site.queue.bearers([receipt("4.0")]) == [receipt("1.0")]
    site.queue.release([receipt("4.0")], NOW)
    assert site.steps(SLOW) == ["4.0"]


def test_the_bearer_of_what_was_handed_off_brings_it_back(site: Site) -> None:
    """The process has died: its message comes again, and what it had not done is sent, for when its lease is over."""
    begun(site)
    chain(site, site.backend, 3)
    other = site.process()
    [delivery] = queue_of(other).adopt(site.records(now=NOW + 20 * SECOND + 340 * SECOND))
    other.queue.ack([delivery.receipt])
    assert [one.visible for one in site.letters(SLOW)] == [site.clock.now()], "its lease is over by now"
    assert site.steps(SLOW) == ["4.0"]


def test_a_copy_of_the_bearer_does_not_disturb_who_holds_it(site: Site) -> None:
    """While the lease holds, what was handed off is sent for its end."""
    begun(site)
    chain(site, site.backend, 2)
    other = site.process()
    record = {"body": site.letters()[0].body, "eventSourceARN": "arn:aws:sqs:eu-west-1:1:fast"}
    [copy] = queue_of(other).adopt([record])
    other.queue.ack([copy.receipt])
    assert [one.visible for one in site.letters(SLOW)] == [LEASE]


def test_a_worker_deletes_the_bearer_when_all_is_done(site: Site) -> None:
    """Not before: it would be lost with the process."""
    site.backend.runs.create([run_row()], [message("1.0")])
    site.queue.receive("w", NOW, LEASE, 10)
    chain(site, site.backend, 2)
    assert site.steps() == ["1.0"]
    site.queue.renew([receipt("3.0")], "w", LEASE + MINUTE)
    assert [one.visible for one in site.letters()] == [LEASE + MINUTE]
    site.backend.runs.commit([commit(4, ack=[receipt("3.0")], status="completed", ended_at=NOW)])
    assert site.letters() == []


def test_what_nothing_bears_comes_when_the_lease_would_be_over(site: Site) -> None:
    """A server starts a run and works on it itself; if it dies, others find the message."""
    site.backend.runs.create([run_row()], [message("1.0")], owner="w", lease_until=LEASE)
    assert [one.visible for one in site.letters()] == [LEASE]


# -- from the table to SQS ------------------------------------------------------------------------------------------------


def test_a_timer_goes_to_sqs_with_the_delay_that_is_left(site: Site) -> None:
    """A quarter of an hour before; until then it is in the table, and it is due to the second."""
    due = NOW + 2 * LONGEST_DELAY + 500
    site.queue.send([message(due=due), message("far", due=due + MINUTE)])
    early = due - LONGEST_DELAY - 1
    assert [site.backend.sweep(early).forwarded, site.backend.sweep(early + 1).forwarded] == [0, 1]
    site.clock.turn_to(due - MINUTE)
    assert site.backend.sweep(due - MINUTE).forwarded == 1
    assert site.steps() == ["1.0", "far"]
    assert site.queue.next_visible() is None


def test_the_delay_is_what_is_left_when_it_is_forwarded(site: Site) -> None:
    """Not what it was when it was sent."""
    due = NOW + 3_600 * SECOND
    site.queue.send([message(due=due)])
    site.clock.turn_to(due - 250 * SECOND)
    site.backend.sweep(site.clock.now())
    assert [letter.visible for letter in site.letters()] == [due]


def test_two_sweeps_at_once_lose_nothing(site: Site) -> None:
    """A message may come twice, and that is all."""
    due = NOW + 3_600 * SECOND
    site.queue.send([message(str(number), due=due) for number in range(10)])
    site.clock.turn_to(due - MINUTE)
    other = site.process()
    swept: list[int] = []

    def meanwhile(_number: int, name: str) -> None:
        if name == "send_message_batch" and not swept:
            swept.append(other.sweep(site.clock.now()).forwarded)

    site.door.plan(meanwhile)
    assert site.backend.sweep(site.clock.now()).forwarded == 10
    assert swept == [10]
    assert set(site.steps()) == {str(number) for number in range(10)}
    assert site.backend.sweep(site.clock.now()).forwarded == 0


def test_a_sweep_that_cannot_send_leaves_the_timers_where_they_are(site: Site) -> None:
    """The next one sends them."""
    due = NOW + 3_600 * SECOND
    site.queue.send([message(due=due)])
    site.clock.turn_to(due - MINUTE)
    site.door.plan(lambda number, name: "throttled" if name == "send_message_batch" else None)
    with pytest.raises(StoreError):
        site.backend.sweep(site.clock.now())
    site.door.plan(lambda number, name: None)
    assert site.backend.sweep(site.clock.now()).forwarded == 1


# -- where it is ----------------------------------------------------------------------------------------------------------


def test_a_location_names_table_bucket_queues_and_region() -> None:
    """As the deployment writes it, with the URLs as they are."""
    fast, late = "https://sqs.eu-west-1.amazonaws.com/1/fast", "https://sqs.eu-west-1.amazonaws.com/1/slow"
    url = f"dynamodb://Some.table-1?bucket=b&queue={fast}&slow={late}&region=eu-west-1"
    assert Location.parse(url) == Location("Some.table-1", "b", fast, late, "eu-west-1")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", "needs a table and a bucket"),
        ("?queue=https://q", "needs a table and a bucket"),
        ("?bucket=b&colour=red", "there is no 'colour'"),
        ("?bucket=b&bucket=c", "bucket is given twice"),
        ("?bucket=b&queue=fast", "queue is the URL of a queue"),
        ("?bucket=b&slow=https://q", "slow needs a queue"),
    ],
)
def test_a_location_that_cannot_be_is_refused(query: str, why: str) -> None:
    """With the reason."""
    with pytest.raises(ConfigurationError, match=why):
        Location.parse(f"dynamodb://table{query}")


def test_all_kinds_of_sequences_are_empty(site: Site) -> None:
    """Nothing to do asks nothing of AWS."""
    empty: Sequence[Any] = []
    site.door.plan(lambda number, name: None)
    for work in (site.queue.send, site.queue.ack, site.queue.adopt):
        work(empty)
    site.queue.renew(empty, "w", LEASE)
    site.queue.release(empty, NOW)
    assert site.door.calls == []
