"""One step per message: what an invocation does with its deliveries, its time, and what does not end in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.core.flow import Json
from flowrunner.core.ids import NodeId, StepId
from flowrunner.engine.invocation import InvocationSettings
from flowrunner.engine.run_ids import derived_run_id
from flowrunner.errors import StoreError
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.registry import Registry
from flowrunner.ports.queue import Delivery, Message, Receipt
from flowrunner.ports.runs import ClaimRequest, RowStatus

from tests.engine.cloud import FAST, Cloud, Died, cloud
from tests.engine.harness import ACCOUNT, flow
from tests.servers import RecordingServer

CHAIN = """
a: {type: transform, params: {value: 1}, next: b}
b: {type: store, params: {op: set, key: k, value: "${nodes.a.output}"}, next: c}
c: {type: transform, params: {value: "${nodes.a.output}"}}"""


class HangsParams(Params):
    timeout: int | None = None


class Hangs(NodeType[HangsParams]):
    """Holds its thread until a test lets it go, and then does what it should not do any more."""

    name = "hangs"
    params = HangsParams
    slow = None
    pure = False

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.begins = threading.Semaphore(0)
        self.go = threading.Event()
        self.over = threading.Event()
        self.after: list[str] = []
        self.patience = 0.0
        self.says = 0

    def execute(self, ctx: Context[HangsParams]) -> Result:
        self.patience = ctx.time_left()
        for number in range(self.says):
            ctx.log(f"line {number}")
        self.begun.set()
        self.begins.release()
        try:
            while not self.go.wait(0.005):
                if ctx.cancelled() and self.after == ["look"]:
                    return Result("stopped early")
            self._go_on(ctx)
        finally:
            self.over.set()
        return Result("late")

    def _go_on(self, ctx: Context[HangsParams]) -> None:
        try:
            ctx.log("still here")
            self.after.append("log")
        except BaseException:
            self.after.append("nothing")
            raise


class WithHangs(Registry):
    """The registry with it."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs = Hangs()

    def get(self, name: str) -> NodeType[Any]:
        return self.hangs if name == "hangs" else super().get(name)

    def known(self, name: str) -> bool:
        return name == "hangs" or super().known(name)


@contextmanager
def hanging(**options: Any) -> Iterator[tuple[Cloud, Hangs]]:
    registry = WithHangs()
    with cloud(registry=registry, **options) as c:
        yield c, registry.hangs
        registry.hangs.go.set()


def is_over(hangs: Hangs) -> bool:
    """Whether the thread ends. (It may be interrupted while it says so, and then nobody is woken by that.)"""
    return any(hangs.over.wait(0.1) for _ in range(1_200))


def first(c: Cloud, *, receives: int = 1) -> Delivery:
    """The message that is visible first, as a delivery."""
    return Delivery(c.queue.sent[0].message.receipt, receives)


def test_each_step_is_one_message_and_one_invocation() -> None:
    """Successors are sent, none is kept."""
    with cloud() as c:
        result = c.run(flow(CHAIN))
        assert result.output == {"c": 1}
        assert (c.invocations, c.queue.sends) == (3, 3)
        assert c.faults.calls.count("runs.claim") == 1, "only what has an effect is claimed"


def test_a_batch_is_executed_at_the_same_time() -> None:
    """Two steps that wait for each other both end."""
    meet = threading.Barrier(2, timeout=120)

    class Meets(Hangs):
        def execute(self, ctx: Context[HangsParams]) -> Result:
            meet.wait()
            return Result(1)

    registry = WithHangs()
    registry.hangs = Meets()
    with cloud(registry=registry) as c:
        c.batch = 10
        result = c.run(flow("a: {type: hangs}\nb: {type: hangs}"))
        assert result.output == {"a": 1, "b": 1}
        assert c.invocations == 1


def test_what_a_batch_does_to_a_run_is_written_once() -> None:
    """Two steps of one run that end together are one commit."""
    with cloud() as c:
        c.batch = 10
        result = c.run(flow("a: {type: transform, params: {value: 1}}\nb: {type: transform, params: {value: 2}}"))
        assert result.output == {"a": 1, "b": 2}
        assert (c.invocations, c.faults.calls.count("runs.commit")) == (1, 1)


def test_a_message_that_is_in_a_batch_twice_is_handled_once() -> None:
    """A queue delivers at least once, at times in one batch."""
    with cloud() as c:
        run = c.start(flow(CHAIN))
        delivery = first(c)
        assert c.fast.handle([delivery, delivery], c.clock.now() + FAST) == []
        assert c.path(run) == ["a"]


