"""A deployment on AWS in this process: executors that are invoked, one delivery each, the minute's sweep, and people.

The functions' processes share a `FakeCloud` and nothing else. What Lambda does is done here: it receives, invokes,
deletes what was done, and starts another process when one has died.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any

from flowrunner.adapters.aws.backend import TRUST, DynamoBackend
from flowrunner.adapters.aws.keys import read_moment
from flowrunner.adapters.aws.sqs import LONGEST_DELAY, SqsQueue
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.core.status import TERMINAL
from flowrunner.engine.dead_letters import DeadLetters, DeadLetterSettings
from flowrunner.engine.engine import Engine
from flowrunner.engine.invocation import Invocations, InvocationSettings
from flowrunner.engine.records import Attempt
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import StepError
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.registry import Registry
from flowrunner.ports.queue import Delivery
from flowrunner.testing import TurnedClock

from tests.adapters.aws.calls import Death, Door
from tests.adapters.aws.fake_cloud import FAST, SLOW, FakeCloud
from tests.adapters.aws.fake_queue import Letter
from tests.engine.harness import ACCOUNT, make_engine

MINUTE: Millis = 60_000
TIMES: Mapping[str, Millis] = {FAST: 60_000, SLOW: 900_000}
"""What an invocation has."""
HIDDEN = 6
"""Times as long as that a message is hidden while it is handled."""
HOUR: Millis = 3_600_000


class TouchParams(Params):
    give: Json = None
    size: int = 0
    """So many more bytes that hardly compress."""
    fails: int = 0
    """The first attempts that fail."""


class Touch(NodeType[TouchParams]):
    """Does something outside, which the installation hears of."""

    name = "touch"
    params = TouchParams

    def __init__(self) -> None:
        self.heard: Callable[[RunId, StepId, int], None] = lambda run, step, attempt: None

    def execute(self, ctx: Context[TouchParams]) -> Result:
        self.heard(RunId(ctx.run.id), StepId(ctx.step), ctx.attempt)
        if ctx.attempt <= ctx.params.fails:
            raise StepError("not yet", code="NOT_YET", retryable=True)
        if ctx.params.size:
            return Result({"give": ctx.params.give, "filling": random.Random(1).randbytes(ctx.params.size // 2).hex()})
        return Result(ctx.params.give)


@dataclass
class Ledger:
    """What was done outside, and what should not have been."""

    touched: list[tuple[RunId, StepId, int]] = field(default_factory=list)
    late: list[tuple[RunId, StepId, int]] = field(default_factory=list)
    """Though a commit had taken a result before."""


@dataclass
class Process:
    """One process of a function."""

    door: Door
    backend: DynamoBackend
    engine: Engine
    invocations: Invocations
    dead_letters: DeadLetters

    def adopt(self, record: Mapping[str, Any]) -> list[Delivery]:
        queue = self.backend.queue
        assert isinstance(queue, SqsQueue)
        return queue.adopt([record])


class Installation:
    """See the module. `chance` shuffles deliveries, `copies` is how often each message comes."""

    def __init__(
        self, chance: random.Random | None = None, copies: int = 1, account: AccountId = ACCOUNT, warm: int = 1
    ) -> None:
        """`warm` processes of each lane take turns."""
        self.account = account
        self.warm = warm
        self.clock = TurnedClock()
        self.cloud = FakeCloud(self.clock, chance, copies)
        self.ledger = Ledger()
        self.trouble: list[BaseException] = []
        self.touches: list[int] = []
        """The invocations that have done something outside."""
        self.looks_after = True
        """Whether the sweep looks at runs that stand still; without, it only forwards timers."""
        self.invoked = 0
        self.deaths = 0
        self._processes: dict[tuple[str, int], Process] = {}
        self._swept: Millis = self.clock.now()
        self.people = self.process(FAST)
        self.people.backend.migrate()

    # -- processes ------------------------------------------------------------------------------------------------

    def process(self, lane: str, door: Door | None = None) -> Process:
        """A new process, of the executor of a lane."""
        door = door or Door()
        sqs = self.cloud.client(self.cloud.queues, door)
        backend = self.cloud.backend(door, sqs=sqs, queue=FAST, slow=SLOW, trust=TRUST)
        registry = Registry([EntryPoint("touch", f"{__name__}:Touch", "flowrunner.nodes")])
        engine, _ = make_engine(
            backend, clock=self.clock, draws=self.cloud.draws, registry=registry, public_url="https://flows.example"
        )
        touch = registry.get("touch")
        assert isinstance(touch, Touch)
        touch.heard = self._heard
        settings = InvocationSettings(slow_lane=lane == SLOW, pauses=(0,) * 5)  # nobody sleeps in a test
        invocations = engine.invocations(settings, on_error=self.trouble.append)
        return Process(door, backend, engine, invocations, engine.dead_letters(DeadLetterSettings(), settings))

    def executor(self, lane: str) -> Process:
        """The process of a lane that is there; another one if it has died."""
        place = lane, self.invoked % self.warm
        if place not in self._processes:
            self._processes[place] = self.process(lane)
        return self._processes[place]

    def close(self) -> None:
        for process in (self.people, *self._processes.values()):
            self._end(process)

    def _end(self, process: Process) -> None:
        process.backend.close()
        process.engine.parts.registry.shutdown()
        process.engine.parts.http.close()

    def _heard(self, run: RunId, step: StepId, attempt: int) -> None:
        self.ledger.touched.append((run, step, attempt))
        self.touches.append(self.invoked)
        row = self.people.backend.history.step(self.account, run, step, attempt)
        if row is not None and row.status.final and row.rev:
            self.ledger.late.append((run, step, attempt))

    # -- people ---------------------------------------------------------------------------------------------------

    def save(self, document: str) -> StartRequest:
        """A flow, ready to be started with `start`."""
        row = self.people.engine.save_flow(self.account, document)
        return StartRequest(self.account, row.id, row.revision, None)

    def start(self, request: StartRequest, run: str, value: Json = None, process: Process | None = None) -> RunId:
        made = StartRequest(request.account, request.flow, request.revision, value, run=RunId(run))
        return (process or self.people).engine.start(made)

    # -- Lambda ---------------------------------------------------------------------------------------------------

    def deliver(self) -> bool:
        """One message to one invocation; false when there is none."""
        return any(self._invoke(lane) for lane in (FAST, SLOW))

    def _invoke(self, lane: str) -> bool:
        queues, now = self.cloud.queues, self.clock.now()
        hidden = HIDDEN * TIMES[lane] // 1000
        received = queues.receive_message(QueueUrl=lane, MaxNumberOfMessages=1, VisibilityTimeout=hidden)
        if not received:
            return False
        [message] = received["Messages"]
        self.invoked += 1
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "eventSourceARN": f"arn:aws:sqs:eu-west-1:1:{lane.rpartition('/')[2]}",
        }
        process = self.executor(lane)
        try:
            deliveries = process.adopt(record)
            failed = process.invocations.handle(deliveries, now + TIMES[lane], f"request-{self.invoked}")
        except Death:
            failed = []
        if process.door.dead:
            self.died(lane)  # also when a thread of it has died, and the others had nothing to say any more
            return True
        if not failed:
            queues.delete_message(QueueUrl=lane, ReceiptHandle=message["ReceiptHandle"])
        return True

    def died(self, lane: str) -> None:
        self.deaths += 1
        self._end(self._processes.pop((lane, self.invoked % self.warm)))

    def tick(self) -> None:
        """The scheduler's minute, and whatever has come to be a dead letter."""
        self._swept = self.clock.now()
        queue = self.people.backend.queue
        assert isinstance(queue, SqsQueue)
        if self.looks_after:
            self.people.backend.sweep(self.clock.now())
        else:
            queue.forward(self.clock.now())
        for lane in (FAST, SLOW):
            dead, self.cloud.queues.lane(lane).dead = self.cloud.queues.lane(lane).dead, []
            for letter in dead:
                self._bury(letter)

    def _bury(self, letter: Letter) -> None:
        record = {"body": letter.body, "attributes": {}, "eventSourceARN": "arn:aws:sqs:eu-west-1:1:dead"}
        assert self.people.dead_letters.handle(self.people.adopt(record)) == []

    # -- time -----------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Go on until nothing is left to be delivered or to become due, turning the clock.

        A run that waits for an answer is looked at for ever; an hour of that is enough.
        """
        busy = self.clock.now()
        for _ in range(100_000):
            while self.deliver():
                busy = self.clock.now()
            if not self.wait(busy):
                return
        raise AssertionError("this goes on for ever")

    def wait(self, busy: Millis | None = None) -> bool:
        """Turn the clock to what comes next; false if nothing does."""
        moments = [self.cloud.queues.next_visible(), self._next_sweep(busy or self.clock.now())]
        moment = min((one for one in moments if one is not None), default=None)
        if moment is None:
            return False
        self.clock.turn_to(moment)
        if self.clock.now() >= self._swept + MINUTE:
            self.tick()
        return True

    def _next_sweep(self, busy: Millis) -> Millis | None:
        """The next minute at which a sweep has something to do."""
        soon = self._swept + MINUTE
        if any(lane.dead for lane in self.cloud.queues.lanes.values()):
            return soon
        timers = [at - LONGEST_DELAY for at in self.due("Q#")]
        looks = [at for at in self.due("L#") if self.looks_after and at < busy + HOUR]
        return max(soon, min([*timers, *looks])) if timers or looks else None

    def due(self, partition: str) -> list[Millis]:
        """The moments in a part of the due index: messages in the table (`Q#`), runs that are looked at (`L#`)."""
        items = [item for item in self.cloud.table.items.values() if "g2p" in item]
        return [read_moment(item["g2s"]["S"]) for item in items if item["g2p"]["S"].startswith(partition)]


@contextmanager
def installation(**options: Any) -> Iterator[Installation]:
    made = Installation(**options)
    try:
        yield made
    finally:
        made.close()


# -- what must hold -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """A run as its stored history tells it, without what differs from one execution to another."""

    status: str
    output: Json
    error: str | None
    steps: tuple[tuple[str, int, str, str], ...]
    """Label, attempt, status, and what it gave, of all that ended, in the order of labels."""


def story(installation: Installation, run: RunId) -> Story:
    engine = installation.people.engine
    result = engine.run(installation.account, run)
    attempts = ended(engine.steps(installation.account, run))
    told = [(one.label, one.attempt, one.status.value, _given(installation, run, one)) for one in attempts]
    error = str(result.error["code"]) if result.error else None
    return Story(result.status, result.output, error, tuple(sorted(told)))


def ended(attempts: list[Attempt]) -> list[Attempt]:
    return [one for one in attempts if one.status.final]


def _given(installation: Installation, run: RunId, attempt: Attempt) -> str:
    return repr(installation.people.engine.value(installation.account, run, attempt.output))[:200]


def check(installation: Installation, run: RunId, expected: Story | None = None) -> Story:
    """What must hold when nothing is left to be delivered, from the stored history alone."""
    backend = installation.people.backend
    row = backend.runs.load([(installation.account, run)])[0]
    assert row is not None
    told = story(installation, run)
    assert row.status in TERMINAL, f"the run stands still: {told}"
    attempts = ended(installation.people.engine.steps(installation.account, run))
    assert len({(one.step, one.attempt) for one in attempts}) == len(attempts)
    assert backend.history.open_steps(installation.account, run) == [] or row.status == "cancelled", (
        "a step is open in a run that is over"
    )
    assert installation.ledger.late == [], "executed though committed"
    touched = {(step, attempt) for of, step, attempt in installation.ledger.touched if of == run}
    known = {(one.step, one.attempt) for one in installation.people.engine.steps(installation.account, run)}
    assert touched <= known, "executed and not recorded"
    if expected is not None:
        assert told == expected
    return told


def quiet(installation: Installation) -> None:
    """Nothing is left over anywhere."""
    for lane in installation.cloud.queues.lanes.values():
        assert lane.letters == {}
        assert lane.dead == []
    assert installation.due("Q#") == installation.due("L#") == [], "something would become due"
