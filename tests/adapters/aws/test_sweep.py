"""Runs that stand still: whatever the queue has lost is sent again, and what only takes its time is left in peace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flowrunner.core.ids import Millis, RunId
from flowrunner.engine.owed import STILL
from flowrunner.errors import StoreError
from flowrunner.ports.sweep import Swept

from tests.adapters.aws.calls import Door
from tests.adapters.aws.fake_cloud import FAST, SLOW
from tests.adapters.aws.flows import document
from tests.adapters.aws.lambdas import MINUTE, Installation, check, installation, quiet
from tests.adapters.aws.test_executor_faults import answer, through
from tests.engine.harness import ACCOUNT

DAY: Millis = 86_400_000


@pytest.fixture
def aws() -> Iterator[Installation]:
    with installation() as made:
        yield made


def purge(aws: Installation) -> None:
    """Somebody empties the queues."""
    for lane in aws.cloud.queues.lanes.values():
        lane.letters.clear()


def minutes(aws: Installation, count: int, every: Millis = MINUTE) -> list[Swept]:
    """Sweeps of as many minutes, in which nobody takes a message."""
    swept: list[Swept] = []
    for _ in range(count):
        aws.clock.turn_to(aws.clock.now() + every)
        swept.append(aws.people.backend.sweep(aws.clock.now()))
    return swept


def looks(swept: list[Swept]) -> list[int]:
    """The minutes at which something was sent again."""
    return [minute for minute, one in enumerate(swept, 1) if one.resent]


def look(aws: Installation) -> Millis | None:
    """When the only run is looked at next."""
    return next(iter(aws.due("L#")), None)


@pytest.mark.parametrize("name", ["linear", "join", "foreach", "waits", "callback", "retry", "once", "child"])
def test_a_purged_queue_loses_nothing_but_time(aws: Installation, name: str) -> None:
    """Whenever it happens: after the first message, the second, and so on."""
    flow = aws.save(document(name))
    expected = check(aws, through(aws, flow, "calm"))
    for number in range(12):
        aws.ledger.touched.clear()
        run = aws.start(flow, f"purged at {number}")
        for _ in range(number):
            aws.deliver()
        purge(aws)
        aws.work()
        if aws.people.engine.run(ACCOUNT, run).status == "waiting":
            answer(aws, run)
            purge(aws)
            aws.clock.turn_to(aws.clock.now() + DAY // 2)  # its look comes when it comes
            aws.tick()
            aws.work()
        check(aws, run, expected)
        assert len(aws.ledger.touched) == len(set(aws.ledger.touched)), "nothing is executed twice for it"
        quiet(aws)


def test_a_run_in_a_line_is_not_forgotten(aws: Installation) -> None:
    """It waits for its turn, and the message that tells it so is lost."""
    text = document("linear").replace("mode: standard", "mode: standard\nconcurrency: {max_runs: 1, on_limit: queue}")
    flow = aws.save(text)
    first, second = aws.start(flow, "first"), aws.start(flow, "second")
    while aws.people.engine.run(ACCOUNT, first).status != "completed":
        aws.deliver()
    aws.deliver()
    purge(aws)
    aws.work()
    check(aws, second)
    quiet(aws)


def test_a_run_ends_at_its_deadline_though_the_message_was_lost(aws: Installation) -> None:
    """It waits for an answer that does not come."""
    run = aws.start(aws.save(document("callback").replace("nodes:", "timeout: 2h\nnodes:")), "run")
    aws.deliver()
    for _ in range(124):
        minutes(aws, 1)
        purge(aws)
    assert aws.people.engine.run(ACCOUNT, run).status == "waiting"
    minutes(aws, 1)
    while aws.deliver():
        pass
    assert aws.people.engine.run(ACCOUNT, run).status == "failed", "five minutes after its deadline"


def test_a_run_that_stands_still_is_looked_at_less_and_less(aws: Installation) -> None:
    """After one minute, since its creator may have died, then after five, ten, twenty. Told of from the third time."""
    aws.start(aws.save(document("linear")), "run")
    swept = minutes(aws, 80)
    assert looks(swept) == [1, 6, 16, 36, 76]
    assert [one.stuck for one in swept if one.resent] == [0, 0, 1, 1, 1]
    assert len(aws.cloud.queues.lane(FAST).letters) == 1 + 5
    aws.work()
    check(aws, RunId("run"))
    quiet(aws)


def test_a_run_that_moves_is_left_in_peace(aws: Installation) -> None:
    """Each look finds that it has moved, and nothing is sent; when it stops, five minutes go by."""
    run = aws.start(aws.save(document("linear")), "run")
    aws.deliver()
    assert looks(minutes(aws, 1)) == []
    aws.deliver()
    assert looks(minutes(aws, 5)) == [], "the second step is newer than the first look"
    assert looks(minutes(aws, 5)) == [5]
    aws.work()
    check(aws, run)


def test_steps_move_no_key_of_an_index(aws: Installation) -> None:
    """A key that changes costs two writes more. A run that is over within minutes pays for its place once."""
    aws.start(aws.save(document("linear")), "run")
    before = look(aws)
    assert before == aws.clock.now() + MINUTE
    for _ in range(2):
        aws.deliver()
        assert look(aws) == before
    aws.deliver()
    assert look(aws) is None


def test_a_long_wait_is_not_looked_at_before_its_end(aws: Installation) -> None:
    """The commit that begins it says until when it takes."""
    flow = aws.save(document("waits").replace("2h", "3d"))
    aws.start(flow, "run")
    for _ in range(3):  # a begins to wait, comes 5 s later, and b begins
        aws.deliver()
        aws.clock.turn_to(aws.clock.now() + 5_000)
    assert look(aws) == aws.clock.now() - 5_000 + 3 * DAY + STILL
    assert minutes(aws, 100) == [Swept()] * 100
    aws.work()
    check(aws, RunId("run"))


def test_who_waits_for_an_answer_is_asked_seldom_and_is_not_stuck(aws: Installation) -> None:
    """The message that brings the answer may be lost, too. A week of waiting costs some forty looks."""
    run = aws.start(aws.save(document("callback")), "run")
    aws.deliver()
    swept = []
    for _ in range(7 * 24):
        swept += minutes(aws, 1, every=60 * MINUTE)
        purge(aws)
    assert 28 < sum(one.resent for one in swept) < 45
    assert sum(one.stuck for one in swept) == 0
    answer(aws, run)
    purge(aws)
    minutes(aws, 7, every=60 * MINUTE)
    aws.work()
    check(aws, run)


def test_of_two_sweeps_at_once_one_sends(aws: Installation) -> None:
    """The look is taken before anything is sent."""
    aws.start(aws.save(document("join")), "run")
    aws.deliver()
    minutes(aws, 1)
    purge(aws)
    aws.clock.turn_to(aws.clock.now() + STILL)
    door = Door()
    first, second = aws.process(FAST, door).backend, aws.process(FAST).backend
    swept: list[Swept] = []

    def meanwhile(_number: int, name: str) -> None:
        if name == "update_item" and not swept:
            swept.append(second.sweep(aws.clock.now()))

    door.plan(meanwhile)
    swept.append(first.sweep(aws.clock.now()))
    assert [one.resent for one in swept] == [2, 0]
    assert len(aws.cloud.queues.lane(FAST).letters) == 2
    first.close()
    second.close()


def test_a_sweep_that_dies_is_made_up_for(aws: Installation) -> None:
    """At each of its calls: by the look after that, five minutes later."""
    flow = aws.save(document("linear"))
    for number in range(1, 12):
        run = aws.start(flow, f"run {number}")
        purge(aws)
        aws.clock.turn_to(aws.clock.now() + MINUTE)
        door = Door()
        dying = aws.process(FAST, door)
        door.plan(lambda call, _name, at=number: "fails" if call == at else None)  # type: ignore[misc]  # bound now
        try:
            dying.backend.sweep(aws.clock.now())
        except StoreError:
            aws.trouble.clear()
        dying.backend.close()
        aws.work()
        check(aws, run)


def test_in_a_crowd_nothing_is_sent_again(aws: Installation) -> None:
    """What has not come yet most likely waits like the others, and more messages would make that worse."""
    run = aws.start(aws.save(document("linear")), "run")
    for number in range(1_001):
        aws.cloud.queues.send_message(QueueUrl=SLOW, MessageBody=str(number))
    assert minutes(aws, 12) == [Swept()] * 12
    purge(aws)
    assert looks(minutes(aws, 5)) == [4], "one minute, and twice five, after it began"
    aws.work()
    check(aws, run)


def test_a_run_that_cannot_be_read_is_told_of(aws: Installation) -> None:
    """What its last commit owes is known all the same."""
    aws.start(aws.save(document("linear")), "run")
    [head] = [item for item in aws.cloud.table.items.values() if item["sk"]["S"] == "0H"]
    head["hd"] = {"B": b"\0" + b'{"v":99}'}
    purge(aws)
    swept = minutes(aws, 20)
    assert [(one.resent, one.stuck) for one in swept if one.resent] == [(1, 0), (1, 0), (1, 1)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("ob", b"\0[99,[]]\n"), ("b", b"\3things/gone")],
    ids=["newer outbox", "object gone"],
)
def test_a_run_that_is_damaged_keeps_no_other_from_its_look(aws: Installation, name: str, value: bytes) -> None:
    """It is told of, and looked at less and less."""
    flow = aws.save(document("linear"))
    aws.start(flow, "damaged")
    place = "0H" if name == "ob" else "0F"
    [item] = [item for item in aws.cloud.table.items.values() if item["sk"]["S"] == place]
    item[name] = {"B": value}
    run = aws.start(flow, "sound")
    purge(aws)
    assert [(one.resent, one.stuck) for one in minutes(aws, 16) if one != Swept()] == [(1, 0), (1, 0), (1, 2)]
    aws.work()
    check(aws, run)


def test_a_run_that_was_removed_is_not_looked_at(aws: Installation) -> None:
    """Its place in the index goes with it; if it goes while a sweep is at it, nothing comes of that."""
    flow = aws.save(document("linear"))
    aws.people.backend.history.delete(ACCOUNT, aws.start(flow, "run"))
    assert aws.due("L#") == []
    run = aws.start(flow, "another")
    purge(aws)
    door = Door()
    sweeping = aws.process(FAST, door).backend
    aws.clock.turn_to(aws.clock.now() + MINUTE)

    def meanwhile(_number: int, name: str) -> None:
        if name == "get_item":
            aws.people.backend.history.delete(ACCOUNT, run)

    door.plan(meanwhile)
    assert sweeping.sweep(aws.clock.now()) == Swept()
    assert [*aws.cloud.queues.lane(FAST).letters] == []
    sweeping.close()


def test_a_worker_on_a_server_sweeps_by_itself(aws: Installation) -> None:
    """Once a minute, when it looks for messages."""
    aws.start(aws.save(document("linear")), "run")
    purge(aws)
    queue, now = aws.people.backend.queue, aws.clock.now()
    counts = []
    for second in (0, 59, 60, 61, 119, 120):
        aws.clock.turn_to(now + second * 1_000)
        counts.append(len(queue.receive("w", aws.clock.now(), aws.clock.now() + MINUTE, 10)))
    assert counts == [0, 0, 1, 0, 0, 1], "one was sent again; and it was received and not acknowledged"


def test_an_idle_sweep_asks_the_index_and_nothing_else(aws: Installation) -> None:
    """Seven queries, with a run or without: SQS is not asked, and nothing is written."""
    door = Door()
    idle = aws.process(FAST, door)
    aws.people.engine.start(aws.save(document("waits")))
    door.plan(lambda number, name: None)
    assert idle.backend.sweep(aws.clock.now()) == Swept()
    assert door.calls == ["query"] * 7
    idle.backend.close()