def test_an_execution_that_does_not_end_is_given_up_and_touches_nothing() -> None:
    """It fails in time; its thread is interrupted, and what it asks for before that is refused."""
    with hanging() as (c, hangs):
        run = c.start(flow("a: {type: hangs, timeout: 50ms, next: {error: b}}\nb: {type: log}"))
        c.work()
        assert c.path(run) == ["a", "b"]
        error = c.steps(run)[0].error
        assert error is not None
        assert (error["code"], error["message"]) == ("NodeTimeout", "the node did not end within 0.05 s")
        assert is_over(hangs), "the thread has ended although nobody let it go"
        assert hangs.after in ([], ["nothing"])


def test_a_thread_that_cannot_be_interrupted_is_given_nothing_more() -> None:
    """It is in a call that blocks; when that returns it finds the step's context closed."""
    with hanging() as (c, hangs):
        released = threading.Event()
        blocked: list[BaseException] = []

        def execute(ctx: Context[HangsParams]) -> Result:
            hangs.begun.set()
            try:
                # Not longer: CPython 3.11 under coverage spins in every other thread while an interrupt is pending.
                released.wait(6)
            except BaseException as error:  # noqa: BLE001  # the point of the test
                blocked.append(error)
            try:
                ctx.values.delete(ACCOUNT, "account/default", "k")
                hangs.after.append("touched the store")
            except BaseException as error:  # noqa: BLE001  # the point of the test
                blocked.append(error)
            hangs.over.set()
            return Result("late")

        hangs.execute = execute  # type: ignore[method-assign]  # this node for once does something else
        run = c.start(flow("a: {type: hangs, timeout: 50ms}"))
        c.work()
        assert c.result(run).status == "failed"
        released.set()
        assert is_over(hangs)
        assert hangs.after == []
        assert {type(error).__name__ for error in blocked} == {"GivenUp"}


@pytest.mark.parametrize(
    ("timeout", "left", "seconds"), [("20s", FAST, 20), ("5m", FAST, 55), (None, FAST, 55), ("20s", 4_000, 2)]
)
def test_a_node_has_its_timeout_or_what_is_left(timeout: str | None, left: int, seconds: float) -> None:
    """Five seconds are kept for what comes after it; of less than ten, half."""
    with hanging() as (c, hangs):
        hangs.go.set()
        c.start(flow(f"a: {{type: hangs{f', timeout: {timeout}' if timeout else ''}}}"))
        c.fast.handle([first(c)], c.clock.now() + left)
        assert hangs.patience == seconds


@pytest.mark.parametrize(
    ("lane", "said"),
    [
        (None, "that is all the time which an invocation has"),
        (False, "a step whose `timeout` is longer than 50s runs where it may take 15 minutes"),
    ],
)
def test_a_timeout_says_what_the_invocation_had(lane: bool | None, said: str) -> None:
    """So that nobody looks for a timeout that no flow has."""
    with hanging() as (c, _):
        run = c.start(flow("a: {type: hangs}"))
        c.engine.invocations(InvocationSettings(lane)).handle([first(c)], c.clock.now() + 100)
        error = c.steps(run)[0].error
        assert error is not None
        assert error["message"] == f"the node did not end within 0.05 s ({said})"


def test_a_slow_step_in_the_fast_lane_is_sent_to_the_slow_one() -> None:
    """Nothing of it is executed, and its message is not acknowledged: it is the same one."""
    with hanging(lanes=True) as (c, hangs):
        hangs.go.set()
        run = c.start(flow("a: {type: hangs, timeout: 5m}"))
        assert c.queue.sent[0].message.slow
        c.queue.sent[0].message = replace(c.queue.sent[0].message, slow=False)
        c.work()
        assert c.result(run).status == "completed"
        assert c.invocations == 2
        assert hangs.patience == 300


def test_a_step_for_which_no_time_is_left_is_given_back() -> None:
    """Of 20 messages 16 begin at once. Four wait for a thread; when they get one it is too late to begin."""
    with hanging() as (c, hangs):
        c.batch = 20
        nodes = "\n".join(f"n{number}: {{type: hangs, timeout: 40s}}" for number in range(20))
        run = c.start(flow(nodes, "limits: {max_parallel: 20}"))

        def turn() -> None:
            for _ in range(16):
                assert hangs.begins.acquire(timeout=120)
            c.clock.turn_to(c.clock.now() + 30_000)
            hangs.go.set()

        turner = threading.Thread(target=turn)
        turner.start()
        assert c.invoke()
        turner.join()
        assert len([one for one in c.steps(run) if one.status is RowStatus.SUCCEEDED]) == 16
        assert [one.receives for one in c.queue.sent] == [0] * 4, "they are new messages"
        c.work()
        assert c.result(run).status == "completed"


def test_a_step_that_another_one_executes_comes_again_when_the_lease_is_over() -> None:
    """A duplicate is neither a failure nor a second execution."""
    with RecordingServer() as server, cloud(allow=["127.0.0.1"]) as c:
        run = c.start(flow('a: {type: http.request, params: {url: "${input}"}}'), server.url)
        now, until = c.clock.now(), c.clock.now() + 70_000
        c.engine.parts.backend.runs.claim(
            [ClaimRequest(ACCOUNT, run, StepId("1.0"), 1, NodeId("a"), "another", now, until, b'{"t0": 1}')]
        )
        c.invoke()
        assert server.requests == []
        assert [(one.message.due, one.receives) for one in c.queue.sent] == [(until + 1_000, 0)]
        c.work()
        assert c.result(run).status == "completed"
        assert len(server.requests) == 1


def test_a_long_step_is_seen_and_heard_while_it_executes() -> None:
    """After two seconds what it says is in its row; before that it costs no write."""
    with hanging() as (c, hangs):
        hangs.says = 2
        run = c.start(flow("a: {type: hangs}"))
        seen: list[Any] = []
        report = c.engine.parts.backend.runs.report

        def look(*given: Any) -> None:
            report(*given)
            seen.extend(c.steps(run)[0].logs)
            hangs.go.set()

        c.engine.parts.backend.runs.report = look  # type: ignore[method-assign,assignment]  # looks at what is written
        c.work()
        assert [line["message"] for line in seen] == ["line 0", "line 1"]
        assert c.result(run).output == {"a": "late"}


def test_a_long_step_hears_that_its_run_was_cancelled() -> None:
    """It may stop early; the end of the run is not its own."""
    with hanging() as (c, hangs):
        hangs.after = ["look"]
        run = c.start(flow("a: {type: hangs}"))

        def cancel() -> None:
            hangs.begun.wait(120)
            c.engine.control.cancel(ACCOUNT, run)

        canceller = threading.Thread(target=cancel)
        canceller.start()
        c.work()
        canceller.join()
        assert hangs.over.is_set()
        assert c.result(run).status == "cancelled"
        assert c.steps(run)[0].status is RowStatus.SUCCEEDED, "what was in flight is recorded"


def test_trouble_with_the_store_brings_the_message_again() -> None:
    """It is nobody's failure, it comes again soon, and the step is executed as if nothing had been."""
    with cloud() as c:
        run = c.start(flow(CHAIN))
        well = c.clock.now() + 20_000
        c.faults.plan = lambda _, name: "fails" if name == "runs.load" and c.clock.now() < well else None
        again = c.fast.handle([first(c)], c.clock.now() + FAST)
        assert again == [c.queue.sent[0].message.receipt]
        assert [type(error) for error in c.trouble] == [StoreError]
        c.work()
        assert c.result(run).output == {"c": 1}
        assert c.clock.now() < well + 60_000, "long before the queue would show it again by itself"


def test_trouble_with_one_message_of_a_batch_is_not_that_of_the_others() -> None:
    """Exactly those come again which could not be handled."""
    with cloud() as c:
        runs = [c.start(flow(CHAIN), run=f"run-{number}") for number in range(4)]
        deliveries = [Delivery(one.message.receipt, 1) for one in c.queue.sent]
        backend = c.engine.parts.backend
        load = backend.runs.load

        def fails(keys: Any) -> Any:
            if any(run in ("run-1", "run-3") for _, run in keys):
                raise StoreError("throttled")
            return load(keys)

        backend.runs.load = fails  # type: ignore[method-assign]  # the store answers for some runs only
        again = c.fast.handle(deliveries, c.clock.now() + FAST)
        assert sorted(receipt.run for receipt in again) == ["run-1", "run-3"]
        backend.runs.load = load  # type: ignore[method-assign]  # it answers again
        assert [c.path(run) for run in runs] == [["a"], [], ["a"], []]


def test_trouble_in_the_middle_of_a_step_gives_its_claim_back() -> None:
    """The store of values does not answer: the step has not died, so it may be tried more than three times."""
    with cloud() as c:
        run = c.start(flow(CHAIN))
        c.faults.plan = lambda _, name: "fails" if name == "values.set" and c.invocations < 6 else None
        c.work()
        assert c.result(run).output == {"c": 1}
        assert c.faults.calls.count("values.set") == 5


def test_an_at_most_once_step_that_has_begun_is_not_tried_again() -> None:
    """What it did before the trouble may not be done twice."""
    with cloud() as c:
        run = c.start(flow("a: {type: store, at_most_once: true, params: {op: set, key: k, value: 1}}"))
        c.faults.plan = lambda _, name: "lost" if name == "values.set" else None
        c.work()
        error = c.result(run).error
        assert error is not None
        assert error["code"] == "NODE_CRASHED"
        assert c.faults.calls.count("values.set") == 1


@pytest.mark.parametrize("pure", [True, False])
def test_a_step_that_kills_its_process_is_given_up_before_its_message_is(pure: bool) -> None:
    """Whether it has effects or not: from its second delivery on it is claimed, so that claims tell of deaths."""

    class Kills(Hangs):
        quick = True

        def execute(self, ctx: Context[HangsParams]) -> Result:
            raise Died

    registry = WithHangs()
    registry.hangs = Kills()
    Kills.pure = pure
    with cloud(registry=registry) as c:
        result = c.run(
            flow('a: {type: hangs, next: {error: b}}\nb: {type: transform, params: {value: "${error.code}"}}')
        )
        assert result.output == {"b": "CRASH_LOOP"}
        assert c.deaths == (4 if pure else 3)
        assert not c.queue.dead


def test_a_mistake_of_ours_brings_the_message_again() -> None:
    """An invocation raises for nothing: it would slow down the queue for all."""
    with cloud() as c:
        c.start(flow(CHAIN))
        backend = c.engine.parts.backend
        commit = backend.runs.commit

        def wrong(commits: Any) -> Any:
            raise ValueError("a mistake")

        backend.runs.commit = wrong  # type: ignore[method-assign]  # stands for anything that nobody thought of
        delivery = first(c)
        assert c.fast.handle([delivery], c.clock.now() + FAST) == [delivery.receipt]
        backend.runs.commit = commit  # type: ignore[method-assign]  # put right


def test_a_poke_before_the_wait_comes_again() -> None:
    """The answer is there before the step waits for it: its message is put off for a moment."""
    with cloud() as c:
        run = c.start(flow("a: {type: approval, params: {message: m}}"))
        c.queue.send([Message(Receipt(ACCOUNT, run, StepId("1.0"), 0), c.clock.now(), 0)])
        c.queue.sent.reverse()
        c.invoke()
        assert [one.message.receipt.attempt for one in c.queue.sent] == [1, 0]
        c.work()
        assert c.result(run).status == "waiting"


def test_an_output_that_needs_javascript_is_evaluated_in_the_invocation() -> None:
    """There is no other thread for it; the run ends with the last step's message."""
    with cloud() as c:
        result = c.run(flow(CHAIN, 'outputs: {double: "${nodes.c.output * 2}"}'))
        assert result.output == {"double": 2}
        assert c.invocations == 3


@pytest.mark.parametrize("trouble", [0, 1])
def test_children_of_a_run_that_fails_are_cancelled(trouble: int) -> None:
    """As a worker does it; also if the store does not answer at first, when the end of their parent is written."""
    child = {"metadata": {"name": "child"}, "nodes": {"w": {"type": "wait.callback"}}}
    document: Json = f"""
a: {{type: flow.run, params: {{inline: {child}}}, timeout: 1s}}
b: {{type: delay, params: {{for: 1m}}, next: c}}
c: {{type: script, hooks: {{exec: "throw new Error('no')"}}}}"""
    with cloud() as c:
        cancel, left = c.fast.cancel, [None] * trouble

        def fails(*given: Any) -> None:
            if left:
                left.pop()
                raise StoreError("does not answer")
            cancel(*given)

        c.fast.cancel = fails
        run = c.start(flow(document))
        c.work()
        assert c.result(run).status == "failed"
        loaded = c.engine.parts.backend.runs.load([(ACCOUNT, derived_run_id("child", run, "1.0", 1))])
        assert [row.status for row in loaded if row is not None] == ["cancelled"]
